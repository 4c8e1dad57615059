import ClinicSyncCore
import ClinicSyncModel

/// Decides what becomes of differences between tables and bookkeeping that no trigger marked, and puts others' values back.
///
/// `docs/design/0014-unmarked-changes.md` has the rules and their reasons. In short: such a difference is this node's edit, as the
/// edit of somebody who had read nothing, so that every node keeps the value that it replaces in the journal. But what looks like
/// damage never beats what other nodes have: their value is shown again, and the journal keeps this table's.
final class UnmarkedRows: TransactionPart {
    private let rows: RowStates
    private let saver: RowSaver
    private let lost: LostValues
    private let logged: LoggedValues
    /// See ``StoreLimits/unmarkedMax``.
    private let crowdMin: Int
    private var hasher = RowHasher()
    /// How many rows were set back since ``takeSetBack()``.
    private var setBackCount = 0

    /// Works on the rows of `saver`.
    init(saver: RowSaver, lost: LostValues, log: BatchLog, limits: StoreLimits) {
        self.rows = saver.rows
        self.saver = saver
        self.lost = lost
        self.logged = LoggedValues(log: log, rows: saver.rows)
        self.crowdMin = limits.unmarkedMax
    }

    func memory() -> () -> Void {
        let saved = self.setBackCount
        return {
            self.setBackCount = saved
            self.logged.forget()
        }
    }

    /// The number of rows that were set back since the last call.
    func takeSetBack() -> Int {
        defer {
            self.setBackCount = 0
            self.logged.forget()
        }
        return self.setBackCount
    }

    // MARK: - Deciding

    /// The tables of which very many rows differ without a mark of a program.
    ///
    /// Looks at each marked row of a table until it knows: with very many rows that are only here, that takes seconds.
    func crowdedTables(on connection: Connection) throws -> [TablePlan] {
        try self.rows.plans.all.filter { plan in
            try self.rows.marks.countUnmarked(plan, limit: self.crowdMin &+ 1, on: connection) > self.crowdMin
                && self.isCrowd(plan, on: connection)
        }
    }

    /// Makes the marks of such tables say that there are very many.
    func noteCrowds(of plans: [TablePlan], in transaction: borrowing WriteTransaction) throws {
        for plan in plans { try self.rows.marks.noteCrowd(plan, in: transaction) }
    }

    /// Whether more rows of a table than ``crowdMin`` differ from what is known of them; rows that are only here do not count.
    private func isCrowd(_ plan: TablePlan, on connection: Connection) throws -> Bool {
        var different = 0
        for key in try self.rows.marks.unmarked(plan, on: connection) {
            try ValueRef.with(key) { key in
                guard let meta = try self.rows.table.meta(plan, key: key, on: connection) else { return }
                let isSame = try connection.query(plan.sql.select).bind(1, key).first { row in
                    self.hasher.hash(plan, key: key) { row.ref(Int32($0)) }
                    return meta.changedSlots(self.hasher.hashes, plan: plan) == 0
                }
                if isSame != true { different += 1 }
            }
            if different > self.crowdMin { return true }
        }
        return false
    }

    /// Whether the values of other nodes count more than the ones that the table shows in `slots`.
    func isRefused(
        _ mark: Mark,
        _ meta: RowMeta,
        slots: UInt64,
        row: Statement,
        on connection: Connection
    ) throws -> Bool {
        guard mark.source != .program, try !self.isAlone(on: connection) else { return false }
        if mark.source == .crowd { return true }
        return slots.setBits.contains { slot in
            let known = slot < meta.columns.count ? meta.columns[slot] : 0
            return Rot(plan: mark.plan, slot: slot, known: known).explains(row.ref(Int32(slot)))
        }
    }

    /// Whether a row that is missing without a mark of a program is taken for damage.
    func isDeletionRefused(_ mark: Mark, on connection: Connection) throws -> Bool {
        guard mark.source == .crowd else { return false }
        return try !self.isAlone(on: connection)
    }

    /// Whether no other node was ever heard of: then nobody has another value.
    func isAlone(on connection: Connection) throws -> Bool {
        let origins = self.rows.origins
        for id in origins.ids {
            let node = try origins.origin(id).node
            if node != origins.own.node, node != Origin.genesis.node, origins.sequence(of: id) > 0 { return false }
        }
        return try connection.query("SELECT 1 FROM clinicsync_member LIMIT 1").first { _ in true } == nil
    }

    // MARK: - Edits and deletions

