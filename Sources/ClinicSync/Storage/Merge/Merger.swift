import ClinicSyncCore
import ClinicSyncModel

/// What applying or merging did in one transaction.
struct MergeResult {
    /// Chunks that were added to the log: the peer's that were new, and own ones collected on the way.
    var logged: [LoggedChunk] = []
    var events: [LoggedEvent] = []
    /// The number of values that lost to different ones.
    var conflicts = 0
    /// Whether complete batches are left for a larger transaction.
    var isPending = false
    /// The largest stamp that was applied.
    var largestTimestamp = HybridTimestamp.genesis
    /// Batches of which chunks were removed from the log; they came back, or may come again.
    var forgotten: [BatchID] = []

    /// Adds what a later part of the same transaction did.
    mutating func append(_ other: MergeResult) {
        self.logged += other.logged
        self.events += other.events
        self.conflicts += other.conflicts
        self.isPending = self.isPending || other.isPending
        self.largestTimestamp = max(self.largestTimestamp, other.largestTimestamp)
        self.forgotten += other.forgotten
    }
}

/// The batch whose changes are applied.
struct AppliedBatch {
    var id: BatchID
    /// The author's small number.
    var originID: Int
    /// What the author had seen, this batch included.
    var seen: VersionVector
    /// What to add to this PC's time to get the clinic's.
    var offset: Int64
}

/// Merges changes and rows of peers into this node's rows.
final class Merger {
    private let rows: RowStates
    private let saver: RowSaver
    private let journal: ConflictJournal
    private let lost: LostValues
    private let collector: Collector
    private let events: EventLog
    private var origins: Origins { self.rows.origins }

    /// Merges into the rows of `saver`.
    init(saver: RowSaver, journal: ConflictJournal, lost: LostValues, collector: Collector, events: EventLog) {
        self.rows = saver.rows
        self.saver = saver
        self.journal = journal
        self.lost = lost
        self.collector = collector
        self.events = events
    }

    // MARK: - Changes

    /// Merges one change into its row.
    ///
    /// - Parameters:
    ///   - change: the change.
    ///   - plan: the row's table.
    ///   - values: the change's values by slot.
    ///   - batch: the batch of the change.
    ///   - events: gets what programs see change.
    ///   - result: gets what was collected on the way, and conflicts.
    ///   - transaction: the transaction.
    /// - Throws: what SQLite reports.
    func apply(
        _ change: ChangeChunkReader.Change,
        plan: TablePlan,
        values: [ValueRef],
        of batch: AppliedBatch,
        events: inout EventCollector,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard Merger.admits(change, plan: plan, values: values) else { return }
        if change.kind == .insert,
            try self.insertFresh(change, plan: plan, values: values, of: batch, events: &events, in: transaction)
        {
            return
        }
        let before = try self.locateCollected(
            plan,
            key: change.key.value,
            offset: batch.offset,
            events: &events,
            result: &result,
            in: transaction
        )
        if try self.isForgotten(change, plan, before, values: values, of: batch, events: &events, in: transaction) {
            return
        }
        var state = before.state
        let delta = self.delta(change, plan: plan, values: values, of: batch)
        try self.giveWay(&state, to: delta, before: before, plan: plan, events: &events, in: transaction)
        var losses = state.merge(delta) { author, version in
            self.origins.hasSeen(author, version)
                || (author.origin == batch.id.origin && author.sequence == batch.id.sequence
                    && batch.seen.covers(version))
        }
        if !change.replaced.isEmpty {
            losses += LostValues.losses(by: change, before: before.state, after: state, beyond: losses)
            try self.lost.keepDeleted(
                by: change,
                plan: plan,
                state: before.state,
                seen: batch.seen,
                events: &events,
                in: transaction
            )
        }
        result.conflicts += try self.lost.settle(
            losses,
            by: LostValues.Overwriting(
                change,
                delta: delta,
                of: batch.id,
                seen: batch.seen,
                before: before.state
            ),
            plan: plan,
            state: state,
            events: &events,
            in: transaction
        )
        guard state != before.state else { return }
        try self.makeRoom(plan, for: state, before: before, events: &events, in: transaction)
        try self.save(plan, state, from: before, change: change, of: batch, events: &events, in: transaction)
    }

