import GRDB

/// The transactions of clinic programs, in plain SQL; each returns a question for its rows on other PCs.
enum DemoStatements {
    typealias Transaction = @Sendable (Database) throws -> DemoProbe

    private static let now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
    private static let admin = "(SELECT id FROM users WHERE role = 'admin' ORDER BY id LIMIT 1)"
    private static let doctor = "(SELECT id FROM users WHERE role = 'doctor' ORDER BY id LIMIT 1)"

    /// A new patient and its entry in the activity log.
    static func register(_ name: String) -> Transaction {
        { db in
            let parts = name.split(separator: " ").map(String.init)
            let patient = try self.id(
                db,
                """
                INSERT INTO patients(fullName, firstName, lastName, registrationDate, createdAt, updatedAt)
                VALUES (?, ?, ?, date('now'), \(self.now), \(self.now)) RETURNING id
                """,
                [name, parts.first, parts.last]
            )
            let entry = try self.id(
                db,
                """
                INSERT INTO user_activity_log(userId, actionDescription, targetRecordId, targetTable)
                VALUES (\(self.admin), 'Registered a patient', ?, 'patients') RETURNING id
                """,
                [patient]
            )
            return DemoProbe(
                """
                SELECT (SELECT count(*) FROM patients WHERE id = ?)
                + (SELECT count(*) FROM user_activity_log WHERE id = ?)
                """,
                patient,
                entry
            )
        }
    }

    /// A place in the queue, and one more on the counter of the service.
    static func enqueue(patient: String, name: String) -> Transaction {
        { db in
            let number = try Int.fetchOne(db, sql: "SELECT coalesce(max(queueNumber), 0) + 1 FROM active_patient_queue")
            let entry = try self.id(
                db,
                """
                INSERT INTO active_patient_queue(patientId, patientName, arrivalTime, queueNumber, conditionOrPurpose,
                    selectedServices, totalPrice, status, paymentStatus, createdAt, addedByUserId, isWalkIn)
                VALUES (?, ?, \(self.now), ?, 'Check-up', '["General Consultation"]', 500.0, 'waiting', 'Pending',
                    \(self.now), \(self.admin), 1) RETURNING queueEntryId
                """,
                [patient, name, number ?? 1]
            )
            try db.execute(
                sql:
                    "UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id = 'service-general-consultation'"
            )
            return DemoProbe("SELECT 2 * count(*) FROM active_patient_queue WHERE queueEntryId = ?", entry)
        }
    }

    /// The doctor calls a patient in.
    static func callIn(entry: String) -> Transaction {
        { db in
            try db.execute(
                sql: """
                    UPDATE active_patient_queue SET status = 'in_consultation', consultationStartedAt = \(self.now),
                    doctorId = \(self.doctor), doctorName = (SELECT fullName FROM users WHERE id = \(self.doctor))
                    WHERE queueEntryId = ?
                    """,
                arguments: [entry]
            )
            return DemoProbe(
                "SELECT 2 * count(*) FROM active_patient_queue WHERE queueEntryId = ? AND status = 'in_consultation'",
                entry
            )
        }
    }

    /// A result, and the end of the visit in the queue.
    static func enterResult(patient: String, entry: String, isLaboratory: Bool) -> Transaction {
        { db in
            let record = try self.id(
                db,
                """
                INSERT INTO medical_records(patientId, queueEntryId, recordType, recordDate, diagnosis, labResults, doctorId,
                    createdAt, updatedAt)
                VALUES (?, ?, ?, date('now'), ?, ?, \(self.doctor), \(self.now), \(self.now)) RETURNING id
                """,
                [
                    patient, entry, isLaboratory ? "laboratory" : "consultation",
                    isLaboratory ? nil : "Tension headache",
                    isLaboratory ? #"{"hemoglobin":{"value":138,"unit":"g/L"}}"# : nil,
                ]
            )
            try db.execute(
                sql: "UPDATE active_patient_queue SET status = 'served', servedAt = \(self.now) WHERE queueEntryId = ?",
                arguments: [entry]
            )
            return DemoProbe(
                """
                SELECT (SELECT count(*) FROM medical_records WHERE id = ?)
                + (SELECT count(*) FROM active_patient_queue WHERE queueEntryId = ? AND status = 'served')
                """,
                record,
                entry
            )
        }
    }

