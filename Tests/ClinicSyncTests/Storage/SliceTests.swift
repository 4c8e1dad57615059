import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

/// Slices are counted in marks here, so that no outcome depends on the speed of the machine.
@Suite("A collection in slices")
struct SliceTests {
    /// A store in a file, and a program that does not wait for the lock.
    private struct PC {
        let directory: TemporaryDirectory
        let origin: Origin
        let writer: ReplicaWriter
        let program: DatabaseQueue

        init(_ number: UInt64) throws {
            self.directory = try TemporaryDirectory()
            let url = self.directory.url.appending(path: "clinic.db")
            self.origin = Origin(node: NodeID(high: 1, low: number))
            try SQLiteReplicaStore.create(at: url, origin: self.origin)
            var limits = StoreLimits()
            limits.sliceMarks = 20
            self.writer = try ReplicaWriter(
                database: try StoreDatabase.open(path: url.path),
                origin: self.origin,
                limits: limits
            ) { 1_800_000_000_000 }
            while try self.writer.collect(clockOffsetMilliseconds: 0).hasMore {}
            var configuration = GRDB.Configuration()
            configuration.busyMode = .immediateError
            self.program = try DatabaseQueue(path: url.path, configuration: configuration)
        }

        func insert(_ count: Int, _ name: String) throws {
            try self.program.write {
                try $0.execute(
                    sql: """
                        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(count))
                        INSERT INTO patients(id, fullName) SELECT '\(name)' || i, 'n' FROM n
                        """
                )
            }
        }

        func close() throws {
            try self.program.close()
            try self.writer.close()
        }
    }

    @Test("a hundred rows leave the lock to programs in between, and are one batch")
    func hundred() throws {
        let pc = try PC(1)
        try pc.insert(100, "a")
        var chunks: [BatchChunk] = []
        var outcome = try pc.writer.collect(clockOffsetMilliseconds: 0)
        chunks += outcome.logged.map(\.chunk)
        #expect(outcome.hasMore)
        #expect(chunks.last?.isLast != true, "the collection was one transaction")
        // Between two slices the lock is free. What is written now is not in the batch.
        try pc.insert(1, "b")
        while chunks.last?.isLast != true, outcome.hasMore {
            outcome = try pc.writer.collect(clockOffsetMilliseconds: 0)
            chunks += outcome.logged.map(\.chunk)
        }
        #expect(Set(chunks.map(\.batch)).count == 1)
        #expect(chunks.last?.isLast == true)
        #expect(try pc.program.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM clinicsync_dirty") } == 1)
        try pc.close()
    }

    @Test("a batch that arrives waits for slices, and not with the lock")
    func beforeBatch() throws {
        let (author, pc) = (try PC(1), try PC(2))
        try author.insert(1, "a")
        let sent = try author.writer.collect(clockOffsetMilliseconds: 0).logged.map(\.chunk)
        try pc.insert(100, "b")
        let outcome = try pc.writer.store(sent, clockOffsetMilliseconds: 0)
        let own = outcome.logged.map(\.chunk).filter { $0.batch.origin == pc.origin }
        #expect(own.count >= 5, "a hundred rows were collected in \(own.count) slices")
        #expect(Set(own.map(\.batch)).count == 1)
        #expect(own.last?.isLast == true)
        #expect(try pc.program.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM patients") } == 101)
        for pc in [author, pc] { try pc.close() }
    }
}
