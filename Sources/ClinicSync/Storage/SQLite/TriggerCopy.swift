/// A copy of a program's trigger for the node's own connection.
struct TriggerCopy {
    /// The statement that makes it.
    let sql: String
    /// The replicated table whose rows fire it; `nil` when its table is local.
    let replicatedTable: String?

    /// Whether a failure is about the replicated table itself, which no copy writes.
    func cannotCause(_ failure: SQLiteFailure) -> Bool {
        guard let replicatedTable, failure.isConstraint else { return false }
        return ["UNIQUE", "NOT NULL"].contains {
            failure.message.hasPrefix("\($0) constraint failed: \(replicatedTable).")
        }
    }
}
