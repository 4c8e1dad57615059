import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("Capture in transactions, cascades and other programs")
struct CaptureProcessTests {
    let fixture: CaptureFixture

    init() throws { self.fixture = try CaptureFixture() }

    @Test("cascades mark the children they delete or change")
    func cascades() throws {
        try self.fixture.prepare(
            """
            INSERT INTO patients(id) VALUES ('p');
            INSERT INTO patient_history(id, patientId, fieldName, updatedAt) VALUES ('h', 'p', 'email', 'now');
            INSERT INTO active_patient_queue(queueEntryId, patientId, patientName, arrivalTime, queueNumber, status,
                createdAt) VALUES ('q', 'p', 'Ana', '08:00', 1, 'waiting', 'now');
            """
        )
        try self.fixture.write("PRAGMA foreign_keys = ON; DELETE FROM patients;")
        #expect(
            try self.fixture.markedKeys() == ["active_patient_queue/q", "patient_history/h", "patients/p"]
        )
        #expect(try self.fixture.last("patient_history", "id", "fieldName") == ["'h' 'email'"])
        #expect(try self.fixture.last("active_patient_queue", "queueEntryId").isEmpty)
    }

    @Test("REPLACE of a parent marks the children that the victim's cascade takes along")
    func replacedParent() throws {
        try self.fixture.prepare(
            """
            INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
                VALUES ('b', 'p', 'INV-1', 'd', 1, 'Unpaid');
            INSERT INTO bill_items(id, billId, description, unitPrice, itemTotal) VALUES ('i', 'b', 'ECG', 1, 1);
            INSERT INTO patients(id) VALUES ('p');
            """
        )
        try self.fixture.write(
            """
            PRAGMA foreign_keys = ON;
            INSERT OR REPLACE INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
                VALUES ('c', 'p', 'INV-1', 'd', 2, 'Unpaid');
            """
        )
        #expect(try self.fixture.markedKeys() == ["bill_items/i", "patient_bills/b", "patient_bills/c"])
        #expect(try self.fixture.last("bill_items", "id", "description") == ["'i' 'ECG'"])
    }

    @Test("a transaction that is rolled back, as a whole or to a savepoint, leaves nothing")
    func rollback() throws {
        try self.fixture.write(
            """
            BEGIN;
            INSERT INTO patients(id) VALUES ('p');
            DELETE FROM clinic_services;
            ROLLBACK;
            BEGIN;
            SAVEPOINT s;
            INSERT INTO patients(id) VALUES ('q');
            ROLLBACK TO s;
            INSERT INTO patients(id) VALUES ('r');
            COMMIT;
            """
        )
        #expect(try self.fixture.marks() == ["patients/r×1"])
        #expect(try self.fixture.last("clinic_services", "id").isEmpty)
    }

    @Test("a statement that fails leaves nothing")
    func failedStatement() throws {
        try self.fixture.prepare("INSERT INTO users(id, username) VALUES ('u', 'ana');")
        #expect(throws: Program.Failure.self) {
            try self.fixture.write("INSERT INTO users(id, username) VALUES ('v', 'eva'), ('w', 'ana');")
        }
        #expect(try self.fixture.marks().isEmpty)
        #expect(try self.fixture.last("users", "id").isEmpty)
    }

    @Test("the node's own writes are not marked, and the next ones of a program are")
    func guardSuppresses() throws {
        try self.fixture.prepare("INSERT INTO users(id, username) VALUES ('u', 'ana');")
        try self.fixture.database.write { db in
            try db.execute(sql: "UPDATE clinicsync_guard SET applying = 1")
            try db.execute(
                sql: """
                    INSERT OR REPLACE INTO users(id, username) VALUES ('v', 'ana');
                    UPDATE users SET id = 'w';
                    UPDATE OR REPLACE users SET username = 'eva';
                    DELETE FROM users;
                    """
            )
            try db.execute(sql: "UPDATE clinicsync_guard SET applying = 0")
        }
        #expect(try self.fixture.marks().isEmpty)
        #expect(try self.fixture.last("users", "id").isEmpty)
        try self.fixture.write("INSERT INTO users(id) VALUES ('x');")
        #expect(try self.fixture.marks() == ["users/x×1"])
    }

    @Test("writes are captured when the guard's row is gone")
    func lostGuard() throws {
        try self.fixture.write("DELETE FROM clinicsync_guard; INSERT INTO patients(id) VALUES ('p');")
        #expect(try self.fixture.marks() == ["patients/p×1"])
    }

    @Test("a Python program's transaction of bound values is marked row by row")
    func python() throws {
        try Program.python(
            self.fixture.file,
            """
            import sqlite3, sys
            db = sqlite3.connect(sys.argv[1], timeout=10)
            with db:
                db.executemany("INSERT INTO patients(id, fullName, address) VALUES (?, ?, ?)",
                    [(f"p{i}", "Ana\\0Eva", "x" * 1000000) for i in range(3)])
                db.execute("DELETE FROM patients WHERE id = 'p1'")
            """
        )
        #expect(try self.fixture.markedKeys() == ["patients/p0", "patients/p1", "patients/p2"])
        let kept = try self.fixture.database.read { db in
            try Row.fetchAll(
                db,
                sql: "SELECT hex(fullName) AS name, length(address) AS size FROM clinicsync_last_patients"
            )
        }
        #expect(kept.map { $0["name"] } == ["416E6100457661"])
        #expect(kept.map { $0["size"] } == [1_000_000])
    }

    @Test("the schema needs nothing that SQLite 3.35 lacks")
    func oldestFeatureSet() throws {
        let texts = try self.fixture.database.read { db in
            try String.fetchAll(db, sql: "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
        }
        let newer = [#/\bSTRICT\b/#, #/\bunixepoch\b/#, #/->/#, #/\bformat\s*\(/#, #/'subsec/#, #/\bjsonb/#]
        for text in texts {
            let lines = text.split(separator: "\n").filter { !$0.drop(while: \.isWhitespace).hasPrefix("--") }
            let code = lines.joined(separator: "\n")
            for pattern in newer { #expect(!code.contains(pattern.ignoresCase()), "\(text)") }
        }
        #expect(texts.count > 100)
    }
}

@Suite("Triggers that are missing or not ours are found and installed again")
struct CaptureInstallationTests {
    let fixture: CaptureFixture

    init() throws { self.fixture = try CaptureFixture() }

    private func repaired() throws -> [String] {
        try self.fixture.database.write { db in
            try CaptureTriggers.install(for: self.fixture.tables, in: db).map(\.name)
        }
    }

    @Test("a second installation does nothing")
    func idempotent() throws {
        #expect(try self.repaired().isEmpty)
    }

    @Test(
        "what a program did to our triggers is undone",
        arguments: [
            "DROP TRIGGER clinicsync_patients_key;",
            "ALTER TABLE patients RENAME TO old; CREATE TABLE patients(id TEXT PRIMARY KEY NOT NULL); DROP TABLE old;",
            """
            DROP TRIGGER clinicsync_patients_insert;
            CREATE TRIGGER clinicsync_patients_insert AFTER INSERT ON patients BEGIN SELECT 1; END;
            """,
            "CREATE TRIGGER clinicsync_patients_old AFTER INSERT ON patients BEGIN SELECT 1; END;",
            "DROP TABLE clinicsync_last_patients;",
            "DROP INDEX clinicsync_last_patients_key;",
        ]
    )
    func repairs(damage: String) throws {
        try self.fixture.write("PRAGMA legacy_alter_table = ON; " + damage)
        let missing = try self.fixture.database.read { db in
            try CaptureTriggers.missing(of: self.fixture.tables, in: db).map(\.name)
        }
        #expect(missing == ["patients"])
    }

    @Test("after a repair rows are captured again, and a program's own triggers stay")
    func capturesAgain() throws {
        try self.fixture.write(
            """
            DROP TRIGGER clinicsync_patients_insert;
            CREATE TRIGGER own AFTER INSERT ON patients BEGIN SELECT 1; END;
            INSERT INTO patients(id) VALUES ('unseen');
            """
        )
        #expect(try self.repaired() == ["patients"])
        try self.fixture.write("INSERT INTO patients(id) VALUES ('seen');")
        #expect(try self.fixture.markedKeys() == ["patients/seen"])
        #expect(try self.fixture.write("SELECT count(*) FROM sqlite_schema WHERE name = 'own';") == "1")
        #expect(try self.repaired().isEmpty)
    }

    @Test("a new column reaches the triggers and the last values, and its slot is the next")
    func newColumn() throws {
        try self.fixture.write("INSERT INTO patients(id) VALUES ('p'); DELETE FROM patients;")
        try self.fixture.write("ALTER TABLE patients ADD COLUMN nickname TEXT;")
        let tables = try self.fixture.database.write { db in
            let tables = try ClinicTables.read(from: db, manifest: SchemaText.clinicManifest())
            #expect(try CaptureTriggers.install(for: tables, in: db).map(\.name) == ["patients"])
            return tables
        }
        let before = try #require(self.fixture.tables["patients"])
        let after = try #require(tables["patients"])
        #expect(after.column("nickname")?.slot == before.slotCount)
        #expect(Array(after.columns.dropLast()) == before.columns)
        try self.fixture.write("INSERT INTO patients(id, nickname) VALUES ('q', 'Nena'); DELETE FROM patients;")
        #expect(try self.fixture.last("patients", "id", "nickname") == ["'p' NULL", "'q' 'Nena'"])
    }
}
