package import ClinicSyncCore
import ClinicSyncModel

/// Turns the marks that triggers left into batches.
///
/// A mark says only that a row may have changed. Row by row the collector compares what is in the table with the
/// hashes of what the node last knew, and derives the operation and the changed columns. Marks and rows are read
/// in one snapshot, so that a batch is a union of whole transactions; see `docs/design/0001-capture.md`.
extension ReplicaWriter {
    /// Up to so many marks are collected in one short write transaction; more are collected in slices.
    static let singleTransactionMarksMax = 256
    /// The write lock is held for so long at a time when collecting in slices, leaving room below 50 ms for the commit.
    static let slice: Duration = .milliseconds(30)
    /// A write found this long after it was made was made while the node did not run; it keeps the time it was made.
    static let liveMilliseconds: Int64 = 5_000

    /// A mark: a row that may have changed.
    struct Mark {
        var plan: TablePlan
        var key: SQLiteValue
        var writtenAt: Int64
        var count: Int64
    }

    /// Collects marks for at most 50 ms; see ``CollectOutcome/hasMore``.
    ///
    /// `offset` is what to add to this PC's wall time to get the host's. Throws ``StoreError``; the store is as before then.
    package func collect(clockOffsetMilliseconds offset: Int64) throws -> CollectOutcome {
        self.clockOffsetMilliseconds = offset
        let repaired = try self.repairCapture()
        var outcome = try self.collectSlice(offset: offset)
        outcome.repairedTables = repaired
        return outcome
    }

    private func collectSlice(offset: Int64) throws -> CollectOutcome {
        if let bulk = self.bulk { return try self.collect(bulk) }
        let marks = try self.countMarks(limit: ReplicaWriter.singleTransactionMarksMax + 1)
        let isOpen = try self.perform { try self.openOwnBatch() != nil }
        guard marks > 0 || isOpen else {
            return CollectOutcome(
                logged: [],
                vector: self.ledger.vector,
                events: [],
                hasMore: false,
                repairedTables: []
            )
        }
        if marks > ReplicaWriter.singleTransactionMarksMax, let snapshots = self.database.snapshots {
            let bulk = try BulkCollection(snapshots, offset: offset)
            self.bulk = bulk
            self.hasFilledCache = true
            return try self.collect(bulk)
        }
        var events = EventCollector(isLocal: true)
        var retried = EventCollector(isLocal: false)
        let (logged, recorded) = try self.durably {
            try self.transaction {
                let logged = try self.collectAll(offset: offset, events: &events)
                // A program may have given back a key that another row claims, or needs a row that was deleted.
                try self.projectRows(events: &retried)
                return (logged, try self.takeLateEvents() + self.record(events) + self.record(retried))
            }
        }
        return CollectOutcome(
            logged: logged,
            vector: self.ledger.vector,
            events: recorded,
            hasMore: false,
            repairedTables: []
        )
    }

    /// How many marks there are, counting to `limit`.
    func countMarks(limit: Int) throws -> Int {
        try self.perform {
            try self.connection.statement("SELECT count(*) FROM (SELECT 1 FROM clinicsync_dirty LIMIT ?1)")
                .bind(1, limit)
                .first { $0.int(0) } ?? 0
        }
    }

    /// Runs `body` so that its commit is on the disk when it returns.
    ///
    /// The number of an own batch must never be used twice, not even after a power cut, once a peer may have seen it.
    func durably<Result>(_ body: () throws -> Result) throws -> Result {
        try self.perform { try self.connection.execute("PRAGMA synchronous = FULL") }
        defer { _ = Swift.Result { try self.perform { try self.connection.execute("PRAGMA synchronous = NORMAL") } } }
        return try body()
    }

    // MARK: - One transaction

