import ClinicSyncModel
import ClinicSyncStorage
import NIOPosix

/// Compares nodes by their files alone.
struct Convergence {
    /// The nodes' names and files.
    let databases: [(name: String, database: TestDatabase)]

    /// Waits until all are equal.
    func wait(within limit: Duration) async throws {
        try await Condition.wait(
            for: "\(self.databases.count) nodes to be equal",
            within: limit,
            details: { try self.differences() },
            until: { try await self.isReached() }
        )
    }

    private func isReached() async throws -> Bool {
        guard let first = self.databases.first else { return true }
        // Cheap questions first: digests read every row.
        for (_, database) in self.databases where try !database.marks().isEmpty { return false }
        let vector = try first.database.vector()
        for (_, database) in self.databases.dropFirst() where try database.vector() != vector { return false }
        let paths = self.databases.map(\.database.path)
        let digests = try await NIOThreadPool.singleton.runIfActive {
            try paths.map { try DatabaseDigest.compute(path: $0, table: nil) }
        }
        return digests.allSatisfy { $0 == digests[0] }
    }

    private func differences() throws -> String {
        var lines: [String] = []
        for (name, database) in self.databases {
            let digests = try DatabaseDigest.compute(path: database.path, table: nil)
            let tables = digests.map { "\($0.name) \($0.rows) \("\($0.digest)".prefix(8))" }.joined(separator: ", ")
            let marks = try database.marks()
            let waiting = try database.value("SELECT count(*) FROM clinicsync_waiting") ?? "?"
            lines.append(
                "\(name): vector \(try database.vector()), \(marks.count) marks \(marks.prefix(3)), "
                    + "\(waiting) waiting, \(tables)"
            )
        }
        return lines.joined(separator: "\n")
    }
}
