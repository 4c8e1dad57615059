import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("What programs write is marked")
struct CaptureTriggersTests {
    let fixture: CaptureFixture

    init() throws { self.fixture = try CaptureFixture() }

    @Test("installing marks nothing, seed rows included")
    func installingMarksNothing() throws {
        #expect(try self.fixture.marks().isEmpty)
    }

    @Test("an insert marks the row, with the key it was given by default")
    func insert() throws {
        let key = try self.fixture.write("INSERT INTO patients(fullName) VALUES ('Ana') RETURNING id;")
        #expect(key.count == 32)
        #expect(key.allSatisfy { $0.isHexDigit && !$0.isUppercase })
        #expect(try self.fixture.marks() == ["patients/\(key)×1"])
    }

    @Test("a mark carries the time of the last write in milliseconds since 1970")
    func markTime() throws {
        let before = Int64(Date.now.timeIntervalSince1970 * 1000) - 2
        try self.fixture.write("INSERT INTO patients(id) VALUES ('p');")
        let after = Int64(Date.now.timeIntervalSince1970 * 1000) + 2
        let time = try self.fixture.database.read { db in
            try Int64.fetchOne(db, sql: "SELECT writtenAt FROM clinicsync_dirty WHERE typeof(writtenAt) = 'integer'")
        }
        #expect((before...after).contains(try #require(time)))
    }

    @Test("each further write of a row counts up its one mark")
    func update() throws {
        try self.fixture.prepare("INSERT INTO patients(id) VALUES ('p'), ('q');")
        try self.fixture.write("UPDATE patients SET suffix = 'Jr.'; UPDATE patients SET suffix = 'Sr.' WHERE id = 'p';")
        #expect(try self.fixture.marks() == ["patients/p×2", "patients/q×1"])
    }

