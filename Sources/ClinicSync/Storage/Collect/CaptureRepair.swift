import ClinicSyncModel

/// Notices that a program changed the schema, and switches capture on again when a program left it off.
final class CaptureRepair {
    private let transactions: Transactions
    /// `PRAGMA schema_version` when the schema was last read; `nil` when it must be read again.
    private var checkedSchemaVersion: Int64?
    /// The schema as it was last read; `nil` when that is not known.
    private var checkedText: SQLiteValue?
    /// Whether the schema is compared with ``checkedText`` although its version is the same.
    private var isComparisonDue = false

    /// Watches the file of `transactions`, whose schema was read in the version `checked`.
    init(transactions: Transactions, checked: Int64) {
        self.transactions = transactions
        self.checkedSchemaVersion = checked
    }

    /// Has the schema read again even if it did not change.
    func forgetCheck() { self.checkedSchemaVersion = nil }

    /// Has the schema compared with what was read, even if its version is the same.
    ///
    /// A disk, and a program that writes SQLite's table of the schema, can change it without a new version.
    func compare() { self.isComparisonDue = true }

    /// Says that the schema was read in this version, and the triggers put in order: write transactions take no other.
    ///
    /// - Throws: what SQLite reports.
    func noteChecked(_ version: Int64) throws {
        self.checkedText = try self.transactions.read { connection in
            try Transactions.schemaVersion(on: connection) == version ? CaptureRepair.text(on: connection) : nil
        }
        self.checkedSchemaVersion = version
        self.transactions.expectSchema(version)
    }

    /// Whether the schema must be read again or compared, whatever its version is.
    var isKnownDue: Bool { self.checkedSchemaVersion == nil || self.isComparisonDue }

    /// Whether the schema must be read again.
    func isCheckDue() throws -> Bool {
        try self.transactions.read { connection in
            guard try Transactions.schemaVersion(on: connection) == self.checkedSchemaVersion else { return true }
            guard self.isComparisonDue else { return false }
            self.isComparisonDue = false
            if let checked = self.checkedText, try CaptureRepair.text(on: connection) == checked,
                try TableNames.isAsWritten(on: connection)
            {
                return false
            }
            // Due until the schema has been read.
            self.checkedSchemaVersion = nil
            return true
        }
    }

    /// All of the schema: what every table, index and trigger is, and its place in SQLite's table of the schema.
    private static func text(on connection: Connection) throws -> SQLiteValue? {
        try connection
            .query(
                """
                SELECT group_concat(
                    rowid || char(31) || type || char(31) || name || char(31) || tbl_name || char(31) || coalesce(sql, ''),
                    char(30)
                )
                FROM sqlite_schema
                """
            )
            .first { $0.ref(0).value }
    }

    /// Switches capture on again when a program left it off: the node itself never switches it off in a file.
    ///
    /// - Returns: Whether it was off, so that rows may have been written without a mark.
    func switchOn() throws -> Bool {
        // In memory, node and programs share one connection, and the guard belongs to the node.
        guard self.transactions.database.snapshots != nil else { return false }
        let isOn = try self.transactions.read { connection in
            try connection.query("SELECT applying FROM clinicsync_guard WHERE id = 1").first { $0.int64(0) == 0 }
                ?? false
        }
        guard !isOn else { return false }
        try self.transactions.write(.durable) { transaction in
            try transaction.execute("DELETE FROM clinicsync_guard; INSERT INTO clinicsync_guard VALUES (1, 0)")
            return .durable
        }
        return true
    }
}
