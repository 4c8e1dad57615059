import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import ClinicSyncStorage
import GRDB
import Testing

@Suite("What is on the disk when it is seen")
struct DurabilityTests {
    @Test("an own batch that is collected while a peer's is stored is on the disk before anybody sees it")
    func storing() throws {
        let pc = try DiskStore(1)
        let chunks = try DiskStore.chunks(ofPatient: "p2")
        try pc.insert("p1")
        try pc.expectDurable(1) { _ = try $0.store(chunks, clockOffsetMilliseconds: 0) }
        #expect(try pc.writer.state().vector[Origin(node: TestStore.node(2))] == 1)
    }

    @Test("an own batch that is collected while a large batch is applied is on the disk before anybody sees it")
    func applying() throws {
        var limits = StoreLimits.standard
        limits.smallBatchBytes = 1
        let pc = try DiskStore(1, limits: limits)
        _ = try pc.writer.store(DiskStore.chunks(ofPatient: "p2"), clockOffsetMilliseconds: 0)
        try pc.insert("p1")
        try pc.expectDurable(1) { _ = try $0.applyStored(clockOffsetMilliseconds: 0) }
        #expect(try pc.writer.state().vector[Origin(node: TestStore.node(2))] == 1)
    }

    @Test("an own batch that is collected while rows are merged is on the disk before anybody sees it")
    func merging() throws {
        let pc = try DiskStore(1)
        let other = try DiskStore.other(patient: "p2")
        let pages = try other.reader.rowStates(round: 1, table: "patients", keys: [.string("p2")])
        let page = try #require(pages.first)
        try pc.insert("p1")
        try pc.expectDurable(1) { _ = try $0.merge(page, clockOffsetMilliseconds: 0) }
    }

    @Test("an own batch of a row that escaped capture is on the disk before anybody sees it")
    func escaped() throws {
        let pc = try DiskStore(1)
        let other = try DiskStore.other(patient: "p2")
        _ = try pc.writer.store(DiskStore.chunks(of: other), clockOffsetMilliseconds: 0)
        try pc.sql("UPDATE patients SET firstName = 'Escaped' WHERE id = 'p2'; DELETE FROM clinicsync_dirty")
        try other.sql("UPDATE patients SET lastName = 'Newer' WHERE id = 'p2'")
        try other.collect()
        let chunks = try DiskStore.chunks(of: other)
        try pc.expectDurable(1) { _ = try $0.store(chunks, clockOffsetMilliseconds: 0) }
        let name = try pc.value(String.self, "SELECT firstName || ' ' || lastName FROM patients WHERE id = 'p2'")
        #expect(name == "Escaped Newer")
    }

    @Test("a login is one transaction: when it is decided, its batch is in the log and on the disk")
    func login() throws {
        let pc = try DiskStore.withUser()
        try pc.expectDurable(2) { writer in
            let (verdict, collected) = try writer.decide(pc.login("s1"))
            #expect(verdict == .decided(.granted(isProvisional: false), members: 1))
            #expect(collected.logged.map(\.chunk.batch.sequence) == [2])
            #expect(collected.logged.last?.chunk.isLast == true)
            #expect(collected.vector[pc.origin] == 2)
        }
        #expect(try pc.value(Int.self, "SELECT count(*) FROM clinicsync_dirty") == 0)
        #expect(try pc.writer.collect(clockOffsetMilliseconds: 0).logged.isEmpty)
    }

    @Test("a power cut during a login leaves all of it or nothing", arguments: [MemoryDisk.Loss.nothing, .all, .tail])
    func loginCut(loss: MemoryDisk.Loss) throws {
        let pc = try DiskStore.withUser()
        // What each power cut left: the session's row, and the largest number of an own batch.
        var left: [String] = []
        pc.disk.observe { _, _ in
            let found = try? pc.afterPowerCut(losing: loss) { writer in
                let session = try ReplicaReader(beside: writer).session("s1")
                return "\(session?.isActive == true) \(try writer.state().vector[pc.origin])"
            }
            left.append(found ?? "nothing that opens")
        }
        _ = try pc.writer.decide(pc.login("s1"))
        pc.disk.observe(nil)
        #expect(left.count > 3)
        #expect(Set(left).isSubset(of: ["false 1", "true 2"]))
        #expect(left.contains("false 1"))
        let after = try pc.afterPowerCut(losing: loss) { try $0.state().vector[pc.origin] }
        #expect(after == 2)
    }

