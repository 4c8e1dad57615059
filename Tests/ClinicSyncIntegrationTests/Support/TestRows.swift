/// Statements that tests write with.
enum TestRows {
    /// A patient with an id and a name.
    static let patient = "INSERT INTO patients(id, fullName) VALUES (?, ?)"

    /// One transaction: a bill of this id with three items and its payment.
    static func bill(_ id: String) -> String {
        """
        BEGIN IMMEDIATE;
        INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
            VALUES ('\(id)', 'p', '\(id)', '2026-11-21', 30, 'Paid');
        INSERT INTO bill_items(billId, description, unitPrice, itemTotal)
            VALUES ('\(id)', 'ECG', 10, 10), ('\(id)', 'CBC', 10, 10), ('\(id)', 'X-ray', 10, 10);
        INSERT INTO payments(billId, patientId, patientName, referenceNumber, paymentDate, amountPaid, paymentMethod,
            receivedByUserId) VALUES ('\(id)', 'p', 'Ana', '\(id)', '2026-11-21', 30, 'cash', 'u');
        COMMIT;
        """
    }
}