    /// Collects every mark there is.
    ///
    /// Runs inside a write transaction.
    func collectAll(offset: Int64, events: inout EventCollector) throws -> [LoggedChunk] {
        var marks: [Mark] = []
        try self.connection
            .statement("SELECT tableId, pk, writtenAt, n FROM clinicsync_dirty ORDER BY tableId, pk")
            .forEach { row in
                guard let plan = self.plans[row.int(0)] else { return }
                marks.append(
                    Mark(plan: plan, key: row.ref(1).value, writtenAt: row.int64(2), count: row.int64(3))
                )
            }
        var builder = try self.openOwnBatch()
        var logged: [LoggedChunk] = []
        for mark in marks {
            try self.collect(mark, from: self.connection, offset: offset, builder: &builder, events: &events)
            if builder?.chunk.isFull(at: self.limits.chunkBytes) == true, let chunk = builder?.takeChunk(isLast: false)
            {
                logged.append(try self.log(chunk))
            }
        }
        if let chunk = try self.close(&builder) { logged.append(chunk) }
        return logged
    }

    // MARK: - Slices

    /// Collects one slice of a bulk.
    private func collect(_ bulk: BulkCollection) throws -> CollectOutcome {
        var events = EventCollector(isLocal: true, rowsLeft: bulk.eventRowsLeft)
        var retried = EventCollector(isLocal: false)
        var recorded: [LoggedEvent] = []
        var logged: [LoggedChunk] = []
        var isDone = false
        do {
            try self.perform { try bulk.makeWay(self.connection) }
            try self.durably {
                try self.transaction {
                    var builder = try self.openOwnBatch()
                    let clock = ContinuousClock()
                    let deadline = clock.now + ReplicaWriter.slice
                    var count = 0
                    repeat {
                        guard let mark = try bulk.next(self.plans) else {
                            isDone = true
                            break
                        }
                        try self.collect(
                            mark,
                            from: bulk.connection,
                            offset: bulk.offset,
                            builder: &builder,
                            events: &events
                        )
                        if builder?.chunk.isFull(at: self.limits.chunkBytes) == true,
                            let chunk = builder?.takeChunk(isLast: false)
                        {
                            logged.append(try self.log(chunk))
                        }
                        count += 1
                    } while count & 31 != 0 || clock.now < deadline
                    if isDone {
                        if let chunk = try self.close(&builder) { logged.append(chunk) }
                    } else if let chunk = builder?.takeChunk(isLast: false), let batch = builder, batch.hasChanges {
                        logged.append(try self.log(chunk))
                        try self.noteUnshared(batch)
                    }
                    try self.projectRows(events: &retried)
                    recorded = try self.takeLateEvents() + self.record(events) + self.record(retried)
                }
            }
        } catch {
            // The marks of this slice are still there; a new snapshot will find them.
            bulk.abandon()
            self.bulk = nil
            throw error
        }
        bulk.eventRowsLeft = events.rowsLeft
        if isDone {
            bulk.abandon()
            self.bulk = nil
        }
        return CollectOutcome(
            logged: logged,
            vector: self.ledger.vector,
            events: recorded,
            hasMore: true,
            repairedTables: []
        )
    }

    /// Collects slice by slice until nothing is left of a bulk, for work that cannot begin before.
    func finishBulk(offset: Int64, logged: inout [LoggedChunk], events: inout [LoggedEvent]) throws {
        while try self.bulk != nil
            || self.countMarks(limit: ReplicaWriter.inlineMarksMax + 1) > ReplicaWriter.inlineMarksMax
        {
            let outcome = try self.collectSlice(offset: offset)
            logged += outcome.logged
            events += outcome.events
        }
    }

    /// Up to so many marks are collected inside the transaction that applies a peer's batch.
    static let inlineMarksMax = 2_000

    // MARK: - Batches

    /// The own batch whose first chunks are in the log and whose end is not: a bulk's, perhaps of before a crash.
    private func openOwnBatch() throws -> BatchBuilder? {
        let sequence = self.ledger.origins[self.ownID].sequence + 1
        let next = try self.connection
            .statement("SELECT max(chunk) FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2")
            .bind(1, self.ownID)
            .bind(2, sequence)
            .first { $0.isNull(0) ? nil : UInt32($0.int64(0)) + 1 }
        guard let nextChunk = next ?? nil, let header = try self.header(originID: self.ownID, sequence: sequence) else {
            return nil
        }
        return self.builder(sequence: sequence, header: header, nextChunk: nextChunk)
    }

