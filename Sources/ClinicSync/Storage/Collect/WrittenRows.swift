import ClinicSyncCore
import ClinicSyncModel

/// Handles what programs write to rows that concern other rows.
final class WrittenRows {
    private let rows: RowStates
    private let saver: RowSaver
    private var shadows: Shadows { self.rows.shadows }

    /// Queues rows at `saver`.
    init(saver: RowSaver) {
        self.rows = saver.rows
        self.saver = saver
    }

    // MARK: - Queueing

    /// Queues a row that a program wrote, and the rows that may take what it gave up.
    func queue(
        _ plan: TablePlan,
        key: ValueRef,
        _ difference: RowDifference,
        slots: UInt64,
        row: Statement,
        in transaction: borrowing WriteTransaction
    ) throws {
        let number = plan.definition.number
        let connection = transaction.connection
        try self.saver.enqueueIfEntangled(plan, key: key, on: connection) { row.ref(Int32($0)) }
        switch difference {
        case .none: return
        case .inserted:
            // The row may have been deleted, or hidden, or other rows may wait for it.
            guard self.rows.mayBeUnsettled(in: number) || self.shadows.hasWaiting else { return }
            let row = RowName(table: number, key: key.value)
            self.saver.enqueue(row, ProjectionQueue.Entry(wasPresent: false))
        case .updated(let meta, _):
            if meta.context != nil { self.saver.enqueue(plan, key: key.value) }
            guard !self.shadows.isEmpty else { return }
            if try self.shadows.contains(number, key: key, on: connection) { self.saver.enqueue(plan, key: key.value) }
            if slots & plan.uniqueSlots != 0, self.shadows.exist(in: number) {
                // The row may have taken a key that another row claims, in the instant in which the key was free.
                self.saver.enqueue(plan, key: key.value)
            }
            // The key that the row gave up is gone from its table. If other rows claim it, the row was among the shadows: the
            // index has its old claims, and ``RowSaver/stash`` queued them.
            for reference in plan.references where slots & (1 << UInt64(reference.slot)) != 0 {
                try self.queueRevived(reference.parentTable, on: connection)
            }
        }
    }

    private func queueRevived(_ table: Int, on connection: Connection) throws {
        guard self.shadows.exist(in: table) else { return }
        for row in try self.shadows.rows(in: .revived, of: table, on: connection) { self.saver.enqueue(row) }
    }

    /// Queues a row that a program deleted, as it was.
    func queueDeleted(_ plan: TablePlan, before: LocatedRow, on connection: Connection) throws {
        guard !self.shadows.isEmpty || before.state.deletion != nil else { return }
        if case .shadow = before.residence {
            let row = RowName(table: plan.definition.number, key: before.state.key)
            let claims = try self.saver.claims.indexed(row, on: connection)
            self.saver.enqueue(row, ProjectionQueue.Entry(claims: claims))
        }
        self.saver.enqueue(plan, before: before, cause: nil)
    }

    // MARK: - Rows in the shadows

    /// Merges a program's edit of a row whose form is not its own state into that state.
    func mergeIntoShadow(
        _ plan: TablePlan,
        key: SQLiteValue,
        version: LocalVersion,
        slots: UInt64,
        row: Statement,
        isBirth: Bool,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard let located = try self.locateShadow(plan, key: key, on: transaction.connection) else { return }
        var state = located.state
        let global = try self.rows.origins.global(version)
        for slot in slots.setBits where plan.counterSlots & (1 << UInt64(slot)) == 0 {
            state.registers[slot] = RowState.Register(value: row.ref(Int32(slot)).value, version: global)
        }
        if isBirth { state.birth = max(state.birth, global) }
        try self.stash(plan, state, before: located, in: transaction)
    }

    private func stash(
        _ plan: TablePlan,
        _ state: RowState,
        before: LocatedRow,
        in transaction: borrowing WriteTransaction
    ) throws {
        try ValueRef.with(state.key) { key in
            try self.saver.stash(plan, state, key: key, before: before, cause: nil, in: transaction)
        }
    }

    /// The row if it is in the shadows.
    ///
    /// Reads no row of the plan's table: the collector's statement stands on one.
    private func locateShadow(_ plan: TablePlan, key: SQLiteValue, on connection: Connection) throws -> LocatedRow? {
        let isShadow = try ValueRef.with(key) {
            try self.shadows.contains(plan.definition.number, key: $0, on: connection)
        }
        return isShadow ? try self.rows.locate(plan, key: key, on: connection) : nil
    }

