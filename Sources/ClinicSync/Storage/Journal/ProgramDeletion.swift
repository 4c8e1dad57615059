import ClinicSyncModel

/// Deletes a row as a program with foreign keys would: the node's own connection does not check them.
struct ProgramDeletion {
    /// One deletion may take this many rows with it; more are a matter for the clinic's program.
    private static let deletionsMax = 10_000

    let programRows: ProgramRows
    private var plans: TablePlans { self.programRows.rows.plans }

    /// Deletes a row, and does to the rows that refer to it what the DDL says.
    ///
    /// - Throws: ``JournalResolver/Refused`` when a reference without an action stands in the way.
    func delete(_ plan: TablePlan, key: SQLiteValue, in transaction: borrowing WriteTransaction) throws {
        var left: [(plan: TablePlan, key: SQLiteValue)] = [(plan, key)]
        var count = 0
        while let (plan, key) = left.popLast() {
            // Deleted before its children, so that one that refers to itself comes to an end.
            guard try self.programRows.delete(plan, key: key, in: transaction) else { continue }
            count += 1
            for child in self.plans.clinical {
                for reference in child.definition.foreignKeys
                where reference.parentTable == plan.definition.name && reference.columns.count == 1 {
                    left += try self.release(child, column: reference.columns[0], from: plan, key: key, in: transaction)
                }
            }
            guard count + left.count <= ProgramDeletion.deletionsMax else {
                throw JournalResolver.Refused(resolution: .refused(reason: "too many rows refer to it"))
            }
        }
    }

    /// Does what the DDL says to the rows of `child` that refer to a row that was deleted.
    ///
    /// - Returns: The rows that must be deleted, too.
    private func release(
        _ child: TablePlan,
        column: String,
        from parent: TablePlan,
        key: SQLiteValue,
        in transaction: borrowing WriteTransaction
    ) throws -> [(plan: TablePlan, key: SQLiteValue)] {
        let name = SQLText.name(child.definition.name)
        let keyColumn = SQLText.name(child.definition.keyColumn)
        var keys: [SQLiteValue] = []
        try transaction.statement("SELECT \(keyColumn) FROM \(name) WHERE \(SQLText.name(column)) = ?1")
            .bind(1, key)
            .forEach { keys.append($0.ref(0).value) }
        guard !keys.isEmpty else { return [] }
        let action =
            try transaction
            .statement(
                "SELECT on_delete FROM pragma_foreign_key_list(?1) WHERE \"from\" = ?2 AND \"table\" = ?3 COLLATE NOCASE"
            )
            .bind(1, text: child.definition.name)
            .bind(2, text: column)
            .bind(3, text: parent.definition.name)
            .first { $0.string(0) }
        switch action {
        case "CASCADE":
            return keys.map { (child, $0) }
        case "SET NULL":
            for childKey in keys {
                let statement =
                    try transaction
                    .statement("UPDATE \(name) SET \(SQLText.name(column)) = NULL WHERE \(keyColumn) = ?1")
                    .bind(1, childKey)
                try JournalResolver.refusing { try statement.run() }
                try self.programRows.mark(child, key: childKey, in: transaction)
            }
            return []
        default:
            throw JournalResolver.Refused(resolution: .refused(reason: "rows of \(child.definition.name) refer to it"))
        }
    }
}
