import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// What programs change in the tables of one PC's file alone: nothing is lost, the nodes are equal, and people read what waits.
@Suite("Columns that programs drop, rename or make again with another default")
struct OwnSchemaTests {
    private static let patients = """
        INSERT INTO patients (id, fullName, suffix) VALUES ('p1', 'Ana', 'Jr'), ('p2', 'Ben', NULL), ('p3', 'Cora', 'Sr')
        """

    /// Two stores that have names and rows.
    private func pair() throws -> (a: TestStore, b: TestStore) {
        let (a, b) = (try TestStore(1), try TestStore(2))
        for (store, name) in [(a, "Desk"), (b, "Lab")] {
            try store.sql(
                "INSERT INTO clinicsync_node (id, name) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
                [store.origin.node.description, name]
            )
        }
        try a.sql(Self.patients)
        try converge([a, b])
        return (a, b)
    }

    private func drop(_ column: String, in store: TestStore) throws {
        let triggers = try store.queue.read {
            try String.fetchAll(
                $0,
                sql: "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'patients'"
            )
        }
        for name in triggers { try store.sql("DROP TRIGGER \"\(name)\"") }
        try store.sql("ALTER TABLE patients DROP COLUMN \(column)")
        try store.collect()
    }

    /// Copies the patients into a table whose definition has `new` in place of `old`, as libraries change a table.
    private func rebuild(_ store: TestStore, _ old: String, _ new: String) throws {
        let ddl = try #require(try store.value(String.self, "SELECT sql FROM sqlite_schema WHERE name = 'patients'"))
        let changed = ddl.replacing("CREATE TABLE patients", with: "CREATE TABLE copied").replacing(old, with: new)
        try #require(changed.contains(new))
        try store.sql(
            """
            BEGIN; \(changed); INSERT INTO copied SELECT * FROM patients; DROP TABLE patients;
            ALTER TABLE copied RENAME TO patients; COMMIT
            """
        )
        try store.collect()
    }

    /// Makes both stores equal as a round of reconciliation does.
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

    private func expectEqualDigests(_ stores: [TestStore], _ location: SourceLocation = #_sourceLocation) throws {
        let first = try stores[0].reader.digests().tables
        for store in stores {
            #expect(try store.reader.digests().tables == first, sourceLocation: location)
            try store.verify(location)
            let journal = try store.value(Int.self, "SELECT count(*) FROM clinicsync_conflict")
            #expect(journal == 0, sourceLocation: location)
        }
    }

    private func column(_ name: String, of store: TestStore) throws -> [String] {
        try store.queue.read {
            try String.fetchAll($0, sql: "SELECT id || '=' || coalesce(\(name), '-') FROM patients ORDER BY id")
        }
    }

    /// What stands aside in the clinic's tables.
    private func aside(_ store: TestStore) throws -> [String] {
        try store.queue.read {
            try String.fetchAll(
                $0,
                sql: "SELECT pk || '=' || value FROM clinicsync_aside WHERE pk <> 0 AND value IS NOT NULL ORDER BY pk"
            )
        }
    }

    // MARK: - Dropped