    /// Keeps a change in the journal that is of a row whose deletion is forgotten, as far as this node knows.
    ///
    /// The node that made the change has the whole row, alive or deleted, and the next comparison brings it. Until then, and if that
    /// node does not come back, the journal has what people entered. Half a row is never shown.
    ///
    /// - Returns: Whether the change is of such a row, so that nothing is to be merged.
    private func isForgotten(
        _ change: ChangeChunkReader.Change,
        _ plan: TablePlan,
        _ before: LocatedRow,
        values: [ValueRef],
        of batch: AppliedBatch,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        // Every author of a change had the row's insertion, which is applied before: a row of which nothing is known was deleted.
        guard before.isAbsent, change.kind != .insert, !self.rows.sums.forgotten.vector.isEmpty,
            plan.definition.isClinical ? plan.counterSlots == 0 : self.rows.plans.forget(plan)
        else { return false }
        guard change.kind == .update else { return true }
        let version = Version(timestamp: change.timestamp, origin: batch.id.origin, sequence: batch.id.sequence)
        for slot in change.slots.setBits {
            let place = LostValues.Place(plan: plan, key: change.key.value, slot: slot)
            let register = RowState.Register(value: values[slot].value, version: version)
            try self.lost.keep(register, at: place, isDeleted: true, events: &events, in: transaction)
        }
        return true
    }

    /// Merges some columns of a change whose other columns were merged long ago.
    func apply(
        _ change: ChangeChunkReader.Change,
        only slots: UInt64,
        plan: TablePlan,
        values: [ValueRef],
        of batch: AppliedBatch,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard slots != 0, Merger.admits(change, plan: plan, values: values) else { return }
        try self.collector.unsent.giveWay(plan, key: change.key.value, events: &events, in: transaction)
        let before = try self.rows.locate(plan, key: change.key.value, on: transaction.connection)
        guard !before.isAbsent else { return }
        var state = before.state
        var delta = self.delta(change, plan: plan, values: values, of: batch)
        delta.birth = .genesis
        for slot in delta.registers.indices where slots & (1 << UInt64(slot)) == 0 { delta.registers[slot] = nil }
        delta.counters.removeAll { slots & (1 << UInt64($0.slot)) == 0 }
        delta.bases.removeAll { slots & (1 << UInt64($0.slot)) == 0 }
        for slot in slots.setBits {
            // The column's default stood for what the row's author wrote; this is what the author wrote.
            guard let theirs = delta.registers[slot], state.version(slot: slot) == theirs.version else { continue }
            state.registers[slot] = theirs
        }
        let losses = state.merge(delta) { self.origins.hasSeen($0, $1) }
        try self.lost.settle(losses, by: nil, plan: plan, state: state, events: &events, in: transaction)
        guard state != before.state else { return }
        try self.save(plan, state, from: before, change: change, of: batch, events: &events, in: transaction)
    }

    private func insertFresh(
        _ change: ChangeChunkReader.Change,
        plan: TablePlan,
        values: [ValueRef],
        of batch: AppliedBatch,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        let birth = LocalVersion(
            timestamp: change.timestamp.rawValue,
            origin: batch.originID,
            sequence: batch.id.sequence
        )
        guard try self.rows.insertFresh(plan, key: change.key, values: values, birth: birth, in: transaction) else {
            return false
        }
        try self.saver.enqueueIfEntangled(plan, key: change.key, on: transaction.connection) { values[$0] }
        events.add(
            VisibleChange(operation: .insert, slots: change.slots),
            plan: plan,
            key: change.key.value,
            timestamp: change.timestamp,
            batch: batch.id
        ) { values[$0].value }
        return true
    }

    private func save(
        _ plan: TablePlan,
        _ state: RowState,
        from before: LocatedRow,
        change: ChangeChunkReader.Change,
        of batch: AppliedBatch,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        let cause = ProjectionQueue.Cause(timestamp: change.timestamp, batch: batch.id)
        let visible = try self.saver.save(
            plan,
            state,
            from: before,
            cause: cause,
            isFetched: false,
            in: transaction
        )
        guard let visible else { return }
        events.add(
            visible,
            plan: plan,
            key: change.key.value,
            timestamp: change.timestamp,
            batch: batch.id
        ) { state.value(slot: $0) }
    }

