import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("What a request committed before it failed")
struct UntoldTests {
    @Test("the slices of a collection that a failing request finished are told with its failure")
    func slices() throws {
        let directory = try TemporaryDirectory()
        let url = directory.url.appending(path: "clinic.db")
        let origin = Origin(node: NodeID(high: 1, low: 1))
        try SQLiteReplicaStore.create(at: url, origin: origin)
        var limits = StoreLimits()
        limits.sliceMarks = 100
        let writer = try ReplicaWriter(
            database: try StoreDatabase.open(path: url.path),
            origin: origin,
            limits: limits
        ) { 1_800_000_000_000 }
        let executor = WritingExecutor(writer, retentionMilliseconds: .max / 2)
        let program = try DatabaseQueue(path: url.path)
        try program.write {
            try $0.execute(
                sql: """
                    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
                    INSERT INTO patients(id, fullName) SELECT 'n' || i, 'n' FROM n
                    """
            )
        }
        guard case .collected(let first) = executor.perform(.collect(clockOffsetMilliseconds: 0)), first.hasMore else {
            Issue.record("the collection is not in slices")
            return
        }
        // A batch of this node's own with a number that the file does not know.
        let forged = BatchChunk(
            batch: BatchID(origin: origin, sequence: 99),
            index: 0,
            header: BatchHeader(timestamp: .genesis, dependencies: VersionVector(), schemaVersion: 1),
            isLast: true,
            checksum: try #require(first.logged.first?.chunk.checksum),
            payload: try #require(first.logged.first?.chunk.payload)
        )
        let reply = executor.perform(.store(from: ConnectionID(rawValue: 1), [forged]))
        guard case .noticed(let notice, .failed(_, .forked)) = reply else {
            Issue.record("the request did not fail as intended: \(reply)")
            return
        }
        #expect(notice.committed?.logged.last?.chunk.isLast == true)
        #expect(notice.committed?.vector[origin] == 1)
        #expect(notice.committed?.events.isEmpty == false)
        #expect(writer.takeNotice().isEmpty)
        try writer.close()
    }

    @Test("a restamp that failed once corrects the stamps when it is tried again")
    func restampAgain() throws {
        let store = try TestStore(1)
        store.writer.beginIsolation()
        store.now += 365 * 86_400_000
        try store.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try store.collect()
        try store.sql("PRAGMA query_only = 1")
        let offset: Int64 = -365 * 86_400_000
        #expect(throws: StoreError.self) { try store.writer.restamp(clockOffsetMilliseconds: offset) }
        try store.sql("PRAGMA query_only = 0")
        // Something else is written before the next attempt.
        _ = try store.writer.recordTerm(7)
        #expect(try store.writer.restamp(clockOffsetMilliseconds: offset).changes == 1)
        let stamp = try #require(try store.value(Int64.self, "SELECT timestamp FROM clinicsync_row WHERE pk = 'p1'"))
        #expect(stamp >> 16 == store.now + offset)
    }
}
