import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

/// A node's own bookkeeping is damaged; the stores are called as the core calls them.
@Suite("Damage in a node's own bookkeeping")
struct OwnDamageTests {
    private let executors: [(store: TestStore, writing: WritingExecutor, reading: ReadingExecutor)]

    init() throws {
        self.executors = try (1...2).map { number in
            let store = try TestStore(UInt64(number))
            return (
                store, WritingExecutor(store.writer, retentionMilliseconds: .max / 2), ReadingExecutor(store.reader)
            )
        }
        try self.a.sql(
            """
            INSERT INTO patients(id, fullName, address) VALUES('p1', 'Ana', 'here'), ('p2', 'Bea', 'there');
            UPDATE clinic_services SET selectionCount = 3 WHERE id = 'service-urinalysis'
            """
        )
        try self.a.collect()
        try self.a.sql("UPDATE patients SET email = 'ana@example.org' WHERE id = 'p1'")
        try self.a.sql("INSERT INTO patients(id, fullName) VALUES('gone', 'Gone')")
        try self.a.collect()
        try self.a.sql("DELETE FROM patients WHERE id = 'gone'")
        try converge([self.a, self.b])
    }

    private var a: TestStore { self.executors[0].store }
    private var b: TestStore { self.executors[1].store }

    /// Gives the second node's new chunks to the first, as its core does.
    private func deliver() throws -> StorageReply {
        try self.b.collect()
        let start = try #require(try self.b.reader.locate(try self.a.vector))
        let chunks = try self.b.reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk)
            .filter { $0.batch.origin == self.b.origin }
        return self.executors[0].writing.perform(.store(from: ConnectionID(rawValue: 1), chunks))
    }

    /// Merges the rows of both nodes that differ, as a round of reconciliation does with the second node as host.
    private func reconcile(_ table: String = "patients") throws {
        let page = try self.a.reader.rowHashes(round: 1, table: table, after: nil)
        let answers = try self.b.reader.compare(page)
        for answer in answers { _ = try self.a.writer.merge(answer, clockOffsetMilliseconds: 0) }
        for states in try self.a.reader.rowStates(round: 1, table: table, keys: answers.flatMap(\.wanted)) {
            _ = try self.b.writer.merge(states, clockOffsetMilliseconds: 0)
        }
    }

    /// Exchanges batches and rows until both nodes have the same: the journal's entries travel as batches and rows, too.
    private func settle() throws {
        try converge([self.a, self.b])
        for _ in 0..<2 {
            let (ours, theirs) = (try self.a.reader.digests().tables, try self.b.reader.digests().tables)
            for (our, their) in zip(ours, theirs) where our != their { try self.reconcile(our.name) }
        }
        try expectEqual([self.a, self.b])
    }

    private func repairs(_ reply: StorageReply) -> [DamageRepair] {
        if case .noticed(let notice, _) = reply { notice.repairs } else { [] }
    }

    // MARK: - Rows

    @Test(
        "a peer's edit of a row whose bookkeeping cannot be read is applied, and the row is fetched again",
        arguments: [
            "registers = x'ff'", "columns = x'ff'", "columns = x''", "hash = x'01'", "origin = 99", "origin = -1",
            "context = 77",
        ]
    )
    func damagedRow(damage: String) throws {
        try self.a.sql("UPDATE clinicsync_row SET \(damage) WHERE pk = 'p1'")
        try self.b.sql("UPDATE patients SET fullName = 'Anna' WHERE id = 'p1'")
        let reply = try self.deliver()
        guard case .noticed(let notice, .stored(_, let outcome)) = reply else {
            Issue.record("the chunk was not stored: \(reply)")
            return
        }
        #expect(notice.repairs.map(\.outcome) == [.refetching])
        #expect(outcome.vector[self.b.origin] == 1)
        #expect(
            try self.a.value(String.self, "SELECT fullName || email FROM patients WHERE id = 'p1'")
                == "Annaana@example.org"
        )
        try self.settle()
        let states = try [self.a, self.b].map {
            try $0.reader.rowStates(round: 1, table: "patients", keys: [.string("p1")])
        }
        #expect(states[0] == states[1], "the versions are the same again")
    }

    @Test("a row of which nothing is known any more is not set aside: its bookkeeping is rebuilt from the table")
    func missingRow() throws {
        try self.a.sql("DELETE FROM clinicsync_row WHERE pk = 'p1'")
        try self.b.sql("UPDATE patients SET fullName = 'Anna' WHERE id = 'p1'")
        let reply = try self.deliver()
        #expect(self.repairs(reply).map(\.table) == [.row])
        #expect(try self.a.value(String.self, "SELECT fullName FROM patients WHERE id = 'p1'") == "Anna")
        #expect(try self.a.reader.summary().waiting.isEmpty)
        try self.settle()
    }

    @Test(
        "a count or digest that was damaged while the node was stopped is found without a manual sync",
        arguments: ["low = low + 1", "high = -1", "rows = rows - 1"]
    )
    func digestWhileStopped(damage: String) throws {
        let before = try self.a.reader.digests().tables
        try self.a.sql("UPDATE clinicsync_digest SET \(damage)")
        let a = try TestStore(reopening: self.a, schema: self.a.schema)
        let writing = WritingExecutor(a.writer, retentionMilliseconds: .max / 2)
        let tables = before.count
        let found = (0...tables).flatMap { _ in self.repairs(writing.perform(.prune(MemberPresence(isHost: false)))) }
        #expect(found.map(\.table) == [.digest])
        #expect(try a.reader.digests().tables == before)
    }

    /// Has a node compare its tables with its bookkeeping, as a manual sync does.
    private func sweep(_ number: Int) throws -> StorageReply {
        self.executors[number].writing.perform(.sweep(table: nil, .sync(id: 1)))
    }

    @Test(
        "rows of which nothing is known any more win over nothing: what others wrote since is shown, and the journal keeps the rest"
    )
    func lostRows() throws {
        try self.b.sql("UPDATE patients SET fullName = 'Anna' WHERE id = 'p1'")
        try self.b.collect()
        try self.a.sql("UPDATE clinicsync_row SET tableId = -1 - tableId")
        try self.a.sql("INSERT INTO patients(id, fullName) VALUES('p3', 'New')")
        let before = try self.a.vector[self.a.origin]
        let reply = try self.sweep(0)
        #expect(self.repairs(reply).map(\.table).contains(.row))
        #expect(try self.a.vector[self.a.origin] == before + 1, "only the new row is a change of this node")
        try self.settle()
        #expect(try self.a.value(String.self, "SELECT fullName FROM patients WHERE id = 'p1'") == "Anna")
        #expect(try self.b.value(String.self, "SELECT fullName FROM patients WHERE id = 'p3'") == "New")
        #expect(
            try self.b.value(
                Int.self,
                "SELECT count(*) FROM clinicsync_conflict WHERE recordId = 'p1' AND value = 'Ana'"
            )
                == 1
        )
    }

    @Test("the same when the node was not running; a row that a program entered meanwhile is sent")
    func lostRowsWhileStopped() throws {
        try self.b.sql("UPDATE patients SET fullName = 'Anna' WHERE id = 'p1'")
        try self.b.collect()
        try self.a.sql("DELETE FROM clinicsync_row")
        try self.a.sql("INSERT INTO patients(id, fullName) VALUES('p3', 'New')")
        let a = try TestStore(reopening: self.a, schema: self.a.schema)
        try converge([a, self.b])
        for table in try a.reader.digests().tables.map(\.name) {
            let answers = try self.b.reader.compare(try a.reader.rowHashes(round: 1, table: table, after: nil))
            for answer in answers { _ = try a.writer.merge(answer, clockOffsetMilliseconds: 0) }
        }
        #expect(try a.value(String.self, "SELECT fullName FROM patients WHERE id = 'p1'") == "Anna")
        #expect(try self.b.value(String.self, "SELECT fullName FROM patients WHERE id = 'p1'") == "Anna")
        #expect(try self.b.value(String.self, "SELECT fullName FROM patients WHERE id = 'p3'") == "New")
    }

    @Test("a program's edit of a damaged row counts as an edit of that column alone")
    func editOfDamagedRow() throws {
        try self.a.sql("UPDATE clinicsync_row SET registers = x'ff' WHERE pk = 'p1'")
        try self.a.sql("UPDATE patients SET address = 'moved' WHERE id = 'p1'")
        let reply = self.executors[0].writing.perform(.collect(clockOffsetMilliseconds: 0))
        guard case .noticed(let notice, .collected(let outcome)) = reply else {
            Issue.record("nothing was collected: \(reply)")
            return
        }
        #expect(notice.repairs.count == 1)
        #expect(outcome.events.map(\.change?.columns) == [["address"]])
        try self.a.send(to: self.b)
        try self.settle()
    }

    @Test("many damaged rows are repaired together")
    func manyRows() throws {
        try self.a.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
            INSERT INTO patients(id, fullName) SELECT 'n' || i, 'n' FROM n
            """
        )
        try converge([self.a, self.b])
        try self.a.sql("UPDATE clinicsync_row SET registers = x'ff' WHERE pk LIKE 'n%'")
        try self.b.sql("UPDATE patients SET fullName = 'm' WHERE id LIKE 'n%'")
        let reply = try self.deliver()
        #expect(self.repairs(reply).count <= 5)
        #expect(self.repairs(reply).reduce(0) { $0 + $1.count } == 200)
        try self.settle()
    }

    @Test("a deleted row whose tombstone cannot be read stays deleted")
    func damagedTombstone() throws {
        try self.a.sql("UPDATE clinicsync_tombstone SET state = x'ff' WHERE pk = 'gone'")
        try self.b.sql("INSERT INTO patients(id, fullName) VALUES('gone', 'Back')")
        let reply = try self.deliver()
        #expect(self.repairs(reply).map(\.table) == [.tombstone])
        #expect(try self.a.value(String.self, "SELECT fullName FROM patients WHERE id = 'gone'") == "Back")
        try self.settle()
    }

    @Test("what a deleter had seen is rebuilt, and an edit after it is applied")
    func damagedContext() throws {
        try self.a.sql("UPDATE clinicsync_context SET vector = x'ff'")
        try self.b.sql("INSERT INTO patients(id, fullName) VALUES('gone', 'Back')")
        let reply = try self.deliver()
        #expect(self.repairs(reply).map(\.table) == [.context])
        #expect(try self.a.value(String.self, "SELECT fullName FROM patients WHERE id = 'gone'") == "Back")
        try self.settle()
    }

    @Test("parts of counters that make no sense are removed, and the others' parts come back")
    func damagedCounter() throws {
        try self.a.sql("UPDATE clinicsync_counter SET origin = 99 WHERE pk = 'service-urinalysis' AND origin <> 0")
        try self.b.sql("UPDATE clinic_services SET selectionCount = selectionCount + 2 WHERE id = 'service-urinalysis'")
        let reply = try self.deliver()
        #expect(self.repairs(reply).map(\.table) == [.counter])
        try self.settle()
        #expect(
            try self.a.value(Int.self, "SELECT selectionCount FROM clinic_services WHERE id = 'service-urinalysis'")
                == 5
        )
        try expectEqual([self.a, self.b])
    }

    // MARK: - Reading

    @Test("a request that reads says that its own node is damaged, and succeeds after the repair")
    func damageWhileReading() throws {
        try self.a.sql("UPDATE clinicsync_row SET registers = x'ff' WHERE pk = 'p1'")
        let id = ConnectionID(rawValue: 1)
        let request = StorageRequest.rowStates(for: id, round: 1, table: "patients", keys: [.string("p1")])
        guard case .failed(_, .damaged(let damage)) = self.executors[0].reading.perform(request) else {
            Issue.record("no damage was found")
            return
        }
        #expect(damage.table == .row)
        guard case .mended(let repair) = self.executors[0].writing.perform(.mend(damage)) else {
            Issue.record("nothing was repaired")
            return
        }
        #expect(repair.outcome == .refetching)
        guard case .rowStates(_, let pages, _) = self.executors[0].reading.perform(request) else {
            Issue.record("the request still fails")
            return
        }
        #expect(pages.count == 1)
    }

    @Test(
        "authors that a program changed in the table are written again from memory",
        arguments: [
            "DELETE FROM clinicsync_origin WHERE id = 1", "UPDATE clinicsync_origin SET sequence = 1000",
            "UPDATE clinicsync_origin SET id = 77 WHERE id = 1",
            "UPDATE clinicsync_origin SET id = 1 << 31 WHERE id = 1",
            "UPDATE clinicsync_digest SET rows = rows + 5, high = 1",
        ]
    )
    func numbersWhileRunning(damage: String) throws {
        let before = try self.a.reader.digests()
        try self.a.sql(damage)
        let reply = self.executors[0].writing.perform(.prune(MemberPresence(isHost: false)))
        #expect(self.repairs(reply).map(\.outcome) == [.rebuilt])
        try self.a.renewReader()
        let after = try self.a.reader.digests()
        #expect(after.vector == before.vector)
        #expect(after.tables == before.tables)
    }

    @Test(
        "authors have their numbers and names again when the file is opened, and the log is served under no other name",
        arguments: [
            "DELETE FROM clinicsync_origin WHERE id = 1", "DELETE FROM clinicsync_origin WHERE id = 2",
            "UPDATE clinicsync_origin SET id = 77 WHERE id = 1", "UPDATE clinicsync_origin SET id = -5 WHERE id = 2",
            "UPDATE clinicsync_origin SET id = 1 << 31 WHERE id = 2", "UPDATE clinicsync_origin SET id = id + 100",
            "UPDATE clinicsync_origin SET incarnation = 5 WHERE id = 1",
            "UPDATE clinicsync_origin SET incarnation = 5 WHERE id = 2",
            "UPDATE clinicsync_origin SET node = randomblob(16)",
            "UPDATE clinicsync_origin SET node = x'01' WHERE id = 2",
        ]
    )
    func authorsWhileStopped(damage: String) throws {
        try self.b.sql("INSERT INTO patients(id, fullName) VALUES('p4', 'Dora')")
        try converge([self.a, self.b])
        let names = try self.authors(self.a)
        let log = Set(try self.a.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk))
        try self.a.sql(damage)
        let a = try TestStore(reopening: self.a, schema: self.a.schema)
        #expect(try self.authors(a) == names)
        #expect(a.writer.takeNotice().repairs.isEmpty == false)
        // Every author was known, so a new one gets no number that the log has.
        let c = try TestStore(3)
        try c.sql("INSERT INTO patients(id, fullName) VALUES('p5', 'Eva')")
        try c.send(to: a)
        try c.send(to: self.b)
        let served = try a.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
            .filter { $0.batch.origin != c.origin }
        #expect(log.isSuperset(of: served))
        try converge([a, self.b])
    }

    @Test("a chunk of an author that nobody knows is removed, and makes no authors")
    func namelessChunk() throws {
        let names = try self.authors(self.a)
        try self.a.sql("UPDATE clinicsync_log SET origin = 60000 WHERE position = 2")
        let a = try TestStore(reopening: self.a, schema: self.a.schema)
        #expect(try self.authors(a) == names)
        #expect(try a.value(Int.self, "SELECT count(*) FROM clinicsync_log WHERE origin = 60000") == 0)
        #expect(
            a.writer.takeNotice().repairs.map(\.table) == [.log, .log],
            "one chunk is nobody's, and one is missing"
        )
    }

    @Test("a batch that vanishes from the log while the node runs keeps no peer out")
    func missingWhileRunning() throws {
        let id = ConnectionID(rawValue: 1)
        try self.a.sql("UPDATE clinicsync_log SET chunk = -7 WHERE position = 1")
        let request = StorageRequest.locate(for: id, vector: VersionVector())
        guard case .failed(_, .damaged(let damage)) = self.executors[0].reading.perform(request),
            case .mended(let repair) = self.executors[0].writing.perform(.mend(damage)), let lost = repair.wanted.first
        else {
            Issue.record("the damage was not found, or not repaired")
            return
        }
        let copy = try self.b.reader.chunks(from: lost, maxBytes: .max)
        let sender = ChunkSender(node: self.b.origin.node, isHost: false)
        _ = self.executors[0].writing.perform(.store(from: id, sender, copy))
        #expect(try self.a.reader.locate(VersionVector()) != nil)
        let c = try TestStore(3)
        try self.a.send(to: c)
        try expectEqual([self.a, c])
    }

    private func authors(_ store: TestStore) throws -> [String] {
        try store.queue.read {
            try String.fetchAll($0, sql: "SELECT id || hex(node) || incarnation FROM clinicsync_origin ORDER BY id")
        }
    }

    // MARK: - The log

    @Test(
        "a batch of which the log lost a part, or a number, comes from a peer, and a new PC gets everything",
        arguments: [
            "UPDATE clinicsync_log SET isLast = 0 WHERE position = 2",
            "UPDATE clinicsync_log SET header = x'ff' WHERE position = 2",
            // The batch depends on the sixth batch of a node that never was.
            "UPDATE clinicsync_log SET header = CAST(substr(header, 1, 9)"
                + " || x'ff00000000000000ff000000000000000006' AS BLOB) WHERE position = 2",
            "DELETE FROM clinicsync_log WHERE position = 2",
            "UPDATE clinicsync_log SET sequence = 77 WHERE position = 2",
            "UPDATE clinicsync_log SET chunk = 1 WHERE position = 2",
        ],
        [true, false]
    )
    func damagedNumber(damage: String, hasCopy: Bool) throws {
        let whole = try self.a.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
        try self.a.sql(damage)
        let a = try TestStore(reopening: self.a, schema: self.a.schema)
        let (writing, reading) = (
            WritingExecutor(a.writer, retentionMilliseconds: .max / 2), ReadingExecutor(a.reader)
        )
        let id = ConnectionID(rawValue: 1)
        let request = StorageRequest.readLog(for: id, after: 0, maxBytes: .max)
        var chunks: [BatchChunk] = []
        for _ in 0..<8 {
            switch reading.perform(request) {
            case .logRead(_, let read, _): chunks = read.map(\.chunk)
            case .failed(_, .damaged(let found)):
                var reply = writing.perform(.mend(found))
                // What was found when the file was opened comes with the first reply.
                if case .noticed(_, let later) = reply { reply = later }
                guard case .mended(let repair) = reply, let lost = repair.wanted.first else {
                    Issue.record("the repair of \(found) failed: \(reply)")
                    return
                }
                if hasCopy {
                    let copy = try self.b.reader.chunks(from: lost, maxBytes: .max)
                    _ = writing.perform(.store(from: id, ChunkSender(node: self.b.origin.node, isHost: false), copy))
                } else {
                    _ = reading.perform(.leaveOut(lost.batch))
                }
            case let other:
                Issue.record("the log is not served: \(other)")
                return
            }
        }
        if hasCopy { #expect(Set(chunks) == Set(whole)) }
        let c = try TestStore(3)
        _ = try c.writer.store(chunks, clockOffsetMilliseconds: 0)
        #expect(try c.vector == a.vector)
        for table in try a.reader.digests().tables.map(\.name) {
            let answers = try a.reader.compare(try c.reader.rowHashes(round: 1, table: table, after: nil))
            for answer in answers { _ = try c.writer.merge(answer, clockOffsetMilliseconds: 0) }
        }
        #expect(try c.dump() == a.dump())
    }

    private func flipByte(of batch: UInt64) throws {
        try self.a.sql(
            """
            UPDATE clinicsync_log SET payload = substr(payload, 1, 30) || x'ee' || substr(payload, 32)
            WHERE sequence = \(batch) AND origin = (SELECT id FROM clinicsync_origin WHERE sequence > 0)
            """
        )
    }

    @Test("a damaged batch is not served; a peer's copy heals it")
    func damagedLog() throws {
        let intact = try self.a.reader.readLog(after: 0, maxBytes: .max).chunks
        try self.flipByte(of: 1)
        let id = ConnectionID(rawValue: 1)
        let request = StorageRequest.readLog(for: id, after: 0, maxBytes: .max)
        let batch = BatchID(origin: self.a.origin, sequence: 1)
        guard case .failed(_, .damaged(let damage)) = self.executors[0].reading.perform(request) else {
            Issue.record("no damage was found")
            return
        }
        #expect(damage.place == .batch(batch, chunk: 0))
        guard case .mended(let repair) = self.executors[0].writing.perform(.mend(damage)) else {
            Issue.record("the repair failed")
            return
        }
        #expect(repair.wanted == [LostChunk(batch: batch)])
        let question = StorageRequest.readBatch(for: id, from: LostChunk(batch: batch), maxBytes: .max)
        guard case .batchRead(_, let chunks) = self.executors[1].reading.perform(question) else {
            Issue.record("the peer does not send the batch")
            return
        }
        _ = self.executors[0].writing.perform(.store(from: id, chunks))
        guard case .logRead(_, let healed, _) = self.executors[0].reading.perform(request) else {
            Issue.record("the batch is still damaged")
            return
        }
        #expect(healed == intact)
    }

    @Test("a batch that no node has intact is served without changes, and its rows come by reconciliation")
    func lostBatch() throws {
        try self.flipByte(of: 1)
        let id = ConnectionID(rawValue: 1)
        _ = self.executors[0].reading.perform(.leaveOut(BatchID(origin: self.a.origin, sequence: 1)))
        guard
            case .logRead(_, let chunks, _) = self.executors[0].reading.perform(
                .readLog(for: id, after: 0, maxBytes: .max)
            )
        else {
            Issue.record("the log is not served")
            return
        }
        let c = try TestStore(3)
        _ = try c.writer.store(chunks.map(\.chunk), clockOffsetMilliseconds: 0)
        #expect(try c.vector == self.a.vector)
        for table in try self.a.reader.digests().tables.map(\.name) {
            let answers = try self.a.reader.compare(try c.reader.rowHashes(round: 1, table: table, after: nil))
            for answer in answers { _ = try c.writer.merge(answer, clockOffsetMilliseconds: 0) }
        }
        try expectEqual([self.a, c])
    }

    @Test("a batch that was not applied yet and is damaged is removed and asked for")
    func damagedBeforeApplying() throws {
        try self.b.sql("INSERT INTO patients(id, fullName) VALUES('late', 'Late')")
        try self.b.collect()
        let start = try #require(try self.b.reader.locate(try self.a.vector))
        let chunks = try self.b.reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk)
            .filter { $0.batch.origin == self.b.origin }
        // A batch that names a dependency which has not come waits in the log.
        let whole = try #require(chunks.first)
        var dependencies = VersionVector()
        dependencies.advance(self.a.origin, to: 50)
        let header = try #require(whole.header)
        let waiting = BatchChunk(
            batch: whole.batch,
            index: 0,
            header: BatchHeader(
                timestamp: header.timestamp,
                dependencies: dependencies,
                schemaVersion: header.schemaVersion
            ),
            isLast: whole.isLast,
            checksum: whole.checksum,
            payload: whole.payload
        )
        let id = ConnectionID(rawValue: 1)
        _ = self.executors[0].writing.perform(.store(from: id, [waiting]))
        try self.a.sql(
            "UPDATE clinicsync_log SET payload = x'01ff' WHERE sequence = 1 AND origin = (SELECT max(id) FROM clinicsync_origin)"
        )
        try self.a.sql(
            "UPDATE clinicsync_log SET header = (SELECT header FROM clinicsync_log ORDER BY position LIMIT 1) WHERE payload = x'01ff'"
        )
        let reply = self.executors[0].writing.perform(.applyStored)
        #expect(self.repairs(reply).flatMap(\.wanted) == [LostChunk(batch: waiting.batch)])
        #expect(try self.a.value(Int.self, "SELECT count(*) FROM clinicsync_log WHERE payload = x'01ff'") == 0)
        _ = self.executors[0].writing.perform(.store(from: id, chunks))
        try expectEqual([self.a, self.b])
    }
}

@Suite("A page of the database that SQLite cannot read")
struct DamagedPageTests {
    @Test("it is named as damage of the file; all other tables are compared, also by the slow sweep")
    func named() throws {
        let directory = try TemporaryDirectory()
        let url = directory.url.appending(path: "clinic.db")
        let origin = Origin(node: NodeID(high: 1, low: 1))
        try SQLiteReplicaStore.create(at: url, origin: origin)
        try self.breakTable("patients", of: url)
        let writer = try ReplicaWriter(database: try StoreDatabase.open(path: url.path), origin: origin) {
            1_800_000_000_000
        }
        defer { _ = Result { try writer.close() } }
        let executor = WritingExecutor(writer, retentionMilliseconds: .max / 2)
        let sweep = StorageRequest.sweep(table: nil, .sync(id: 1))
        let damage = try #require(self.damage(executor.perform(sweep)))
        #expect(damage.table == .file)
        #expect(damage.reason.contains("is damaged"))
        // A row past the triggers in a table whose name comes later.
        let program = try DatabaseQueue(path: url.path)
        try program.write { db in
            try db.execute(
                sql: "INSERT INTO users(id, username) VALUES('u1', 'ana'); DELETE FROM clinicsync_dirty"
            )
        }
        let slow = (0..<40).compactMap { _ in self.damage(executor.perform(.prune(MemberPresence(isHost: false)))) }
        #expect(slow.map(\.table).contains(.file))
        guard case .collected(let outcome) = executor.perform(.collect(clockOffsetMilliseconds: 0)) else {
            Issue.record("the node cannot collect")
            return
        }
        #expect(outcome.events.map(\.change?.recordID) == ["u1"])
    }

    private func damage(_ reply: StorageReply) -> OwnDamage? {
        switch reply {
        case .failed(_, .damaged(let damage)): damage
        case .noticed(_, let reply): self.damage(reply)
        default: nil
        }
    }

    /// Overwrites the first page of a table, which gets some rows before.
    private func breakTable(_ table: String, of url: URL) throws {
        let queue = try DatabaseQueue(path: url.path)
        let (page, size) = try queue.writeWithoutTransaction { db in
            try db.execute(sql: "INSERT INTO \(table)(id, fullName) VALUES('p1', 'Ana'), ('p2', 'Bea')")
            try db.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
            return (
                try Int.fetchOne(db, sql: "SELECT rootpage FROM sqlite_schema WHERE name = ?", arguments: [table]),
                try Int.fetchOne(db, sql: "PRAGMA page_size")
            )
        }
        try queue.close()
        let file = try FileHandle(forWritingTo: url)
        let bytes = try #require(size)
        try file.seek(toOffset: UInt64((try #require(page) - 1) * bytes))
        try file.write(contentsOf: Data(repeating: 0xFF, count: bytes))
        try file.close()
    }
}