    /// The change as a small state.
    private func delta(
        _ change: ChangeChunkReader.Change,
        plan: TablePlan,
        values: [ValueRef],
        of batch: AppliedBatch
    ) -> RowState {
        let version = Version(timestamp: change.timestamp, origin: batch.id.origin, sequence: batch.id.sequence)
        var delta = RowState(
            key: change.key.value,
            birth: change.kind == .insert ? version : .genesis,
            registers: Array(repeating: nil, count: plan.slotCount)
        )
        if change.kind == .delete {
            delta.deletion = RowState.Deletion(seen: batch.seen, version: version)
            return delta
        }
        for slot in change.slots.setBits {
            if plan.counterSlots & (1 << UInt64(slot)) == 0 {
                delta.registers[slot] = RowState.Register(value: values[slot].value, version: version)
            } else if case .integer(let total) = values[slot] {
                let part = RowState.CounterPart(
                    slot: slot,
                    origin: version.origin,
                    total: total,
                    sequence: version.sequence
                )
                delta.merge(part)
                guard change.kind == .insert, total != 0 else { continue }
                // What a row begins with is a value: two PCs that insert the same row do not add up.
                delta.set(CounterSetting(value: .integer(total), bases: [part]), slot: slot, version: version)
            } else if case .blob(let bytes) = values[slot], var setting = CounterSetting(bytes, slot: slot) {
                // Nobody has seen more than there is. A number beyond it would hide what its author counts later.
                setting.bases.removeAll { batch.seen[$0.origin] < $0.sequence }
                delta.set(setting, slot: slot, version: version)
            }
        }
        return delta
    }

    // MARK: - Whole rows

