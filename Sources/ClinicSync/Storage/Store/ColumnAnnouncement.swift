import ClinicSyncModel

/// Announces the columns that programs added to the clinic's tables in this node's file, in the node's row of `clinicsync_node`.
struct ColumnAnnouncement {
    private static let table = "clinicsync_node"
    private static let column = "columns"
    private static let lacks = "lacks"

    let programRows: ProgramRows

    /// Whether the node's row says something else than the present tables.
    func isDue(on connection: Connection) throws -> Bool {
        guard let plan = self.plan else { return false }
        return try self.announced(plan, Self.column, on: connection) != self.wanted()
            || self.announced(plan, Self.lacks, on: connection) != self.lacking()
    }

    /// Writes the node's row; the collector makes a batch of it, in which no value of the columns stands before it.
    func renew(in transaction: borrowing WriteTransaction) throws {
        guard let plan = self.plan else { return }
        var values = [plan.definition.keyColumn: self.key, Self.column: SQLiteValue.null]
        if let text = try self.wanted() { values[Self.column] = .string(text) }
        if plan.slot(of: Self.lacks) != nil {
            values[Self.lacks] = try self.lacking().map(SQLiteValue.string) ?? .null
        }
        try self.programRows.put(plan, values: values, in: transaction)
    }

    private var key: SQLiteValue { .string(self.programRows.origin.node.description) }

    private var plan: TablePlan? {
        let plan = self.programRows.rows.plans[Self.table]
        return plan?.slot(of: Self.column) == nil ? nil : plan
    }

    private func announced(_ plan: TablePlan, _ column: String, on connection: Connection) throws -> String? {
        guard let slot = plan.slot(of: column) else { return nil }
        return try connection.query(plan.sql.select).bind(1, self.key)
            .first { row -> String? in row.ref(Int32(slot)).isNull ? nil : row.string(Int32(slot)) } ?? nil
    }

    private func lacking() throws -> String? {
        guard self.plan?.slot(of: Self.lacks) != nil else { return nil }
        return try AddedColumns.text(lacking: AddedColumns.lacking(in: self.programRows.rows.plans.tables))
    }

    private func wanted() throws -> String? { try AddedColumns(of: self.programRows.rows.plans.tables).text() }
}
