import ClinicSyncCore
import ClinicSyncModel
import GRDB
import Testing

@testable import ClinicSyncStorage

/// `docs/design/0014-unmarked-changes.md`.
@Suite("Differences that no trigger marked")
struct UnmarkedChangesTests {
    /// Two stores with three patients.
    private func stores() throws -> (a: TestStore, b: TestStore) {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql(
            """
            INSERT INTO patients(id, fullName, email) VALUES('p1', 'Ana', 'ana@example.org'), ('p2', 'Bea', NULL),
            ('p3', 'Cleo', NULL)
            """
        )
        // Two nodes: each has heard of the other.
        try b.sql("INSERT INTO users(id, username) VALUES('u1', 'u1')")
        try converge([a, b])
        return (a, b)
    }

    /// Writes without firing the triggers.
    private func escape(_ store: TestStore, _ sql: String) throws {
        try store.sql("UPDATE clinicsync_guard SET applying = 1; \(sql); UPDATE clinicsync_guard SET applying = 0")
    }

    /// Makes both stores equal as a round does: pages of hashes, rows, and the rows that are wanted.
    private func reconcile(_ client: TestStore, with host: TestStore) throws {
        for table in try client.reader.digests().tables.map(\.name) {
            let page = try client.reader.rowHashes(round: 1, table: table, after: nil)
            let range = KeyRange(after: page.after, through: page.through)
            var ahead: [SQLiteValue] = []
            for answer in try host.reader.compare(page) {
                ahead +=
                    try client.writer.merge(answer, within: range, clockOffsetMilliseconds: 0).aheadKeys + answer.wanted
            }
            guard !ahead.isEmpty else { continue }
            for states in try client.reader.rowStates(round: 1, table: table, keys: ahead) {
                _ = try host.writer.merge(states, within: range, clockOffsetMilliseconds: 0)
            }
        }
    }

    private func sweep(_ store: TestStore) throws -> (escaped: Int, setBack: Int) {
        let (escaped, outcome) = try store.writer.sweep(table: nil, clockOffsetMilliseconds: 0)
        return (escaped, outcome.setBackRows)
    }

    private func name(_ store: TestStore, _ key: String = "p1") throws -> String? {
        try store.value(String.self, "SELECT fullName FROM patients WHERE id = '\(key)'")
    }

    private func open(_ store: TestStore) throws -> [String] {
        try store.reader.journal(openOnly: true).map {
            "\($0.row.key.displayText).\($0.column ?? "") \($0.other.value.displayText)"
        }.sorted()
    }

    // MARK: - An edit, not in silence

    @Test("an edit past the triggers reaches everybody, and the journal of every node keeps what it replaces")
    func edit() throws {
        let (a, b) = try self.stores()
        try self.escape(b, "UPDATE patients SET fullName = 'Somebody else' WHERE id = 'p1'")
        #expect(try self.sweep(b) == (1, 0))
        try converge([a, b])
        for store in [a, b] {
            #expect(try self.name(store) == "Somebody else")
            #expect(try self.open(store) == ["p1.fullName Ana"])
        }
        try expectEqual([a, b])
        let entry = try #require(try b.reader.journal(openOnly: true).first)
        #expect(try b.writer.resolveJournal(entry.id, keeping: .other) == .resolved(hasChanged: true))
        try converge([a, b])
        for store in [a, b] {
            #expect(try self.name(store) == "Ana")
            #expect(try self.open(store) == [])
        }
        try expectEqual([a, b])
    }

    @Test("when the node itself has lost the old value, a comparison brings the entry that the others made")
    func editWithoutLog() throws {
        let (a, b) = try self.stores()
        try b.sql("DELETE FROM clinicsync_log")
        try self.escape(b, "UPDATE patients SET fullName = 'Somebody else' WHERE id = 'p1'")
        #expect(try self.sweep(b) == (1, 0))
        #expect(try self.open(b) == [])
        try b.send(to: a)
        #expect(try self.open(a) == ["p1.fullName Ana"])
        try self.reconcile(b, with: a)
        #expect(try self.open(b) == ["p1.fullName Ana"])
        try expectEqual([a, b])
    }

