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

    private func schemaVersion() throws -> Int64 {
        try self.transactions.read { try $0.query("PRAGMA schema_version").first { $0.int64(0) } ?? 0 }
    }
}
