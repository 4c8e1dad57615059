package import ClinicSyncModel

/// Writes rows as a program would: what is written is marked, and the collector makes a batch of it.
///
/// The node's own connection fires no capture trigger. So code that writes to a replicated table inside a write transaction must mark
/// the row here.
package final class ProgramRows {
    let rows: RowStates
    private let clock: StoreClock

    /// Writes to the tables of `rows`.
    init(rows: RowStates, clock: StoreClock) {
        self.rows = rows
        self.clock = clock
    }

    /// The node as an author.
    package var origin: Origin { self.rows.origins.own }

    /// The clinic's time as far as it is known, milliseconds since 1970.
    package var clinicMilliseconds: Int64 { self.clock.clinicMilliseconds }

    // MARK: - Marking

    /// Marks a row that was written in this transaction.
    ///
    /// - Parameters:
    ///   - table: the table; naming one that is not replicated is a programming error.
    ///   - key: the row's key.
    ///   - transaction: the transaction.
    /// - Throws: what SQLite reports.
    package func mark(_ table: String, key: SQLiteValue, in transaction: borrowing WriteTransaction) throws {
        try self.mark(self.plan(table), key: key, in: transaction)
    }

    func mark(_ plan: TablePlan, key: SQLiteValue, in transaction: borrowing WriteTransaction) throws {
        try ValueRef.with(key) { try self.rows.marks.mark(plan, key: $0, in: transaction) }
    }

    private func plan(_ table: String) -> TablePlan {
        guard let plan = self.rows.plans[table] else { preconditionFailure("there is no table \(table)") }
        return plan
    }

    // MARK: - Writing

    /// Inserts or changes a row.
    ///
    /// Columns that are not named keep their values, or get their defaults in a new row. Identical values change nothing.
    ///
    /// - Parameters:
    ///   - plan: the table.
    ///   - values: values by column, the key's among them.
    ///   - transaction: the transaction.
    /// - Returns: Whether anything changed.
    /// - Throws: what SQLite reports.
    @discardableResult
    func put(
        _ plan: TablePlan,
        values: [String: SQLiteValue],
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        guard let key = values[plan.definition.keyColumn] else {
            preconditionFailure("a row of \(plan.definition.name) without its key")
        }
        let columns = values.keys.sorted()
        let statement = try transaction.statement(plan.sql.upsert(columns: columns))
        for (index, column) in columns.enumerated() {
            statement.bind(Int32(index + 1), values[column] ?? .null)
        }
        try statement.run()
        guard transaction.changes > 0 else { return false }
        try self.mark(plan, key: key, in: transaction)
        return true
    }

    /// Deletes a row, without touching the rows that refer to it.
    ///
    /// - Parameters:
    ///   - plan: the table.
    ///   - key: the row's key.
    ///   - transaction: the transaction.
    /// - Returns: Whether there was such a row.
    /// - Throws: what SQLite reports.
    func delete(_ plan: TablePlan, key: SQLiteValue, in transaction: borrowing WriteTransaction) throws -> Bool {
        // The capture trigger would have saved the last values.
        try self.rows.marks.saveLastValues(plan, key: key, in: transaction)
        try transaction.statement(plan.sql.delete).bind(1, key).run()
        guard transaction.changes > 0 else { return false }
        try self.mark(plan, key: key, in: transaction)
        return true
    }

    // MARK: - Reading

    /// Who wrote which column of a row.
    package struct ColumnVersions {
        fileprivate let meta: RowMeta
        fileprivate let plan: TablePlan
        fileprivate let origins: [Origin]

        /// The version of a column's value; `nil` when the table has no such column.
        package subscript(column: String) -> Version? {
            guard let slot = self.plan.slot(of: column) else { return nil }
            let version = self.meta.version(of: slot)
            guard self.origins.indices.contains(version.origin) else { return nil }
            return Version(
                timestamp: HybridTimestamp(rawValue: version.timestamp),
                origin: self.origins[version.origin],
                sequence: version.sequence
            )
        }
    }

    /// Who wrote which column of a row that its table shows; `nil` for a row that the node has not collected.
    ///
    /// - Throws: what SQLite reports.
    package func versions(_ table: String, key: SQLiteValue, on connection: Connection) throws -> ColumnVersions? {
        guard let plan = self.rows.plans[table] else { return nil }
        let meta = try ValueRef.with(key) { try self.rows.table.meta(plan, key: $0, on: connection) }
        return meta.map { ColumnVersions(meta: $0, plan: plan, origins: self.rows.origins.names) }
    }
}
