import ClinicSyncCore
import ClinicSyncModel

/// Has rows that are too large to be sent give way to other nodes' rows; see ``LargeRows``.
///
/// The node knows nothing of the large values: they are nobody's edit. If a row kept them while another node's edit of the row is
/// merged, they would count as values of the known version, and two nodes would show different values of one version. So the row
/// shows what the other nodes have, and the journal of this PC keeps the large values.
struct UnsentRows {
    private let rows: RowStates
    private let lost: LostValues
    private let notes: StoreNotes
    private let unmarked: UnmarkedRows

    /// Works on the rows of `rows`.
    init(rows: RowStates, lost: LostValues, notes: StoreNotes, unmarked: UnmarkedRows) {
        self.rows = rows
        self.lost = lost
        self.notes = notes
        self.unmarked = unmarked
    }

    /// Makes a row show what other nodes have of it, if an edit of it was too large to be sent.
    ///
    /// Call it before the row's state is read for a merge. Values that the log no longer has come with the next reconciliation.
    func giveWay(
        _ plan: TablePlan,
        key: SQLiteValue,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard try self.notes.isLarge(plan, key: key, on: transaction.connection) else { return }
        let meta = try ValueRef.with(key) { try self.rows.table.meta(plan, key: $0, on: transaction.connection) }
        guard let meta, let shown = try self.shown(plan, key: key, on: transaction.connection) else { return }
        let slots = meta.changedSlots(shown.hashes, plan: plan)
        for slot in slots.setBits {
            let place = LostValues.Place(plan: plan, key: key, slot: slot)
            try self.lost.keep(shown.values[slot], at: place, isShown: false, events: &events, in: transaction)
        }
        try self.unmarked.replace(plan, key: key, meta: meta, slots: slots, hashes: shown.hashes, in: transaction)
        try self.notes.removeLarge(plan, key: key, in: transaction)
    }

    /// Removes a new row that was too large to be sent from its table, because another node's row of this key is about to be shown.
    ///
    /// - Parameters:
    ///   - plan: the row's table.
    ///   - state: what the table shows next.
    ///   - events: gets the journal's events.
    ///   - transaction: the transaction.
    /// - Throws: what SQLite reports.
    func makeRoom(
        _ plan: TablePlan,
        for state: RowState,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard try self.notes.isLarge(plan, key: state.key, on: transaction.connection),
            let shown = try self.shown(plan, key: state.key, on: transaction.connection)
        else { return }
        for slot in (plan.valueSlots & ~plan.counterSlots).setBits {
            let value = shown.values[slot]
            guard value != plan.defaults.values[slot], value != state.value(slot: slot) else { continue }
            let place = LostValues.Place(plan: plan, key: state.key, slot: slot)
            try self.lost.keep(value, at: place, isShown: false, events: &events, in: transaction)
        }
        try ValueRef.with(state.key) { try TableRows().delete(plan, key: $0, in: transaction) }
        try self.notes.removeLarge(plan, key: state.key, in: transaction)
    }

    /// What a table shows of a row, by slot, with its hashes.
    private func shown(
        _ plan: TablePlan,
        key: SQLiteValue,
        on connection: Connection
    ) throws -> (values: [SQLiteValue], hashes: RowHashes)? {
        try ValueRef.with(key) { key in
            try connection.query(plan.sql.select).bind(1, key).first { row in
                var hasher = RowHasher()
                hasher.hash(plan, key: key) { row.ref(Int32($0)) }
                return ((0..<plan.slotCount).map { row.ref(Int32($0)).value }, hasher.hashes)
            }
        }
    }
}
