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

    @Test("a number that the witness knows is not used again when the log has lost its batch")
    func lostNewestBatch() throws {
        let pc = try DiskStore(1)
        for id in ["p1", "p2"] {
            try pc.insert(id)
            _ = try pc.writer.collect(clockOffsetMilliseconds: 0)
        }
        try pc.sql("PRAGMA ignore_check_constraints = 1; UPDATE clinicsync_log SET sequence = -1 WHERE sequence = 2")
        try pc.close()
        let again = try DiskStore(1, on: pc.disk)
        defer { try? again.close() }
        #expect(again.writer.rebirth == nil)
        #expect(again.writer.takeNotice().repairs.map(\.table) == [.log])
        #expect(try again.writer.state().vector[again.origin] == 2)
        try again.insert("p3")
        let logged = try again.writer.collect(clockOffsetMilliseconds: 0).logged
        #expect(logged.map(\.chunk.batch.sequence) == [3])
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

    @Test("a checkpoint copies nothing to the file before the log is on the disk")
    func checkpoint() throws {
        let synced = try self.copiedByCheckpoint(isSynced: true)
        #expect(synced.pages > 4 && synced.early == 0)
        let unsynced = try self.copiedByCheckpoint(isSynced: false)
        #expect(unsynced.early > 0, "nothing would have found out that the log is not synced")
    }

    /// How many pages a checkpoint copies to the file, and how many of them while a power cut would still take a part of the log:
    /// it would leave a mixture of two states.
    private func copiedByCheckpoint(isSynced: Bool) throws -> (pages: Int, early: Int) {
        let pc = try DiskStore(1)
        _ = try pc.writer.store(DiskStore.chunks(ofPatient: "p2"), clockOffsetMilliseconds: 0)
        if !isSynced { pc.disk.ignoreSyncs(of: "-wal") }
        var (pages, early) = (0, 0)
        pc.disk.observe { operation, file in
            guard operation == .write, file == "clinic.db" else { return }
            pages += 1
            if pc.disk.unsyncedWrites(to: "clinic.db-wal") != 0 { early += 1 }
        }
        let executor = WritingExecutor(pc.writer, retentionMilliseconds: .max / 2)
        _ = executor.perform(.prune(MemberPresence(isHost: false)))
        pc.disk.observe(nil)
        return (pages, early)
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