    @Test("a node that learned that its numbers were used elsewhere still knows it after a power cut")
    func renounced() throws {
        let pc = try DiskStore(1)
        let other = try TestStore(1)
        try other.sql("INSERT INTO patients (id, firstName, lastName) VALUES ('p9', 'Ada', 'B')")
        try other.collect()
        let chunks = try DiskStore.chunks(of: other)
        #expect(throws: ForkedBatch.self) { _ = try pc.writer.store(chunks, clockOffsetMilliseconds: 0) }
        #expect(try pc.afterPowerCut { $0.rebirth } == .forked)
    }

    @Test("no position is told twice, though a power cut took the event, because opening is on the disk")
    func positions() throws {
        let (told, next) = try self.positions(isSynced: true)
        #expect(next > told)
        let unsynced = try self.positions(isSynced: false)
        #expect(unsynced.next <= unsynced.told, "nothing would have found out that opening is not synced")
    }

    /// The last position that was told before a power cut, and the last one that is known after it.
    private func positions(isSynced: Bool) throws -> (told: UInt64, next: UInt64) {
        let first = try DiskStore(1)
        try first.close()
        if !isSynced { first.disk.ignoreSyncs(of: "-wal") }
        let second = try DiskStore(1, on: first.disk, boot: "2", collects: false)
        first.disk.ignoreSyncs(of: nil)
        let events = try second.writer.store(DiskStore.chunks(ofPatient: "p2"), clockOffsetMilliseconds: 0).events
        let told = try #require(events.map(\.position).max())
        return (told, try second.afterPowerCut { $0.lastEventPosition })
    }

    @Test("a term and what a person commanded are on the disk when the call returns")
    func commanded() throws {
        let pc = try DiskStore(1)
        _ = try pc.writer.recordTerm(7)
        let node: [String: SQLiteValue] = ["id": .string("n1"), "name": .string("Front desk")]
        #expect(try pc.writer.putAgentRow(table: "clinicsync_node", values: node))
        #expect(try pc.afterPowerCut { try $0.state().term } == 7)
        #expect(try pc.afterPowerCut { try $0.collect(clockOffsetMilliseconds: 0).logged.count } == 1)
    }

    @Test("what a call leaves on the disk is lost without its sync, so these tests would find it missing")
    func unsynced() throws {
        let pc = try DiskStore(1)
        let other = try TestStore(1)
        try other.sql("INSERT INTO patients (id, firstName, lastName) VALUES ('p9', 'Ada', 'B')")
        try other.collect()
        let chunks = try DiskStore.chunks(of: other)
        pc.disk.ignoreSyncs(of: "-wal")
        #expect(throws: ForkedBatch.self) { _ = try pc.writer.store(chunks, clockOffsetMilliseconds: 0) }
        _ = try pc.writer.recordTerm(7)
        #expect(try pc.afterPowerCut { $0.rebirth } == nil)
        #expect(try pc.afterPowerCut { try $0.state().term } == 0)
    }

    @Test("a node whose witness a power cut took back goes on as itself")
    func lostWitness() throws {
        let pc = try DiskStore(1)
        try pc.insert("p1")
        _ = try pc.writer.collect(clockOffsetMilliseconds: 0)
        #expect(try pc.afterPowerCut { $0.rebirth } == nil)
        #expect(try pc.afterPowerCut { try $0.state().vector[pc.origin] } == 1)
    }

