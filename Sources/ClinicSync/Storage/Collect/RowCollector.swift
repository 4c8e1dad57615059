import ClinicSyncCore
import ClinicSyncModel

/// Compares a marked row with what the node knows of it, and adds the difference to a batch.
final class RowCollector {
    private let rows: RowStates
    private let saver: RowSaver
    private let counted: CountedChanges
    private let lost: LostValues
    private let large: LargeRows
    private let unmarked: UnmarkedRows
    private let written: WrittenRows
    private let batches: OwnBatches
    private let unshared: UnsharedBatches
    private let clock: StoreClock
    private var hasher = RowHasher()

    /// Collects into the batches of `batches`.
    init(
        saver: RowSaver,
        counters: Counters,
        lost: LostValues,
        large: LargeRows,
        unmarked: UnmarkedRows,
        batches: OwnBatches,
        unshared: UnsharedBatches,
        clock: StoreClock
    ) {
        self.rows = saver.rows
        self.saver = saver
        self.lost = lost
        self.large = large
        self.unmarked = unmarked
        self.written = WrittenRows(saver: saver)
        self.counted = CountedChanges(counters: counters, written: self.written, lost: lost)
        self.batches = batches
        self.unshared = unshared
        self.clock = clock
    }

    /// Collects one mark.
    ///
    /// - Parameters:
    ///   - mark: the mark.
    ///   - source: the connection that reads the row; it has the snapshot in which the mark was read.
    ///   - offset: what to add to the mark's time to get the clinic's.
    ///   - batch: the own batch; begun when the first change is added.
    ///   - events: gets the change.
    ///   - transaction: the transaction.
    /// - Throws: what SQLite reports.
    func collect(
        _ mark: Mark,
        from source: Connection,
        offset: Int64,
        batch: inout BatchBuilder?,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        try ValueRef.with(mark.key) { key in
            // Whether values of a deleted row may have been saved under the key.
            var mayHaveLastValues = true
            var refused: Refused?
            let isThere: Bool? = try source.query(mark.plan.sql.select).bind(1, key).first { row in
                let difference = try self.difference(mark.plan, key: key, row: row, in: transaction)
                if difference.isBirth, mark.source != .program {
                    try self.rows.marks.indexes.check(mark.plan, on: transaction.connection)
                }
                if try self.large.setAside(difference, mark: mark, row: row, in: transaction) { return true }
                if case .updated(let meta, let slots) = difference,
                    try self.unmarked.isRefused(mark, meta, slots: slots, row: row, on: transaction.connection)
                {
                    refused = Refused(meta, slots: slots, hashes: self.hasher.hashes, row: row, plan: mark.plan)
                    return true
                }
                mayHaveLastValues = !difference.isBirth
                try self.record(
                    difference,
                    mark: mark,
                    key: key,
                    row: row,
                    offset: offset,
                    builder: &batch,
                    events: &events,
                    in: transaction
                )
                return true
            }
            if let refused { try self.setBack(refused, mark, key: key, events: &events, in: transaction) }
            if isThere == nil {
                try self.collectMissing(
                    mark,
                    key: key,
                    offset: offset,
                    batch: &batch,
                    events: &events,
                    in: transaction
                )
            }
            if try self.rows.marks.remove(mark, key: key, in: transaction), mayHaveLastValues {
                try self.rows.marks.forgetLastValues(mark.plan, key: key, in: transaction)
            }
        }
    }

    /// A difference that is no edit of this node, with what the table shows.
    private struct Refused {
        let meta: RowMeta
        let slots: UInt64
        let hashes: RowHashes
        let values: [SQLiteValue]

        init(_ meta: RowMeta, slots: UInt64, hashes: RowHashes, row: Statement, plan: TablePlan) {
            self.meta = meta
            self.slots = slots
            self.hashes = hashes
            self.values = (0..<plan.slotCount).map { row.ref(Int32($0)).value }
        }
    }

    /// Puts back what other nodes have, unless a program has written the row since the snapshot: the collector comes to its mark.
    private func setBack(
        _ refused: Refused,
        _ mark: Mark,
        key: ValueRef,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard try self.rows.marks.isCurrent(mark, key: key, on: transaction.connection) else { return }
        try self.unmarked.setBack(
            mark,
            meta: refused.meta,
            slots: refused.slots,
            hashes: refused.hashes,
            values: refused.values,
            events: &events,
            in: transaction
        )
    }