    private func builder(sequence: UInt64, header: BatchHeader, nextChunk: UInt32) -> BatchBuilder {
        var seen = self.ledger.vector
        seen.advance(self.origin, to: sequence)
        return BatchBuilder(
            id: BatchID(origin: self.origin, sequence: sequence),
            header: header,
            seen: seen,
            nextChunk: nextChunk,
            clockOffset: self.clockOffsetMilliseconds
        )
    }

    private func newBatch(timestamp: HybridTimestamp) -> BatchBuilder {
        let own = self.ledger.origins[self.ownID]
        let dependencies = VersionVector(
            self.ledger.vector.entries(beyond: own.seen).filter { $0.origin != self.origin }
        )
        let header = BatchHeader(
            timestamp: timestamp,
            dependencies: dependencies,
            schemaVersion: self.schemaVersion
        )
        return self.builder(sequence: own.sequence + 1, header: header, nextChunk: 0)
    }

    /// Logs the last chunk and counts the batch as applied here.
    private func close(_ builder: inout BatchBuilder?) throws -> LoggedChunk? {
        guard var batch = builder else { return nil }
        let logged = try self.log(batch.takeChunk(isLast: true))
        try self.noteUnshared(batch)
        builder = nil
        self.ledger.origins[self.ownID].sequence = batch.id.sequence
        self.ledger.origins[self.ownID].seen.merge(batch.header.dependencies)
        self.ledger.origins[self.ownID].isChanged = true
        return logged
    }

    // MARK: - One row

    /// Compares a marked row with what is known of it and adds the difference to the batch.
    private func collect(
        _ mark: Mark,
        from source: Connection,
        offset: Int64,
        builder: inout BatchBuilder?,
        events: inout EventCollector
    ) throws {
        try ValueRef.with(mark.key) { key in
            var found = RowDifference.none
            let isThere: Bool? = try source.statement(mark.plan.selectSQL).bind(1, key).first { row in
                found = try self.difference(mark, key: key, row: row)
                if try self.setAsideLarge(found, mark: mark, row: row) {
                    found = .none
                    return true
                }
                try self.record(
                    found,
                    mark: mark,
                    key: key,
                    row: row,
                    offset: offset,
                    builder: &builder,
                    events: &events
                )
                return true
            }
            if isThere == nil { try self.forgetLarge(mark.plan, key: mark.key) }
            if isThere == nil, let meta = try self.meta(mark.plan, key: key) {
                found = .deleted(meta)
                try self.recordDeletion(meta, mark: mark, key: key, offset: offset, builder: &builder, events: &events)
            }
            try self.connection
                .statement("DELETE FROM clinicsync_dirty WHERE tableId = ?1 AND pk = ?2 AND n = ?3")
                .bind(1, mark.plan.definition.number)
                .bind(2, key)
                .bind(3, mark.count)
                .run()
            if found.mayHaveLastValues, self.connection.changes > 0 {
                try self.connection.statement(mark.plan.deleteLastSQL).bind(1, key).run()
            }
        }
    }

    /// What a marked row turned out to be.
    enum RowDifference {
        case none
        case inserted
        case updated(RowMeta, UInt64)
        case deleted(RowMeta)

        /// Whether values of a deleted row may have been saved under the key.
        var mayHaveLastValues: Bool {
            if case .inserted = self { false } else { true }
        }
    }

    private func difference(_ mark: Mark, key: ValueRef, row: Statement) throws -> RowDifference {
        self.hashes.compute(plan: mark.plan, key: key, scratch: &self.scratch) { row.ref(Int32($0)) }
        guard let meta = try self.meta(mark.plan, key: key) else { return .inserted }
        let changed = meta.changedSlots(self.hashes, plan: mark.plan)
        return changed == 0 ? .none : .updated(meta, changed)
    }

