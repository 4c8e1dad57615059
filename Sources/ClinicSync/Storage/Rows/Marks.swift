import ClinicSyncModel

/// A mark: a row that may have changed since the collector saw it last.
struct Mark {
    let plan: TablePlan
    let key: SQLiteValue
    /// When a program wrote the row, by this PC's clock.
    let writtenAt: Int64
    /// How often the row was marked; a mark with another count is a newer one.
    let count: Int64

    /// What left a mark.
    enum Source {
        /// A program's write, by its trigger.
        case program
        /// A comparison of the table with the bookkeeping found a difference that no trigger marked.
        case comparison
        /// As `comparison`, and very many rows of the table differ.
        case crowd
    }

    /// What left the mark.
    ///
    /// A trigger counts up, so the mark of a comparison becomes one of a program as soon as a program writes the row.
    var source: Source {
        switch self.count {
        case 0: .comparison
        case Marks.crowdCount: .crowd
        default: .program
        }
    }

    /// Reads a row of ``Marks/selectSQL``; `nil` for a table that is no longer replicated.
    init?(_ row: Statement, plans: TablePlans) {
        guard let plan = plans[row.int(0)] else { return nil }
        self.plan = plan
        self.key = row.ref(1).value
        self.writtenAt = row.int64(2)
        self.count = row.int64(3)
    }
}

/// The marks that capture triggers leave, `clinicsync_dirty`, and the values of deleted rows that they save, `clinicsync_last_…`.
struct Marks {
    let clock: StoreClock
    /// Tells a row that is missing or new from an index that does not show the table's rows.
    let indexes = IndexCheck()

    /// The count of a mark whose table has very many unmarked changes; no trigger counts up to 0 from there.
    static let crowdCount: Int64 = -(1 << 40)

    /// Reads all marks in the order of tables and keys.
    static let selectSQL = "SELECT tableId, pk, writtenAt, n FROM clinicsync_dirty ORDER BY tableId, pk"