    // MARK: - Rows that are one

    /// The hidden rows that are one with the row of this state, as their states are.
    func members(of state: RowState, _ plan: TablePlan, on connection: Connection) throws -> [LocatedRow] {
        guard let rule = plan.mergeRule, self.shadows.exist(in: plan.definition.number),
            let claim = try self.saver.claims.key(plan, rule, values: plan.values(of: state), on: connection)
        else { return [] }
        return try self.shadows.rows(claiming: claim, on: connection).filter { $0.key != state.key }.compactMap { row in
            let located = try self.rows.locate(plan, key: row.key, on: connection)
            guard case .shadow(_, .merged) = located.residence else { return nil }
            return located
        }
    }

    /// What is known of the counters of a row.
    func counters(_ plan: TablePlan, key: ValueRef, on connection: Connection) throws -> RowState {
        try self.rows.loader(connection).counters(plan, key: key)
    }

    /// The hidden rows that are one with this row.
    func members(_ plan: TablePlan, key: SQLiteValue, on connection: Connection) throws -> [LocatedRow] {
        guard plan.mergeRule != nil, self.shadows.exist(in: plan.definition.number),
            let located = try self.locateShadow(plan, key: key, on: connection)
        else { return [] }
        return try self.members(of: located.state, plan, on: connection)
    }

    /// Sets a counter of hidden rows that are one with a row whose counter a program has set, because rows that are one add up.
    func clear(
        _ members: [LocatedRow],
        of plan: TablePlan,
        slot: Int,
        version: Version,
        batch: inout BatchBuilder,
        in transaction: borrowing WriteTransaction
    ) throws {
        for member in members where member.state.counterValue(slot: slot) != .integer(0) {
            var state = member.state
            let bases = state.counters.filter { $0.slot == slot }
            let setting = CounterSetting(value: .integer(0), bases: bases)
            state.set(setting, slot: slot, version: version)
            try ValueRef.with(state.key) { key in
                let encoded = PinnedValues([.blob(setting.encoded)])
                batch.chunk.append(
                    .update,
                    plan: plan,
                    key: key,
                    timestamp: version.timestamp,
                    slots: 1 << UInt64(slot)
                ) { _ in encoded.refs[0] }
                try self.saver.saveCounters(plan, state, key: key, in: transaction)
            }
            try self.stash(plan, state, before: member, in: transaction)
        }
    }

    /// Makes a program's edit of the key of rows that are one an edit of them all.
    ///
    /// Otherwise the rows would separate, and the old name would be back.
    func share(
        _ difference: RowDifference,
        mark: Mark,
        slots: UInt64,
        row: Statement,
        version: LocalVersion,
        batch: inout BatchBuilder,
        in transaction: borrowing WriteTransaction
    ) throws {
        let plan = mark.plan
        guard case .updated = difference, let rule = plan.mergeRule, slots & rule.mask != 0,
            let before = try self.locateShadow(plan, key: mark.key, on: transaction.connection)
        else { return }
        let shared = slots & rule.mask
        let global = try self.rows.origins.global(version)
        for member in try self.members(of: before.state, plan, on: transaction.connection) {
            var state = member.state
            for slot in shared.setBits {
                state.registers[slot] = RowState.Register(value: row.ref(Int32(slot)).value, version: global)
            }
            ValueRef.with(state.key) { key in
                batch.chunk.append(.update, plan: plan, key: key, timestamp: global.timestamp, slots: shared) {
                    row.ref(Int32($0))
                }
            }
            try self.stash(plan, state, before: member, in: transaction)
        }
    }

    /// Makes a program's deletion of rows that are one a deletion of them all.
    func delete(
        _ members: [LocatedRow],
        of plan: TablePlan,
        _ deletion: RowState.Deletion,
        batch: inout BatchBuilder,
        in transaction: borrowing WriteTransaction
    ) throws {
        for member in members {
            var state = member.state
            var seen = state.deletion?.seen ?? VersionVector()
            seen.merge(deletion.seen)
            state.deletion = RowState.Deletion(seen: seen, version: deletion.version)
            ValueRef.with(state.key) { key in
                batch.chunk.append(.delete, plan: plan, key: key, timestamp: deletion.version.timestamp, slots: 0) {
                    _ in
                    .null
                }
            }
            try self.stash(plan, state, before: member, in: transaction)
        }
    }
}