    @Test("a row that was deleted past the triggers is deleted for all, and one command brings it back, on any node")
    func deletion() throws {
        let (a, b) = try self.stores()
        try self.escape(b, "DELETE FROM patients WHERE id = 'p1'")
        #expect(try self.sweep(b) == (1, 0))
        try converge([a, b])
        for store in [a, b] {
            #expect(try self.name(store) == nil)
            #expect(try self.open(store).count == 1)
        }
        try expectEqual([a, b])
        let entry = try #require(try b.reader.journal(openOnly: true).first)
        #expect(entry.standsForRow)
        b.now += 1_000
        #expect(try b.writer.resolveJournal(entry.id, keeping: .other) == .resolved(hasChanged: true))
        try converge([a, b])
        for store in [a, b] {
            #expect(
                try store.value(String.self, "SELECT fullName || email FROM patients WHERE id = 'p1'")
                    == "Anaana@example.org"
            )
        }
        try expectEqual([a, b])
    }

    @Test("a counter that was changed past the triggers keeps the old sum in the journal")
    func counter() throws {
        let (a, b) = try self.stores()
        try self.escape(b, "UPDATE clinic_services SET selectionCount = 500 WHERE rowid = 1")
        #expect(try self.sweep(b) == (1, 0))
        try converge([a, b])
        #expect(try a.value(Int.self, "SELECT max(selectionCount) FROM clinic_services") == 500)
        #expect(try b.value(String.self, "SELECT columnName || value FROM clinicsync_conflict") == "selectionCount0")
        try self.reconcile(b, with: a)
        try expectEqual([a, b])
    }

    @Test("what a program did while the triggers were gone is an edit, and its marks count for more")
    func droppedTriggers() throws {
        let (a, b) = try self.stores()
        let names = try b.queue.read { db in
            try String.fetchAll(
                db,
                sql: "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'patients'"
            )
        }
        for name in names { try b.sql("DROP TRIGGER \(name)") }
        try b.sql("UPDATE patients SET fullName = 'Somebody else' WHERE id = 'p1'")
        #expect(try b.collect().repairedTables == ["patients"])
        try self.escape(b, "UPDATE patients SET fullName = 'Anb' WHERE id = 'p2'")
        try b.sql("UPDATE patients SET fullName = fullName || '' WHERE id = 'p2'")
        try converge([a, b])
        #expect(try self.open(a) == ["p1.fullName Ana"])
        #expect(try self.name(a, "p2") == "Anb")
        try expectEqual([a, b])
    }

    @Test("triggers that vanish without a new version of the schema are made again with the next comparison")
    func vanishedTriggers() throws {
        let (a, b) = try self.stores()
        #expect(try b.writer.sweep(table: nil, clockOffsetMilliseconds: 0).1.repairedTables.isEmpty)
        try b.sql(
            """
            PRAGMA writable_schema = ON;
            DELETE FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'patients';
            PRAGMA writable_schema = RESET;
            UPDATE patients SET fullName = 'Somebody else' WHERE id = 'p1'
            """
        )
        #expect(try b.collect().repairedTables.isEmpty)
        #expect(try b.writer.sweep(table: nil, clockOffsetMilliseconds: 0).1.repairedTables == ["patients"])
        try converge([a, b])
        #expect(try self.name(a) == "Somebody else")
        try expectEqual([a, b])
    }

    // MARK: - Damage

    /// 'Ana' with one flipped bit, as a text and as the bytes that SQLite refuses to call text.
    @Test(
        "a flipped bit, invalid text and another storage class never beat what the others have",
        arguments: [
            "CAST(x'416e63' AS TEXT)", "CAST(x'41ee61' AS TEXT)", "CAST(x'c3416e61' AS TEXT)", "CAST('Ana' AS BLOB)",
        ]
    )
    func rot(value: String) throws {
        for hasLog in [true, false] {
            let (a, b) = try self.stores()
            if !hasLog { try b.sql("DELETE FROM clinicsync_log") }
            try self.escape(b, "UPDATE patients SET fullName = \(value) WHERE id = 'p1'")
            #expect(try self.sweep(b) == (1, 1))
            try b.send(to: a)
            #expect(try self.name(a) == "Ana")
            try self.reconcile(b, with: a)
            for store in [a, b] {
                #expect(try self.name(store) == "Ana")
                #expect(try self.open(store).count == 1)
            }
            try expectEqual([a, b])
        }
    }

    @Test("a long text is not searched for a flipped bit, because programs wait; it counts as an edit")
    func longText() throws {
        for length in [200, 2_000] {
            let (a, b) = try self.stores()
            let text = String(repeating: "a", count: length)
            try a.sql("UPDATE patients SET fullName = ? WHERE id = 'p1'", [text])
            try converge([a, b])
            try self.escape(b, "UPDATE patients SET fullName = 'c' || substr(fullName, 2) WHERE id = 'p1'")
            #expect(try self.sweep(b) == (1, length == 200 ? 1 : 0))
            #expect(try self.open(b).count == 1)
        }
    }

    @Test("a flipped bit on the host is repaired from a client, and one of a seed row too")
    func rotOfHost() throws {
        let (a, b) = try self.stores()
        try a.sql("DELETE FROM clinicsync_log")
        try self.escape(a, "UPDATE patients SET fullName = 'Anc' WHERE id = 'p1'")
        let seed = try #require(try a.value(String.self, "SELECT serviceName FROM clinic_services ORDER BY id LIMIT 1"))
        var flipped = Array(seed.utf8)
        flipped[0] ^= 1
        try self.escape(
            a,
            "UPDATE clinic_services SET serviceName = CAST(x'\(flipped.hexadecimal)' AS TEXT) WHERE serviceName = '\(seed)'"
        )
        #expect(try self.sweep(a) == (2, 2))
        try self.reconcile(b, with: a)
        #expect(try self.name(a) == "Ana")
        #expect(try a.value(String.self, "SELECT serviceName FROM clinic_services ORDER BY id LIMIT 1") == seed)
        try self.reconcile(b, with: a)
        try expectEqual([a, b])
    }

    @Test("a flipped bit in an integer, a real and a counter is found")
    func rotOfNumbers() throws {
        let (a, b) = try self.stores()
        try a.sql(
            "INSERT INTO clinic_services(id, serviceName, defaultPrice, selectionCount) VALUES('s', 'Massage', 12.5, 0)"
        )
        try a.sql("UPDATE clinic_services SET selectionCount = 5 WHERE id = 's'")
        try converge([a, b])
        try self.escape(b, "UPDATE clinic_services SET defaultPrice = 13.5, selectionCount = -123 WHERE id = 's'")
        #expect(try self.sweep(b) == (1, 1))
        try self.reconcile(b, with: a)
        #expect(
            try b.value(String.self, "SELECT defaultPrice || '/' || selectionCount FROM clinic_services WHERE id = 's'")
                == "12.5/5"
        )
        try expectEqual([a, b])
    }

    @Test("a peer's change of a damaged row is merged into what the others have")
    func rotMeetsChange() throws {
        let (a, b) = try self.stores()
        try self.escape(b, "UPDATE patients SET fullName = 'Anc' WHERE id = 'p1'")
        try a.sql("UPDATE patients SET email = 'new' WHERE id = 'p1'")
        try a.send(to: b)
        #expect(try b.value(String.self, "SELECT fullName || email FROM patients WHERE id = 'p1'") == "Ananew")
        try self.reconcile(b, with: a)
        try expectEqual([a, b])
        #expect(try self.open(a) == ["p1.fullName Anc"])
    }

    @Test("a PC that never heard of another keeps its value: nobody has a better one")
    func alone() throws {
        let a = try TestStore(1)
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try a.collect()
        try self.escape(a, "UPDATE patients SET fullName = 'Anc' WHERE id = 'p1'")
        #expect(try self.sweep(a) == (1, 0))
        #expect(try self.name(a) == "Anc")
        #expect(try self.open(a) == ["p1.fullName Ana"])
        try a.verify()
    }

    // MARK: - Very many rows

    @Test("very many rows that differ are set back, missing ones come back, and the journal keeps what was there")
    func crowd() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try b.sql("INSERT INTO users(id, username) VALUES('u1', 'u1')")
        try a.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
            INSERT INTO patients(id, fullName) SELECT printf('p%04d', i), 'Patient ' || i FROM n
            """
        )
        try converge([a, b])
        try self.escape(
            b,
            """
            UPDATE patients SET fullName = 'Nobody' WHERE id < 'p1001'; DELETE FROM patients WHERE id > 'p1100';
            INSERT INTO patients(id, fullName) VALUES('new', 'New')
            """
        )
        #expect(try self.sweep(b) == (1_101, 1_100))
        try converge([a, b])
        #expect(try a.value(Int.self, "SELECT count(*) FROM patients WHERE fullName = 'Nobody'") == 0)
        #expect(try a.value(Int.self, "SELECT count(*) FROM patients") == 1_201)
        try self.reconcile(b, with: a)
        #expect(try b.value(Int.self, "SELECT count(*) FROM patients") == 1_201)
        try self.reconcile(b, with: a)
        try expectEqual([a, b])
        #expect(try a.value(Int.self, "SELECT count(*) FROM clinicsync_conflict WHERE value = 'Nobody'") == 1_000)
    }
}
