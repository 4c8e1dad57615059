import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB

/// Measures one statement that renames all services, each of which two PCs had made and which merging made one row.
///
/// Each renamed row concerns other rows, so this is the dearest work for each row. The cost of a row must not depend on how many
/// rows there are.
struct RenameBenchmark {
    /// Services of a round; a quarter of them in the round beside it.
    var services: Int
    /// Repetitions.
    var rounds: Int

    /// The lock may be held for so many milliseconds.
    private static let lockMilliseconds = 50.0

    /// What one round took.
    private struct Round {
        /// Microseconds a row, of the node whose program renames.
        var collect: Double
        /// Microseconds a row, of another node.
        var apply: Double
        /// The longest time in milliseconds for which the first node held the lock.
        var lock: Double
    }

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        var all: [Round] = []
        var few: [Round] = []
        for _ in 0..<self.rounds {
            few.append(try self.round(max(self.services / 4, 1), files))
            all.append(try self.round(self.services, files))
        }
        let what = "rename of \(self.services) merged rows"
        return [
            Measurement(
                "\(what), collect",
                unit: "µs/row",
                samples: all.map(\.collect),
                beside: few.map(\.collect),
                goal: .ratioAtMost(1.5)
            ),
            Measurement(
                "\(what), apply",
                unit: "µs/row",
                samples: all.map(\.apply),
                beside: few.map(\.apply),
                goal: .ratioAtMost(1.5)
            ),
            Measurement(
                "\(what), longest lock",
                unit: "ms",
                samples: all.map(\.lock),
                goal: .valueAtMost(RenameBenchmark.lockMilliseconds)
            ),
        ]
    }

    private func round(_ count: Int, _ files: BenchFiles) throws -> Round {
        let path = try files.captured("rename-node.db")
        let writer = try files.writer(of: path)
        let program = try ProgramConnection(path: path, synchronous: .normal)
        try program.execute(Self.services(count, author: "a"))
        let queue = try DatabaseQueue(configuration: StoreDatabase.configuration(isFile: false))
        var generator = SystemRandomNumberGenerator()
        let other = try ReplicaWriter(
            database: StoreDatabase(single: queue),
            origin: Origin(node: NodeID(using: &generator))
        ) { Int64(Date().timeIntervalSince1970 * 1_000) }
        try queue.writeWithoutTransaction { try $0.execute(sql: Self.services(count, author: "b")) }
        let own = try writer.collectedChunks()
        try Self.store(other.collectedChunks(), in: writer)
        try Self.store(own, in: other)
        try program.execute("UPDATE clinic_services SET serviceName = 'New ' || serviceName WHERE id LIKE 'a%'")
        var renamed: [BatchChunk] = []
        var collect = 0.0
        let lock = try LockWatch.longest(path: path) {
            collect = try seconds { renamed = try writer.collectedChunks() }
        }
        let apply = try seconds { try Self.store(renamed, in: other) }
        try writer.close()
        try other.close()
        let perRow = 1_000_000 / Double(count)
        return Round(collect: collect * perRow, apply: apply * perRow, lock: lock)
    }

    /// Services with the same names as those of another author.
    private static func services(_ count: Int, author: String) -> String {
        """
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < \(count - 1))
        INSERT INTO clinic_services (id, serviceName) SELECT '\(author)' || i, 'Service ' || i FROM n
        """
    }

    private static func store(_ chunks: [BatchChunk], in writer: ReplicaWriter) throws {
        if try writer.store(chunks, clockOffsetMilliseconds: 0).isApplyPending {
            _ = try writer.applyStored(clockOffsetMilliseconds: 0)
        }
    }
}