    /// Collects a mark whose row is not in its table.
    private func collectMissing(
        _ mark: Mark,
        key: ValueRef,
        offset: Int64,
        batch: inout BatchBuilder?,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        try self.large.notes.removeLarge(mark.plan, key: mark.key, in: transaction)
        guard let meta = try self.rows.table.meta(mark.plan, key: key, on: transaction.connection) else { return }
        if mark.source != .program { try self.rows.marks.indexes.check(mark.plan, on: transaction.connection) }
        guard try !self.unmarked.isDeletionRefused(mark, on: transaction.connection) else {
            guard try self.rows.marks.isCurrent(mark, key: key, on: transaction.connection) else { return }
            return try self.unmarked.forgetMissing(mark.plan, key: mark.key, meta: meta, in: transaction)
        }
        try self.recordDeletion(
            meta,
            mark: mark,
            key: key,
            offset: offset,
            builder: &batch,
            events: &events,
            in: transaction
        )
    }

    private func difference(
        _ plan: TablePlan,
        key: ValueRef,
        row: Statement,
        in transaction: borrowing WriteTransaction
    ) throws -> RowDifference {
        self.hasher.hash(plan, key: key) { row.ref(Int32($0)) }
        guard let meta = try self.rows.table.meta(plan, key: key, on: transaction.connection) else { return .inserted }
        let changed = meta.changedSlots(self.hasher.hashes, plan: plan)
        return changed == 0 ? .none : .updated(meta, changed)
    }

    // MARK: - Insertions and updates

    /// Adds an insertion or an update to the batch and to the metadata.
    private func record(
        _ difference: RowDifference,
        mark: Mark,
        key: ValueRef,
        row: Statement,
        offset: Int64,
        builder: inout BatchBuilder?,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        let plan = mark.plan
        var replaced: ReplacedStamps
        let slots: UInt64
        let kind: ChangeKind
        switch difference {
        case .none:
            return
        case .inserted:
            (kind, slots) = (.insert, plan.valueSlots)
            replaced = try self.replacedByInsertion(plan, mark.key, key: key, on: transaction.connection)
        case .updated(let meta, let changed):
            // Columns of one CHECK are written together, or a merge could mix what the CHECK forbids.
            (kind, slots) = (.update, plan.unitsTouched(by: changed))
            replaced = self.replaced(meta, slots: slots)
        }
        if plan.counterSlots & slots != 0 { try self.addCounters(of: mark, to: &replaced, on: transaction.connection) }
        let timestamp = self.batches.limited(
            self.clock.stamp(writtenAt: mark.writtenAt, offset: offset, after: replaced.largest),
            in: builder
        )
        var batch = builder.take() ?? self.batches.begin(timestamp: timestamp)
        batch.hasChanges = true
        batch.floor = max(batch.floor, replaced.shared)
        let version = LocalVersion(
            timestamp: timestamp.rawValue,
            origin: self.rows.origins.ownID,
            sequence: batch.id.sequence
        )
        try self.append(
            kind,
            difference,
            mark: mark,
            key: key,
            row: row,
            slots: slots,
            version,
            &batch,
            events: &events,
            in: transaction
        )
        try self.written.share(
            difference,
            mark: mark,
            slots: slots,
            row: row,
            version: version,
            batch: &batch,
            in: transaction
        )
        builder = batch
        try self.adopt(difference, version: version, mark: mark, key: key, row: row, slots: slots, in: transaction)
        try self.written.queue(plan, key: key, difference, slots: slots, row: row, in: transaction)
        events.add(
            VisibleChange(operation: kind == .insert ? .insert : .update, slots: difference.slots ?? slots),
            plan: plan,
            key: mark.key,
            timestamp: timestamp,
            batch: batch.id
        ) { row.ref(Int32($0)).value }
    }

    /// Counts the stamps of a row's counters as replaced, too.
    private func addCounters(of mark: Mark, to replaced: inout ReplacedStamps, on connection: Connection) throws {
        for state in try self.counted.known(mark.plan, key: mark.key, on: connection) {
            let stamps = self.replaced(state)
            replaced.largest = max(replaced.largest, stamps.largest)
            replaced.shared = max(replaced.shared, stamps.shared)
        }
    }

