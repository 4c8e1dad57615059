import ClinicSync
import ClinicSyncTestKit
import Foundation
import Testing

@Suite("Other processes write the files of running nodes", .timeLimit(.minutes(3)), .serialized)
struct CaptureTests {
    /// Runs `body` on two nodes and checks that their files are equal afterwards, to the last byte of every value.
    private func withPair(
        prepare: String = "",
        _ body: (TestClinic, _ path: String, _ other: TestDatabase) async throws -> Void
    ) async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let (writer, other) = (clinic.nodes[1].database, clinic.host.database)
            if !prepare.isEmpty { try await Writer.sqlite3(other.path, prepare) }
            try await clinic.converge()
            try await body(clinic, writer.path, other)
            try await clinic.converge()
            #expect(try writer.dump() == other.dump())
            // What the node believes of its tables is what is in them: nothing escaped capture.
            #expect(try await clinic.host.sync().result == "equal")
        }
    }

    @Test("every kind of statement arrives")
    func statements() async throws {
        let cases: [(sql: String, expected: [String])] = [
            (
                "INSERT INTO patients(id, fullName) VALUES ('c', 'Eva'), ('d', NULL)",
                ["a Ana", "b Bea", "c Eva", "d -"]
            ),
            ("UPDATE patients SET fullName = fullName || '!' WHERE id = 'a'", ["a Ana!", "b Bea"]),
            ("DELETE FROM patients WHERE id = 'a'", ["b Bea"]),
            ("DELETE FROM patients", []),
            (
                """
                INSERT INTO patients(id, fullName) VALUES ('a', 'Up'), ('c', 'New')
                ON CONFLICT(id) DO UPDATE SET fullName = excluded.fullName
                """, ["a Up", "b Bea", "c New"]
            ),
            (
                "INSERT OR IGNORE INTO patients(id, fullName) VALUES ('a', 'no'), ('c', 'Eva')",
                ["a Ana", "b Bea", "c Eva"]
            ),
            ("INSERT OR REPLACE INTO patients(id, fullName) VALUES ('a', 'Re')", ["a Re", "b Bea"]),
            ("UPDATE patients SET id = 'z' WHERE id = 'a'", ["b Bea", "z Ana"]),
            ("UPDATE OR REPLACE patients SET id = 'b' WHERE id = 'a'", ["b Ana"]),
            ("UPDATE OR IGNORE patients SET id = 'b' WHERE id = 'a'", ["a Ana", "b Bea"]),
            (
                "BEGIN; DELETE FROM patients; ROLLBACK; INSERT INTO patients(id) VALUES ('c')",
                ["a Ana", "b Bea", "c -"]
            ),
        ]
        try await self.withPair { clinic, path, other in
            for (sql, expected) in cases {
                try await Writer.sqlite3(
                    path,
                    "DELETE FROM patients; INSERT INTO patients(id, fullName) VALUES ('a', 'Ana'), ('b', 'Bea');"
                )
                try await clinic.converge()
                try await Writer.sqlite3(path, sql + ";")
                try await clinic.converge()
                let rows = try other.column("SELECT id || ' ' || coalesce(fullName, '-') FROM patients ORDER BY id")
                #expect(rows == expected, "\(sql)")
            }
        }
    }

    @Test("REPLACE takes its victims along on every node, with and without recursive triggers")
    func replaceVictims() async throws {
        try await self.withPair { clinic, path, other in
            for recursive in ["OFF", "ON"] {
                try await Writer.sqlite3(
                    other.path,
                    "DELETE FROM users; INSERT INTO users(id, username) VALUES ('a', 'ana'), ('b', 'bea'), ('c', 'cleo');"
                )
                try await clinic.converge()
                try await Writer.sqlite3(
                    path,
                    """
                    PRAGMA recursive_triggers = \(recursive);
                    INSERT OR REPLACE INTO users(id, username) VALUES ('new', 'ana');
                    UPDATE OR REPLACE users SET username = 'bea' WHERE id = 'c';
                    """
                )
                try await clinic.converge()
                let left = try other.column("SELECT id || username FROM users ORDER BY id")
                #expect(left == ["cbea", "newana"], "recursive triggers \(recursive)")
            }
        }
    }

    @Test("cascades of a program that enforces foreign keys arrive")
    func cascades() async throws {
        let prepare = """
            INSERT INTO patients(id) VALUES ('p'), ('q');
            INSERT INTO patient_history(id, patientId, fieldName, updatedAt) VALUES ('h', 'p', 'email', 'now');
            INSERT INTO active_patient_queue(queueEntryId, patientId, patientName, arrivalTime, queueNumber, status,
                createdAt) VALUES ('e', 'p', 'Ana', '08:00', 1, 'waiting', 'now');
            """
        try await self.withPair(prepare: prepare) { clinic, path, other in
            try await Writer.sqlite3(path, "PRAGMA foreign_keys = ON; DELETE FROM patients WHERE id = 'p';")
            try await clinic.converge()
            #expect(try other.column("SELECT id FROM patients") == ["q"])
            #expect(try other.integer("SELECT count(*) FROM patient_history") == 0)
            #expect(try other.column("SELECT patientId FROM active_patient_queue") == [nil])
        }
    }

    @Test("every value arrives bit for bit")
    func values() async throws {
        try await self.withPair { clinic, path, other in
            try await Writer.python(
                path,
                """
                import struct
                reals = [0.1, 1/3, 12345678.123456789, 5e-324, 1.7976931348623157e308, -0.0, 1e15, 9007199254740993.0]
                values = [None, "", "a\\0b", "😀 ñ \\u200d", "x" * 1000000, b"", b"\\x00\\xff", 2**63 - 1, -2**63, "1", "1.0"]
                with db:
                    for i, v in enumerate(values + reals):
                        db.execute("INSERT INTO patients(id, fullName, isSeniorCitizen) VALUES (?, ?, ?)", (f"v{i:02}", v, v))
                    for i, v in enumerate(reals):
                        db.execute("INSERT INTO patient_bills(id, patientId, billDate, totalAmount, status) "
                            "VALUES (?, 'p', 'd', ?, 'Unpaid')", (f"r{i}", v))
                """
            )
            try await clinic.converge()
            #expect(try other.integer("SELECT count(*) FROM patients") == 19)
            #expect(
                try other.value("SELECT typeof(fullName) || hex(fullName) FROM patients WHERE id = 'v02'")
                    == "text610062"
            )
            #expect(try other.value("SELECT typeof(isSeniorCitizen) FROM patients WHERE id = 'v05'") == "blob")
            let largest = try other.value("SELECT isSeniorCitizen FROM patients WHERE id = 'v07'")
            #expect(largest == "9223372036854775807")
            let exact = "SELECT id || printf('%!.17g', totalAmount) FROM patient_bills ORDER BY id"
            #expect(try other.column(exact) == clinic.nodes[1].database.column(exact))
        }
    }

    @Test("rows without an id get one that no other PC makes")
    func defaultKeys() async throws {
        try await self.withPair { clinic, path, other in
            async let here: String = Writer.sqlite3(path, self.inserts(200))
            async let there: String = Writer.sqlite3(other.path, self.inserts(200))
            _ = try await (here, there)
            try await clinic.converge()
            #expect(try other.integer("SELECT count(DISTINCT id) FROM patients") == 400)
        }
    }

    private func inserts(_ count: Int) -> String {
        String(repeating: "INSERT INTO patients(fullName) VALUES ('x');\n", count: count)
    }

    @Test("writes made while no node ran arrive, stamped with the time at which they were made")
    func whileStopped() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let (early, late) = (clinic.nodes[1], clinic.host)
            try late.database.sql("INSERT INTO patients(id, fullName, email) VALUES ('p', 'Ana', '-')")
            try await clinic.converge()
            try await early.stop()
            try await Writer.sqlite3(
                early.database.path,
                "UPDATE patients SET fullName = 'earlier', email = 'offline';"
                    // The write was made an hour ago, though it is found now.
                    + "UPDATE clinicsync_dirty SET writtenAt = writtenAt - 3600000;"
            )
            try late.database.sql("UPDATE patients SET fullName = 'later'")
            try await clinic.converge()
            try await early.start()
            try await clinic.wait(for: "the connection") { try await early.isConnected }
            try await clinic.converge()
            for node in clinic.nodes {
                #expect(try node.database.value("SELECT fullName || email FROM patients") == "lateroffline")
            }
        }
    }

    @Test("a dropped trigger is noticed, put back and reported, and what was written meanwhile arrives")
    func droppedTrigger() async throws {
        try await self.withPair { clinic, path, other in
            var events = try await clinic.nodes[1].events(categories: ["system"]).makeAsyncIterator()
            try await Writer.sqlite3(
                path,
                "DROP TRIGGER clinicsync_patients_insert; INSERT INTO patients(id) VALUES ('unseen');"
            )
            try await clinic.wait(for: "the row") { try other.integer("SELECT count(*) FROM patients") == 1 }
            var event = await events.next()
            while let other = event, other.type != "capture_repaired" { event = await events.next() }
            #expect(event?.details?["tables"] == "patients")
            try await Writer.sqlite3(path, "INSERT INTO patients(id) VALUES ('seen');")
            try await clinic.wait(for: "the row") { try other.integer("SELECT count(*) FROM patients") == 2 }
        }
    }

    @Test("a table that is renamed holds up no other table and no start, is named, and comes back with its rows")
    func missingTable() async throws {
        func report(_ id: String) -> String {
            """
            INSERT INTO patient_queue(id, reportDate, totalPatientsInQueue, patientsServed, generatedAt)
            VALUES ('\(id)', '\(id)', 1, 1, 't');
            """
        }
        try await self.withPair(prepare: report("q1")) { clinic, path, other in
            let ddl = try await Writer.sqlite3(path, "SELECT sql FROM sqlite_schema WHERE name = 'patient_queue';")
            try await Writer.sqlite3(
                path,
                "ALTER TABLE patient_queue RENAME TO kept; INSERT INTO patients(id) VALUES ('a');"
            )
            try await clinic.wait(for: "the patient") { try other.integer("SELECT count(*) FROM patients") == 1 }
            try other.sql(report("q2") + "INSERT INTO patients(id) VALUES ('b');")
            let (node, own) = (clinic.nodes[1], clinic.nodes[1].database)
            try await clinic.wait(for: "the patient") { try own.integer("SELECT count(*) FROM patients") == 2 }
            try await node.restart()
            let named = try await node.status().waiting.filter { $0.table == "patient_queue" && $0.rows == 0 }
            #expect(named.first?.reason.contains("is called kept now") == true)
            try await Writer.sqlite3(path, ddl + ";")
            try await clinic.wait(for: "the reports") {
                try own.column("SELECT id FROM patient_queue ORDER BY id") == ["q1", "q2"]
            }
        }
    }

    @Test("a table that a program drops, makes anew and fills from a copy goes on being replicated")
    func recreatedTable() async throws {
        let prepare = "INSERT INTO patients(id, fullName) VALUES ('a', 'Ana'), ('b', 'Bea'), ('c', 'Cleo');"
        try await self.withPair(prepare: prepare) { clinic, path, other in
            let ddl = try await Writer.sqlite3(path, "SELECT sql FROM sqlite_schema WHERE name = 'patients';")
            try await Writer.sqlite3(
                path,
                """
                BEGIN;
                CREATE TABLE copy AS SELECT * FROM patients;
                DROP TABLE patients;
                \(ddl);
                INSERT INTO patients SELECT * FROM copy WHERE id <> 'b';
                UPDATE patients SET fullName = 'Ana Cruz' WHERE id = 'a';
                DROP TABLE copy;
                COMMIT;
                """
            )
            try await clinic.wait(for: "the differences") {
                try other.column("SELECT id || fullName FROM patients ORDER BY id") == ["aAna Cruz", "cCleo"]
            }
            try await Writer.sqlite3(path, "INSERT INTO patients(id) VALUES ('d');")
            try await clinic.wait(for: "the new row") { try other.integer("SELECT count(*) FROM patients") == 3 }
        }
    }

    @Test("a column that a program adds on one PC waits on the other, both are equal, and it is there with the column")
    func addedColumn() async throws {
        let column = "ALTER TABLE patients ADD COLUMN nationalId TEXT;"
        try await self.withPair(prepare: "INSERT INTO patients(id) VALUES ('a');") { clinic, path, other in
            var events = try await clinic.nodes[1].events(categories: ["system"]).makeAsyncIterator()
            try await Writer.sqlite3(path, column + "UPDATE patients SET nationalId = 'PH-1';")
            try await clinic.wait(for: "the value") {
                try other.integer("SELECT count(*) FROM clinicsync_aside WHERE value = 'PH-1'") == 1
            }
            #expect(try await clinic.host.sync().result == "equal")
            var event = await events.next()
            while let other = event, other.type != "column_waits" { event = await events.next() }
            #expect(event?.details?["table"] == "patients")
            #expect(event?.details?["reason"]?.contains(clinic.host.name) == true)
            for node in clinic.nodes {
                let waiting = try await node.status().waiting
                #expect(waiting.contains { $0.table == "patients" && $0.reason.contains("nationalId") })
            }
            try await Writer.sqlite3(other.path, column)
            try await clinic.wait(for: "the value in its column") {
                try other.column("SELECT nationalId FROM patients") == ["PH-1"]
            }
        }
    }
}
