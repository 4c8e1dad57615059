import Testing

/// The writes of the clinic's programs (`docs/SCHEMA.md`), on two PCs at the same time.
@Suite("Torture: the clinic's day")
struct ClinicTortureTests {
    private static let people = """
        INSERT INTO users(id, username, role) VALUES ('u', 'lim', 'doctor');
        INSERT INTO patients(id, fullName, address, contactNumber) VALUES ('p', 'Ana', 'old street', '1');
        """

    /// A bill with an item and a payment in one transaction.
    private static func invoice(_ id: String) -> String {
        """
        BEGIN;
        INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status, notes)
        VALUES ('bill \(id)', 'p', 'INV-1', '2026-11-21', 10.5, 'Paid', 'by \(id)');
        INSERT INTO bill_items(id, billId, serviceId, description, unitPrice, itemTotal)
        VALUES ('item \(id)', 'bill \(id)', 'service-urinalysis', 'test \(id)', 10.5, 10.5);
        INSERT INTO payments(id, billId, patientId, patientName, invoiceNumber, referenceNumber, paymentDate, amountPaid,
        paymentMethod, receivedByUserId)
        VALUES ('pay \(id)', 'bill \(id)', 'p', 'Ana', 'INV-1', 'REF-1', '2026-11-21', 10.5, 'cash', 'u');
        COMMIT
        """
    }

    private static func enqueue(_ id: String, number: Int) -> String {
        """
        BEGIN;
        INSERT INTO active_patient_queue(queueEntryId, patientId, patientName, arrivalTime, queueNumber, status, createdAt)
        VALUES ('\(id)', 'p', 'Ana', '2026-11-21T08:00:00Z', \(number), 'waiting', '2026-11-21T08:00:00Z');
        UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id IN ('service-urinalysis', 'service-fecalysis');
        COMMIT
        """
    }

    private static func endOfDay(_ id: String, served: Int) -> String {
        """
        BEGIN;
        DELETE FROM patient_queue WHERE reportDate = '2026-11-21';
        INSERT INTO patient_queue(id, reportDate, totalPatientsInQueue, patientsServed, generatedAt, peakHour)
        VALUES ('\(id)', '2026-11-21', 5, \(served), 'at \(id)', 'hour \(id)');
        DELETE FROM active_patient_queue WHERE createdAt LIKE '2026-11-21%';
        COMMIT
        """
    }

    private static func edit(_ column: String, _ value: String, history: String) -> String {
        """
        BEGIN;
        INSERT INTO patient_history(id, patientId, fieldName, oldValue, newValue, updatedAt)
        VALUES ('\(history)', 'p', '\(column)', (SELECT \(column) FROM patients WHERE id = 'p'), '\(value)', 'now');
        INSERT OR REPLACE INTO patients(id, fullName, address, contactNumber)
        SELECT id, fullName, \(column == "address" ? "'\(value)'" : "address"),
        \(column == "contactNumber" ? "'\(value)'" : "contactNumber") FROM patients WHERE id = 'p';
        COMMIT
        """
    }

