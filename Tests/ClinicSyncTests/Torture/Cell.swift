import GRDB

/// A value at its place in a table.
struct Cell: Hashable, CustomStringConvertible {
    let table: String
    let key: String
    let column: String
    let value: String

    var description: String { "\(self.table)/\(self.key)/\(self.column)=\(self.value)" }

    /// The values in the clinic's tables of a store, without NULL, counters and keys.
    static func all(in store: TestStore) throws -> Set<Cell> {
        var cells: Set<Cell> = []
        let counters = Set(TortureSchema.counters)
        try store.queue.read { db in
            for table in try Self.tables(db) {
                guard let key = try db.primaryKey(table).columns.first else { continue }
                for row in try Row.fetchAll(db, sql: "SELECT * FROM \"\(table)\"") {
                    for (column, value) in row where column != key && !value.isNull {
                        guard !counters.contains("\(table).\(column)") else { continue }
                        let name = TestStore.text(row[key])
                        cells.insert(Cell(table: table, key: name, column: column, value: TestStore.text(value)))
                    }
                }
            }
        }
        return cells
    }

    private static func tables(_ db: Database) throws -> [String] {
        try String.fetchAll(
            db,
            sql: "SELECT name FROM clinicsync_table WHERE name NOT LIKE 'clinicsync%' ORDER BY name"
        )
    }

    /// Returns the values of `written` that a person finds neither in a table nor in the journal of `store`.
    ///
    /// A value counts as found in a table when any row shows it in its column. Merged rows show it under the other
    /// row's key, and a taken key has a suffix. A reference counts as found when its row is merged into another row.
    static func missing(_ written: Set<Cell>, in store: TestStore) throws -> [Cell] {
        var found: Set<String> = []
        for cell in try Self.all(in: store) {
            found.insert("\(cell.table).\(cell.column)=\(cell.value)")
            guard let end = cell.value.lastIndex(of: "~") else { continue }
            found.insert("\(cell.table).\(cell.column)=\(cell.value[..<end])")
        }
        var hidden: Set<String> = []
        var merged: Set<String> = []
        for line in try store.journalLines() {
            if let column = line.column, let value = line.value { found.insert("\(line.table).\(column)=\(value)") }
            if Self.hiding.contains(line.kind) { hidden.insert("\(line.table)/\(line.key)") }
            if line.kind == "merged" { merged.insert(line.key) }
        }
        return written.filter { cell in
            // A program that writes back a suffixed value writes the value without the suffix.
            let value = cell.value.lastIndex(of: "~").map { String(cell.value[..<$0]) } ?? cell.value
            return !found.contains("\(cell.table).\(cell.column)=\(cell.value)")
                && !found.contains("\(cell.table).\(cell.column)=\(value)") && !merged.contains(cell.value)
                && !hidden.contains("\(cell.table)/\(cell.key)")
        }
        .sorted { $0.description < $1.description }
    }

    /// Kinds of entries for a whole row, which the node keeps and can show again.
    private static let hiding: Set<String> = ["parked", "cascaded", "setAside"]
}
