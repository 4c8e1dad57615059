import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import NIOConcurrencyHelpers
import Testing

/// The work of a store is counted in statements: a walk over all rows for each row shows at once, on a machine of any speed.
@Suite("The work for rows that depend on other rows")
struct ProjectionWorkTests {
    /// Rows that two PCs made apart, and a statement of a program that concerns all of them.
    enum Work: String, CaseIterable, CustomTestStringConvertible {
        case renamedTogether, renamedApart, giveUpNumbers, exchangedNumbers, deleted, otherParent

        var testDescription: String { self.rawValue }

        /// What the PC with this number enters.
        func rows(_ count: Int, on pc: Int) -> String {
            let numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < \(count - 1))"
            switch self {
            case .renamedTogether, .renamedApart, .deleted:
                return """
                    \(numbers) INSERT INTO clinic_services(id, serviceName, selectionCount)
                    SELECT 's' || i || '-\(pc)', 'Service ' || i, 1 FROM n
                    """
            case .giveUpNumbers, .exchangedNumbers:
                return """
                    \(numbers) INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
                    SELECT 'b' || i || '-\(pc)', 'p', 'INV-' || i, '', 1, 'Unpaid' FROM n
                    """
            case .otherParent where pc == 0:
                return "DELETE FROM patients WHERE id LIKE 'x%'"
            case .otherParent:
                return """
                    \(numbers) INSERT INTO patient_bills(id, patientId, billDate, totalAmount, status)
                    SELECT 'b' || i, 'x' || i, '', 1, 'Unpaid' FROM n
                    """
            }
        }

        /// What a program writes afterwards.
        var statement: String {
            switch self {
            case .renamedTogether: "UPDATE clinic_services SET serviceName = 'New ' || serviceName"
            case .renamedApart: "UPDATE clinic_services SET serviceName = 'New ' || serviceName WHERE id LIKE 's%0-%'"
            case .giveUpNumbers:
                "UPDATE patient_bills SET invoiceNumber = 'OWN-' || id WHERE invoiceNumber NOT LIKE '%~%'"
            case .exchangedNumbers: "UPDATE patient_bills SET invoiceNumber = 'OWN-' || id"
            case .deleted: "DELETE FROM clinic_services WHERE id LIKE 's%-0'"
            case .otherParent: "UPDATE patient_bills SET patientId = 'p'"
            }
        }
    }

    /// The statements that the author and a receiver of the program's statement run.
    private func statements(_ work: Work, rows: Int) throws -> (author: Int, receiver: Int) {
        let stores = [try TestStore(1), try TestStore(2)]
        try stores[0].sql("INSERT INTO patients(id, fullName) VALUES('p', 'Ana')")
        try stores[0].sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < \(rows - 1))
            INSERT INTO patients(id, fullName) SELECT 'x' || i, 'Ben' FROM n
            """
        )
        try converge(stores)
        for (index, store) in stores.enumerated() {
            store.now += Int64(index) * 1_000
            try store.sql(work.rows(rows, on: index))
        }
        try converge(stores)
        stores[0].now += 5_000
        try stores[0].sql(work.statement)
        let author = try stores[0].counted { _ = try stores[0].collect() }
        let receiver = try stores[1].counted { _ = try stores[0].send(to: stores[1]) }
        try expectEqual(stores)
        return (author, receiver)
    }

    @Test("grows with the number of rows, not with its square", arguments: Work.allCases)
    func linear(work: Work) throws {
        let few = try self.statements(work, rows: 50)
        let many = try self.statements(work, rows: 200)
        // Four times the rows; a walk over all rows for each row would be up to sixteen times the work.
        #expect(many.author <= few.author * 5, "the author: \(few.author), \(many.author)")
        #expect(many.receiver <= few.receiver * 5, "the receiver: \(few.receiver), \(many.receiver)")
    }
}

extension TestStore {
    /// The number of statements that `body` runs in this store, those of triggers included.
    fileprivate func counted(_ body: () throws -> Void) throws -> Int {
        let count = NIOLockedValueBox(0)
        self.queue.inDatabase { db in
            db.trace(options: .statement) { _ in count.withLockedValue { $0 += 1 } }
        }
        defer { self.queue.inDatabase { $0.trace(options: []) } }
        try body()
        return count.withLockedValue { $0 }
    }
}