    static let days: [Scenario] = [
        Scenario(
            "two cashiers give out the same numbers",
            start: Self.people,
            .does(.a, Self.invoice("a")),
            .does(.b, Self.invoice("b"))
        )
        .shows("SELECT invoiceNumber FROM patient_bills ORDER BY id", "INV-1 INV-1~???")
        .shows("SELECT referenceNumber FROM payments ORDER BY id", "REF-1 REF-1~???")
        .shows(
            "SELECT count(*) FROM bill_items JOIN patient_bills b ON b.id = billId JOIN payments USING (billId)",
            "2"
        )
        .journal("renamed patient_bills/bill b/invoiceNumber*", "renamed payments/pay b/referenceNumber*"),
        Scenario(
            "two desks add to the queue",
            start: Self.people,
            .does(.a, Self.enqueue("qa", number: 1)),
            .does(.b, Self.enqueue("qb", number: 1))
        )
        .shows("SELECT queueEntryId FROM active_patient_queue ORDER BY 1", "qa qb")
        .shows("SELECT selectionCount FROM clinic_services WHERE id = 'service-fecalysis'", "2").journal(),
        Scenario(
            "two PCs end the day while a third moves a patient in the queue",
            start: "\(Self.people) \(Self.enqueue("q", number: 1))",
            .does(.a, Self.endOfDay("ra", served: 3)),
            .does(.b, Self.endOfDay("rb", served: 4)),
            .does(.c, "UPDATE active_patient_queue SET status = 'served', servedAt = 'nine', doctorName = 'Lim'")
        )
        .shows("SELECT id || ' ' || patientsServed || ' ' || peakHour FROM patient_queue", "ra 4 hour rb")
        .shows("SELECT count(*) FROM active_patient_queue", "0")
        .journal(
            "merged patient_queue/rb*",
            "mergedValue patient_queue/*/patientsServed=3",
            "mergedValue patient_queue/*/peakHour=hour ra",
            "mergedValue patient_queue/*/generatedAt=at ra",
            "overruled active_patient_queue/q/status=served",
            "overruled active_patient_queue/q/servedAt=nine",
            "overruled active_patient_queue/q/doctorName=Lim"
        ),
        Scenario(
            "one service is made on two PCs, with records and items of both",
            start: "\(Self.people) \(Self.invoice("0"))",
            .does(
                .a,
                """
                INSERT INTO clinic_services(id, serviceName, defaultPrice) VALUES ('sa', 'New', 5.0);
                INSERT INTO bill_items(id, billId, serviceId, description, unitPrice, itemTotal)
                VALUES ('i', 'bill 0', 'sa', 'new', 5.0, 5.0)
                """
            ),
            .does(
                .b,
                """
                INSERT INTO clinic_services(id, serviceName, description) VALUES ('sb', 'New', 'text');
                INSERT INTO medical_records(id, patientId, serviceId, recordType, recordDate, doctorId, createdAt, updatedAt)
                VALUES ('r', 'p', 'sb', 'laboratory', 'd', 'u', 'c', 'u')
                """
            )
        )
        .shows("SELECT id || defaultPrice || description FROM clinic_services WHERE serviceName = 'New'", "sa5.0text")
        .shows(
            "SELECT serviceId FROM bill_items WHERE id = 'i' UNION ALL SELECT serviceId FROM medical_records",
            "sa sa"
        )
        .journal("merged clinic_services/sb*"),
        Scenario(
            "two PCs edit a patient, each naming all columns",
            start: Self.people,
            .does(.a, Self.edit("address", "new street", history: "ha")),
            .does(.b, Self.edit("contactNumber", "2", history: "hb"))
        )
        .shows("SELECT address || contactNumber FROM patients", "new street2")
        .shows("SELECT newValue FROM patient_history ORDER BY id", "new street 2").journal(),
        Scenario(
            "a user is deleted while he logs in",
            start: Self.people,
            .enforces(.a, "DELETE FROM users"),
            .enforces(
                .b,
                """
                INSERT INTO user_sessions(id, userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken)
                VALUES ('s', 'u', 'lim', 'd', 't', 't', 't', 'hash')
                """
            )
        )
        .shows("SELECT count(*) FROM user_sessions", "0").shows("SELECT count(*) FROM users", "0")
        .journal("cascaded user_sessions/s*"),
        Scenario(
            "a patient is deleted while another desk writes a bill",
            start: Self.people,
            .enforces(.a, "DELETE FROM patients"),
            .enforces(.b, Self.invoice("b"))
        )
        .shows("SELECT fullName FROM patients JOIN patient_bills ON patients.id = patientId", "Ana")
        .journal("revived patients/p*"),
    ]

    @Test("programs write as they do, and all PCs come to the same", arguments: Self.days)
    func day(_ scenario: Scenario) throws { try ScenarioRun.check(scenario, on: TortureSchema.clinic.get()) }
}
