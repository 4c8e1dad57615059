import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

@Suite("Columns that programs add to the clinic's tables")
struct AddedColumnTests {
    private static let column = "ALTER TABLE patient_bills ADD COLUMN orNumber TEXT"

    /// Two stores with one patient, whose programs add a column to the bills on the PCs of `adding`.
    private func pair(adding: (Bool, Bool) = (true, true)) throws -> (TestStore, TestStore) {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients (id, fullName) VALUES ('p', 'Ana')")
        try converge([a, b])
        if adding.0 { try a.sql(Self.column) }
        if adding.1 { try b.sql(Self.column) }
        return (a, b)
    }

    private func insert(_ id: String, _ invoice: String, _ store: TestStore, number: String? = nil) throws {
        try store.sql(
            """
            INSERT INTO patient_bills (id, patientId, invoiceNumber, billDate, totalAmount, status)
            VALUES (?, 'p', ?, '2027-01-15', 10, 'Unpaid')
            """,
            [id, invoice]
        )
        if let number { try store.sql("UPDATE patient_bills SET orNumber = ? WHERE id = ?", [number, id]) }
    }

    private func bills(_ store: TestStore, _ columns: String) throws -> [String] {
        try store.queue.read { try String.fetchAll($0, sql: "SELECT \(columns) FROM patient_bills ORDER BY id") }
    }

    // MARK: - Rows in place