    @Test(
        "the chunks of an import that were sent before a crash, or a new isolation, are not stamped anew after it",
        arguments: [true, false]
    )
    func importAndWrongClock(isKilled: Bool) throws {
        var limits = StoreLimits.standard
        limits.sliceMarks = 100
        let pc = try DiskStore(1, limits: limits)
        _ = try pc.writer.restamp(clockOffsetMilliseconds: 0)
        try pc.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
            INSERT INTO patients (id, firstName, lastName) SELECT 'p' || i, 'Ada', 'B' FROM n
            """
        )
        let sent = try pc.writer.collect(clockOffsetMilliseconds: 0)
        #expect(sent.hasMore)
        let chunk = try #require(sent.logged.first?.chunk)
        let writer: ReplicaWriter
        if isKilled {
            let disk = try pc.disk.afterPowerCut(losing: .nothing)
            writer = try DiskStore(1, limits: limits, on: disk, collects: false).writer
        } else {
            writer = pc.writer
            writer.beginIsolation()
        }
        while try writer.collect(clockOffsetMilliseconds: 0).hasMore {}
        _ = try writer.restamp(clockOffsetMilliseconds: 3_600_000)
        let reader = try ReplicaReader(beside: writer)
        defer { reader.close() }
        let kept = try reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
        #expect(kept.contains(chunk))
    }

    @Test("stamps that were corrected at the end of an isolation stay corrected, because the correction is on the disk")
    func restamped() throws {
        let (sent, kept) = try self.restamped(isSynced: true)
        #expect(sent == kept)
        let unsynced = try self.restamped(isSynced: false)
        #expect(unsynced.sent != unsynced.kept, "nothing would have found out that a correction is not synced")
    }

    /// The node's batch as its peers get it after its isolation, and as the node has it after a power cut.
    private func restamped(isSynced: Bool) throws -> (sent: [BatchChunk], kept: [BatchChunk]) {
        let pc = try DiskStore(1)
        pc.writer.beginIsolation()
        try pc.insert("p1")
        _ = try pc.writer.collect(clockOffsetMilliseconds: 0)
        if !isSynced { pc.disk.ignoreSyncs(of: "-wal") }
        #expect(try pc.writer.restamp(clockOffsetMilliseconds: 3_600_000).changes == 1)
        pc.disk.ignoreSyncs(of: nil)
        let sent = try pc.logged(by: pc.writer)
        return (sent, try pc.afterPowerCut { try pc.logged(by: $0) })
    }

    @Test("what a node has when it closes its file in order is on the disk")
    func closed() throws {
        #expect(try self.vectorAfterClosing(isSynced: true) == 1)
        #expect(
            try self.vectorAfterClosing(isSynced: false) == 0,
            "nothing would have found out that closing is not synced"
        )
    }

    /// The number of a peer's batch after a power cut that follows an orderly end.
    private func vectorAfterClosing(isSynced: Bool) throws -> UInt64 {
        let pc = try DiskStore(1)
        _ = try pc.writer.store(DiskStore.chunks(ofPatient: "p2"), clockOffsetMilliseconds: 0)
        if !isSynced { pc.disk.ignoreSyncs(of: "-wal") }
        try pc.close()
        pc.disk.ignoreSyncs(of: nil)
        return try pc.afterPowerCut { try $0.state().vector[Origin(node: TestStore.node(2))] }
    }

    @Test(
        "a power cut in the middle of a checkpoint damages no file, because the log is on the disk before it is copied"
    )
    func checkpoint() throws {
        #expect(try self.damagedByCheckpoint(isSynced: true) == 0)
        #expect(
            try self.damagedByCheckpoint(isSynced: false) > 0,
            "nothing would have found out that the log is not synced"
        )
    }

    /// How many of the power cuts during a checkpoint leave a damaged file.
    private func damagedByCheckpoint(isSynced: Bool) throws -> Int {
        let pc = try DiskStore(1)
        let other = try TestStore(2)
        try other.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
            INSERT INTO patients (id, firstName, lastName) SELECT 'p' || i, 'Ada', 'B' FROM n
            """
        )
        try other.collect()
        _ = try pc.writer.store(DiskStore.chunks(of: other), clockOffsetMilliseconds: 0)
        if !isSynced { pc.disk.ignoreSyncs(of: "-wal") }
        var (operations, cuts, damaged) = (0, 0, 0)
        pc.disk.observe { _, _ in
            operations += 1
            guard operations.isMultiple(of: 5), cuts < 40 else { return }
            cuts += 1
            let loss = [MemoryDisk.Loss.all, .tail, .writes, .sectors][cuts % 4]
            if (try? pc.isWhole(afterLosing: loss, seed: UInt64(cuts))) != true { damaged += 1 }
        }
        _ = WritingExecutor(pc.writer, retentionMilliseconds: .max / 2).perform(.prune)
        pc.disk.observe(nil)
        #expect(cuts > 4, "the checkpoint copied nothing")
        return damaged
    }

    @Test("a batch of a peer waits for no disk")
    func relaxed() throws {
        let pc = try DiskStore(1)
        let chunks = try DiskStore.chunks(ofPatient: "p2")
        var syncs = 0
        pc.disk.observe { operation, _ in if operation == .sync { syncs += 1 } }
        _ = try pc.writer.store(chunks, clockOffsetMilliseconds: 0)
        #expect(syncs == 0)
        #expect(try pc.afterPowerCut { try $0.state().vector } == VersionVector())
    }
}

/// A store on a disk in memory, with the connections of a node; programs write through one of their own.
private final class DiskStore {
    let disk: MemoryDisk
    let origin: Origin
    let writer: ReplicaWriter
    private let reader: ReplicaReader
    private let program: DatabaseQueue
    private let limits: StoreLimits

    init(
        _ number: UInt64,
        limits: StoreLimits = .standard,
        on disk: MemoryDisk? = nil,
        boot: String = "1",
        collects: Bool = true
    )
        throws
    {
        let disk = try disk ?? MemoryDisk()
        self.disk = disk
        self.limits = limits
        self.origin = Origin(node: TestStore.node(number))
        self.writer = try ReplicaWriter(
            database: disk.openStore("clinic.db"),
            origin: self.origin,
            place: StorePlace(
                fingerprint: [1],
                witness: MemoryWitness(disk, file: "clinic.db-numbers"),
                boot: boot
            ),
            limits: limits,
            storeExtension: ClinicExtension(),
            wallClock: { DiskStore.now }
        )
        self.reader = try ReplicaReader(beside: self.writer)
        self.program = try DatabaseQueue(path: disk.uri("clinic.db"))
        if collects { _ = try self.writer.collect(clockOffsetMilliseconds: 0) }
    }

