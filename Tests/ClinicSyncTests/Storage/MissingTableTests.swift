import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// What programs do to whole tables of their file: only DELETE deletes rows, and the other tables go on.
@Suite("Tables that programs drop, rename or make anew")
struct MissingTableTests {
    private static let reports = """
        INSERT INTO patient_queue (id, reportDate, totalPatientsInQueue, patientsServed, generatedAt)
        VALUES ('q1', '2026-01-01', 1, 1, 't'), ('q2', '2026-01-02', 2, 2, 't'), ('q3', '2026-01-03', 3, 3, 't')
        """

    /// Two stores with three reports, and the statement that makes their table.
    private func stores() throws -> (a: TestStore, b: TestStore, ddl: String) {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql(Self.reports)
        try converge([a, b])
        let ddl = try a.value(String.self, "SELECT sql FROM sqlite_schema WHERE name = 'patient_queue'")
        return (a, b, try #require(ddl))
    }

    private func reports(_ store: TestStore) throws -> [String] {
        try store.queue.read {
            try String.fetchAll($0, sql: "SELECT id || patientsServed FROM patient_queue ORDER BY id")
        }
    }

    private func waiting(_ store: TestStore) throws -> [String] {
        try store.reader.summary().waiting.map { "\($0.table) \($0.rows) \($0.reason)" }
    }

    // MARK: - Made anew at once

    @Test(
        "a table that is renamed or dropped and made again gets its rows back, and the other tables go on",
        arguments: ["ALTER TABLE patient_queue RENAME TO patient_queue_2025", "DROP TABLE patient_queue"]
    )
    func madeAnew(change: String) throws {
        let (a, b, ddl) = try self.stores()
        try b.sql("\(change); \(ddl); INSERT INTO patients (id, fullName) VALUES ('p1', 'Ana')")
        let outcome = try b.collect()
        #expect(outcome.repairedTables == ["patient_queue"])
        #expect(outcome.tables.isEmpty)
        #expect(try self.reports(b) == ["q11", "q22", "q33"])
        #expect(try b.collect().repairedTables.isEmpty)
        try converge([a, b])
        try expectEqual([a, b])
        #expect(try a.value(String.self, "SELECT fullName FROM patients") == "Ana")
        // From now on a deletion is one.
        try b.sql("DELETE FROM patient_queue")
        try converge([a, b])
        #expect(try self.reports(a) == [])
        try expectEqual([a, b])
    }

    @Test("a store that is alone brings the rows back as well")
    func alone() throws {
        let a = try TestStore(1)
        try a.sql(Self.reports)
        try a.collect()
        try a.sql(
            "UPDATE patient_queue SET patientsServed = 7 WHERE id = 'q1'; DELETE FROM patient_queue WHERE id = 'q2'"
        )
        try a.collect()
        let ddl = try #require(try a.value(String.self, "SELECT sql FROM sqlite_schema WHERE name = 'patient_queue'"))
        try a.sql("DROP TABLE patient_queue; \(ddl)")
        try a.collect()
        #expect(try self.reports(a) == ["q17", "q33"])
        try a.verify()
    }

    @Test("what programs write to the table that was renamed concerns no row of the clinic")
    func keptAside() throws {
        let (a, b, ddl) = try self.stores()
        try b.sql(
            """
            ALTER TABLE patient_queue RENAME TO old; DELETE FROM old WHERE id <> 'q1'; UPDATE old SET patientsServed = 9;
            \(ddl); INSERT INTO patient_queue SELECT * FROM old
            """
        )
        try b.collect()
        #expect(try self.reports(b) == ["q19", "q22", "q33"])
        try b.sql("DELETE FROM old")
        #expect(try b.value(Int.self, "SELECT count(*) FROM clinicsync_dirty") == 0)
        try converge([a, b])
        #expect(try self.reports(a) == ["q19", "q22", "q33"])
        try expectEqual([a, b])
    }

    @Test("rows that were deleted one by one before their table was made again stay deleted")
    func deletedBefore() throws {
        let (a, b, ddl) = try self.stores()
        try b.sql("DELETE FROM patient_queue WHERE id = 'q1'; DROP TABLE patient_queue; \(ddl)")
        try converge([a, b])
        #expect(try self.reports(a) == ["q22", "q33"])
        try expectEqual([a, b])
    }

    @Test(
        "a table that was made again has deleted rows if it has most of them, and lost them if it has fewer",
        arguments: [("'q1', 'q2'", ["q11", "q22"]), ("'q1'", ["q11", "q22", "q33"])]
    )
    func rebuilt(kept: String, expected: [String]) throws {
        let (a, b, ddl) = try self.stores()
        try b.sql(
            """
            CREATE TABLE copy AS SELECT * FROM patient_queue WHERE id IN (\(kept)); DROP TABLE patient_queue; \(ddl);
            INSERT INTO patient_queue SELECT * FROM copy; DROP TABLE copy
            """
        )
        try converge([a, b])
        #expect(try self.reports(a) == expected)
        try expectEqual([a, b])
    }

    @Test(
        "what a program changes while it copies a table into a new shape is its edit, of values that it had read",
        arguments: [true, false]
    )
    func converted(isRunning: Bool) throws {
        var (a, b, ddl) = try self.stores()
        try b.sql(
            """
            CREATE TABLE copy AS SELECT * FROM patient_queue; DROP TABLE patient_queue; \(ddl);
            INSERT INTO patient_queue SELECT * FROM copy; DROP TABLE copy; UPDATE patient_queue SET patientsServed = 5
            """
        )
        if !isRunning { b = try TestStore(reopening: b, schema: .clinic) }
        try converge([a, b])
        #expect(try self.reports(a) == ["q15", "q25", "q35"])
        for store in [a, b] { #expect(try store.reader.summary().openConflicts == 0) }
        try expectEqual([a, b])
    }

    // MARK: - Missing for a while

    @Test("a view that takes the name of a renamed table is named, the rest goes on, and the table returns")
    func view() throws {
        let (a, b, _) = try self.stores()
        try b.sql("ALTER TABLE patient_queue RENAME TO pq; CREATE VIEW patient_queue AS SELECT * FROM pq")
        try b.sql("INSERT INTO patients (id, fullName) VALUES ('p1', 'Ana')")
        try a.sql("UPDATE patient_queue SET patientsServed = 8 WHERE id = 'q1'")
        try converge([a, b])
        let named = "the table is called pq now, and a view has its name: its rows wait"
        #expect(try self.waiting(b).contains { $0.contains(named) })
        #expect(try a.value(String.self, "SELECT fullName FROM patients") == "Ana")
        try b.sql("DROP VIEW patient_queue; ALTER TABLE pq RENAME TO patient_queue")
        try converge([a, b])
        #expect(try self.reports(b) == ["q18", "q22", "q33"])
        #expect(try self.waiting(b).isEmpty)
        try expectEqual([a, b])
    }

    @Test(
        "a table is missing: it is named once, the rest goes on, its rows wait, and it returns with all that came meanwhile"
    )
    func missing() throws {
        var (a, b, ddl) = try self.stores()
        try b.sql("ALTER TABLE patient_queue RENAME TO reports_2025; INSERT INTO patients (id) VALUES ('p1')")
        let outcome = try b.collect()
        let reason = "the table is called reports_2025 now: its rows wait until there is a table patient_queue again"
        #expect(outcome.tables == [.missing(table: "patient_queue", reason: reason)])
        #expect(outcome.logged.count == 1)
        #expect(try self.waiting(b) == ["patient_queue 0 \(reason)"])
        try b.sql("CREATE TABLE somethingElse (i)")
        #expect(try b.collect().tables.isEmpty)

        try a.sql(
            """
            UPDATE patient_queue SET patientsServed = 8 WHERE id = 'q1'; DELETE FROM patient_queue WHERE id = 'q2';
            INSERT INTO patient_queue (id, reportDate, totalPatientsInQueue, patientsServed, generatedAt)
            VALUES ('q4', '2026-01-04', 4, 4, 't'); INSERT INTO patients (id) VALUES ('p2')
            """
        )
        try converge([a, b])
        #expect(try b.value(Int.self, "SELECT count(*) FROM patients") == 2)
        #expect(try self.waiting(b).contains("patient_queue 1 changes that wait for the table"))
        #expect(try a.value(Int.self, "SELECT count(*) FROM patient_queue") == 3)
        #expect(try !b.reader.digests().tables.contains { $0.name == "patient_queue" })

        b = try TestStore(reopening: b, schema: .clinic)
        #expect(try b.collect().tables.isEmpty)
        try b.sql("INSERT INTO patients (id) VALUES ('p3')")
        try converge([a, b])

        try b.sql(ddl)
        let back = try b.collect()
        #expect(back.tables == [.returned(table: "patient_queue")])
        // The node also says in its own row that it lacks the table no more.
        let changes = back.events.compactMap(\.change).filter { $0.category != .system }
        #expect(Set(changes.map(\.table)) == ["patient_queue"])
        #expect(try self.reports(b) == ["q18", "q33", "q44"])
        #expect(try self.waiting(b) == [])
        try converge([a, b])
        try expectEqual([a, b])
    }

    @Test("a node starts with a missing table, and with one that came back meanwhile")
    func start() throws {
        var (a, b, ddl) = try self.stores()
        try b.sql("DROP TABLE patient_queue")
        b = try TestStore(reopening: b, schema: .clinic)
        let reason = "the table is not in this PC's database: its rows wait until there is a table patient_queue again"
        #expect(try b.collect().tables == [.missing(table: "patient_queue", reason: reason)])
        try b.sql(ddl)
        b = try TestStore(reopening: b, schema: .clinic)
        #expect(try b.collect().tables == [.returned(table: "patient_queue")])
        #expect(try self.reports(b) == ["q11", "q22", "q33"])
        try converge([a, b])
        try expectEqual([a, b])
    }

    @Test("a table of the same name that does not fit waits, too, and says what is wrong")
    func unfit() throws {
        let (a, b, ddl) = try self.stores()
        try b.sql("DROP TABLE patient_queue; CREATE TABLE patient_queue (id INTEGER PRIMARY KEY, note TEXT)")
        let tables = try b.collect().tables
        #expect(tables.count == 1)
        #expect(try self.waiting(b).first?.contains("is not declared TEXT") == true)
        try b.sql("INSERT INTO patient_queue (note) VALUES ('its own'); INSERT INTO patients (id) VALUES ('p1')")
        try converge([a, b])
        #expect(try a.value(Int.self, "SELECT count(*) FROM patients") == 1)
        #expect(try self.reports(a).count == 3)
        try b.sql("ALTER TABLE patient_queue RENAME TO own; \(ddl)")
        #expect(try b.collect().tables == [.returned(table: "patient_queue")])
        #expect(try self.reports(b).count == 3)
        try converge([a, b])
        try expectEqual([a, b])
    }

    @Test("every request finds a change of the schema that was made just before it", arguments: 0..<4)
    func inTime(request: Int) throws {
        let (a, b, _) = try self.stores()
        try a.sql(
            "UPDATE patient_queue SET patientsServed = 8 WHERE id = 'q1'; INSERT INTO patients (id) VALUES ('p1')"
        )
        try a.collect()
        try b.sql("ALTER TABLE patient_queue RENAME TO aside")
        var notices: [TableNotice] = []
        switch request {
        case 0: try a.send(to: b)
        case 1:
            let (escaped, outcome) = try b.writer.sweep(table: nil, clockOffsetMilliseconds: 0)
            #expect(escaped == 0)
            notices = outcome.tables
        case 2: _ = try b.writer.maintain(retentionMilliseconds: .max / 2)
        default: _ = try b.writer.recordTerm(7)
        }
        notices += try b.collect().tables
        #expect(notices.count == 1)
        try b.sql("ALTER TABLE aside RENAME TO patient_queue")
        #expect(try b.collect().tables == [.returned(table: "patient_queue")])
        try converge([a, b])
        #expect(try self.reports(b) == ["q18", "q22", "q33"])
        try expectEqual([a, b])
    }
}
