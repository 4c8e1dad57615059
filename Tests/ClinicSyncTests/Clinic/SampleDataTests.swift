import ClinicSyncClinic
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite struct SampleDataTests {
    /// The data that depend on the seed alone, without ids and unique numbers.
    private static let contents = [
        "SELECT fullName || birthDate || gender || address || registrationDate || createdAt FROM patients ORDER BY rowid",
        "SELECT role || fullName || password FROM users ORDER BY rowid",
        "SELECT date || time || status || selectedServices || totalPrice FROM appointments ORDER BY rowid",
        "SELECT recordType || recordDate || coalesce(diagnosis, labResults) FROM medical_records ORDER BY rowid",
        "SELECT subtotal || status || billDate FROM patient_bills ORDER BY rowid",
        "SELECT amountPaid || paymentMethod || patientName FROM payments ORDER BY rowid",
        "SELECT patientName || status || age FROM active_patient_queue ORDER BY rowid",
        "SELECT id || selectionCount FROM clinic_services ORDER BY id",
    ]

    private func contents(_ fixture: CaptureFixture) throws -> [[String]] {
        try fixture.database.read { db in try Self.contents.map { try String.fetchAll(db, sql: $0) } }
    }

    @discardableResult
    private func write(_ patients: Int, seed: UInt64, to fixture: CaptureFixture) throws -> [SampleData.Count] {
        try SampleData(seed: seed).write(patients: patients, to: fixture.file.path())
    }

    @Test("the same seed gives the same data under ids of its own, another seed gives other data")
    func seeds() throws {
        let fixtures = try (0..<3).map { _ in try CaptureFixture() }
        try self.write(40, seed: 7, to: fixtures[0])
        try self.write(40, seed: 7, to: fixtures[1])
        try self.write(40, seed: 8, to: fixtures[2])
        let contents = try fixtures.map(self.contents)
        #expect(contents[0] == contents[1])
        for (mine, others) in zip(contents[0], contents[2]) { #expect(mine != others) }
        for column in ["id FROM patients", "username FROM users", "invoiceNumber FROM patient_bills"] {
            let values = try fixtures.prefix(2).map { fixture in
                try fixture.database.read { db in try Set(String.fetchAll(db, sql: "SELECT \(column)")) }
            }
            #expect(!values[0].isEmpty)
            #expect(values[0].isDisjoint(with: values[1]))
        }
    }

    @Test("all thirteen tables get rows, as many as are reported, every one of them marked")
    func everyTable() throws {
        let fixture = try CaptureFixture()
        try fixture.forget()
        let counts = try self.write(300, seed: 1, to: fixture)
        #expect(counts.map(\.name) == fixture.tables.clinical.map(\.name).sorted())
        let marks = try Set(fixture.markedKeys())
        for count in counts {
            let rows = try fixture.database.read { db in
                try Int.fetchOne(db, sql: "SELECT count(*) FROM \(count.name)") ?? 0
            }
            #expect(count.rows > 0, "\(count.name)")
            #expect(rows == count.rows, "\(count.name)")
            #expect(marks.count { $0.hasPrefix(count.name + "/") } == count.rows, "\(count.name)")
        }
    }

    @Test("rows fit together: references, sums, payments, times")
    func consistent() throws {
        let fixture = try CaptureFixture()
        try self.write(300, seed: 3, to: fixture)
        let contradictions = [
            "SELECT count(*) FROM pragma_foreign_key_check()",
            """
            SELECT count(*) FROM patient_bills WHERE subtotal <> (SELECT sum(itemTotal) FROM bill_items WHERE billId = patient_bills.id)
            OR totalAmount <> subtotal - discountAmount
            """,
            """
            SELECT count(*) FROM patient_bills WHERE
            (SELECT coalesce(sum(amountPaid), 0) FROM payments WHERE billId = patient_bills.id)
            <> CASE status WHEN 'Paid' THEN totalAmount WHEN 'Unpaid' THEN 0 ELSE totalAmount / 2 END
            """,
            "SELECT count(*) FROM payments p JOIN patient_bills b ON b.id = p.billId WHERE p.patientId <> b.patientId",
            "SELECT count(*) FROM patients WHERE julianday(createdAt) IS NULL OR createdAt NOT LIKE '%T%Z'",
            "SELECT count(*) FROM patients WHERE contactNumber NOT LIKE '0900%' OR email NOT LIKE '%@example.com'",
            "SELECT count(*) FROM medical_records WHERE labResults IS NOT NULL AND NOT json_valid(labResults)",
            "SELECT count(*) FROM appointments WHERE NOT json_valid(selectedServices)",
            "SELECT count(*) FROM user_sessions WHERE length(sessionToken) <> 64 OR expiresAt < invalidatedAt",
            "SELECT count(*) FROM appointments a JOIN patients p ON p.id = a.patientId WHERE gender = 'Male' AND consultationType LIKE 'Prenatal%'",
            """
            SELECT abs(sum(selectionCount) - (SELECT sum(json_array_length(selectedServices)) FROM appointments)
            - (SELECT sum(json_array_length(selectedServices)) FROM active_patient_queue)) FROM clinic_services
            """,
        ]
        for sql in contradictions {
            #expect(try fixture.database.read { db in try Int.fetchOne(db, sql: sql) } == 0, "\(sql)")
        }
    }

    @Test("a clinic is empty until somebody enters something, and takes the same seed twice")
    func twice() throws {
        let fixture = try CaptureFixture()
        let path = fixture.file.path()
        #expect(try SampleData.isEmpty(path: path))
        try fixture.write("UPDATE clinic_services SET defaultPrice = 1")
        #expect(try SampleData.isEmpty(path: path))
        try self.write(5, seed: 1, to: fixture)
        #expect(try !SampleData.isEmpty(path: path))
        try self.write(5, seed: 1, to: fixture)
        #expect(try fixture.database.read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM patients") } == 10)
    }

    @Test("a clinic without services gets its data all the same")
    func withoutServices() throws {
        let fixture = try CaptureFixture()
        try fixture.write("DELETE FROM clinic_services")
        let counts = try self.write(20, seed: 1, to: fixture)
        #expect(counts.first { $0.name == "clinic_services" }?.rows == 0)
        #expect(counts.first { $0.name == "bill_items" }?.rows ?? 0 > 0)
    }

    @Test("a file that is not there is not made")
    func missing() throws {
        let path = try TemporaryDirectory().file("clinic.db").path()
        #expect(throws: StoreError.self) { try SampleData.isEmpty(path: path) }
        #expect(throws: StoreError.missing) { try SampleData(seed: 1).write(patients: 1, to: path) }
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}