    func close() throws {
        self.reader.close()
        try self.writer.close()
    }

    /// The time of every clock.
    private static let now: Int64 = 1_800_000_000_000

    /// A store with a user, in its first own batch.
    static func withUser() throws -> DiskStore {
        let store = try DiskStore(1)
        try store.sql("INSERT INTO users (id, username) VALUES ('u1', 'ana')")
        _ = try store.writer.collect(clockOffsetMilliseconds: 0)
        return store
    }

    /// A login of that user on this PC, to be decided.
    func login(_ session: String) -> LoginDecision {
        LoginDecision(
            requester: .command(RequestID(rawValue: 1)),
            request: LoginRequest(
                sessionID: session,
                userID: "u1",
                username: "ana",
                deviceID: self.origin.node.description,
                deviceName: "Front",
                tokenHash: [UInt8](repeating: 0xAB, count: 32),
                loginMilliseconds: DiskStore.now,
                isForced: false
            ),
            hearing: 1,
            members: 1,
            mayWait: false,
            correctedMilliseconds: DiskStore.now
        )
    }

    /// Another PC's store with a patient.
    static func other(patient: String) throws -> TestStore {
        let other = try TestStore(2)
        try other.sql("INSERT INTO patients (id, firstName, lastName) VALUES (?, 'Ada', 'B')", [patient])
        try other.collect()
        return other
    }

    static func chunks(ofPatient patient: String) throws -> [BatchChunk] {
        try Self.chunks(of: self.other(patient: patient))
    }

    static func chunks(of other: TestStore) throws -> [BatchChunk] {
        try other.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
    }

    func insert(_ patient: String) throws {
        try self.sql("INSERT INTO patients (id, firstName, lastName) VALUES ('\(patient)', 'Ada', 'B')")
    }

    func sql(_ sql: String) throws { try self.program.writeWithoutTransaction { try $0.execute(sql: sql) } }

    func value<Value: DatabaseValueConvertible>(_ type: Value.Type, _ sql: String) throws -> Value? {
        try self.program.read { try Value.fetchOne($0, sql: sql) }
    }

    /// Opens what a power cut now would leave.
    func afterPowerCut<Result>(
        losing loss: MemoryDisk.Loss = .all,
        _ body: (ReplicaWriter) throws -> Result
    ) throws -> Result {
        let cut = try DiskStore(
            self.number,
            on: self.disk.afterPowerCut(losing: loss),
            boot: "after the cut",
            collects: false
        )
        return try body(cut.writer)
    }

    /// Whether SQLite finds no fault in the file that a power cut now would leave.
    func isWhole(afterLosing loss: MemoryDisk.Loss, seed: UInt64) throws -> Bool {
        let disk = try self.disk.afterPowerCut(losing: loss, seed: seed)
        let queue = try DatabaseQueue(path: disk.uri("clinic.db"))
        defer { _ = Swift.Result { try queue.close() } }
        return try queue.read { try String.fetchAll($0, sql: "PRAGMA integrity_check") == ["ok"] }
    }

    /// What peers are sent of the log of a store.
    func logged(by writer: ReplicaWriter) throws -> [BatchChunk] {
        let reader = try ReplicaReader(beside: writer)
        defer { reader.close() }
        return try reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
    }

    private var number: UInt64 { self.origin.node.low }

    /// Checks that `body` makes own batches up to `sequence`, and that none of them can be read at any moment at which a power
    /// cut would take it.
    func expectDurable(_ sequence: UInt64, _ body: (ReplicaWriter) throws -> Void) throws {
        var seen: [UInt64] = []
        let before = try self.visible()
        self.disk.observe { _, _ in
            // A moment at which everything that can be seen must be on the disk, too.
            if let visible = try? self.visible(), visible > before, self.disk.unsyncedWrites(to: "clinic.db-wal") != 0 {
                seen.append(visible)
            }
        }
        try body(self.writer)
        self.disk.observe(nil)
        #expect(seen == [])
        #expect(try self.visible() == sequence)
        #expect(try self.afterPowerCut { try $0.state().vector[self.origin] } == sequence)
    }

    /// The largest number of an own batch that the connection that serves peers sees.
    private func visible() throws -> UInt64 {
        try self.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk.batch).filter { $0.origin == self.origin }
            .map(\.sequence).max() ?? 0
    }
}
