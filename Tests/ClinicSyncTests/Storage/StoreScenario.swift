import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

/// What a store goes through: it collects, applies, sweeps and prunes, as its core asks it to.
///
/// A request that failed, or that a crash interrupted, is carried out again, as the core does it.
struct StoreScenario {
    /// What programs write, and the request that follows.
    struct Step {
        var sql = ""
        var request: StorageRequest
    }

    /// The result when nothing fails.
    struct Result: Equatable {
        var rows: [String]
        var vector: VersionVector
    }

    let steps: [Step]
    /// A disk with a new store.
    private let template: MemoryDisk

    /// Prepares what a peer sends.
    init() throws {
        let other = try TestStore(2)
        func sent(_ sql: String) throws -> StorageRequest {
            let before = try other.vector
            try other.sql(sql)
            try other.collect()
            let start = try #require(try other.reader.locate(before))
            let chunks = try other.reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk)
            let sender = ChunkSender(node: other.origin.node, isHost: true)
            return .store(from: ConnectionID(rawValue: 1), sender, chunks)
        }
        let first = try sent(
            """
            INSERT INTO patients (id, firstName, lastName) VALUES ('p10', 'Ada', 'B'), ('p11', 'Bea', 'C');
            UPDATE clinic_services SET selectionCount = selectionCount + 2 WHERE id = 'service-urinalysis'
            """
        )
        let second = try sent(
            "UPDATE patients SET lastName = 'D' WHERE id = 'p10'; DELETE FROM patients WHERE id = 'p11'"
        )
        let collect = StorageRequest.collect(clockOffsetMilliseconds: 0)
        let progress = MemberProgress(
            node: other.origin.node,
            vector: VersionVector([
                .init(origin: Origin(node: TestStore.node(1)), sequence: 2),
                .init(origin: other.origin, sequence: 2),
            ]),
            seenMilliseconds: other.now
        )
        let presence = MemberPresence(
            isHost: true,
            members: [TestStore.node(1), TestStore.node(2)],
            linked: [TestStore.node(2)],
            clinicMilliseconds: other.now
        )
        self.steps = [
            Step(
                sql: """
                    INSERT INTO patients (id, firstName, lastName) VALUES ('p1', 'Eva', 'F'), ('p2', 'Ida', 'G');
                    UPDATE clinic_services SET selectionCount = selectionCount + 3 WHERE id = 'service-urinalysis'
                    """,
                request: collect
            ),
            Step(request: first),
            Step(
                sql: "UPDATE patients SET firstName = 'Ora' WHERE id = 'p10'; DELETE FROM patients WHERE id = 'p2'",
                request: collect
            ),
            Step(request: second), Step(request: .recordTerm(7)), Step(request: .recordAcknowledged([progress])),
            Step(
                sql: "UPDATE patients SET lastName = 'H' WHERE id = 'p1'; DELETE FROM clinicsync_dirty",
                request: .sweep(table: nil, .sync(id: 1))
            ),
            Step(request: .prune(presence)), Step(request: .restamp(offsetMilliseconds: 0)),
        ]
        let store = try DiskStore(1)
        self.template = try store.disk.afterPowerCut(losing: .nothing)
        try store.close()
    }

    /// A disk with a new store, for one run.
    func disk() throws -> MemoryDisk { try self.template.afterPowerCut(losing: .nothing) }

    /// The result when nothing fails.
    func reference() throws -> Result {
        let store = try DiskStore(1, on: self.disk(), collects: false)
        let executor = StoreScenario.executor(of: store)
        for step in self.steps {
            if !step.sql.isEmpty { try store.sql(step.sql) }
            #expect(StoreScenario.failure(in: executor.perform(step.request)) == nil)
        }
        return try StoreScenario.result(of: store)
    }

    static func executor(of store: DiskStore) -> WritingExecutor {
        WritingExecutor(store.writer, retentionMilliseconds: 0)
    }

    /// Why a request failed; `nil` when it did not.
    static func failure(in reply: StorageReply) -> StorageFailure? {
        switch reply {
        case .noticed(_, let reply): self.failure(in: reply)
        case .failed(_, let failure): failure
        default: nil
        }
    }

    /// What a store has, after checking that its bookkeeping agrees with its tables.
    static func result(of store: DiskStore) throws -> Result {
        let (escaped, _) = try store.writer.sweep(table: nil, clockOffsetMilliseconds: 0)
        #expect(escaped == 0, "the bookkeeping does not agree with the tables")
        let rows = try store.program.read { db in
            try ["patients", "clinic_services", "clinicsync_conflict"].flatMap { table in
                // Marks carry SQLite's time, so stamps differ, and with them the ids of entries in the journal.
                let names = try db.columns(in: table).map(\.name)
                    .filter { table != "clinicsync_conflict" || !["id", "timestamp"].contains($0) }
                let columns = names.map { "quote(\"\($0)\")" }.joined(separator: "||'|'||")
                return try String.fetchAll(db, sql: "SELECT '\(table):' || \(columns) FROM \(table) ORDER BY 1")
            }
        }
        return Result(rows: rows, vector: try store.writer.state().vector)
    }

    /// The places of a run that are tried: all when `CLINICSYNC_EVERY_PLACE` is set, otherwise `count` of them.
    static func places(of total: Int, count: Int) -> [Int] {
        guard ProcessInfo.processInfo.environment["CLINICSYNC_EVERY_PLACE"] == nil else {
            return Array(1...max(total, 1))
        }
        return Array(stride(from: 1, through: max(total, 1), by: max(1, total / count)))
    }
}
