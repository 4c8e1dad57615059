import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// Numbers in a node's own bookkeeping are damaged, those that give other tables their meaning among them.
@Suite("Damaged numbers in a node's own bookkeeping")
struct DamagedNumbersTests {
    private let a: TestStore
    private let b: TestStore

    init() throws {
        self.a = try TestStore(1)
        self.b = try TestStore(2)
        for number in 1...3 {
            try self.a.sql("INSERT INTO patients(id, fullName) VALUES('p\(number)', 'Ana \(number)')")
            try self.a.collect()
        }
        try self.a.sql("DELETE FROM patients WHERE id = 'p3'")
        try converge([self.a, self.b])
        _ = self.a.writer.takeNotice()
    }

    /// The damaged tables that a node names in the replies to requests of its housekeeping; each comes to one more table.
    private func named(by store: TestStore, rounds: Int = 2) -> [OwnDamage.Table] {
        let executor = WritingExecutor(store.writer, retentionMilliseconds: .max / 2)
        return (0..<rounds).flatMap { _ in
            guard case .noticed(let notice, _) = executor.perform(.prune(MemberPresence(isHost: false))) else {
                return [DamageRepair]()
            }
            return notice.repairs
        }.map(\.table)
    }

    /// Exchanges batches and rows of two stores until both show the same.
    private func settle(_ a: TestStore, _ b: TestStore) throws {
        for _ in 0..<3 {
            try converge([a, b])
            for (ours, theirs) in zip(try a.reader.digests().tables, try b.reader.digests().tables) where ours != theirs
            {
                let table = ours.name
                let answers = try b.reader.compare(try a.reader.rowHashes(round: 1, table: table, after: nil))
                for answer in answers { _ = try a.writer.merge(answer, clockOffsetMilliseconds: 0) }
                for states in try a.reader.rowStates(round: 1, table: table, keys: answers.flatMap(\.wanted)) {
                    _ = try b.writer.merge(states, clockOffsetMilliseconds: 0)
                }
            }
        }
        try expectEqual([a, b])
        try a.verify()
    }

    // MARK: - Tables

    private func registry(_ store: TestStore) throws -> [String] {
        try store.queue.read {
            try String.fetchAll($0, sql: "SELECT id || name || columns FROM clinicsync_table ORDER BY id")
        }
    }

    static let damagedTables = [
        "SET name = 'pbtients' WHERE name = 'patients'", "SET name = CAST(name AS BLOB)",
        "SET name = CASE name WHEN 'patients' THEN 'x' ELSE name END, columns = '[]'",
        "SET id = 500 WHERE name = 'patients'", "SET id = -1 WHERE name = 'patients'",
        "SET columns = replace(columns, 'fullName', 'fulmName') WHERE name = 'patients'", "SET columns = ''",
    ]