    /// Keeps in the journal what an unmarked change replaces, as far as this node still has it.
    ///
    /// - Returns: By slot, what tells the receivers to do the same.
    func keepReplaced(
        _ plan: TablePlan,
        key: SQLiteValue,
        _ meta: RowMeta,
        slots: UInt64,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws -> [Int: UInt32] {
        let connection = transaction.connection
        let isAlone = try self.isAlone(on: connection)
        var unread: [Int: UInt32] = [:]
        for slot in slots.setBits {
            let place = LostValues.Place(plan: plan, key: key, slot: slot)
            if plan.counterSlots & (1 << UInt64(slot)) != 0 {
                let known = try ValueRef.with(key) { try self.rows.loader(connection).counters(plan, key: $0) }
                let value = known.counterValue(slot: slot)
                try self.lost.keep(value, at: place, isShown: false, events: &events, in: transaction)
                continue
            }
            unread[slot] = LostValues.unread
            guard let value = try self.loggedValue(plan, key: key, slot: slot, meta: meta, on: connection)
            else { continue }
            let register = RowState.Register(
                value: value,
                version: try self.rows.origins.global(meta.version(of: slot))
            )
            try self.lost.keep(
                register,
                at: place,
                isDeleted: false,
                isQuiet: isAlone,
                events: &events,
                in: transaction
            )
        }
        return unread
    }

    /// What tells the receivers of an unmarked row to keep the values that it replaces, by slot.
    ///
    /// Usually nobody has another value. But a program or a bad disk may have removed what this node knew of the row.
    func unreadInsertion(_ plan: TablePlan, on connection: Connection) throws -> [Int: UInt32] {
        guard try !self.isAlone(on: connection) else { return [:] }
        let slots = (plan.valueSlots & ~plan.counterSlots).setBits
        return Dictionary(slots.map { ($0, LostValues.unread) }, uniquingKeysWith: { first, _ in first })
    }

    /// Fills in the values of a row that is gone from its table without a mark, as far as the log has them.
    func recall(
        _ plan: TablePlan,
        key: SQLiteValue,
        _ meta: RowMeta,
        _ state: inout RowState,
        on connection: Connection
    ) throws {
        for slot in (plan.valueSlots & ~plan.counterSlots).setBits where state.registers[slot] == nil {
            guard let value = try self.loggedValue(plan, key: key, slot: slot, meta: meta, on: connection)
            else { continue }
            let version = try self.rows.origins.global(meta.version(of: slot))
            state.registers[slot] = RowState.Register(value: value, version: version)
        }
    }

    // MARK: - Setting back

    /// Puts back what other nodes have in the columns `slots` of a row, and enters what the table shows in the journal.
    ///
    /// Values that the log still has are put back at once, unless very many rows differ. Otherwise the row counts as not known, so
    /// that the next comparison with another node brings them.
    ///
    /// - Parameters:
    ///   - mark: the row's mark.
    ///   - meta: what is known of the row.
    ///   - slots: the columns that differ.
    ///   - hashes: the hashes of what the table shows.
    ///   - values: what the table shows, by slot.
    ///   - events: gets the entries' events.
    ///   - transaction: the transaction.
    /// - Throws: what SQLite reports.
    func setBack(
        _ mark: Mark,
        meta: RowMeta,
        slots: UInt64,
        hashes: RowHashes,
        values: [SQLiteValue],
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        let (plan, key) = (mark.plan, mark.key)
        self.setBackCount += 1
        for slot in slots.setBits {
            let place = LostValues.Place(plan: plan, key: key, slot: slot)
            try self.lost.keep(values[slot], at: place, isShown: false, events: &events, in: transaction)
        }
        if try self.isInShadow(plan, key: key, on: transaction.connection) {
            return try self.projectAgain(plan, key: key, meta: meta, hashes: hashes, in: transaction)
        }
        // The log is searched from one end to the other for each row, which is too much work for very many.
        let searched = mark.source == .crowd ? slots & plan.counterSlots : slots
        let found = try self.known(plan, key: key, meta: meta, slots: searched, on: transaction.connection)
        if found.count == slots.nonzeroBitCount {
            try self.write(plan, key: key, values: found, in: transaction)
        } else {
            let counters = found.filter { plan.counterSlots & (1 << UInt64(clamping: $0.key)) != 0 }
            try self.write(plan, key: key, values: counters, in: transaction)
            try self.forget(plan, key: key, meta: meta, slots: slots, hashes: hashes, counters, in: transaction)
        }
    }

    /// Puts back what other nodes have in the columns `slots` of a row whose own values are too large to be sent.
    ///
    /// The caller has entered the values in the journal. Where the log does not have the others' values, the columns get defaults and count
    /// as not known: a state with the large values could not be compared with another node's.
    func replace(
        _ plan: TablePlan,
        key: SQLiteValue,
        meta: RowMeta,
        slots: UInt64,
        hashes: RowHashes,
        in transaction: borrowing WriteTransaction
    ) throws {
        if try self.isInShadow(plan, key: key, on: transaction.connection) {
            return try self.projectAgain(plan, key: key, meta: meta, hashes: hashes, in: transaction)
        }
        var values = try self.known(plan, key: key, meta: meta, slots: slots, on: transaction.connection)
        var missing = values.keys.reduce(slots) { $0 & ~(1 << UInt64(clamping: $1)) }
        for slot in missing.setBits { values[slot] = plan.placeholder(slot: slot) }
        do {
            try self.write(plan, key: key, values: values, in: transaction)
        } catch let failure as SQLiteFailure where failure.isConstraint {
            // The table shows the large values until another node's come.
            (values, missing) = ([:], slots)
        }
        guard missing != 0 else { return }
        var hashes = hashes
        for (slot, value) in values {
            let hash = ValueRef.with(value, RowHashes.column)
            hashes.columns[slot] = RowHashes.relative(hash, to: plan.hashing.defaults[slot])
        }
        try self.forget(plan, key: key, meta: meta, slots: missing, hashes: hashes, [:], in: transaction)
    }

    private func isInShadow(_ plan: TablePlan, key: SQLiteValue, on connection: Connection) throws -> Bool {
        try ValueRef.with(key) {
            try self.rows.shadows.contains(plan.definition.number, key: $0, on: connection)
        }
    }

    /// Has the projection write a row again whose own state is kept apart, as soon as the node knows what the table shows.
    private func projectAgain(
        _ plan: TablePlan,
        key: SQLiteValue,
        meta: RowMeta,
        hashes: RowHashes,
        in transaction: borrowing WriteTransaction
    ) throws {
        try ValueRef.with(key) { key in
            try self.rows.table.replaceHashes(plan, key: key, hashes: hashes, old: meta.hash, in: transaction)
        }
        self.saver.enqueue(plan, key: key)
    }

    /// What the node knows of columns whose values the table has lost: counters, and what the log has.
    private func known(
        _ plan: TablePlan,
        key: SQLiteValue,
        meta: RowMeta,
        slots: UInt64,
        on connection: Connection
    ) throws -> [Int: SQLiteValue] {
        var found: [Int: SQLiteValue] = [:]
        let known =
            slots & plan.counterSlots == 0
            ? nil : try ValueRef.with(key) { try self.rows.loader(connection).counters(plan, key: $0) }
        for slot in slots.setBits {
            if plan.counterSlots & (1 << UInt64(slot)) != 0 {
                found[slot] = known?.counterValue(slot: slot)
            } else {
                found[slot] = try self.loggedValue(plan, key: key, slot: slot, meta: meta, on: connection)
            }
        }
        return found
    }

    /// The value of a column that a batch in the log wrote; `nil` when the log does not have it.
    func loggedValue(
        _ plan: TablePlan,
        key: SQLiteValue,
        slot: Int,
        meta: RowMeta,
        on connection: Connection
    ) throws -> SQLiteValue? {
        try self.logged.value(
            plan,
            key: key,
            slot: slot,
            version: meta.version(of: slot),
            known: slot < meta.columns.count ? meta.columns[slot] : 0,
            on: connection
        )
    }

    private func write(
        _ plan: TablePlan,
        key: SQLiteValue,
        values: [Int: SQLiteValue],
        in transaction: borrowing WriteTransaction
    ) throws {
        guard !values.isEmpty else { return }
        let slots = values.keys.reduce(into: UInt64(0)) { slots, slot in slots |= 1 << UInt64(slot) }
        _ = try ValueRef.with(key) { key in
            try TableRows().update(plan, key: key, slots: slots, in: transaction) {
                $0.bind($1, values[$2] ?? .null)
            }
        }
    }

    /// Makes the node know of some columns only what the table shows, under a version that every other version beats.
    private func forget(
        _ plan: TablePlan,
        key: SQLiteValue,
        meta: RowMeta,
        slots: UInt64,
        hashes: RowHashes,
        _ counters: [Int: SQLiteValue],
        in transaction: borrowing WriteTransaction
    ) throws {
        var versions = meta
        versions.assign(slots & ~plan.counterSlots, to: try self.rows.origins.local(.genesis, in: transaction))
        try self.rows.table.replaceVersions(plan, key: key, by: versions, in: transaction)
        var hashes = hashes
        hashes.row = RowMeta.unknownHash
        for (slot, value) in counters {
            let hash = ValueRef.with(value, RowHashes.column)
            hashes.columns[slot] = RowHashes.relative(hash, to: plan.hashing.defaults[slot])
        }
        try ValueRef.with(key) { key in
            try self.rows.table.replaceHashes(plan, key: key, hashes: hashes, old: meta.hash, in: transaction)
        }
    }

    /// Forgets a row that is gone from its table, so that the next comparison with another node brings it back.
    func forgetMissing(_ plan: TablePlan, key: SQLiteValue, meta: RowMeta, in transaction: borrowing WriteTransaction)
        throws
    {
        self.setBackCount += 1
        try ForgottenRows.noteLostRows(in: transaction)
        try ValueRef.with(key) { key in
            try self.rows.table.remove(plan, key: key, hash: meta.hash, in: transaction)
            guard try self.rows.shadows.contains(plan.definition.number, key: key, on: transaction.connection) else {
                return
            }
            self.saver.enqueue(plan, key: key.value)
        }
    }
}