    /// Appends a change of a row to the batch's chunk.
    private func append(
        _ kind: ChangeKind,
        _ difference: RowDifference,
        mark: Mark,
        key: ValueRef,
        row: Statement,
        slots: UInt64,
        _ version: LocalVersion,
        _ batch: inout BatchBuilder,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        let plan = mark.plan
        var unread: [Int: UInt32] = [:]
        if mark.source != .program, case .updated(let meta, let changed) = difference {
            unread = try self.unmarked.keepReplaced(
                plan,
                key: mark.key,
                meta,
                slots: changed,
                events: &events,
                in: transaction
            )
        } else if mark.source != .program {
            unread = try self.unmarked.unreadInsertion(plan, on: transaction.connection)
        }
        if plan.freshSlots != 0, case .updated(let meta, let changed) = difference {
            let aside = try self.lost.keepAside(
                plan,
                key: mark.key,
                meta,
                slots: changed,
                events: &events,
                in: transaction
            )
            unread.merge(aside) { first, _ in first }
        }
        try self.counted.append(
            kind,
            mark: (plan, mark.key),
            slots: slots,
            known: difference.meta,
            unread: unread,
            row: row,
            version: try self.rows.origins.global(version),
            batch: &batch,
            in: transaction
        )
    }

    /// Brings the metadata in line with a row that a program wrote; the hasher holds the row's hashes.
    private func adopt(
        _ difference: RowDifference,
        version: LocalVersion,
        mark: Mark,
        key: ValueRef,
        row: Statement,
        slots: UInt64,
        in transaction: borrowing WriteTransaction
    ) throws {
        let plan = mark.plan
        var versions = RowTable.Versions(birth: version)
        var old: Digest?
        var hashes = self.hasher.hashes
        if case .updated(var meta, _) = difference {
            meta.assign(slots, to: version)
            versions = RowTable.Versions(birth: meta.birth, groups: meta.encodedGroups, context: meta.context)
            old = meta.hash
            // The versions of the other columns are still to be fetched from another node.
            if meta.isUnknown { hashes.row = RowMeta.unknownHash }
        } else if try !self.rows.isPlainlyNew(plan, key: key, on: transaction.connection) {
            // Born again: the old deletions stay known, so that every node judges the row by the same knowledge.
            let located = try self.rows.locate(plan, key: mark.key, on: transaction.connection)
            versions.context = try self.rows.context(of: located.state, in: transaction)
            if case .tombstone = located.residence {
                try self.rows.tombstones.remove(plan, key: key, in: transaction)
            }
        }
        try self.rows.table.write(
            plan,
            key: key,
            versions,
            hashes: hashes,
            replacing: old,
            in: transaction
        )
        guard self.rows.shadows.exist(in: plan.definition.number) else { return }
        try self.written.mergeIntoShadow(
            plan,
            key: mark.key,
            version: version,
            slots: slots,
            row: row,
            isBirth: difference.isBirth,
            in: transaction
        )
    }

    // MARK: - Deletions

    private func recordDeletion(
        _ meta: RowMeta,
        mark: Mark,
        key: ValueRef,
        offset: Int64,
        builder: inout BatchBuilder?,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        let plan = mark.plan
        let before = try self.lastLocated(plan, key: key, meta: meta, in: transaction)
        let members = try self.written.members(of: before.state, plan, on: transaction.connection)
        var state = before.state
        if mark.source != .program {
            try self.unmarked.recall(plan, key: mark.key, meta, &state, on: transaction.connection)
        }
        let replaced = self.replaced(state)
        let timestamp = self.batches.limited(
            self.clock.stamp(writtenAt: mark.writtenAt, offset: offset, after: replaced.largest),
            in: builder
        )
        var batch = builder.take() ?? self.batches.begin(timestamp: timestamp)
        batch.hasChanges = true
        batch.floor = max(batch.floor, replaced.shared)
        let version = Version(timestamp: timestamp, origin: self.rows.origins.own, sequence: batch.id.sequence)
        try self.recordLastEdit(
            plan,
            key: key,
            meta: meta,
            version: version,
            state: &state,
            batch: &batch,
            in: transaction
        )
        if mark.source != .program {
            try self.keepDeleted(plan, key: key, meta, state, &batch, timestamp, events: &events, in: transaction)
        }
        batch.chunk.append(.delete, plan: plan, key: key, timestamp: timestamp, slots: 0) { _ in .null }
        var seen = state.deletion?.seen ?? VersionVector()
        seen.merge(batch.seen)
        let deletion = RowState.Deletion(seen: seen, version: version)
        state.deletion = deletion
        try self.rows.table.remove(plan, key: key, hash: meta.hash, in: transaction)
        try self.written.queueDeleted(plan, before: before, on: transaction.connection)
        try self.rows.tombstones.bury(plan, state, key: key, in: transaction)
        try self.rows.shadows.remove(plan, key: key, in: transaction)
        // A repair brought an edit whose batch has not come yet: no node's deletion covers it, so the row is shown again.
        if state.isVisible(plan.definition.deletePolicy) { self.saver.enqueue(plan, key: mark.key) }
        try self.written.delete(members, of: plan, deletion, batch: &batch, in: transaction)
        builder = batch
        events.add(
            VisibleChange(operation: .delete, slots: 0),
            plan: plan,
            key: mark.key,
            timestamp: timestamp,
            batch: batch.id
        ) { state.value(slot: $0) }
    }