    /// Adds an insertion or an update to the batch and to the metadata.
    private func record(
        _ difference: RowDifference,
        mark: Mark,
        key: ValueRef,
        row: Statement,
        offset: Int64,
        builder: inout BatchBuilder?,
        events: inout EventCollector
    ) throws {
        let plan = mark.plan
        let known: Known
        let slots: UInt64
        let kind: ChangeKind
        switch difference {
        case .none, .deleted:
            return
        case .inserted:
            (kind, slots) = (.insert, plan.valueSlots)
            known = try self.isPlainlyNew(plan, key: key) ? Known() : self.known(self.locate(plan, key: mark.key).state)
        case .updated(let meta, let changed):
            // What a CHECK speaks of together is written together, or a merge could mix what it forbids.
            (kind, slots) = (.update, plan.unitsTouched(by: changed))
            known = self.known(meta, slots: slots)
        }
        let timestamp = self.timestamp(mark, after: known.largest, offset: offset)
        var batch = builder ?? self.newBatch(timestamp: timestamp)
        batch.hasChanges = true
        batch.floor = max(batch.floor, known.shared)
        let version = LocalVersion(timestamp: timestamp.rawValue, origin: self.ownID, sequence: batch.id.sequence)
        let counters = try self.countChanges(plan, key: key, slots: slots, row: row, sequence: batch.id.sequence)
        let replaced = try self.replaceValues(plan, key: mark.key, slots: slots, by: difference)
        batch.chunk.append(
            kind,
            plan: plan,
            key: key,
            timestamp: timestamp,
            slots: slots,
            replaced: replaced
        ) { slot in
            if let total = counters[slot] { .integer(total) } else { row.ref(Int32(slot)) }
        }
        try self.share(difference, mark: mark, slots: slots, row: row, version: version, batch: &batch)
        builder = batch
        try self.adopt(difference, version: version, mark: mark, key: key, row: row, slots: slots)
        try self.queueWritten(plan, key: key, difference, slots: slots, row: row)
        events.add(
            VisibleChange(operation: kind == .insert ? .insert : .update, slots: difference.slots ?? slots),
            plan: plan,
            key: mark.key,
            timestamp: timestamp,
            batch: batch.id
        ) { row.ref(Int32($0)).value }
    }

    /// Whether a row without metadata has no past: it was neither deleted nor is it hidden.
    func isPlainlyNew(_ plan: TablePlan, key: ValueRef) throws -> Bool {
        let number = plan.definition.number
        if self.ledger.tables[number]?.tombstones ?? 0 > 0 {
            let isBuried: Bool? = try self.connection
                .statement("SELECT 1 FROM clinicsync_tombstone WHERE tableId = ?1 AND pk = ?2")
                .bind(1, number)
                .bind(2, key)
                .first { _ in true }
            if isBuried == true { return false }
        }
        guard self.ledger.tables[number]?.shadows ?? 0 > 0 else { return true }
        return try self.shadowForm(plan, key: key) == nil
    }

    /// Brings the metadata in line with a row that a program wrote.
    private func adopt(
        _ difference: RowDifference,
        version: LocalVersion,
        mark: Mark,
        key: ValueRef,
        row: Statement,
        slots: UInt64
    ) throws {
        let plan = mark.plan
        if case .updated(var meta, _) = difference {
            meta.assign(slots, to: version)
            try self.writeMeta(
                plan,
                key: key,
                birth: meta.birth,
                groups: meta.encodedGroups,
                context: meta.context,
                replacing: meta.hash
            )
        } else {
            var context: Int?
            if try !self.isPlainlyNew(plan, key: key) {
                // Born again: the old deletions stay known, so that every node judges the row by the same knowledge.
                let located = try self.locate(plan, key: mark.key)
                context = try located.state.deletion.map { try self.context($0) }
                if case .tombstone = located.residence { try self.forgetTombstone(plan, key: key) }
                self.hashes.compute(plan: plan, key: key, scratch: &self.scratch) { row.ref(Int32($0)) }
            }
            try self.writeMeta(plan, key: key, birth: version, groups: [], context: context, replacing: nil)
        }
        guard self.ledger.tables[plan.definition.number]?.shadows ?? 0 > 0 else { return }
        try self.mergeIntoShadow(
            plan,
            key: mark.key,
            version: version,
            slots: slots,
            row: row,
            isBirth: difference.isBirth
        )
    }

