import ClinicSyncCore
import ClinicSyncModel

/// The rows that this node has and a complete state has not: they were deleted, and the state's senders have forgotten it.
///
/// A sender that says that it may have forgotten the deletions of `forgotten` had applied all of it. A row that was inserted by one of
/// these batches was known to the sender. The state has neither the row nor its tombstone, so it was deleted, and the deletion
/// was forgotten. It is done here again, by the ordinary rules for a deletion whose author had seen `forgotten`. So an edit that
/// the sender did not know, and that came from this PC, keeps the row or goes to the journal, as the manifest says.
///
/// The same holds in the other direction, when two parts of a clinic have forgotten the deletions of each other: a row of the state of
/// which this node knows nothing, and whose insertion its own forgotten deletions cover, was deleted here.
///
/// What is deleted this way and has no such edit is forgotten in the same transaction, without a tombstone: if the sender's file
/// was damaged and the row is there elsewhere, a reconciliation brings it back.
struct AbsentRows {
    private let rows: RowStates
    private let merger: Merger
    /// The deletions that the senders may have forgotten.
    private let forgotten: ForgottenRows
    /// The deletions that this node may have forgotten.
    private let own: ForgottenRows
    /// What no version in the sender's journal is newer than.
    private let settled: VersionVector
    private var cursor: StateCursor?
    private var deleted: [(plan: TablePlan, key: SQLiteValue)] = []

    /// Keys of rows that are looked at together.
    private static let keysMax = 512

    /// Compares with the pages of `staged`.
    ///
    /// - Throws: what SQLite reports.
    init(rows: RowStates, merger: Merger, _ staged: StagedState, on connection: Connection) throws {
        self.rows = rows
        self.merger = merger
        self.settled = staged.vector
        // Nobody can have forgotten what had not come yet when the transfer began.
        self.forgotten = ForgottenRows(vector: staged.forgotten.meet(staged.vector))
        let mayMislead = try AbsentRows.mayMislead(on: connection)
        self.own = mayMislead ? ForgottenRows() : try ForgottenRows.removed(on: connection)
    }

    /// Whether it says nothing that this file lacks a row: it once lost rows that nobody deleted, or there are batches that this
    /// version or no version can read.
    ///
    /// - Throws: what SQLite reports.
    static func mayMislead(on connection: Connection) throws -> Bool {
        if try ForgottenRows.hasLostRows(on: connection) { return true }
        func has(_ table: String, _ condition: String) throws -> Bool {
            guard try connection.hasTable(table) else { return false }
            return try connection.query("SELECT 1 FROM \(table) WHERE \(condition) LIMIT 1").first { _ in true }
                ?? false
        }
        return try has("clinicsync_unread", "true") || has(Conflict.table, "kind = 'batch'")
    }

    // MARK: - Rows that only the state has

    /// Whether this node may have deleted a row of the state and forgotten it.
    func mayBeForgotten(_ birth: Version) -> Bool {
        !self.own.vector.isEmpty && birth.sequence > 0 && self.own.vector.covers(birth)
    }

    /// A row of the state as this node merges it: deleted, if this node deleted it and forgot that.
    ///
    /// - Returns: The state; `nil` for a row without anything that this node did not know when it deleted it.
    /// - Throws: ``OwnDamage``; what SQLite reports.
    func remembered(_ theirs: RowState, _ plan: TablePlan, on connection: Connection) throws -> RowState? {
        guard self.mayBeForgotten(theirs.birth),
            try self.rows.locate(plan, key: theirs.key, on: connection).isAbsent
        else { return theirs }
        guard !theirs.names(only: { self.own.vector.covers($0) }) else { return nil }
        var state = theirs
        var deletion = theirs.deletion ?? RowState.Deletion(seen: VersionVector(), version: theirs.birth)
        deletion.seen.merge(self.own.vector)
        state.deletion = deletion
        return state
    }

    // MARK: - Rows that only this node has