    @Test("a row that gives its number to another keeps its place and the columns that the node does not know")
    func suffixInPlace() throws {
        let (a, b) = try self.pair(adding: (false, true))
        try self.insert("ba", "INV-1", a)
        b.now += 10
        try self.insert("bz", "INV-9", b)
        try self.insert("bb", "INV-1", b, number: "OR-B")
        try b.collect()
        let place = try b.value(Int.self, "SELECT rowid FROM patient_bills WHERE id = 'bb'")
        try a.send(to: b)
        #expect(
            try b.value(Bool.self, "SELECT invoiceNumber LIKE 'INV-1~%' FROM patient_bills WHERE id = 'bb'") == true
        )
        #expect(try self.bills(b, "id || '=' || coalesce(orNumber, '-')") == ["ba=-", "bb=OR-B", "bz=-"])
        #expect(try b.value(Int.self, "SELECT rowid FROM patient_bills WHERE id = 'bb'") == place)
        try b.verify()
    }

    @Test("rows that exchange their numbers in a circle keep what the node does not know", arguments: [2, 3, 7])
    func circle(size: Int) throws {
        let (a, b) = try self.pair(adding: (false, true))
        for number in 0..<size { try self.insert("b\(number)", "INV-\(number)", a) }
        try converge([a, b])
        try b.sql("UPDATE patient_bills SET orNumber = 'OR-' || id")
        try b.collect()
        // Each bill takes the number of the next.
        try a.sql("UPDATE patient_bills SET invoiceNumber = 'T' || substr(id, 2)")
        for number in 0..<size {
            try a.sql(
                "UPDATE patient_bills SET invoiceNumber = 'INV-' || ? WHERE id = ?",
                [(number + 1) % size, "b\(number)"]
            )
        }
        try a.send(to: b)
        #expect(
            try self.bills(b, "id || orNumber || invoiceNumber")
                == (0..<size).map { "b\($0)OR-b\($0)INV-\(($0 + 1) % size)" }
        )
        try b.verify()
    }

    // MARK: - Columns that all PCs have

    @Test("values of a column that both PCs have arrive without a restart, also those that were there before")
    func replicates() throws {
        let (a, b) = try self.pair()
        try self.insert("ba", "INV-1", a, number: "OR-A")
        try self.insert("bb", "INV-1", b, number: "OR-B")
        try converge([a, b])
        for store in [a, b] {
            #expect(try self.bills(store, "id || '=' || orNumber") == ["ba=OR-A", "bb=OR-B"])
        }
        a.now += 10
        try a.sql("UPDATE patient_bills SET orNumber = 'OR-2' WHERE id = 'bb'")
        try converge([a, b])
        #expect(try self.bills(b, "orNumber") == ["OR-A", "OR-2"])
        try expectEqual([a, b])
        #expect(try b.reader.summary().waiting.isEmpty)
    }

    // MARK: - Columns that some PCs have

    private func digests(_ stores: [TestStore], _ location: SourceLocation = #_sourceLocation) throws {
        let first = try stores[0].reader.digests().tables
        for store in stores {
            #expect(try store.reader.digests().tables == first, sourceLocation: location)
            try store.verify(location)
        }
    }

    private func aside(_ store: TestStore) throws -> [String] {
        try store.queue.read {
            try String.fetchAll(
                $0,
                sql: "SELECT pk || '=' || value FROM clinicsync_aside WHERE pk <> 0 AND value IS NOT NULL ORDER BY pk"
            )
        }
    }

    @Test(
        "values of a column that one PC has wait on the other, both are equal, and the values are there with the column",
        arguments: ["TEXT", "TEXT DEFAULT 'none'", "TEXT NOT NULL DEFAULT 'none'"]
    )
    func waits(type: String) throws {
        let (a, b) = try self.pair(adding: (false, false))
        try self.insert("b0", "INV-0", a)
        try converge([a, b])
        let column = "ALTER TABLE patient_bills ADD COLUMN orNumber \(type)"
        try a.sql(column)
        try self.insert("b1", "INV-1", a, number: "OR-1")
        try self.insert("b2", "INV-2", a)
        try self.insert("b3", "INV-3", a, number: "OR-3")
        try converge([a, b])
        #expect(try self.aside(b).filter { !$0.hasSuffix("=none") } == ["b1=OR-1", "b3=OR-3"])
        try self.digests([a, b])

        // What programs of the other PC do to its rows leaves the values alone.
        b.now += 10
        try b.sql("UPDATE patient_bills SET status = 'Paid' WHERE id = 'b1'")
        try b.sql(
            """
            INSERT OR REPLACE INTO patient_bills (id, patientId, invoiceNumber, billDate, totalAmount, status)
            VALUES ('b3', 'p', 'INV-3', '2027-01-15', 20, 'Unpaid')
            """
        )
        try b.sql("DELETE FROM patient_bills WHERE id = 'b2'")
        try converge([a, b])
        let values = "id || status || totalAmount || coalesce(orNumber, '-')"
        let expected = [type == "TEXT" ? "b0Unpaid10.0-" : "b0Unpaid10.0none", "b1Paid10.0OR-1", "b3Unpaid20.0OR-3"]
        #expect(try self.bills(a, values) == expected)
        try self.digests([a, b])

        // Nothing is sent because of the new column.
        try b.sql(column)
        let changes = try b.collect().events.compactMap(\.change).filter { $0.category != .system }
        #expect(changes == [])
        #expect(try self.bills(b, values) == expected)
        #expect(try self.aside(b).isEmpty)
        try converge([a, b])
        try expectEqual([a, b])
        b.now += 10
        try b.sql("UPDATE patient_bills SET orNumber = 'OR-0' WHERE id = 'b0'")
        try converge([a, b])
        try expectEqual([a, b])
    }

    @Test("a value that was deleted and is needed again keeps a column that only other PCs have")
    func revived() throws {
        let (a, b) = try self.pair(adding: (true, false))
        try self.insert("b1", "INV-1", a, number: "OR-1")
        try converge([a, b])
        b.now += 10
        a.now += 20
        try b.sql("DELETE FROM patient_bills WHERE id = 'b1'")
        try a.sql(
            "INSERT INTO bill_items (id, billId, description, unitPrice, itemTotal) VALUES ('i', 'b1', 'ECG', 1, 1)"
        )
        try converge([a, b])
        #expect(try self.bills(a, "orNumber") == ["OR-1"])
        #expect(try self.aside(b) == ["b1=OR-1"])
        try self.digests([a, b])
    }

    @Test("a program that adds the column with values of its own had not read those that waited: both are kept")
    func ownValue() throws {
        let (a, b) = try self.pair(adding: (true, false))
        try self.insert("b1", "INV-1", a, number: "OR-A")
        try self.insert("b2", "INV-2", a)
        try converge([a, b])
        b.now += 10
        try b.sql(Self.column)
        try b.sql("UPDATE patient_bills SET orNumber = 'OR-B'")
        try converge([a, b])
        for store in [a, b] {
            #expect(try self.bills(store, "orNumber") == ["OR-B", "OR-B"])
            #expect(
                try store.queue.read {
                    try String.fetchAll($0, sql: "SELECT recordId || '/' || columnName FROM clinicsync_conflict")
                } == ["b1/orNumber"]
            )
        }
        #expect(try self.aside(b).isEmpty)
        try expectEqual([a, b])
    }

    @Test("status says on every PC which column of which table is on which PCs")
    func status() throws {
        let (a, b) = try self.pair(adding: (true, false))
        for (store, name) in [(a, "Desk"), (b, "Lab")] {
            try store.sql(
                "INSERT INTO clinicsync_node (id, name) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
                [store.origin.node.description, name]
            )
        }
        try self.insert("b1", "INV-1", a, number: "OR-A")
        try converge([a, b])
        for (store, rows) in [(a, 0), (b, 1)] {
            let entry = try #require(try store.reader.summary().waiting.first)
            #expect(entry.table == "patient_bills")
            #expect(entry.rows == rows)
            #expect(entry.reason.hasPrefix("the column orNumber is in the files of Desk and not of Lab:"))
        }
        try b.sql(Self.column)
        try converge([a, b])
        for store in [a, b] { #expect(try store.reader.summary().waiting.isEmpty) }
    }

    @Test("a PC that starts again keeps what waits, and one that meets it passes it on")
    func restart() throws {
        var (a, b) = try self.pair(adding: (true, false))
        let c = try TestStore(3)
        try self.insert("b1", "INV-1", a, number: "OR-A")
        try a.send(to: b)
        b = try TestStore(reopening: b, schema: .clinic)
        #expect(try self.aside(b) == ["b1=OR-A"])
        try b.send(to: c)
        a = try TestStore(reopening: a, schema: .clinic)
        try self.digests([a, b, c])
        try c.sql(Self.column)
        try c.collect()
        #expect(try self.bills(c, "orNumber") == ["OR-A"])
        try b.sql(Self.column)
        b = try TestStore(reopening: b, schema: .clinic)
        #expect(try self.bills(b, "orNumber") == ["OR-A"])
        try converge([a, b, c])
        try expectEqual([a, b, c])
    }

    // MARK: - Columns that go away

    @Test("SQLite refuses to drop a replicated column with a sentence that says what to do")
    func dropRefused() throws {
        let a = try TestStore(1)
        let message = try #require(throws: DatabaseError.self) {
            try a.sql("ALTER TABLE patients DROP COLUMN allergies")
        }.message
        #expect(message?.contains("clinicsync_patients_is_replicated_to_drop_a_column_see_OPERATIONS_md") == true)
    }

    @Test("a column that is dropped without the triggers goes away, and the other PC keeps its values")
    func dropped() throws {
        let (a, b) = try self.pair()
        try self.insert("b1", "INV-1", a, number: "OR-A")
        try converge([a, b])
        let triggers = try b.queue.read {
            try String.fetchAll(
                $0,
                sql: "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'patient_bills'"
            )
        }
        for name in triggers { try b.sql("DROP TRIGGER \"\(name)\"") }
        try b.sql("ALTER TABLE patient_bills DROP COLUMN orNumber")
        #expect(try b.collect().logged.count <= 1)
        b.now += 10
        try b.sql("UPDATE patient_bills SET status = 'Paid'")
        try converge([a, b])
        #expect(try self.bills(a, "status || orNumber") == ["PaidOR-A"])
        try a.verify()
        try b.verify()
    }
}
