import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// Constraints that a program made for its own PC's file: they decide nothing that is replicated.
@Suite("Constraints of one PC's file")
struct OwnConstraintTests {
    private func names(_ store: TestStore) throws -> [String] {
        try store.queue.read { try String.fetchAll($0, sql: "SELECT id FROM patients ORDER BY id") }
    }

    private func reasons(_ store: TestStore) throws -> [String] {
        try store.reader.summary().waiting.filter { $0.table == "patients" }.map(\.reason)
    }

    /// Makes `patients` anew in `store` with one change of its definition, and keeps its rows.
    private func remake(_ store: TestStore, _ old: String, _ new: String) throws {
        let ddl = try #require(
            try store.value(String.self, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'patients'")
        )
        #expect(ddl.contains(old))
        try store.sql(
            """
            CREATE TABLE copy AS SELECT * FROM patients; DROP TABLE patients; \(ddl.replacing(old, with: new));
            INSERT INTO patients SELECT * FROM copy; DROP TABLE copy
            """
        )
    }

    @Test(
        "a unique index of one PC holds up nothing; rows that it refuses wait, are named, and appear when it goes",
        arguments: ["email", "lower(email)", "email) WHERE (email IS NOT NULL"]
    )
    func index(columns: String) throws {
        var (a, b) = (try TestStore(1), try TestStore(2))
        try b.sql("CREATE UNIQUE INDEX my_email ON patients(\(columns))")
        try a.sql("INSERT INTO patients (id, email) VALUES ('p1', 'x'), ('p2', 'x'), ('p3', 'y')")
        try converge([a, b])
        #expect(try self.names(b) == ["p1", "p3"])
        #expect(try self.reasons(b).count == 1)
        #expect(try self.reasons(b).first?.contains("unique indexes of its own: my_email") == true)
        #expect(try a.reader.summary().waiting.isEmpty)
        for store in [a, b] { #expect(try store.reader.summary().openConflicts == 0) }

        b = try TestStore(reopening: b, schema: .clinic)
        try b.sql("INSERT INTO patients (id) VALUES ('p4')")
        try a.sql("UPDATE patients SET fullName = 'Ana' WHERE id = 'p2'")
        try converge([a, b])
        #expect(try self.names(a) == ["p1", "p2", "p3", "p4"])

        try b.sql("DROP INDEX my_email")
        #expect(try b.collect().events.map(\.change?.recordID) == ["p2"])
        #expect(try self.reasons(b) == [])
        #expect(try b.value(String.self, "SELECT fullName FROM patients WHERE id = 'p2'") == "Ana")
        try converge([a, b])
        try expectEqual([a, b])
    }

    @Test("a row that an index hid appears with the next comparison, when the row that stood against it has changed")
    func freed() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try b.sql("CREATE UNIQUE INDEX my_email ON patients(email)")
        try a.sql("INSERT INTO patients (id, email) VALUES ('p1', 'x'), ('p2', 'x')")
        try converge([a, b])
        try a.sql("UPDATE patients SET email = 'z' WHERE id = 'p1'")
        try converge([a, b])
        let page = try b.reader.rowHashes(round: 1, table: "patients", after: nil)
        for answer in try a.reader.compare(page) { _ = try b.writer.merge(answer, clockOffsetMilliseconds: 0) }
        #expect(try self.names(b) == ["p1", "p2"])
        try expectEqual([a, b])
    }

    @Test("a REPLACE by an index of one PC deletes the row that it replaces on every PC")
    func replaced() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try b.sql(
            "CREATE UNIQUE INDEX my_email ON patients(email); INSERT INTO patients (id, email) VALUES ('p1', 'x')"
        )
        try converge([a, b])
        try b.sql("INSERT OR REPLACE INTO patients (id, email) VALUES ('p2', 'x')")
        try converge([a, b])
        #expect(try self.names(a) == ["p2"])
        #expect(try a.reader.summary().openConflicts == 0)
        try expectEqual([a, b])
    }

    @Test(
        "a constraint of a table that one PC made again holds up nothing",
        arguments: [
            ("fullName TEXT", "fullName TEXT NOT NULL"), ("fullName TEXT", "fullName TEXT CHECK (fullName > '')"),
            ("fullName TEXT", "fullName TEXT UNIQUE"), ("fullName TEXT", "fullName TEXT COLLATE NOCASE UNIQUE"),
        ]
    )
    func remade(old: String, new: String) throws {
        var (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients (id, fullName) VALUES ('p0', 'Ana')")
        try converge([a, b])
        try self.remake(b, old, new)
        let refused = new.contains("UNIQUE") ? "'Ana'" : new.contains("CHECK") ? "''" : "NULL"
        try a.sql("INSERT INTO patients (id, fullName) VALUES ('p1', \(refused)), ('p2', 'Bea')")
        try b.sql("INSERT INTO patients (id, fullName) VALUES ('p3', 'Cleo')")
        try converge([a, b])
        #expect(try self.names(a) == ["p0", "p1", "p2", "p3"])
        #expect(try self.names(b) == ["p0", "p2", "p3"])
        #expect(try self.reasons(b).first?.hasPrefix("only this PC's database refuses it") == true)
        for store in [a, b] { #expect(try store.reader.summary().openConflicts == 0) }
        b = try TestStore(reopening: b, schema: .clinic)
        try self.remake(b, new, old)
        try converge([a, b])
        try expectEqual([a, b])
    }

    @Test("a table that one PC made again without NOT NULL at its key goes on, and takes no NULL")
    func nullableKey() throws {
        var (a, b) = (try TestStore(1), try TestStore(2))
        try self.remake(b, "id TEXT PRIMARY KEY NOT NULL", "id TEXT PRIMARY KEY")
        try b.sql("INSERT INTO patients (id) VALUES ('p1')")
        #expect(throws: DatabaseError.self) {
            try b.collect(); try b.sql("INSERT INTO patients (id) VALUES (NULL)")
        }
        b = try TestStore(reopening: b, schema: .clinic)
        try converge([a, b])
        #expect(try self.names(a) == ["p1"])
        try expectEqual([a, b])
    }
}
