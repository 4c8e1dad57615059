import GRDB

/// Bills with their items and payments, each in one transaction.
///
/// No PC ever shows a bill without all its items and its payment, nor a paid bill without the payment that paid it.
final class BillingWorkload: SimulationWorkload {
    private var bills: [String] = []

    func step(_ program: SimulatedProgram) throws {
        if self.bills.isEmpty || program.chance(60) {
            try self.bill(program)
        } else {
            try self.pay(program)
        }
    }

    private func bill(_ program: SimulatedProgram) throws {
        let id = "bill-\(program.node.name)-\(self.bills.count)"
        let items = 1 + program.below(8)
        let isCommitted = try program.transaction("bills \(id) \(items)") { db in
            try db.execute(
                sql: """
                    INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status, notes)
                    VALUES(?, 'p', ?, 'd', 10.5, 'Unpaid', ?)
                    """,
                arguments: [id, "INV-\(id)", "\(items)"]
            )
            for item in 0..<items {
                try db.execute(
                    sql: """
                        INSERT INTO bill_items(id, billId, description, unitPrice, itemTotal) VALUES(?, ?, 'Item', 1.25, 1.25)
                        """,
                    arguments: ["\(id)-\(item)", id]
                )
            }
            try self.insertPayment("first-\(id)", of: id, db)
        }
        if isCommitted { self.bills.append(id) }
    }

    private func pay(_ program: SimulatedProgram) throws {
        let id = self.bills[program.below(self.bills.count)]
        try program.transaction("pays \(id)") { db in
            guard try Bool.fetchOne(db, sql: "SELECT 1 FROM patient_bills WHERE id = ?", arguments: [id]) != nil,
                try Bool.fetchOne(db, sql: "SELECT 1 FROM payments WHERE id = ?", arguments: ["rest-\(id)"]) == nil
            else { return }
            try self.insertPayment("rest-\(id)", of: id, db)
            try db.execute(sql: "UPDATE patient_bills SET status = 'Paid' WHERE id = ?", arguments: [id])
        }
    }

    private func insertPayment(_ payment: String, of bill: String, _ db: Database) throws {
        try db.execute(
            sql: """
                INSERT INTO payments(id, billId, patientId, patientName, referenceNumber, paymentDate, amountPaid,
                paymentMethod, receivedByUserId) VALUES(?, ?, 'p', 'Name', ?, 'd', 5.25, 'Cash', 'u')
                """,
            arguments: [payment, bill, "REF-\(payment)"]
        )
    }

    func checkCommitted(_ node: SimulatedNode) throws -> String? {
        let broken = try node.disk.read { db in
            try String.fetchOne(
                db,
                sql: """
                    SELECT id FROM patient_bills b WHERE id LIKE 'bill-%' AND (
                    CAST(notes AS INTEGER) <> (SELECT count(*) FROM bill_items WHERE billId = b.id)
                    OR NOT EXISTS (SELECT 1 FROM payments WHERE id = 'first-' || b.id)
                    OR status = 'Paid' AND NOT EXISTS (SELECT 1 FROM payments WHERE id = 'rest-' || b.id))
                    UNION ALL SELECT billId FROM bill_items WHERE billId NOT IN (SELECT id FROM patient_bills)
                    UNION ALL SELECT billId FROM payments WHERE billId NOT IN (SELECT id FROM patient_bills)
                    """
            )
        }
        return broken.map { "\(node.name) shows \($0) in part" }
    }

    func checkFinally(_ node: SimulatedNode) throws -> String? {
        let shown = try node.disk.read { try Set(String.fetchAll($0, sql: "SELECT id FROM patient_bills")) }
        return self.bills.first { !shown.contains($0) }.map { "\(node.name) lost \($0)" }
    }
}
