import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

@Suite("Repair of what escaped")
struct ReplicaRepairTests {
    /// Writes without firing the triggers.
    private func escape(_ store: TestStore, _ sql: String) throws {
        try store.sql("UPDATE clinicsync_guard SET applying = 1; \(sql); UPDATE clinicsync_guard SET applying = 0")
    }

    @Test("a sweep finds rows that were inserted, changed and deleted without a mark, and shares them")
    func sweep() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana'), ('p2', 'Bea'), ('p3', 'Cleo')")
        try converge([a, b])
        try self.escape(a, "INSERT INTO patients(id, fullName) VALUES('p0', 'New')")
        try self.escape(
            a,
            "UPDATE patients SET fullName = 'Anna' WHERE id = 'p1'; DELETE FROM patients WHERE id = 'p3'"
        )
        let (escaped, outcome) = try a.writer.sweep(table: nil, clockOffsetMilliseconds: 0)
        #expect(escaped == 3)
        #expect(outcome.logged.count == 1)
        try converge([a, b])
        #expect(
            try b.value(String.self, "SELECT group_concat(fullName) FROM (SELECT fullName FROM patients ORDER BY id)")
                == "New,Anna,Bea"
        )
        try expectEqual([a, b])
    }

    @Test("a sweep finds rows whatever their keys begin with", arguments: ["", " x", "#1", "-5", "/", "0", "~"])
    func sweepOfAnyKey(key: String) throws {
        let a = try TestStore(1)
        try self.escape(a, "INSERT INTO patients(id, fullName) VALUES('\(key)', 'New')")
        #expect(try a.writer.sweep(table: nil, clockOffsetMilliseconds: 0).escaped == 1)
        try self.escape(a, "UPDATE patients SET fullName = 'Changed'")
        #expect(try a.writer.sweep(table: nil, clockOffsetMilliseconds: 0).escaped == 1)
        try self.escape(a, "DELETE FROM patients")
        #expect(try a.writer.sweep(table: nil, clockOffsetMilliseconds: 0).escaped == 1)
        try a.verify()
    }

    @Test("the slow sweep comes to every row in time, slice by slice")
    func slowSweep() throws {
        let a = try TestStore(1)
        try a.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
            INSERT INTO patients(id, fullName) SELECT 'p' || i, 'n' FROM n
            """
        )
        while try a.collect().hasMore {}
        try self.escape(a, "UPDATE patients SET fullName = 'x' WHERE id = 'p4999'")
        var escaped = 0
        var slices = 0
        while escaped == 0, slices < 40 {
            escaped += try a.writer.maintain(retentionMilliseconds: .max / 2).escaped
            slices += 1
        }
        #expect(escaped == 1)
        let outcome = try a.collect()
        #expect(outcome.events.map(\.change?.columns) == [["fullName"]])
        try a.verify()
    }

    @Test("dropped triggers are put back and what was written meanwhile is found")
    func droppedTriggers() throws {
        let a = try TestStore(1)
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try a.collect()
        for name in try a.queue.read({ db in
            try String.fetchAll(
                db,
                sql: "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'patients'"
            )
        }) {
            try a.sql("DROP TRIGGER \(name)")
        }
        try a.sql("UPDATE patients SET fullName = 'Anna'")
        let outcome = try a.collect()
        #expect(outcome.repairedTables == ["patients"])
        #expect(outcome.events.map(\.change?.operation) == [.update])
        try a.verify()
    }

    @Test("row states carry everything: a store that has lost its rows and gets them is equal")
    func rowStates() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana'), ('p2', 'Bea'), ('p3', 'Cleo')")
        try a.sql("UPDATE clinic_services SET selectionCount = 7")
        try a.collect()
        try a.sql("UPDATE patients SET email = 'x' WHERE id = 'p1'; DELETE FROM patients WHERE id = 'p3'")
        try b.sql(
            "UPDATE clinic_services SET selectionCount = 5; INSERT INTO patients(id, fullName) VALUES('p9', 'Dora')"
        )
        try converge([a, b])
        for table in ["patients", "clinic_services"] {
            try a.lose(table)
            let page = try a.reader.rowHashes(round: 1, table: table, after: nil)
            let answers = try b.reader.compare(page)
            for answer in answers { _ = try a.writer.merge(answer, clockOffsetMilliseconds: 0) }
            for states in try a.reader.rowStates(round: 1, table: table, keys: answers.flatMap(\.wanted)) {
                _ = try b.writer.merge(states, clockOffsetMilliseconds: 0)
            }
        }
        #expect(try a.value(Int.self, "SELECT max(selectionCount) FROM clinic_services") == 12)
        #expect(try b.value(String.self, "SELECT email FROM patients WHERE id = 'p1'") == "x")
        try expectEqual([a, b])
    }

    @Test("the log is pruned only when every member has it and it is old enough")
    func prune() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try a.collect()
        a.now += 1_000
        func prune(retention: Int64) throws -> Int {
            let members = [a.origin.node, b.origin.node]
            let presence = MemberPresence(isHost: true, members: members, clinicMilliseconds: a.now)
            return try a.writer.maintain(retentionMilliseconds: retention, presence: presence).pruned
        }
        #expect(try prune(retention: 500) == 0)
        let behind = MemberProgress(node: b.origin.node, vector: VersionVector(), seenMilliseconds: a.now)
        try a.writer.recordAcknowledged([behind])
        #expect(try prune(retention: 500) == 0)
        let level = MemberProgress(node: b.origin.node, vector: try a.vector, seenMilliseconds: a.now)
        try a.writer.recordAcknowledged([level])
        #expect(try prune(retention: 5_000) == 0)
        #expect(try prune(retention: 500) == 1)
        #expect(try a.reader.locate(VersionVector()) == nil)
        #expect(try a.reader.locate(try a.vector) != nil)
        #expect(try a.value(Int.self, "SELECT max(floor) FROM clinicsync_origin") == 1)
    }
}
