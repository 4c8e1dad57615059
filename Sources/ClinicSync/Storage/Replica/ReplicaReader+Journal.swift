import ClinicSyncCore
import ClinicSyncModel

/// The conflict journal, for people.
extension ReplicaReader {
    /// Entries of one list at most; the newest are given.
    package static let journalEntriesMax = 500

    /// The newest entries of the journal, newest first.
    ///
    /// Entries of tables or columns that are no more are left out, and so are those of tables that nodes fill.
    ///
    /// - Parameters:
    ///   - openOnly: whether only those that nobody dealt with.
    ///   - limit: how many at most.
    /// - Returns: The entries.
    /// - Throws: ``StoreError``.
    package func journal(openOnly: Bool, limit: Int = journalEntriesMax) throws -> [JournalEntry] {
        try self.perform {
            var entries: [JournalEntry] = []
            let statement = try self.connection.statement(
                """
                SELECT id, tableId, pk, slot, value, timestamp, origin, recordedAt, resolvedAt, kept
                FROM clinicsync_journal WHERE ?1 = 0 OR resolvedAt IS NULL ORDER BY id DESC
                """
            )
            let loader = try self.journalLoader()
            statement.bind(1, openOnly ? 1 : 0)
            defer { statement.reset() }
            while entries.count < limit, try statement.step() {
                if let entry = try JournalReading.entry(statement, plans: self.plans, loader: loader) {
                    entries.append(entry)
                }
            }
            return entries
        }
    }

    /// The entry of that number.
    ///
    /// - Throws: ``StoreError``.
    package func journalEntry(_ id: Int64) throws -> JournalEntry? {
        try self.perform {
            let loader = try self.journalLoader()
            return try JournalReading.entry(id, plans: self.plans, loader: loader)
        }
    }
}

/// Turns rows of the journal into entries; for the reader and, inside its transactions, for the writer.
enum JournalReading {
    /// The entry of that number.
    static func entry(_ id: Int64, plans: TablePlans, loader: RowStateLoader) throws -> JournalEntry? {
        let statement = try loader.connection.statement(
            """
            SELECT id, tableId, pk, slot, value, timestamp, origin, recordedAt, resolvedAt, kept
            FROM clinicsync_journal WHERE id = ?1
            """
        )
        return try statement.bind(1, id).first { try self.entry($0, plans: plans, loader: loader) } ?? nil
    }

    /// The entry of a row; `nil` when its table or column is not there any more, or is not the clinic's.
    static func entry(_ row: Statement, plans: TablePlans, loader: RowStateLoader) throws -> JournalEntry? {
        guard let plan = plans[row.int(1)], plan.definition.isClinical else { return nil }
        let slot = row.int(3)
        guard let column = plan.definition.column(slot: slot)?.name else { return nil }
        let key = row.ref(2).value
        let other = JournalEntry.Written(
            value: row.ref(4).value,
            node: try loader.origin(row.int(6)).node,
            timestamp: HybridTimestamp(rawValue: row.unsigned(5))
        )
        return JournalEntry(
            id: row.int64(0),
            table: plan.definition.name,
            recordID: key.displayText,
            column: column,
            current: try self.current(plan, key: key, slot: slot, loader: loader),
            other: other,
            recordedAt: row.int64(7),
            resolvedAt: row.isNull(8) ? nil : row.int64(8),
            kept: JournalChoice(rawValue: row.string(9))
        )
    }

    /// What the table shows, with the newest version of it that the node knows.
    private static func current(
        _ plan: TablePlan,
        key: SQLiteValue,
        slot: Int,
        loader: RowStateLoader
    ) throws -> JournalEntry.Written? {
        let register: RowState.Register?? = try ValueRef.with(key) { key in
            guard let meta = try loader.meta(plan, key: key) else { return nil }
            return try loader.state(plan, key: key, meta: meta).registers[slot]
        }
        // A row that is known but that a program has just deleted has no registers.
        guard let register, let register else { return nil }
        return JournalEntry.Written(
            value: register.value,
            node: register.version.origin.node,
            timestamp: register.version.timestamp
        )
    }
}
