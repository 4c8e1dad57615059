import ClinicSyncModel

/// Reads the tables that nodes fill, a bounded part at a time.
struct AgentTableReading {
    let plans: TablePlans
    let connection: Connection

    /// See ``ReplicaReader/agentRows(_:after:limit:)``.
    func rows(_ table: String, after: SQLiteValue?, limit: Int) throws -> [[String: SQLiteValue]] {
        let plan = self.plan(table)
        let statement = try self.connection.query(plan.sql.selectPage(isFirst: after == nil))
        if let after { statement.bind(1, after) }
        statement.bind(2, Int64(limit))
        defer { statement.reset() }
        var rows: [[String: SQLiteValue]] = []
        var bytes = 0
        while bytes < SystemTableLimits.pageBytes, try statement.step() {
            let (row, size) = self.row(statement, plan)
            rows.append(row)
            bytes += size
        }
        return rows
    }

    /// See ``ReplicaReader/agentRow(_:key:)``.
    func row(_ table: String, key: SQLiteValue) throws -> [String: SQLiteValue]? {
        let plan = self.plan(table)
        return try self.connection.query(plan.sql.select).bind(1, key).first { self.row($0, plan).row }
    }

    /// See ``ReplicaReader/agentRowCount(_:limit:)``.
    func count(_ table: String, limit: Int) throws -> Int {
        try self.connection.query(self.plan(table).sql.count).bind(1, Int64(limit)).first { $0.int(0) } ?? 0
    }

    private func plan(_ table: String) -> TablePlan {
        guard let plan = self.plans[table], !plan.definition.isClinical else {
            preconditionFailure("\(table) is no table that nodes fill")
        }
        return plan
    }

    private func row(_ statement: Statement, _ plan: TablePlan) -> (row: [String: SQLiteValue], bytes: Int) {
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
}
