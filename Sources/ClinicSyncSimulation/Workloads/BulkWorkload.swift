import GRDB

/// Imports of some hundred rows in one transaction, which make batches of several chunks.
///
/// Every PC shows an import as a whole or not at all.
final class BulkWorkload: SimulationWorkload {
    /// Rows of each import, by its number.
    private var sizes: [Int] = []

    func step(_ program: SimulatedProgram) throws {
        // Imports are few, because they cost as much as all other work together.
        guard self.sizes.count < 4, program.chance(40) else { return }
        let number = self.sizes.count
        let rows = 60 + program.below(300)
        let isCommitted = try program.transaction("imports \(rows)") { db in
            let statement = try db.makeStatement(
                sql: "INSERT INTO appointments(id, date, durationMinutes, notes) VALUES(?, '2001-09-09', ?, ?)"
            )
            for row in 0..<rows {
                try statement.execute(arguments: ["import-\(number)-\(row)", row, "number \(number), row \(row)"])
            }
        }
        if isCommitted { self.sizes.append(rows) }
    }

    func checkCommitted(_ node: SimulatedNode) throws -> String? {
        try self.check(node) { count, size in count == 0 || count == size }
    }

    func checkFinally(_ node: SimulatedNode) throws -> String? {
        try self.check(node) { count, size in count == size }
    }

    private func check(_ node: SimulatedNode, _ isRight: (_ count: Int, _ size: Int) -> Bool) throws -> String? {
        for (number, size) in self.sizes.enumerated() {
            let count = try node.disk.read {
                try Int.fetchOne(
                    $0,
                    sql: "SELECT count(*) FROM appointments WHERE id > ? AND id < ?",
                    arguments: ["import-\(number)-", "import-\(number)."]
                ) ?? 0
            }
            if !isRight(count, size) { return "\(node.name) shows \(count) of \(size) rows of import \(number)" }
        }
        return nil
    }
}