    @Test(
        "a column that one PC drops waits there, the nodes are equal, and the values are back with the column",
        arguments: [true, false]
    )
    func dropped(isHost: Bool) throws {
        let (a, b) = try self.pair()
        try self.drop("suffix", in: b)
        try converge([a, b])
        try isHost ? self.reconcile(a, with: b) : self.reconcile(b, with: a)
        #expect(try self.column("suffix", of: a) == ["p1=Jr", "p2=-", "p3=Sr"])
        #expect(try self.aside(b) == ["p1=Jr", "p3=Sr"])
        try self.expectEqualDigests([a, b])

        // Programs of both PCs go on; what waits follows.
        a.now += 10
        b.now += 10
        try a.sql("UPDATE patients SET suffix = 'III' WHERE id = 'p1'")
        try b.sql(
            "UPDATE patients SET gender = 'f' WHERE id = 'p3'; INSERT INTO patients (id, fullName) VALUES ('p4', 'Dan')"
        )
        try converge([a, b])
        #expect(try self.column("suffix", of: a) == ["p1=III", "p2=-", "p3=Sr", "p4=-"])
        try self.expectEqualDigests([a, b])
        for (store, rows) in [(a, 0), (b, 2)] {
            let entry = try #require(try store.reader.summary().waiting.first)
            #expect(entry.table == "patients")
            #expect(entry.rows == rows)
            #expect(entry.reason.hasPrefix("the column suffix was dropped or renamed in the file of Lab:"))
        }

        try b.sql("ALTER TABLE patients ADD COLUMN suffix TEXT")
        try converge([a, b])
        #expect(try self.column("suffix", of: b) == ["p1=III", "p2=-", "p3=Sr", "p4=-"])
        try self.expectEqualDigests([a, b])
        for store in [a, b] { #expect(try store.reader.summary().waiting.isEmpty) }
    }

    @Test("a PC that is alone gets the values of a dropped column from its own log")
    func droppedAlone() throws {
        let a = try TestStore(1)
        try a.sql(Self.patients)
        try a.collect()
        try self.drop("suffix", in: a)
        #expect(try self.aside(a) == ["p1=Jr", "p3=Sr"])
        try a.sql("ALTER TABLE patients ADD COLUMN suffix TEXT")
        try a.collect()
        #expect(try self.column("suffix", of: a) == ["p1=Jr", "p2=-", "p3=Sr"])
    }

    @Test("a column with a default that both PCs drop leaves the nodes equal")
    func droppedEverywhere() throws {
        let (a, b) = try self.pair()
        try a.sql("UPDATE patients SET isSeniorCitizen = 1 WHERE id = 'p1'")
        try converge([a, b])
        for store in [a, b] { try self.drop("isSeniorCitizen", in: store) }
        try converge([a, b])
        try self.reconcile(a, with: b)
        try self.reconcile(a, with: b)
        try self.expectEqualDigests([a, b])
    }

    @Test("a renamed column is a dropped one and an added one: the values are under both names, and no PC loses any")
    func renamed() throws {
        let (a, b) = try self.pair()
        try b.sql("ALTER TABLE patients RENAME COLUMN suffix TO nameSuffix")
        try b.collect()
        try converge([a, b])
        try self.reconcile(a, with: b)
        #expect(try self.column("suffix", of: a) == ["p1=Jr", "p2=-", "p3=Sr"])
        #expect(try self.column("nameSuffix", of: b) == ["p1=Jr", "p2=-", "p3=Sr"])
        #expect(try self.aside(a) == ["p1=Jr", "p3=Sr"])
        try self.expectEqualDigests([a, b])
        try a.sql("ALTER TABLE patients ADD COLUMN nameSuffix TEXT")
        try b.sql("ALTER TABLE patients ADD COLUMN suffix TEXT")
        try converge([a, b])
        for column in ["suffix", "nameSuffix"] {
            #expect(try self.column(column, of: a) == self.column(column, of: b))
        }
        try self.expectEqualDigests([a, b])
    }

    // MARK: - Defaults

    @Test("a row that a program writes by a default of its own file alone shows it on every PC")
    func ownDefault() throws {
        let (a, b) = try self.pair()
        try self.rebuild(b, "gender TEXT", "gender TEXT DEFAULT 'unknown'")
        try b.sql("INSERT INTO patients (id, fullName) VALUES ('p4', 'Dan')")
        try a.sql("INSERT INTO patients (id, fullName) VALUES ('p5', 'Eve')")
        try converge([a, b])
        for store in [a, b] {
            #expect(try self.column("gender", of: store) == ["p1=-", "p2=-", "p3=-", "p4=unknown", "p5=-"])
        }
        try self.expectEqualDigests([a, b])
    }

    @Test("two PCs that add one column with different defaults show the same")
    func twoDefaults() throws {
        let (a, b) = try self.pair()
        try a.sql("ALTER TABLE patients ADD COLUMN ward TEXT DEFAULT 'x'")
        try b.sql("ALTER TABLE patients ADD COLUMN ward TEXT DEFAULT 'y'")
        for store in [a, b] { try store.collect() }
        try a.sql("INSERT INTO patients (id, fullName) VALUES ('p4', 'Dan')")
        try b.sql("INSERT INTO patients (id, fullName) VALUES ('p5', 'Eve')")
        try converge([a, b])
        try converge([a, b])
        #expect(try self.column("ward", of: a) == self.column("ward", of: b))
        #expect(try self.column("ward", of: a).suffix(2) == ["p4=x", "p5=y"])
        try self.expectEqualDigests([a, b])
        // A third PC that has the column from the others alone shows the same.
        let c = try TestStore(3)
        try c.sql("ALTER TABLE patients ADD COLUMN ward TEXT")
        try converge([a, b, c])
        #expect(try self.column("ward", of: c) == self.column("ward", of: b))
    }

    // MARK: - Types

    @Test("a column whose type one PC changed converts what others wrote there alone")
    func ownType() throws {
        let (a, b) = try self.pair()
        try self.rebuild(b, "contactNumber TEXT", "contactNumber INTEGER")
        try a.sql(
            "INSERT INTO patients (id, fullName, contactNumber) VALUES ('p4', 'Dan', '0918'), ('p5', 'Eve', 'none')"
        )
        try converge([a, b])
        let shown = "contactNumber || '/' || typeof(contactNumber)"
        #expect(try self.column(shown, of: a).suffix(2) == ["p4=0918/text", "p5=none/text"])
        #expect(try self.column(shown, of: b).suffix(2) == ["p4=918/integer", "p5=none/text"])
        try self.expectEqualDigests([a, b])
        // What a program writes in other columns leaves the value alone; what it writes in this one replaces it.
        b.now += 10
        try b.sql("UPDATE patients SET gender = 'm' WHERE id = 'p4'")
        try converge([a, b])
        #expect(try self.column(shown, of: a).suffix(2) == ["p4=0918/text", "p5=none/text"])
        try self.expectEqualDigests([a, b])
        b.now += 10
        try b.sql("UPDATE patients SET contactNumber = 919 WHERE id = 'p4'")
        try converge([a, b])
        #expect(try self.column(shown, of: a).suffix(2) == ["p4=919/text", "p5=none/text"])
        try self.expectEqualDigests([a, b])
        a.now += 20
        try a.sql("DELETE FROM patients WHERE id > 'p3'")
        try converge([a, b])
        for store in [a, b] { #expect(try self.aside(store).isEmpty) }
        try self.expectEqualDigests([a, b])
    }

    @Test("two PCs that add one column with different types keep what each wrote", arguments: [true, false])
    func twoTypes(isLate: Bool) throws {
        let (a, b) = try self.pair()
        try a.sql("ALTER TABLE patients ADD COLUMN ward TEXT")
        if !isLate { try b.sql("ALTER TABLE patients ADD COLUMN ward INTEGER") }
        try a.sql("UPDATE patients SET ward = '007' WHERE id = 'p1'")
        try converge([a, b])
        if isLate { try b.sql("ALTER TABLE patients ADD COLUMN ward INTEGER") }
        try converge([a, b])
        #expect(try self.column("ward", of: a) == ["p1=007", "p2=-", "p3=-"])
        #expect(try self.column("ward", of: b) == ["p1=7", "p2=-", "p3=-"])
        try self.expectEqualDigests([a, b])
        b.now += 10
        try b.sql("UPDATE patients SET ward = 12 WHERE id = 'p2'")
        try converge([a, b])
        #expect(try self.column("ward || typeof(ward)", of: a) == ["p1=007text", "p2=12text", "p3=-"])
        try self.expectEqualDigests([a, b])
    }

    // MARK: - Tables

    @Test("status names a table that one PC lacks on the other PCs as well")
    func missingTable() throws {
        let (a, b) = try self.pair()
        try b.sql("ALTER TABLE patient_queue RENAME TO patient_queue_2025")
        try converge([a, b])
        let there = try #require(try a.reader.summary().waiting.first)
        #expect(there.table == "patient_queue")
        #expect(there.rows == 0)
        #expect(there.reason.hasPrefix("the table is not in the file of Lab, or does not fit there:"))
        #expect(try b.reader.summary().waiting.count == 1)
        try b.sql("ALTER TABLE patient_queue_2025 RENAME TO patient_queue")
        try converge([a, b])
        for store in [a, b] { #expect(try store.reader.summary().waiting.isEmpty) }
    }
}