    private func recordDeletion(
        _ meta: RowMeta,
        mark: Mark,
        key: ValueRef,
        offset: Int64,
        builder: inout BatchBuilder?,
        events: inout EventCollector
    ) throws {
        let plan = mark.plan
        let before = try self.lastLocated(plan, key: key, meta: meta)
        let members = try self.members(of: before.state, plan)
        var state = before.state
        let known = self.known(state)
        let timestamp = self.timestamp(mark, after: known.largest, offset: offset)
        var batch = builder ?? self.newBatch(timestamp: timestamp)
        batch.hasChanges = true
        batch.floor = max(batch.floor, known.shared)
        let version = Version(timestamp: timestamp, origin: self.origin, sequence: batch.id.sequence)
        try self.recordLastEdit(plan, key: key, meta: meta, version: version, state: &state, batch: &batch)
        batch.chunk.append(.delete, plan: plan, key: key, timestamp: timestamp, slots: 0) { _ in .null }
        builder = batch
        var seen = state.deletion?.seen ?? VersionVector()
        seen.merge(batch.seen)
        state.deletion = RowState.Deletion(seen: seen, version: version)
        try self.removeMeta(plan, key: key, hash: meta.hash)
        try self.queueDeleted(plan, before: before)
        try self.bury(plan, state, key: key)
        try self.deleteShadow(plan, key: key)
        // A repair brought an edit whose batch has not come yet: no node's deletion takes it, so it is shown again here too.
        if state.isVisible(plan.definition.deletePolicy) { self.project(later: plan, key: mark.key) }
        try self.deleteMembers(of: before, plan, members, state.deletion, timestamp: timestamp, builder: &builder)
        events.add(
            VisibleChange(operation: .delete, slots: 0),
            plan: plan,
            key: mark.key,
            timestamp: timestamp,
            batch: batch.id
        ) { state.value(slot: $0) }
    }

    /// A row that a program deleted, as this node knew it: its own state if it is in the shadows, otherwise versions from its
    /// metadata and values as the trigger saved them.
    private func lastLocated(_ plan: TablePlan, key: ValueRef, meta: RowMeta) throws -> Located {
        if self.ledger.tables[plan.definition.number]?.shadows ?? 0 > 0,
            let form = try self.shadowForm(plan, key: key),
            let state = try self.loader.stored("clinicsync_shadow", plan, key: key)
        {
            return Located(state: state, residence: .shadow(meta, form))
        }
        var state = try self.loader.state(plan, key: key, meta: meta)
        _ = try self.connection.statement(plan.selectLastSQL).bind(1, key).first { row in
            for slot in (plan.valueSlots & ~plan.counterSlots).setBits {
                let version = try self.global(meta.version(of: slot))
                state.registers[slot] = RowState.Register(value: row.ref(Int32(slot)).value, version: version)
            }
        }
        return Located(state: state, residence: .row(meta))
    }

    /// A row that was edited and deleted before anybody looked: the edit comes first, so that its values are those of one version
    /// on every node, should the row be needed again.
    private func recordLastEdit(
        _ plan: TablePlan,
        key: ValueRef,
        meta: RowMeta,
        version: Version,
        state: inout RowState,
        batch: inout BatchBuilder
    ) throws {
        _ = try self.connection.statement(plan.selectLastSQL).bind(1, key).first { row in
            self.hashes.compute(plan: plan, key: key, scratch: &self.scratch) { row.ref(Int32($0)) }
            let slots = plan.unitsTouched(by: meta.changedSlots(self.hashes, plan: plan))
            guard slots != 0 else { return }
            let counters = try self.countChanges(plan, key: key, slots: slots, row: row, sequence: version.sequence)
            let replaced = try self.replaceValues(plan, key: key.value, slots: slots, by: .updated(meta, slots))
            batch.chunk.append(
                .update,
                plan: plan,
                key: key,
                timestamp: version.timestamp,
                slots: slots,
                replaced: replaced
            ) { slot in
                if let total = counters[slot] { .integer(total) } else { row.ref(Int32(slot)) }
            }
            for slot in (slots & ~plan.counterSlots).setBits {
                state.registers[slot] = RowState.Register(value: row.ref(Int32(slot)).value, version: version)
            }
            for rule in plan.uniqueRules where rule.mask & slots != 0 { try self.queueFreeClaims(plan, rule) }
        }
    }
}

extension ReplicaWriter.RowDifference {
    /// The columns that a program changed in a row that was there.
    var slots: UInt64? {
        if case .updated(_, let slots) = self { slots } else { nil }
    }

    /// Whether the row is new.
    var isBirth: Bool {
        if case .inserted = self { true } else { false }
    }
}
