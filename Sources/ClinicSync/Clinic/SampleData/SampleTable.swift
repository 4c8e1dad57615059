import ClinicSyncModel
import Foundation
import GRDB

/// A table for made-up rows, and the columns that get values.
struct SampleTable {
    let name: String
    let key: String
    let columns: [String]

    private init(_ name: String, key: String = "id", _ columns: String) {
        self.name = name
        self.key = key
        self.columns = columns.split { $0 == " " || $0 == "\n" }.map(String.init)
    }

    static let users = SampleTable(
        "users",
        """
        username password role fullName email contactNumber securityQuestion1 securityAnswer1 securityQuestion2
        securityAnswer2 securityQuestion3 securityAnswer3 workingDays arrivalTime departureTime createdAt updatedAt
        """
    )
    static let patients = SampleTable(
        "patients",
        """
        fullName firstName middleName lastName suffix birthDate gender civilStatus contactNumber email address bloodType
        allergies currentMedications medicalHistory emergencyContactName emergencyContactNumber registrationDate
        createdAt updatedAt isSeniorCitizen
        """
    )
    static let patientHistory = SampleTable(
        "patient_history",
        "patientId fieldName oldValue newValue updatedAt updatedByUserId sourceOfChange"
    )
    static let appointments = SampleTable(
        "appointments",
        """
        patientId date time doctorId consultationType durationMinutes status consultationStartedAt servedAt
        selectedServices totalPrice paymentStatus cancelledAt cancellationReason isWalkIn createdAt updatedAt
        """
    )
    static let medicalRecords = SampleTable(
        "medical_records",
        """
        patientId appointmentId serviceId selectedServices recordType recordDate diagnosis treatment prescription
        labResults notes doctorId createdAt updatedAt
        """
    )
    static let bills = SampleTable(
        "patient_bills",
        """
        patientId invoiceNumber billDate dueDate subtotal discountAmount taxAmount totalAmount status notes
        createdByUserId
        """
    )
    static let billItems = SampleTable(
        "bill_items",
        "billId serviceId description quantity unitPrice itemTotal"
    )
    static let payments = SampleTable(
        "payments",
        """
        billId patientId patientName invoiceNumber referenceNumber paymentDate amountPaid totalBillAmount paymentMethod
        receivedByUserId notes
        """
    )
    static let activity = SampleTable(
        "user_activity_log",
        "userId actionDescription targetRecordId targetTable timestamp details"
    )
    static let sessions = SampleTable(
        "user_sessions",
        """
        userId username deviceId deviceName loginTime lastActivity expiresAt invalidatedAt endReason ipAddress isActive
        sessionToken
        """
    )
    static let queue = SampleTable(
        "active_patient_queue",
        key: "queueEntryId",
        """
        patientId patientName arrivalTime queueNumber gender age conditionOrPurpose selectedServices totalPrice status
        paymentStatus createdAt addedByUserId servedAt consultationStartedAt doctorId doctorName isWalkIn
        """
    )
    static let reports = SampleTable(
        "patient_queue",
        """
        reportDate totalPatientsInQueue patientsServed patientsRemoved averageWaitTimeMinutes peakHour queueData
        generatedAt generatedByUserId
        """
    )
}

extension SampleTable {
    /// Every table that receives rows: the replicated tables without the services.
    static let all = [
        users, patients, patientHistory, appointments, medicalRecords, bills, billItems, payments, activity, sessions,
        queue, reports,
    ]
}

/// Writes rows through one connection and counts them.
final class SampleWriter {
    /// The table whose rows exist already and only have their counters increased.
    static let services = "clinic_services"

    private let db: Database
    private var statements: [String: GRDB.Statement] = [:]
    private(set) var counts: [String: Int] = [:]

    init(_ db: Database) { self.db = db }

    /// Inserts a row and returns the id that the table's DEFAULT gave it.
    ///
    /// An existing report of a day stays unchanged; then the id is NULL.
    @discardableResult
    func insert(_ table: SampleTable, _ values: [SQLiteValue]) throws -> SQLiteValue {
        precondition(values.count == table.columns.count, "\(table.name) has a value for each column")
        let statement = try self.statement(table)
        let arguments = StatementArguments(values.map(\.databaseValue))
        let ids = try DatabaseValue.fetchAll(statement, arguments: arguments)
        self.counts[table.name, default: 0] += ids.count
        return ids.first.map(SQLiteValue.init) ?? .null
    }

    /// Adds to a service's counter, as programs do when a service is chosen.
    func count(_ selections: Int, of service: SQLiteValue) throws {
        try self.db.execute(
            sql: "UPDATE clinic_services SET selectionCount = selectionCount + ? WHERE id = ?",
            arguments: [selections, service.databaseValue]
        )
        self.counts[SampleWriter.services, default: 0] += self.db.changesCount
    }

    private func statement(_ table: SampleTable) throws -> GRDB.Statement {
        if let statement = self.statements[table.name] { return statement }
        let columns = table.columns.joined(separator: ", ")
        let parameters = table.columns.map { _ in "?" }.joined(separator: ", ")
        let statement = try self.db.makeStatement(
            sql: """
                INSERT INTO \(table.name)(\(columns)) VALUES (\(parameters))
                \(table.name == SampleTable.reports.name ? "ON CONFLICT (reportDate) DO NOTHING" : "") RETURNING \(table.key)
                """
        )
        self.statements[table.name] = statement
        return statement
    }
}

extension SQLiteValue {
    /// The value as GRDB binds it.
    var databaseValue: DatabaseValue {
        switch self {
        case .null: .null
        case .integer(let number): number.databaseValue
        case .real(let bits): Double(bitPattern: bits).databaseValue
        case .text(let bytes): String(decoding: bytes, as: UTF8.self).databaseValue
        case .blob(let bytes): Data(bytes).databaseValue
        }
    }

    /// Converts a value that GRDB read.
    init(_ value: DatabaseValue) {
        switch value.storage {
        case .null: self = .null
        case .int64(let number): self = .integer(number)
        case .double(let number): self = .real(number.bitPattern)
        case .string(let text): self = .string(text)
        case .blob(let data): self = .blob(Array(data))
        }
    }
}
