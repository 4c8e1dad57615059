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
}
