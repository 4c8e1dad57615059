package import ClinicSyncModel

/// The tables that nodes fill themselves: see ``TableDefinition/isClinical``.
extension ReplicaWriter {
    /// Writes the node's own row of a table that nodes fill, as a program would: the collector makes a batch of it.
    ///
    /// Columns that are not named keep their values, or get their defaults in a new row. Identical values change nothing, so
    /// that repeating it costs the other nodes nothing.
    ///
    /// - Parameters:
    ///   - table: one of the tables that nodes fill; naming another is a programming error, as is a column it does not have.
    ///   - values: values by column, the key's among them.
    /// - Returns: whether anything changed; post `localCommitNoticed` to have it collected at once.
    /// - Throws: ``StoreError``; nothing was written then.
    @discardableResult
    package func putAgentRow(table: String, values: [String: SQLiteValue]) throws -> Bool {
        guard let plan = self.plans[table], !plan.definition.isClinical else {
            preconditionFailure("\(table) is no table that nodes fill")
        }
        return try self.transaction { try self.put(plan, values: values) }
    }

    /// Inserts or changes a row as a program would.
    ///
    /// Runs inside a write transaction.
    ///
    /// - Parameters:
    ///   - plan: the table.
    ///   - values: values by column, the key's among them.
    /// - Returns: Whether anything changed.
    /// - Throws: what SQLite says.
    func put(_ plan: TablePlan, values: [String: SQLiteValue]) throws -> Bool {
        guard let key = values[plan.definition.keyColumn] else {
            preconditionFailure("a row of \(plan.definition.name) without its key")
        }
        let columns = values.keys.sorted()
        let statement = try self.connection.statement(plan.upsertSQL(columns: columns))
        for (index, column) in columns.enumerated() {
            statement.bind(Int32(index + 1), values[column] ?? .null)
        }
        try statement.run()
        guard self.connection.changes > 0 else { return false }
        // The node's own connection fires no capture trigger.
        try ValueRef.with(key) { try self.mark(plan, key: $0) }
        return true
    }

    /// Deletes rows of a table that nodes fill, as a program would.
    ///
    /// - Parameters:
    ///   - table: one of the tables that nodes fill; naming another is a programming error.
    ///   - keys: the keys of the rows; one that there is no row of does nothing.
    /// - Returns: how many rows were deleted; post `localCommitNoticed` to have that collected at once.
    /// - Throws: ``StoreError``; nothing was deleted then.
    @discardableResult
    package func deleteAgentRows(table: String, keys: [SQLiteValue]) throws -> Int {
        guard let plan = self.plans[table], !plan.definition.isClinical else {
            preconditionFailure("\(table) is no table that nodes fill")
        }
        return try self.transaction {
            var count = 0
            for key in keys where try self.delete(plan, key: key) { count += 1 }
            return count
        }
    }

    /// Deletes a row as a program would, but for the rows that refer to it.
    ///
    /// Runs inside a write transaction.
    ///
    /// - Parameters:
    ///   - plan: the table.
    ///   - key: the row's key.
    /// - Returns: Whether there was such a row.
    /// - Throws: what SQLite says.
    func delete(_ plan: TablePlan, key: SQLiteValue) throws -> Bool {
        // The node's own connection fires no capture trigger, which would have kept the last values.
        try self.connection.statement(plan.saveLastSQL).bind(1, key).run()
        try self.connection.statement(plan.deleteSQL).bind(1, key).run()
        guard self.connection.changes > 0 else { return false }
        try ValueRef.with(key) { try self.mark(plan, key: $0) }
        return true
    }
}

extension ReplicaReader {
    /// Every row of a table that nodes fill, values by column, in the order of their keys.
    ///
    /// Any program may have written them: believe nothing that is not signed.
    ///
    /// - Throws: ``StoreError``.
    package func agentRows(_ table: String) throws -> [[String: SQLiteValue]] {
        guard let plan = self.plans[table], !plan.definition.isClinical else {
            preconditionFailure("\(table) is no table that nodes fill")
        }
        return try self.perform {
            var rows: [[String: SQLiteValue]] = []
            try self.connection.statement(plan.selectAllInOrderSQL).forEach { row in
                var values: [String: SQLiteValue] = [:]
                for (slot, name) in plan.names.enumerated() {
                    if let name { values[name] = row.ref(Int32(slot)).value }
                }
                rows.append(values)
            }
            return rows
        }
    }
}