    /// Merges a peer's row of a reconciliation, or of a state, into ours.
    ///
    /// `settled`: when both the version that wins and the version that loses are of these batches, no entry is made: the peer's
    /// journal has it if there must be one, and comes too.
    ///
    /// - Returns: Whether our row changed, and whether our row has something that the peer's has not.
    func merge(
        _ theirs: RowState,
        plan: TablePlan,
        settled: VersionVector? = nil,
        offset: Int64,
        events: inout EventCollector,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws -> (isChanged: Bool, isAhead: Bool) {
        guard Merger.admits(theirs, plan: plan) else { return (false, false) }
        let before = try self.locateCollected(
            plan,
            key: theirs.key,
            offset: offset,
            events: &events,
            result: &result,
            in: transaction
        )
        var state = before.state
        if state.deletion != nil { state.limitSeen(to: self.possible) }
        let theirs = theirs.limited(toBatches: self.origins.vector.total)
        try self.giveWay(&state, to: theirs, before: before, plan: plan, events: &events, in: transaction)
        let losses = state.merge(theirs) { winner, loser in
            // The peer has made no entry for a value that loses to one which the peer does not know.
            let isSettled = settled.map { $0.covers(winner) && $0.covers(loser) } ?? false
            return isSettled || self.origins.hasSeen(winner, loser)
        }
        if settled == nil, self.isForgotten(state, plan) {
            // What counts in no comparison decides none: the node that has the row keeps it, and the other one takes it.
            let policy = plan.definition.deletePolicy
            if !before.isAbsent, before.state.isVisible(policy) { return (false, true) }
            if theirs.isVisible(policy) {
                state = theirs
                state.merge(before.state.counters)
                state.merge(bases: before.state.bases)
            }
        }
        try self.lost.settle(losses, by: nil, plan: plan, state: state, events: &events, in: transaction)
        let isAhead = state != theirs
        // A row whose versions were damaged is saved also when it is equal: then its versions are known again.
        let isUnknown = before.residence.meta?.isUnknown == true
        let isKept =
            try state == before.state && !before.isAbsent && !isUnknown
            && self.rows.isKept(plan, before, on: transaction.connection)
        guard !isKept else {
            // The peer may show the row in another form: a constraint refused it here and would not any more, or this file lost
            // what told the node to compute the form again.
            if settled == nil { self.saver.enqueue(plan, key: theirs.key) }
            return (false, isAhead)
        }
        try self.makeRoom(plan, for: state, before: before, events: &events, in: transaction)
        if let visible = try self.saver.save(plan, state, from: before, cause: nil, in: transaction) {
            events.add(visible, plan: plan, key: theirs.key, timestamp: state.largestTimestamp, batch: nil) {
                state.value(slot: $0)
            }
            if plan === self.journal.plan {
                try self.journal.noteForeign(theirs.key, events: &events, in: transaction)
            }
        }
        return (true, isAhead)
    }

    /// Whether a row is deleted, and the deletion is forgotten.
    private func isForgotten(_ state: RowState, _ plan: TablePlan) -> Bool {
        !state.isVisible(plan.definition.deletePolicy) && self.rows.sums.forgotten.contain(state)
    }

    /// Everything that a deletion in this file can have seen: what is applied, and the own batch that is being collected.
    private var possible: VersionVector {
        var vector = self.origins.vector
        vector.advance(self.origins.own, to: vector[self.origins.own] &+ 1)
        return vector
    }

    /// Of a row whose versions this node does not know any more, takes out the columns that `other` has: they are taken from there.
    ///
    /// What the table shows otherwise goes to the journal.
    private func giveWay(
        _ state: inout RowState,
        to other: RowState,
        before: LocatedRow,
        plan: TablePlan,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard before.residence.meta?.isUnknown == true else { return }
        for (slot, theirs) in other.registers.enumerated() {
            guard let theirs, slot < state.registers.count, let ours = state.registers[slot], ours.version == .genesis
            else {
                continue
            }
            state.registers[slot] = nil
            // Of a column that a program dropped here the table shows nothing that anybody entered.
            guard ours.value != theirs.value, plan.asideSlots & (1 << UInt64(slot)) == 0 else { continue }
            let place = LostValues.Place(plan: plan, key: state.key, slot: slot)
            // Stands for a value that was too large to be sent, and is in the journal.
            if ours.value == plan.placeholder(slot: slot), try self.lost.hasKept(place, in: transaction) { continue }
            try self.lost.keep(ours.value, at: place, isShown: false, events: &events, in: transaction)
        }
    }

    // MARK: - Sizes

    /// Whether a change fits the limits of a table that nodes fill; every node leaves out the same changes.
    private static func admits(_ change: ChangeChunkReader.Change, plan: TablePlan, values: [ValueRef]) -> Bool {
        guard plan.valueBytesMax != nil else { return true }
        return SystemTableLimits.admits(change.key, in: plan)
            && change.slots.setBits.allSatisfy { SystemTableLimits.admits(values[$0], in: plan) }
    }

    /// Whether a peer's row fits the limits of a table that nodes fill.
    private static func admits(_ row: RowState, plan: TablePlan) -> Bool {
        guard plan.valueBytesMax != nil else { return true }
        return SystemTableLimits.admits(row.key, in: plan)
            && row.registers.allSatisfy { register in
                register.map { SystemTableLimits.admits($0.value, in: plan) } ?? true
            }
    }

    // MARK: - Rows

    /// The whole state of a row into which something is to be merged.
    ///
    /// A row that was written past the triggers is collected first, as this node's edit. Otherwise its new values would
    /// count as those of the known version, and two nodes would show different values under one version for ever.
    private func locateCollected(
        _ plan: TablePlan,
        key: SQLiteValue,
        offset: Int64,
        events: inout EventCollector,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws -> LocatedRow {
        try self.collector.unsent.giveWay(plan, key: key, events: &events, in: transaction)
        let located = try self.rows.locate(plan, key: key, on: transaction.connection)
        if self.rows.isAsKnown(plan, located) { return located }
        try ValueRef.with(key) { try self.rows.marks.markUnmarked(plan, key: $0, in: transaction) }
        try self.collectAll(offset: offset, result: &result, in: transaction)
        // What was written past the triggers may be too large to be sent.
        try self.collector.unsent.giveWay(plan, key: key, events: &events, in: transaction)
        return try self.rows.locate(plan, key: key, on: transaction.connection)
    }

    /// Removes a new row of this PC that is too large to be sent, where the table is about to show another node's row of its key.
    private func makeRoom(
        _ plan: TablePlan,
        for state: RowState,
        before: LocatedRow,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        switch before.residence {
        case .row, .shadow: return
        case .absent, .tombstone: break
        }
        guard state.isVisible(plan.definition.deletePolicy) else { return }
        try self.collector.unsent.makeRoom(plan, for: state, events: &events, in: transaction)
    }

    /// Collects all marks before something is merged into their rows.
    func collectAll(offset: Int64, result: inout MergeResult, in transaction: borrowing WriteTransaction) throws {
        var events = EventCollector(isLocal: true)
        result.logged += try self.collector.collectAll(offset: offset, events: &events, in: transaction)
        result.events += try self.events.record(events, in: transaction)
    }
}
