import ClinicSyncCore
import ClinicSyncModel

/// Removes the tombstones of rows that are forgotten, and what deleters had seen that no row needs any more.
///
/// Each call is one short transaction, because programs wait for it. See ``ForgottenRows`` and `docs/design/0028-tombstones.md`.
struct TombstonePruner {
    /// The most tombstones that one call looks at.
    static let rowsMax = 256

    let rows: RowStates
    private var tombstones: Tombstones { self.rows.tombstones }

    /// What this node may forget: what a host decided, as far as this log has lost it, too.
    ///
    /// Whoever lacks one of these deletions then gets the state from this node, never a part of the log.
    var limit: VersionVector { self.rows.sums.forgotten.vector.meet(self.rows.origins.floor.gone) }

    /// Looks at further tombstones, and removes those that can go.
    ///
    /// - Parameters:
    ///   - limit: what may be forgotten.
    ///   - transaction: the transaction.
    /// - Returns: The number of tombstones that were removed, and whether all were looked at.
    /// - Throws: what SQLite reports.
    func prune(
        upTo limit: VersionVector,
        in transaction: borrowing WriteTransaction
    ) throws -> (removed: Int, isDone: Bool) {
        if self.tombstones.search.limit != limit {
            let hasRemoved = self.tombstones.search.hasRemoved
            self.tombstones.search = Tombstones.Search(limit: limit, isDone: false, hasRemoved: hasRemoved)
        }
        guard !self.tombstones.search.isDone else { return (0, true) }
        let names = try self.next(after: self.tombstones.search.last, on: transaction.connection)
        var removed = 0
        for name in names {
            guard let plan = self.rows.plans[name.table], try self.canGo(name, plan, limit, on: transaction.connection)
            else { continue }
            try ValueRef.with(name.key) { try self.tombstones.remove(plan, key: $0, in: transaction) }
            removed += 1
        }
        if removed > 0 { try ForgottenRows(vector: limit).noteRemoved(in: transaction) }
        self.tombstones.search.hasRemoved = self.tombstones.search.hasRemoved || removed > 0
        self.tombstones.search.last = names.last
        self.tombstones.search.isDone = names.count < TombstonePruner.rowsMax
        return (removed, self.tombstones.search.isDone)
    }

    private func next(after last: RowName?, on connection: Connection) throws -> [RowName] {
        var names: [RowName] = []
        try connection
            .query(
                """
                SELECT tableId, pk FROM clinicsync_tombstone WHERE (tableId, pk) > (?1, ?2)
                ORDER BY tableId, pk LIMIT ?3
                """
            )
            .bind(1, last?.table ?? -1)
            .bind(2, last?.key ?? .null)
            .bind(3, TombstonePruner.rowsMax)
            .forEach { names.append(RowName(table: $0.int(0), key: $0.ref(1).value)) }
        return names
    }

    private func canGo(
        _ name: RowName,
        _ plan: TablePlan,
        _ limit: VersionVector,
        on connection: Connection
    ) throws -> Bool {
        guard self.rows.plans.forget(plan) else { return false }
        let loader = self.rows.loader(connection)
        let state: RowState?
        do {
            state = try ValueRef.with(name.key) { try loader.stored(.tombstone, plan, key: $0) }
        } catch is OwnDamage {
            // It is found and repaired where it is needed.
            return false
        }
        guard let state, ForgottenRows(vector: limit).contain(state) else { return false }
        // An entry of the journal may bring the row back.
        guard self.rows.plans[Conflict.table] != nil else { return true }
        return try connection
            .query("SELECT 1 FROM clinicsync_conflict WHERE tableName = ?1 AND recordId = ?2 LIMIT 1")
            .bind(1, text: plan.definition.name)
            .bind(2, name.key)
            .first { _ in true } == nil
    }

    // MARK: - What deleters had seen

    /// What deleters had seen that no row refers to, when tombstones were removed since the last call.
    ///
    /// - Throws: what SQLite reports.
    func unusedContexts(on connection: Connection) throws -> [Int64] {
        guard self.tombstones.search.isDone, self.tombstones.search.hasRemoved else { return [] }
        var unused: [Int64] = []
        try connection
            .query(
                """
                SELECT id FROM clinicsync_context WHERE id NOT IN (
                    SELECT context FROM clinicsync_row WHERE context IS NOT NULL
                    UNION SELECT context FROM clinicsync_tombstone WHERE context IS NOT NULL
                    UNION SELECT context FROM clinicsync_shadow WHERE context IS NOT NULL
                )
                """
            )
            .forEach { unused.append($0.int64(0)) }
        self.tombstones.search.hasRemoved = false
        return unused
    }

    /// Removes what deleters had seen.
    ///
    /// - Throws: what SQLite reports.
    func remove(contexts: ArraySlice<Int64>, in transaction: borrowing WriteTransaction) throws {
        for id in contexts {
            try transaction.statement("DELETE FROM clinicsync_context WHERE id = ?1").bind(1, id).run()
        }
    }
}
