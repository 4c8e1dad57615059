package import ClinicSyncModel

extension ReplicaReader {
    /// Rows of a table that nodes fill, values by column, in the order of their keys.
    ///
    /// Any program may have written them: believe nothing that is not signed. A call returns at most `limit` rows and about
    /// ``SystemTableLimits/pageBytes``, so no number of rows fills the memory. A value that is larger than the table's values
    /// may be is left out.
    ///
    /// - Parameters:
    ///   - table: one of the tables that nodes fill; naming another is a programming error.
    ///   - after: the key after which to begin; `nil` for the first rows.
    ///   - limit: the largest number of rows.
    /// - Returns: The rows; none when there is no further row.
    /// - Throws: ``StoreError``.
    package func agentRows(
        _ table: String,
        after: SQLiteValue? = nil,
        limit: Int = SystemTableLimits.pageRows
    ) throws -> [[String: SQLiteValue]] {
        let plan = self.agentPlan(table)
        return try self.perform {
            let statement = try self.connection.query(plan.sql.selectPage(isFirst: after == nil))
            if let after { statement.bind(1, after) }
            statement.bind(2, Int64(limit))
            defer { statement.reset() }
            var rows: [[String: SQLiteValue]] = []
            var bytes = 0
            while bytes < SystemTableLimits.pageBytes, try statement.step() {
                let (row, size) = self.agentRow(statement, plan)
                rows.append(row)
                bytes += size
            }
            return rows
        }
    }

    /// The row of a table that nodes fill with this key, values by column.
    ///
    /// - Throws: ``StoreError``.
    package func agentRow(_ table: String, key: SQLiteValue) throws -> [String: SQLiteValue]? {
        let plan = self.agentPlan(table)
        return try self.perform {
            try self.connection.query(plan.sql.select).bind(1, key).first { self.agentRow($0, plan).row }
        }
    }

    /// The number of rows of a table that nodes fill, counted up to `limit`.
    ///
    /// - Throws: ``StoreError``.
    package func agentRowCount(_ table: String, limit: Int) throws -> Int {
        let plan = self.agentPlan(table)
        return try self.perform {
            try self.connection.query(plan.sql.count).bind(1, Int64(limit)).first { $0.int(0) } ?? 0
        }
    }

    private func agentPlan(_ table: String) -> TablePlan {
        guard let plan = self.plans[table], !plan.definition.isClinical else {
            preconditionFailure("\(table) is no table that nodes fill")
        }
        return plan
    }

    private func agentRow(_ statement: Statement, _ plan: TablePlan) -> (row: [String: SQLiteValue], bytes: Int) {
        var values: [String: SQLiteValue] = [:]
        var bytes = 0
        for (slot, name) in plan.names.enumerated() {
            guard let name else { continue }
            let value = statement.ref(Int32(slot))
            guard slot == plan.keySlot || SystemTableLimits.admits(value, in: plan) else { continue }
            bytes += value.byteCount + name.utf8.count
            values[name] = value.value
        }
        return (values, bytes)
    }

    /// What is written down of members, those that are not connected included.
    ///
    /// - Throws: ``StoreError``.
    package func memberProgress() throws -> [MemberLag] {
        let vector = try self.digests().vector
        return try self.perform {
            var members: [MemberLag] = []
            try self.connection.query("SELECT node, vector, seenAt FROM clinicsync_member ORDER BY node")
                .forEach { row in
                    guard let node = NodeID(storedBytes: row.blob(0)) else { return }
                    let lag = vector.count(beyond: try VectorCoding.decode(row.blob(1)))
                    members.append(MemberLag(node: node, seenMilliseconds: row.int64(2), lagBatches: lag))
                }
            return members
        }
    }
}
