import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// An index does not show the rows of its table: a disk flipped a bit in one of the two.
@Suite("Damaged indexes of the clinic's tables")
struct DamagedIndexTests {
    /// Two stores with three patients.
    private func stores() throws -> (a: TestStore, b: TestStore) {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana'), ('p2', 'Bea'), ('p3', 'Cleo')")
        try b.sql("INSERT INTO users(id, username) VALUES('u1', 'u1')")
        try converge([a, b])
        return (a, b)
    }

    /// Makes an index of the patients show another value for the patient p2.
    ///
    /// A table of the same rows has an index with that value; the two indexes change places.
    private func damage(_ index: String, of column: String, as value: String, in store: TestStore) throws {
        try store.sql(
            """
            CREATE TABLE twin(value TEXT);
            CREATE INDEX twin_value ON twin(value);
            INSERT INTO twin(rowid, value)
            SELECT rowid, CASE id WHEN 'p2' THEN '\(value)' ELSE "\(column)" END FROM patients;
            PRAGMA writable_schema = ON;
            UPDATE sqlite_schema SET rootpage =
            (SELECT sum(rootpage) FROM sqlite_schema WHERE name IN ('\(index)', 'twin_value')) - rootpage
            WHERE name IN ('\(index)', 'twin_value');
            PRAGMA writable_schema = RESET;
            """
        )
    }

    private func findings(_ store: TestStore) throws -> String? {
        try store.value(String.self, "SELECT group_concat(integrity_check) FROM pragma_integrity_check('patients')")
    }

    private func names(_ store: TestStore) throws -> String? {
        try store.value(
            String.self,
            "SELECT group_concat(id || ' ' || fullName) FROM (SELECT id, fullName FROM patients NOT INDEXED ORDER BY id)"
        )
    }

    private func sweep(_ store: TestStore) -> StorageReply {
        WritingExecutor(store.writer, retentionMilliseconds: .max / 2).perform(.sweep(table: nil, .sync(id: 1)))
    }

    @Test("a row that the index of the keys does not show is neither deleted nor inserted under another key")
    func key() throws {
        let (a, b) = try self.stores()
        try self.damage("sqlite_autoindex_patients_1", of: "id", as: "b2", in: b)
        #expect(try b.value(Int.self, "SELECT count(*) FROM patients WHERE id = 'p2'") == 0)
        guard case .noticed(let notice, .swept(_, escaped: 0, let outcome)) = self.sweep(b) else {
            Issue.record("the damage was not noticed")
            return
        }
        #expect(outcome.logged == [])
        #expect(notice.repairs.map(\.outcome) == [.rebuilt] && notice.repairs.map(\.table) == [.file])
        #expect(try self.findings(b) == "ok")
        try converge([a, b])
        for store in [a, b] {
            #expect(try self.names(store) == "p1 Ana,p2 Bea,p3 Cleo")
            #expect(try store.reader.journal(openOnly: true).isEmpty)
        }
    }

    @Test("another node's edit of a row that the index of the keys does not show arrives, and deletes nothing")
    func edited() throws {
        let (a, b) = try self.stores()
        try self.damage("sqlite_autoindex_patients_1", of: "id", as: "b2", in: b)
        try a.sql("UPDATE patients SET fullName = 'Beate' WHERE id = 'p2'")
        try a.send(to: b)
        try b.collect()
        _ = self.sweep(b)
        try converge([a, b])
        #expect(try self.findings(b) == "ok")
        for store in [a, b] { #expect(try self.names(store) == "p1 Ana,p2 Beate,p3 Cleo") }
    }

    @Test("a value that its index shows otherwise is replaced by the other nodes' edit")
    func value() throws {
        let (a, b) = try self.stores()
        try self.damage("patients_fullName", of: "fullName", as: "Bda", in: b)
        #expect(throws: DatabaseError.self) { try b.sql("UPDATE patients SET fullName = 'x' WHERE id = 'p2'") }
        try a.sql("UPDATE patients SET fullName = 'Beate' WHERE id = 'p2'")
        try converge([a, b])
        #expect(try self.findings(b) == "ok")
        for store in [a, b] { #expect(try self.names(store) == "p1 Ana,p2 Beate,p3 Cleo") }
    }

    @Test("rows that a program wrote or deleted past the triggers are edits as before: their indexes are right")
    func unmarked() throws {
        let (a, b) = try self.stores()
        try b.sql(
            """
            UPDATE clinicsync_guard SET applying = 1; DELETE FROM patients WHERE id = 'p2';
            INSERT INTO patients(id, fullName) VALUES('p4', 'Dora'); UPDATE clinicsync_guard SET applying = 0
            """
        )
        guard case .swept(_, escaped: 2, _) = self.sweep(b) else {
            Issue.record("two rows were expected")
            return
        }
        try converge([a, b])
        for store in [a, b] { #expect(try self.names(store) == "p1 Ana,p3 Cleo,p4 Dora") }
    }
}
