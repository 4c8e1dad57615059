import ClinicSyncModel

/// Deleting a row as a program with foreign keys would: the node's own connection runs with them off.
extension ReplicaWriter {
    /// Rows that one deletion may take with it: more are a matter for the clinic's program.
    private static let deletionsMax = 10_000

    /// Deletes a row, and does to the rows that refer to it what the DDL says.
    ///
    /// Runs inside a write transaction.
    ///
    /// - Throws: ``Refused`` when a reference without an action stands in the way.
    func deleteAsProgram(_ plan: TablePlan, key: SQLiteValue) throws {
        var left: [(plan: TablePlan, key: SQLiteValue)] = [(plan, key)]
        var count = 0
        while let (plan, key) = left.popLast() {
            // Deleted before its children, so that one that refers to itself comes to an end.
            guard try self.delete(plan, key: key) else { continue }
            count += 1
            for child in self.plans.clinical {
                for reference in child.definition.foreignKeys
                where reference.parentTable == plan.definition.name && reference.columns.count == 1 {
                    left += try self.release(child, column: reference.columns[0], from: plan, key: key)
                }
            }
            guard count + left.count <= ReplicaWriter.deletionsMax else {
                throw Refused(resolution: .refused(reason: "too many rows refer to it"))
            }
        }
    }

    /// Does what the DDL says to the rows of `child` that refer to a row that was deleted.
    ///
    /// - Returns: Those that are to be deleted, too.
    private func release(
        _ child: TablePlan,
        column: String,
        from parent: TablePlan,
        key: SQLiteValue
    ) throws -> [(plan: TablePlan, key: SQLiteValue)] {
        let name = TablePlan.quote(child.definition.name)
        let keyColumn = TablePlan.quote(child.definition.keyColumn)
        var keys: [SQLiteValue] = []
        try self.connection.statement("SELECT \(keyColumn) FROM \(name) WHERE \(TablePlan.quote(column)) = ?1")
            .bind(1, key)
            .forEach { keys.append($0.ref(0).value) }
        guard !keys.isEmpty else { return [] }
        let action = try self.connection
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
                let statement = try self.connection
                    .statement("UPDATE \(name) SET \(TablePlan.quote(column)) = NULL WHERE \(keyColumn) = ?1")
                    .bind(1, childKey)
                try self.refusing { try statement.run() }
                try ValueRef.with(childKey) { try self.mark(child, key: $0) }
            }
            return []
        default:
            throw Refused(resolution: .refused(reason: "rows of \(child.definition.name) refer to it"))
        }
    }
}