    /// A bill with its items and its payment.
    static func bill(number: Int, patient: String, name: String, entry: String, items: Int) -> Transaction {
        { db in
            let total = 350.0 * Double(items)
            let bill = try self.id(
                db,
                """
                INSERT INTO patient_bills(patientId, invoiceNumber, billDate, subtotal, totalAmount, status, createdByUserId)
                VALUES (?, ?, \(self.now), ?, ?, 'Paid', \(self.admin)) RETURNING id
                """,
                [patient, "INV-\(number)", total, total]
            )
            for _ in 0..<items {
                try db.execute(
                    sql: """
                        INSERT INTO bill_items(billId, serviceId, description, unitPrice, itemTotal)
                        VALUES (?, 'service-complete-blood-count', 'Complete Blood Count', 350.0, 350.0)
                        """,
                    arguments: [bill]
                )
            }
            try db.execute(
                sql: """
                    INSERT INTO payments(billId, patientId, patientName, invoiceNumber, referenceNumber, paymentDate,
                        amountPaid, totalBillAmount, paymentMethod, receivedByUserId)
                    VALUES (?, ?, ?, ?, ?, \(self.now), ?, ?, 'Cash', \(self.admin))
                    """,
                arguments: [bill, patient, name, "INV-\(number)", "OR-\(number)", total, total]
            )
            try db.execute(
                sql: "UPDATE active_patient_queue SET status = 'done', paymentStatus = 'Paid' WHERE queueEntryId = ?",
                arguments: [entry]
            )
            // One bill, its items, one payment: all, or nothing.
            return DemoProbe(
                """
                SELECT CASE (SELECT count(*) FROM patient_bills WHERE id = ?1)
                    + (SELECT count(*) FROM bill_items WHERE billId = ?1)
                    + (SELECT count(*) FROM payments WHERE billId = ?1)
                WHEN 0 THEN 0 WHEN \(items + 2) THEN 2 ELSE 1 END
                """,
                bill
            )
        }
    }

    /// A change of one column by a program that saves the whole row; the history gets an entry first.
    static func edit(patient: String, column: String, value: String) -> Transaction {
        { db in
            let row = try Row.fetchOne(db, sql: "SELECT * FROM patients WHERE id = ?", arguments: [patient])
            guard let row else { throw DemoError(message: "A patient of the demonstration is gone.") }
            return try self.save(row, patient: patient, column: column, value: value, in: db)
        }
    }

    /// Writes every column of a row that was read before, one of them changed.
    static func save(_ row: Row, patient: String, column: String, value: String, in db: Database) throws -> DemoProbe {
        let old: String? = row[column]
        try db.execute(
            sql: """
                INSERT INTO patient_history(patientId, fieldName, oldValue, newValue, updatedAt, updatedByUserId, sourceOfChange)
                VALUES (?, ?, ?, ?, \(self.now), \(self.admin), 'Demonstration')
                """,
            arguments: [patient, column, old, value]
        )
        let columns = row.columnNames.filter { $0 != "id" }
        let values = columns.map { name -> DatabaseValue in name == column ? value.databaseValue : row[name] }
        let assignments = columns.map { "\"\($0)\" = ?" }.joined(separator: ", ")
        try db.execute(
            sql: "UPDATE patients SET \(assignments) WHERE id = ?",
            arguments: StatementArguments(values + [patient.databaseValue])
        )
        return DemoProbe("SELECT 2 * count(*) FROM patients WHERE id = ? AND \"\(column)\" = ?", patient, value)
    }

    private static func id(_ db: Database, _ sql: String, _ arguments: StatementArguments) throws -> String {
        guard let id = try String.fetchOne(db, sql: sql, arguments: arguments) else {
            throw DemoError(message: "A row of the demonstration got no id.")
        }
        return id
    }
}