    /// Marks a row as possibly changed, for the collector.
    func mark(_ plan: TablePlan, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_dirty (tableId, pk, writtenAt, n) VALUES (?1, ?2, ?3, 1)
                ON CONFLICT (tableId, pk) DO UPDATE SET n = n + 1
                """
            )
            .bind(1, plan.definition.number)
            .bind(2, key)
            .bind(3, self.clock.wallMilliseconds)
            .run()
    }

    /// Marks a row that differs from what the node knows though no trigger marked it.
    func markUnmarked(_ plan: TablePlan, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                "INSERT INTO clinicsync_dirty (tableId, pk, writtenAt, n) VALUES (?1, ?2, ?3, 0) ON CONFLICT DO NOTHING"
            )
            .bind(1, plan.definition.number)
            .bind(2, key)
            .bind(3, self.clock.wallMilliseconds)
            .run()
    }

    /// Marks every row of a table and every row known of it, for an expected change of them all.
    func markAll(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement(plan.sql.markAll + " ON CONFLICT (tableId, pk) DO UPDATE SET n = n + 1")
            .bind(1, plan.definition.number)
            .bind(2, self.clock.wallMilliseconds)
            .bind(3, 1)
            .run()
    }

    /// Marks every row of a table, as a program's writes.
    func markPresent(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement(plan.sql.markPresent)
            .bind(1, plan.definition.number)
            .bind(2, self.clock.wallMilliseconds)
            .run()
    }

    /// Has every row of a table and every row known of it compared: triggers may have missed changes of them.
    func compareAll(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement(plan.sql.markAll + " ON CONFLICT (tableId, pk) DO NOTHING")
            .bind(1, plan.definition.number)
            .bind(2, self.clock.wallMilliseconds)
            .bind(3, 0)
            .run()
    }

    /// Makes the marks of a table's unmarked changes say that there are very many.
    func noteCrowd(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("UPDATE clinicsync_dirty SET n = ?2 WHERE tableId = ?1 AND n = 0")
            .bind(1, plan.definition.number)
            .bind(2, Marks.crowdCount)
            .run()
    }

    /// Makes programs' marks of rows of which nothing is known count as found by a comparison.
    func distrustUnknown(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                """
                UPDATE clinicsync_dirty SET n = 0 WHERE tableId = ?1 AND n > 0 AND NOT EXISTS
                (SELECT 1 FROM clinicsync_row r WHERE r.tableId = ?1 AND r.pk = clinicsync_dirty.pk)
                """
            )
            .bind(1, plan.definition.number)
            .run()
    }

    /// Marks, as a program's writes, the rows that have another value than the default in a column that was just added.
    func mark(
        _ plan: TablePlan,
        differingIn column: String,
        from value: SQLiteValue,
        in transaction: borrowing WriteTransaction
    ) throws {
        try transaction.statement(plan.sql.markDiffering(column: column))
            .bind(1, plan.definition.number)
            .bind(2, self.clock.wallMilliseconds)
            .bind(3, value)
            .run()
    }

    /// Removes all marks of a table.
    func removeAll(ofTable number: Int, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("DELETE FROM clinicsync_dirty WHERE tableId = ?1").bind(1, number).run()
    }

    /// Whether a mark names a table that never was: what a program wrote there is not known.
    ///
    /// Looks before the first number and after the last one, because there may be very many marks.
    func hasNameless(on connection: Connection) throws -> Bool {
        try connection
            .query(
                """
                SELECT EXISTS (SELECT 1 FROM clinicsync_dirty WHERE tableId > (SELECT max(id) FROM clinicsync_table))
                OR EXISTS (SELECT 1 FROM clinicsync_dirty WHERE tableId < (SELECT min(id) FROM clinicsync_table))
                """
            )
            .first { $0.int64(0) != 0 } ?? false
    }

    /// Removes the marks that name tables that never were.
    ///
    /// - Returns: The number of marks.
    func removeNameless(in transaction: borrowing WriteTransaction) throws -> Int {
        try transaction
            .statement("DELETE FROM clinicsync_dirty WHERE tableId NOT IN (SELECT id FROM clinicsync_table)")
            .run()
        return transaction.changes
    }

    /// Removes the marks of rows that are not in their table.
    func removeMissing(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("DELETE FROM clinicsync_dirty WHERE tableId = ?1 AND NOT \(plan.sql.exists)")
            .bind(1, plan.definition.number)
            .run()
    }

    /// The number of marks of a table that no program left, counted up to `limit`.
    func countUnmarked(_ plan: TablePlan, limit: Int, on connection: Connection) throws -> Int {
        try connection
            .query("SELECT count(*) FROM (SELECT 1 FROM clinicsync_dirty WHERE tableId = ?1 AND n = 0 LIMIT ?2)")
            .bind(1, plan.definition.number)
            .bind(2, limit)
            .first { $0.int(0) } ?? 0
    }

    /// The keys of a table's marks that no program left.
    func unmarked(_ plan: TablePlan, on connection: Connection) throws -> [SQLiteValue] {
        var keys: [SQLiteValue] = []
        try connection.query("SELECT pk FROM clinicsync_dirty WHERE tableId = ?1 AND n = 0 ORDER BY pk")
            .bind(1, plan.definition.number)
            .forEach { keys.append($0.ref(0).value) }
        return keys
    }

    /// The number of marks, counted up to `limit`.
    func count(limit: Int, on connection: Connection) throws -> Int {
        try connection.query("SELECT count(*) FROM (SELECT 1 FROM clinicsync_dirty LIMIT ?1)")
            .bind(1, limit)
            .first { $0.int(0) } ?? 0
    }

    /// All marks in the order of tables and keys.
    func all(_ plans: TablePlans, on connection: Connection) throws -> [Mark] {
        var marks: [Mark] = []
        try connection.query(Marks.selectSQL).forEach { row in
            if let mark = Mark(row, plans: plans) { marks.append(mark) }
        }
        return marks
    }

    /// Whether a row is marked.
    func contains(_ plan: TablePlan, key: SQLiteValue, on connection: Connection) throws -> Bool {
        try connection.query("SELECT 1 FROM clinicsync_dirty WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .first { _ in true } ?? false
    }

    /// Whether a mark stands as it was read: no program has written the row since.
    func isCurrent(_ mark: Mark, key: ValueRef, on connection: Connection) throws -> Bool {
        try connection.query("SELECT n FROM clinicsync_dirty WHERE tableId = ?1 AND pk = ?2")
            .bind(1, mark.plan.definition.number)
            .bind(2, key)
            .first { $0.int64(0) } == mark.count
    }

    /// Removes a mark unless the row was marked again.
    ///
    /// - Returns: Whether it was removed.
    func remove(_ mark: Mark, key: ValueRef, in transaction: borrowing WriteTransaction) throws -> Bool {
        try transaction
            .statement("DELETE FROM clinicsync_dirty WHERE tableId = ?1 AND pk = ?2 AND CAST(n AS INTEGER) = ?3")
            .bind(1, mark.plan.definition.number)
            .bind(2, key)
            .bind(3, mark.count)
            .run()
        return transaction.changes > 0
    }

    // MARK: - Values of deleted rows

    /// Calls `body` with the newest saved values of a deleted row, by slot; does nothing when there are none.
    func withLastValues(
        _ plan: TablePlan,
        key: ValueRef,
        in transaction: borrowing WriteTransaction,
        _ body: (Statement) throws -> Void
    ) throws {
        _ = try transaction.statement(plan.sql.selectLast).bind(1, key).first(body)
    }

    /// Saves the values of a row that is about to be deleted, as its capture trigger would.
    func saveLastValues(_ plan: TablePlan, key: SQLiteValue, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement(plan.sql.saveLast).bind(1, key).run()
    }

    /// Forgets the saved values of a row.
    func forgetLastValues(_ plan: TablePlan, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement(plan.sql.deleteLast).bind(1, key).run()
        // They stand for the row until its deletion is collected.
        try TableRows().forgetAside(plan, key: key, in: transaction)
    }
}