    /// Deletes this node's rows in a page's range that the page does not have; call it for every page, in their order, before the
    /// page is merged.
    ///
    /// - Throws: ``MalformedRecord`` when the page is none; ``OwnDamage``; what SQLite reports.
    mutating func delete(
        _ page: StateStage.Page,
        _ plan: TablePlan,
        offset: Int64,
        events: inout EventCollector,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        var after = self.cursor?.table == page.table ? self.cursor?.key : nil
        self.cursor = StateCursor(table: page.table, key: page.through)
        // A new PC has no rows.
        guard !self.forgotten.vector.isEmpty, !page.lacksRows, self.hasRows(plan) else { return }
        var known: Set<SQLiteValue>?
        while true {
            let keys = try self.keys(plan, after: after, through: page.through, on: transaction.connection)
            guard let last = keys.last else { return }
            let inPage = try known ?? AbsentRows.keys(of: page, plan)
            known = inPage
            for key in keys where !inPage.contains(key) {
                try self.delete(key, plan, offset: offset, events: &events, result: &result, in: transaction)
            }
            after = last
        }
    }

    private func hasRows(_ plan: TablePlan) -> Bool {
        self.rows.table.rows(of: plan) > 0 || self.rows.shadows.exist(in: plan.definition.number)
    }

    private func keys(
        _ plan: TablePlan,
        after: SQLiteValue?,
        through: SQLiteValue?,
        on connection: Connection
    ) throws -> [SQLiteValue] {
        var keys: [SQLiteValue] = []
        // Keys are texts and blobs; every number is smaller.
        try connection
            .query(
                """
                SELECT pk FROM clinicsync_row WHERE tableId = ?1 AND pk > ?2 AND (?3 IS NULL OR pk <= ?3)
                UNION SELECT pk FROM clinicsync_shadow WHERE tableId = ?1 AND pk > ?2 AND (?3 IS NULL OR pk <= ?3)
                ORDER BY pk LIMIT ?4
                """
            )
            .bind(1, plan.definition.number)
            .bind(2, after ?? .integer(0))
            .bind(3, through ?? .null)
            .bind(4, AbsentRows.keysMax)
            .forEach { keys.append($0.ref(0).value) }
        return keys
    }

    private static func keys(of page: StateStage.Page, _ plan: TablePlan) throws -> Set<SQLiteValue> {
        var keys: Set<SQLiteValue> = []
        guard !page.payload.isEmpty else { return keys }
        try page.payload.withUnsafeBytes { payload in
            var reader = try RowStateReader(payload, plan: plan)
            var values = [ValueRef](repeating: .null, count: plan.slotCount)
            while let key = try reader.nextKey(values: &values) { keys.insert(key) }
        }
        return keys
    }

    private mutating func delete(
        _ key: SQLiteValue,
        _ plan: TablePlan,
        offset: Int64,
        events: inout EventCollector,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        let known = try self.rows.locate(plan, key: key, on: transaction.connection).state
        // A row that was there from the beginning is never forgotten. One that the senders did not know is new.
        guard known.birth.sequence > 0, self.forgotten.vector.covers(known.birth) else { return }
        let deletion = RowState.Deletion(seen: self.forgotten.vector, version: known.birth)
        let theirs = RowState(key: key, birth: .genesis, registers: [], deletion: deletion)
        _ = try self.merger.merge(
            theirs,
            plan: plan,
            settled: self.settled,
            offset: offset,
            events: &events,
            result: &result,
            in: transaction
        )
        self.deleted.append((plan, key))
    }

    /// Removes the tombstones of what was deleted; call it when all rows have their forms.
    ///
    /// - Throws: ``OwnDamage``; what SQLite reports.
    func forget(in transaction: borrowing WriteTransaction) throws {
        for (plan, key) in self.deleted {
            let located = try self.rows.locate(plan, key: key, on: transaction.connection)
            guard case .tombstone = located.residence, self.forgotten.contain(located.state) else { continue }
            try ValueRef.with(key) { try self.rows.tombstones.remove(plan, key: $0, in: transaction) }
        }
        // This node lacks the tombstones that the senders lacked.
        try self.forgotten.noteRemoved(in: transaction)
    }
}
