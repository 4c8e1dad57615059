import ClinicSyncModel

/// Notices that a program changed the schema, and switches capture on again when a program left it off.
final class CaptureRepair {
    private let transactions: Transactions
    /// `PRAGMA schema_version` when the schema was last read; `nil` when it must be read again.
    private var checkedSchemaVersion: Int64?

    /// Watches the file of `transactions`, whose schema was read in the version `checked`.
    init(transactions: Transactions, checked: Int64) {
        self.transactions = transactions
        self.checkedSchemaVersion = checked
    }

    /// Has the schema read again even if it did not change.
    func forgetCheck() { self.checkedSchemaVersion = nil }

    /// Says that the schema was read in this version, and the triggers put in order: write transactions take no other.
    func noteChecked(_ version: Int64) {
        self.checkedSchemaVersion = version
        self.transactions.expectSchema(version)
    }

    /// Whether the schema must be read again.
    func isCheckDue() throws -> Bool {
        try self.transactions.read { try Transactions.schemaVersion(on: $0) } != self.checkedSchemaVersion
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
