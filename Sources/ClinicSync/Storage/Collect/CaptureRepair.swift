import ClinicSyncModel
import GRDB

/// Puts capture triggers back that are gone.
final class CaptureRepair {
    private let transactions: Transactions
    private let plans: TablePlans
    private let marks: Marks
    /// `PRAGMA schema_version` when the triggers were last seen to be in order.
    private var checkedSchemaVersion: Int64 = -1

    /// Repairs the triggers of the tables of `plans`.
    init(transactions: Transactions, plans: TablePlans, marks: Marks) {
        self.transactions = transactions
        self.plans = plans
        self.marks = marks
    }

    /// Has the next ``repair()`` look at the triggers even if the schema did not change.
    func forgetCheck() { self.checkedSchemaVersion = -1 }

    /// Says that the triggers are in order in the present version of the schema.
    func noteChecked() throws { self.checkedSchemaVersion = try self.schemaVersion() }

    /// Puts triggers back that are missing or are not ours, and marks the whole table for comparison.
    ///
    /// Looks only when the schema changed since the last look.
    ///
    /// - Returns: The names of the tables that were repaired.
    func repair() throws -> [String] {
        guard try self.schemaVersion() != self.checkedSchemaVersion else { return [] }
        let tables = ClinicTables(self.plans.all.map(\.definition))
        let repaired = try self.transactions.changeSchema { db, transaction in
            let repaired = try CaptureTriggers.install(for: tables, in: db)
            for table in repaired { try self.marks.compareAll(TablePlan(table), in: transaction) }
            return .durable(repaired.map(\.name))
        }
        try self.noteChecked()
        return repaired
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

    private func schemaVersion() throws -> Int64 {
        try self.transactions.read { try $0.query("PRAGMA schema_version").first { $0.int64(0) } ?? 0 }
    }
}