    @Test(
        "a table keeps its number and its columns, whatever its entry says when the node starts",
        arguments: damagedTables
    )
    func tables(damage: String) throws {
        let registry = try self.registry(self.a)
        try self.a.sql("PRAGMA ignore_check_constraints = 1; UPDATE clinicsync_table \(damage)")
        let a = try TestStore(reopening: self.a, schema: self.a.schema)
        #expect(try self.registry(a) == registry)
        #expect(a.writer.takeNotice().repairs.map(\.table) == [.table])
        try a.sql("UPDATE patients SET address = 'here' WHERE id = 'p1'")
        try self.b.sql("UPDATE patients SET email = 'a@example.org' WHERE id = 'p1'")
        try self.settle(a, self.b)
        #expect(
            try a.value(String.self, "SELECT address || email FROM patients WHERE id = 'p1'") == "herea@example.org"
        )
        #expect(try a.value(Int.self, "SELECT count(*) FROM clinicsync_conflict") == 0)
    }

    @Test("two tables do not exchange their numbers, and an entry that is gone comes back")
    func exchangedTables() throws {
        let registry = try self.registry(self.a)
        try self.a.sql(
            """
            UPDATE clinicsync_table SET name = 'x' WHERE name = 'patients';
            UPDATE clinicsync_table SET name = 'patients' WHERE name = 'users';
            UPDATE clinicsync_table SET name = 'users' WHERE name = 'x';
            DELETE FROM clinicsync_table WHERE name = 'patient_bills'
            """
        )
        let a = try TestStore(reopening: self.a, schema: self.a.schema)
        #expect(try self.registry(a) == registry)
        #expect(a.writer.takeNotice().repairs.map(\.count) == [3])
        try self.settle(a, self.b)
    }

    @Test("an entry of a table that changes while the node runs is put back")
    func tablesWhileRunning() throws {
        let registry = try self.registry(self.a)
        try self.a.sql("UPDATE clinicsync_table SET name = 'pbtients' WHERE name = 'patients'")
        #expect(self.named(by: self.a) == [.table])
        #expect(try self.registry(self.a) == registry)
        try self.settle(self.a, self.b)
    }

    @Test("columns that an older version of the program added meanwhile are no damage")
    func olderVersion() throws {
        try self.a.sql(
            "UPDATE clinicsync_table SET columns = rtrim(columns, ']') || ',\"later\"]' WHERE name = 'patients'"
        )
        let a = try TestStore(reopening: self.a, schema: self.a.schema)
        #expect(a.writer.takeNotice().repairs.isEmpty)
        #expect(
            try a.value(Bool.self, "SELECT columns LIKE '%later%' FROM clinicsync_table WHERE name = 'patients'")
                == true
        )
    }

    // MARK: - The log

    @Test("a chunk that gets an impossible position while the node runs is served all the same", arguments: [0, -5])
    func wrongPosition(position: Int64) throws {
        try self.a.sql("UPDATE clinicsync_log SET position = \(position) WHERE position = 1")
        let late = try TestStore(3)
        let damage = try #require(throws: OwnDamage.self) { _ = try self.a.reader.locate(late.vector) }
        #expect(try self.a.writer.repair(damage).outcome == .rebuilt)
        try converge([self.a, self.b, late])
        try expectEqual([self.a, self.b, late])
    }

    // MARK: - Rows and marks

    @Test("a row whose entry got a number as its key is known again, and the entry is gone", arguments: [true, false])
    func numberAsKey(isRunning: Bool) throws {
        try self.a.sql("UPDATE clinicsync_row SET pk = -7 WHERE pk = 'p1'")
        let a = isRunning ? self.a : try TestStore(reopening: self.a, schema: self.a.schema)
        #expect((isRunning ? self.named(by: a, rounds: 80) : a.writer.takeNotice().repairs.map(\.table)).contains(.row))
        #expect(try a.value(Int.self, "SELECT count(*) FROM clinicsync_row WHERE pk < ''") == 0)
        try self.settle(a, self.b)
    }

    @Test("a program's write whose mark names no table is found at once")
    func namelessMark() throws {
        try self.a.sql("UPDATE patients SET fullName = 'Bea' WHERE id = 'p2'")
        try self.a.sql("UPDATE clinicsync_dirty SET tableId = x''")
        let executor = WritingExecutor(self.a.writer, retentionMilliseconds: .max / 2)
        guard case .noticed(let notice, _) = executor.perform(.prune(MemberPresence(isHost: false))) else {
            Issue.record("the node says nothing")
            return
        }
        #expect(notice.repairs.map(\.table) == [.dirty])
        #expect(try self.a.collect().events.map(\.change?.recordID) == ["p2"])
        #expect(try self.a.value(Int.self, "SELECT count(*) FROM clinicsync_dirty") == 0)
        try converge([self.a, self.b])
        #expect(try self.b.value(String.self, "SELECT fullName FROM patients WHERE id = 'p2'") == "Bea")
    }

    // MARK: - Batches

    @Test(
        "a batch of the node whose number changed in the log is not sent, and is in no vector",
        arguments: [true, false]
    )
    func strayBatch(isNamedByReader: Bool) throws {
        let vector = try self.a.vector
        try self.a.sql("UPDATE clinicsync_log SET sequence = sequence + (1 << 33) WHERE position = 2")
        #expect(try self.a.reader.digests().vector == vector)
        let writing = WritingExecutor(self.a.writer, retentionMilliseconds: .max / 2)
        let reading = ReadingExecutor(self.a.reader)
        let request = StorageRequest.readLog(for: ConnectionID(rawValue: 1), after: 0, maxBytes: .max)
        if isNamedByReader {
            guard case .failed(_, .damaged(let damage)) = reading.perform(request),
                case .mended(let repair) = writing.perform(.mend(damage))
            else {
                Issue.record("the batch was served")
                return
            }
            #expect(repair.wanted == [], "nobody has such a batch")
        } else {
            #expect(self.named(by: self.a) == [.log])
        }
        guard case .logRead(_, let chunks, _) = reading.perform(request) else {
            Issue.record("the log is not served")
            return
        }
        #expect(chunks.map(\.chunk.batch).allSatisfy { vector[$0.origin] >= $0.sequence })
        try self.a.sql("INSERT INTO patients(id, fullName) VALUES('p4', 'Dea')")
        try converge([self.a, self.b])
        try expectEqual([self.a, self.b])
    }

    @Test("a chunk whose place in the log changed is served all the same")
    func movedChunk() throws {
        try self.a.sql("UPDATE clinicsync_log SET position = position + (1 << 31) WHERE position = 1")
        let c = try TestStore(3)
        try self.a.send(to: c)
        #expect(try c.vector[self.a.origin] == self.a.vector[self.a.origin])
        try expectEqual([self.a, c])
    }

    @Test("the author of the seed rows makes no batches, whatever its number is", arguments: [true, false])
    func genesis(isRunning: Bool) throws {
        try self.a.sql("UPDATE clinicsync_origin SET sequence = 1 WHERE id = 0")
        let a = isRunning ? self.a : try TestStore(reopening: self.a, schema: self.a.schema)
        if isRunning {
            #expect(self.named(by: a) == [.origin])
        } else {
            #expect(a.writer.takeNotice().repairs.map(\.table) == [.origin])
        }
        #expect(try a.reader.locate(VersionVector()) == 0)
        #expect(try a.value(Int.self, "SELECT sequence FROM clinicsync_origin WHERE id = 0") == 0)
        try self.settle(a, self.b)
    }
}