    @Test("a delete marks the row and keeps its values, each in its storage class")
    func delete() throws {
        try self.fixture.prepare(
            """
            INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, subtotal, totalAmount, status, notes)
            VALUES ('b', 'p', NULL, '2026-11-21', 0.1, 3, 'Unpaid', x'00ff'),
                ('c', 'p', '', 9223372036854775807, 'text', 1e300, 'Unpaid', CAST(x'4100' AS TEXT));
            """
        )
        try self.fixture.write("DELETE FROM patient_bills;")
        #expect(try self.fixture.markedKeys() == ["patient_bills/b", "patient_bills/c"])
        let values = try self.fixture.last(
            "patient_bills",
            "id",
            "invoiceNumber",
            "billDate",
            "subtotal",
            "totalAmount",
            "notes"
        )
        #expect(
            values == [
                "'b' NULL '2026-11-21' 0.1 3.0 X'00ff'".replacing("00ff", with: "00FF"),
                "'c' '' '9223372036854775807' 'text' 1.0e+300 'A'",
            ]
        )
        let bytes = try self.fixture.database.read { db in
            try String.fetchOne(db, sql: "SELECT hex(notes) FROM clinicsync_last_patient_bills WHERE id = 'c'")
        }
        #expect(bytes == "4100")
    }

    @Test("an upsert marks the row that it changes")
    func upsert() throws {
        try self.fixture.prepare("INSERT INTO patients(id, fullName) VALUES ('p', 'Ana');")
        try self.fixture.write(
            """
            INSERT INTO patients(id, fullName) VALUES ('p', 'Eva')
            ON CONFLICT (id) DO UPDATE SET fullName = excluded.fullName;
            """
        )
        #expect(try self.fixture.marks() == ["patients/p×1"])
    }

    @Test("an upsert over another UNIQUE column marks the row that it changes")
    func upsertOverUnique() throws {
        try self.fixture.prepare("INSERT INTO users(id, username) VALUES ('u', 'ana');")
        try self.fixture.write(
            "INSERT INTO users(id, username) VALUES ('v', 'ana') ON CONFLICT (username) DO UPDATE SET role = 'admin';"
        )
        #expect(try self.fixture.markedKeys() == ["users/u"])
    }

    @Test("REPLACE marks its victims and keeps their values", arguments: [false, true])
    func replaceVictims(recursive: Bool) throws {
        try self.fixture.prepare(
            "INSERT INTO clinic_services(id, serviceName, defaultPrice) VALUES ('a', 'ECG', 5), ('b', 'EEG', 6);"
        )
        try self.fixture.write(
            """
            PRAGMA recursive_triggers = \(recursive ? "ON" : "OFF");
            INSERT OR REPLACE INTO clinic_services(id, serviceName) VALUES ('c', 'ECG');
            """
        )
        #expect(try self.fixture.markedKeys() == ["clinic_services/a", "clinic_services/c"])
        #expect(try self.fixture.last("clinic_services", "id", "serviceName", "defaultPrice") == ["'a' 'ECG' 5.0"])
    }

    @Test("UPDATE OR REPLACE marks its victims and keeps their values", arguments: [false, true])
    func updateOrReplace(recursive: Bool) throws {
        try self.fixture.prepare(
            "INSERT INTO clinic_services(id, serviceName) VALUES ('a', 'ECG'), ('b', 'EEG'), ('c', 'X-ray');"
        )
        try self.fixture.write(
            """
            PRAGMA recursive_triggers = \(recursive ? "ON" : "OFF");
            UPDATE OR REPLACE clinic_services SET serviceName = 'ECG' WHERE id = 'b';
            UPDATE OR REPLACE clinic_services SET id = 'c' WHERE id = 'b';
            """
        )
        #expect(try self.fixture.markedKeys() == ["clinic_services/a", "clinic_services/b", "clinic_services/c"])
        #expect(try self.fixture.last("clinic_services", "id", "serviceName").prefix(2) == ["'a' 'ECG'", "'b' 'ECG'"])
    }

    @Test("a REPLACE of the same row marks it once and keeps nothing")
    func replaceItself() throws {
        try self.fixture.prepare("INSERT INTO users(id, username) VALUES ('u', 'ana');")
        try self.fixture.write("INSERT OR REPLACE INTO users(id, username, role) VALUES ('u', 'ana', 'admin');")
        #expect(try self.fixture.marks() == ["users/u×1"])
        #expect(try self.fixture.last("users", "id").isEmpty)
    }

    @Test("a NULL in a UNIQUE column stands in nobody's way")
    func nullIsNoVictim() throws {
        try self.fixture.prepare("INSERT INTO users(id, username) VALUES ('u', NULL);")
        try self.fixture.write("INSERT OR REPLACE INTO users(id, username) VALUES ('v', NULL);")
        #expect(try self.fixture.markedKeys() == ["users/v"])
    }

    @Test(
        "a row marked before stays marked once under every conflict clause",
        arguments: ["REPLACE", "IGNORE", "FAIL"]
    )
    func conflictClauseDoesNotReachTheMarks(clause: String) throws {
        try self.fixture.prepare("INSERT INTO patients(id) VALUES ('p');")
        try self.fixture.write(
            """
            UPDATE patients SET suffix = 'a';
            UPDATE OR \(clause) patients SET suffix = 'b';
            UPDATE OR \(clause) patients SET suffix = 'c';
            """
        )
        #expect(try self.fixture.marks() == ["patients/p×3"])
    }

    @Test("OR IGNORE leaves the row in its way alone and takes the others")
    func orIgnore() throws {
        try self.fixture.prepare("INSERT INTO users(id, username) VALUES ('u', 'ana');")
        try self.fixture.write("INSERT OR IGNORE INTO users(id, username) VALUES ('v', 'ana'), ('w', 'eva');")
        #expect(try self.fixture.write("SELECT group_concat(id, ' ') FROM users;") == "u w")
        #expect(try self.fixture.markedKeys().contains("users/w"))
        #expect(try self.fixture.markedKeys().contains("users/v") == false)
    }

    @Test("a changed key marks both keys and keeps the old row's values")
    func keyChange() throws {
        try self.fixture.prepare("INSERT INTO patients(id, fullName) VALUES ('p', 'Ana');")
        try self.fixture.write("UPDATE patients SET id = 'q', fullName = 'Eva';")
        #expect(try self.fixture.markedKeys() == ["patients/p", "patients/q"])
        #expect(try self.fixture.last("patients", "id", "fullName") == ["'p' 'Ana'"])
    }

    @Test("a full-row update that names the key but keeps it is one mark")
    func fullRowUpdate() throws {
        try self.fixture.prepare("INSERT INTO patients(id, fullName) VALUES ('p', 'Ana');")
        try self.fixture.write("UPDATE patients SET id = 'p', fullName = 'Ana';")
        #expect(try self.fixture.marks() == ["patients/p×1"])
        #expect(try self.fixture.last("patients", "id").isEmpty)
    }

    @Test("victims are found by the index's own collation and, when it is partial, among its rows alone")
    func collationAndPredicate() throws {
        let database = try SchemaText.installed(
            """
            CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, a TEXT, b);
            CREATE UNIQUE INDEX i ON t(a COLLATE NOCASE) WHERE b IS NOT NULL;
            """,
            entry: #""t": {"category": "data", "duplicates": {"a": "null"}}"#
        )
        let marks = try database.write { db in
            try db.execute(sql: "INSERT INTO t VALUES ('in', 'X', 1), ('out', 'X', NULL), ('new', 'x', NULL)")
            try db.execute(sql: "DELETE FROM clinicsync_dirty")
            // The row enters the index by a column that only the predicate names.
            try db.execute(sql: "UPDATE OR REPLACE t SET b = 2 WHERE id = 'new'")
            return try String.fetchAll(db, sql: "SELECT pk FROM clinicsync_dirty ORDER BY pk")
        }
        #expect(marks == ["in", "new"])
    }

    @Test("a text key with an apostrophe, an emoji or none at all is marked bit for bit")
    func oddKeys() throws {
        try self.fixture.write("INSERT INTO patients(id) VALUES ('O''Neil'), ('🏥'), (''), (x'00');")
        let keys = try self.fixture.database.read { db in
            try String.fetchAll(db, sql: "SELECT quote(pk) FROM clinicsync_dirty ORDER BY pk")
        }
        #expect(keys == ["''", "'O''Neil'", "'🏥'", "X'00'"])
    }
}