    /// A row that a program deleted, as this node knew it.
    ///
    /// That is its own state if it is in the shadows, otherwise versions from its metadata and values as the trigger saved them.
    private func lastLocated(
        _ plan: TablePlan,
        key: ValueRef,
        meta: RowMeta,
        in transaction: borrowing WriteTransaction
    ) throws -> LocatedRow {
        let loader = self.rows.loader(transaction.connection)
        if let form = try self.rows.shadows.form(plan, key: key, on: transaction.connection),
            let state = try loader.stored(.shadow, plan, key: key)
        {
            return LocatedRow(state: state, residence: .shadow(meta, form))
        }
        var state = try loader.state(plan, key: key, meta: meta)
        try self.rows.marks.withLastValues(plan, key: key, in: transaction) { row in
            for slot in (plan.valueSlots & ~plan.counterSlots).setBits {
                let version = try self.rows.origins.global(meta.version(of: slot))
                state.registers[slot] = RowState.Register(value: row.ref(Int32(slot)).value, version: version)
            }
        }
        return LocatedRow(state: state, residence: .row(meta))
    }

    /// Has every node keep in the journal that a row was deleted without a mark: one of its values stands for the row.
    private func keepDeleted(
        _ plan: TablePlan,
        key: ValueRef,
        _ meta: RowMeta,
        _ state: RowState,
        _ batch: inout BatchBuilder,
        _ timestamp: HybridTimestamp,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        let slots = (plan.valueSlots & ~plan.counterSlots).setBits
        let written = slots.first { $0 < meta.columns.count && meta.columns[$0] != 0 }
        guard let slot = written ?? slots.first(where: { _ in true }) else { return }
        batch.chunk.append(
            .update,
            plan: plan,
            key: key,
            timestamp: timestamp,
            slots: 0,
            replaced: [slot: LostValues.unread]
        ) { _ in .null }
        guard let register = state.registers[slot] else { return }
        let place = LostValues.Place(plan: plan, key: key.value, slot: slot)
        try self.lost.keep(register, at: place, isDeleted: true, events: &events, in: transaction)
    }

    /// Adds the edit of a row that was edited and deleted before the node looked.
    ///
    /// The edit comes first, so that its values are those of one version on every node, should the row be needed again.
    private func recordLastEdit(
        _ plan: TablePlan,
        key: ValueRef,
        meta: RowMeta,
        version: Version,
        state: inout RowState,
        batch: inout BatchBuilder,
        in transaction: borrowing WriteTransaction
    ) throws {
        try self.rows.marks.withLastValues(plan, key: key, in: transaction) { row in
            self.hasher.hash(plan, key: key) { row.ref(Int32($0)) }
            let slots = plan.unitsTouched(by: meta.changedSlots(self.hasher.hashes, plan: plan))
            guard slots != 0 else { return }
            try self.counted.append(
                .update,
                mark: (plan, key.value),
                slots: slots,
                known: meta,
                row: row,
                version: version,
                batch: &batch,
                in: transaction
            )
            for slot in (slots & ~plan.counterSlots).setBits {
                state.registers[slot] = RowState.Register(value: row.ref(Int32(slot)).value, version: version)
            }
        }
    }

    // MARK: - Stamps

    private func replacedByInsertion(
        _ plan: TablePlan,
        _ name: SQLiteValue,
        key: ValueRef,
        on connection: Connection
    ) throws -> ReplacedStamps {
        if try self.rows.isPlainlyNew(plan, key: key, on: connection) { return ReplacedStamps() }
        return self.replaced(try self.rows.locate(plan, key: name, on: connection).state)
    }

    /// The stamps of some columns of a row.
    private func replaced(_ meta: RowMeta, slots: UInt64) -> ReplacedStamps {
        var stamps = ReplacedStamps()
        for slot in slots.setBits {
            let version = meta.version(of: slot)
            let stamp = HybridTimestamp(rawValue: version.timestamp)
            stamps.largest = max(stamps.largest, stamp)
            if self.unshared.isShared(version) { stamps.shared = max(stamps.shared, stamp) }
        }
        return stamps
    }

    /// The stamps of everything in a row's state.
    private func replaced(_ state: RowState) -> ReplacedStamps {
        ReplacedStamps(largest: state.largestTimestamp, shared: self.unshared.sharedFloor(of: state))
    }
}
