package import ClinicSyncCore
package import ClinicSyncModel

/// Logs and applies what peers send.
///
/// A batch applies in one transaction, in the order of its origin's numbers, and only when everything its author had applied is
/// applied here. Chunks that come early wait in the log, which is on the disk.
extension ReplicaWriter {
    /// Logs chunks of a peer and applies what is complete and small; see ``StoreOutcome/isApplyPending``.
    ///
    /// - Throws: ``MalformedChunk`` when a chunk is damaged or is not what it says; ``ForkedBatch`` when another batch has its name,
    ///   or has a name that only this node may give: then the next opening begins a new incarnation;
    ///   ``StoreError``. The store is as before then.
    package func store(_ chunks: [BatchChunk], clockOffsetMilliseconds offset: Int64) throws -> StoreOutcome {
        for chunk in chunks { try ReplicaWriter.check(chunk) }
        var result = ApplyResult()
        if self.bulk != nil { try self.finishBulk(offset: offset, logged: &result.logged, events: &result.events) }
        var collected = false
        do {
            try self.transaction {
                for chunk in chunks {
                    if let logged = try self.logNew(chunk) { result.logged.append(logged) }
                }
                collected = try self.applyReady(
                    limit: self.limits.smallBatchBytes,
                    offset: offset,
                    result: &result
                )
            }
        } catch let malformed as MalformedRecord {
            throw MalformedChunk(reason: malformed.reason)
        } catch let fork as ForkedBatch where fork.batch.origin == self.origin {
            try self.renounceIncarnation()
            throw fork
        }
        if collected || result.hasCollected { try self.makeDurable() }
        return self.outcome(result, storedBytes: chunks.reduce(0) { $0 + $1.payload.count })
    }

    /// Applies batches that are complete in the log but were too large for ``store(_:clockOffsetMilliseconds:)``.
    package func applyStored(clockOffsetMilliseconds offset: Int64) throws -> StoreOutcome {
        self.hasFilledCache = true
        var result = ApplyResult()
        try self.finishBulk(offset: offset, logged: &result.logged, events: &result.events)
        var collected = false
        do {
            collected = try self.transaction { try self.applyReady(limit: .max, offset: offset, result: &result) }
        } catch let malformed as MalformedRecord {
            throw MalformedChunk(reason: malformed.reason)
        }
        if collected || result.hasCollected { try self.makeDurable() }
        return self.outcome(result, storedBytes: 0)
    }

    /// What applying did so far.
    struct ApplyResult {
        var logged: [LoggedChunk] = []
        var events: [LoggedEvent] = []
        var conflicts = 0
        var isPending = false
        /// Whether own marks were collected on the way.
        var hasCollected = false
        var largestTimestamp: UInt64 = 0
    }

    private func outcome(_ result: ApplyResult, storedBytes: Int) -> StoreOutcome {
        StoreOutcome(
            logged: result.logged,
            storedBytes: storedBytes,
            vector: self.ledger.vector,
            events: result.events,
            conflicts: result.conflicts,
            isApplyPending: result.isPending,
            largestTimestamp: HybridTimestamp(rawValue: result.largestTimestamp)
        )
    }

    /// Makes everything committed so far safe from a power cut, own batches among it.
    func makeDurable() throws {
        try self.durably { try self.transaction {} }
    }

    // MARK: - Logging

    private static func check(_ chunk: BatchChunk) throws {
        guard chunk.batch.sequence > 0, chunk.batch.sequence < 1 << 62, chunk.batch.origin.node != Origin.genesis.node
        else {
            throw MalformedChunk(reason: "the batch has an impossible name")
        }
        guard (chunk.index == 0) == (chunk.header != nil) else {
            throw MalformedChunk(reason: "the header is not with the first chunk")
        }
        guard chunk.checksum == chunk.payload.withUnsafeBytes({ SipHash.hash64($0) }) else {
            throw MalformedChunk(reason: "the checksum is wrong")
        }
    }

    /// Appends a chunk to the log unless it is there; a different one under the same name is a fork.
    private func logNew(_ chunk: BatchChunk) throws -> LoggedChunk? {
        let id = try self.id(of: chunk.batch.origin)
        let present = try self.connection
            .statement("SELECT checksum, isLast FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = ?3")
            .bind(1, id)
            .bind(2, chunk.batch.sequence)
            .bind(3, chunk.index)
            .first { ($0.unsigned(0), $0.int64(1) != 0) }
        if let present {
            guard present == (chunk.checksum, chunk.isLast) else { throw ForkedBatch(batch: chunk.batch) }
            return nil
        }
        if try self.isOfFormerSelf(chunk.batch) { throw ForkedBatch(batch: chunk.batch) }
        // Applied and pruned: a late duplicate.
        guard chunk.batch.sequence > self.ledger.origins[id].sequence else { return nil }
        return try self.log(chunk)
    }

    // MARK: - Applying

    /// Applies every batch whose turn it is.
    ///
    /// Runs inside a write transaction.
    ///
    /// Batches with more payload than `limit` are left for later, and `result.isPending` says so. Tells whether own marks were
    /// collected on the way.
    private func applyReady(limit: Int, offset: Int64, result: inout ApplyResult) throws -> Bool {
        var collected = false
        var isFirst = true
        while true {
            var progress = false
            for id in self.ledger.origins.indices {
                while let batch = try self.nextBatch(of: id) {
                    guard self.isReady(batch) else { break }
                    guard batch.bytes <= limit else {
                        result.isPending = true
                        break
                    }
                    if isFirst {
                        // Rows of ours that programs have just written must be known before anything is merged into them.
                        switch try self.collectBeforeApply(offset: offset, result: &result) {
                        case .tooMany:
                            result.isPending = true
                            return false
                        case .some(let didCollect):
                            collected = didCollect
                        }
                        isFirst = false
                    }
                    try self.apply(batch, originID: id, offset: offset, result: &result)
                    progress = true
                }
            }
            guard progress else { break }
        }
        if !isFirst {
            var events = EventCollector(isLocal: false)
            try self.projectRows(events: &events)
            result.events += try self.record(events)
        }
        return collected
    }

    private enum Precollection {
        case tooMany
        case some(Bool)
    }

    private func collectBeforeApply(offset: Int64, result: inout ApplyResult) throws -> Precollection {
        let marks =
            try self.connection
            .statement("SELECT count(*) FROM (SELECT 1 FROM clinicsync_dirty LIMIT ?1)")
            .bind(1, ReplicaWriter.inlineMarksMax + 1)
            .first { $0.int(0) } ?? 0
        guard marks > 0 else { return .some(false) }
        guard marks <= ReplicaWriter.inlineMarksMax else { return .tooMany }
        var events = EventCollector(isLocal: true)
        result.logged += try self.collectAll(offset: offset, events: &events)
        result.events += try self.record(events)
        return .some(true)
    }

    /// A complete batch in the log that is not applied.
    private struct ReadyBatch {
        var id: BatchID
        var header: BatchHeader
        var chunks: Int
        var bytes: Int
    }

    /// The next batch of an origin, when all its chunks are in the log.
    private func nextBatch(of id: Int) throws -> ReadyBatch? {
        guard id != self.ownID else { return nil }
        let sequence = self.ledger.origins[id].sequence + 1
        let found = try self.connection
            .statement(
                """
                SELECT count(*), max(chunk), max(isLast), sum(length(payload)) FROM clinicsync_log
                WHERE origin = ?1 AND sequence = ?2
                """
            )
            .bind(1, id)
            .bind(2, sequence)
            .first { (count: $0.int(0), last: $0.int(1), isComplete: $0.int64(2) != 0, bytes: $0.int(3)) }
        guard let found, found.isComplete, found.count == found.last + 1,
            let header = try self.header(originID: id, sequence: sequence)
        else { return nil }
        return ReadyBatch(
            id: BatchID(origin: self.ledger.origins[id].origin, sequence: sequence),
            header: header,
            chunks: found.count,
            bytes: found.bytes
        )
    }

    private func isReady(_ batch: ReadyBatch) -> Bool {
        batch.header.dependencies.entries.allSatisfy { entry in
            guard let id = self.ledger.id(of: entry.origin) else { return false }
            return self.ledger.origins[id].sequence >= entry.sequence
        }
    }

    private func apply(_ batch: ReadyBatch, originID id: Int, offset: Int64, result: inout ApplyResult) throws {
        // What is merged now is judged by the stamps as they are.
        try self.countAllAsShared()
        var seen = self.ledger.origins[id].seen
        seen.merge(batch.header.dependencies)
        self.ledger.origins[id].seen = seen
        seen.advance(batch.id.origin, to: batch.id.sequence)
        let context = ApplyContext(batch: batch.id, originID: id, seen: seen, offset: offset)
        var events = EventCollector(isLocal: false)
        for chunk in 0..<batch.chunks {
            // A statement of its own: rows are applied by other statements while this one holds the payload.
            _ = try self.connection
                .statement("SELECT payload FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = ?3")
                .bind(1, id)
                .bind(2, batch.id.sequence)
                .bind(3, chunk)
                .first { row in
                    try self.apply(
                        payload: row.blob(0),
                        header: batch.header,
                        context: context,
                        events: &events,
                        result: &result
                    )
                }
        }
        result.events += try self.record(events)
        self.ledger.origins[id].sequence = batch.id.sequence
        self.ledger.origins[id].timestamp = max(self.ledger.origins[id].timestamp, batch.header.timestamp.rawValue)
        self.ledger.origins[id].isChanged = true
    }

    /// Whose changes are being applied.
    struct ApplyContext {
        var batch: BatchID
        var originID: Int
        /// What the author had seen, this batch included.
        var seen: VersionVector
        /// What to add to this PC's wall time to get the host's.
        var offset: Int64
    }

    private func apply(
        payload: UnsafeRawBufferPointer,
        header: BatchHeader,
        context: ApplyContext,
        events: inout EventCollector,
        result: inout ApplyResult
    ) throws {
        var reader = try ChangeChunkReader(payload, base: header.timestamp, plans: self.plans)
        for table in reader.unknownTables { try self.noteUnread(context, table: table, columns: []) }
        while let change = try reader.next() {
            result.largestTimestamp = max(result.largestTimestamp, change.timestamp.rawValue)
            guard let plan = change.plan else { continue }
            if change.hasUnknownColumns {
                let table = plan.definition.name
                try self.noteUnread(context, table: table, columns: reader.unknownColumns[table] ?? [])
            }
            try self.apply(
                change,
                plan: plan,
                values: reader.values,
                context: context,
                events: &events,
                result: &result
            )
        }
        let wall = self.wallClock() + self.clockOffsetMilliseconds
        _ = self.clock.observe(
            HybridTimestamp(rawValue: result.largestTimestamp),
            wall: wall,
            toleranceMilliseconds: ReplicaWriter.clockToleranceMilliseconds
        )
    }

    /// Merges one change into its row.
    func apply(
        _ change: ChangeChunkReader.Change,
        plan: TablePlan,
        values: [ValueRef],
        context: ApplyContext,
        events: inout EventCollector,
        result: inout ApplyResult
    ) throws {
        if change.kind == .insert, try self.insertFresh(change, plan: plan, values: values, context: context) {
            try self.queueIfEntangled(plan, key: change.key) { values[$0] }
            events.add(
                VisibleChange(operation: .insert, slots: change.slots),
                plan: plan,
                key: change.key.value,
                timestamp: change.timestamp,
                batch: context.batch
            ) { values[$0].value }
            return
        }
        var located = try self.locateCollected(plan, key: change.key.value, offset: context.offset, result: &result)
        let before = located.state
        let delta = self.delta(change, plan: plan, values: values, context: context)
        let losses = located.state.merge(delta) {
            self.ledger.hasSeen($0, $1) || (self.isOf(context, $0) && context.seen.covers($1))
        }
        let overwriting = Overwriting(change, of: context, before: before)
        let state = located.state
        result.conflicts += try self.settleValues(losses, by: overwriting, plan: plan, state: state, events: &events)
        guard located.state != before else { return }
        let cause = ProjectionQueue.Cause(timestamp: change.timestamp, batch: context.batch)
        let was = ReplicaWriter.Located(state: before, residence: located.residence)
        if let visible = try self.save(plan, located.state, from: was, cause: cause) {
            events.add(
                visible,
                plan: plan,
                key: change.key.value,
                timestamp: change.timestamp,
                batch: context.batch
            ) { located.state.value(slot: $0) }
        }
    }

    private func isOf(_ context: ApplyContext, _ version: Version) -> Bool {
        version.origin == context.batch.origin && version.sequence == context.batch.sequence
    }

    /// The short way for a row of which nothing is known: no state is built, values go from the payload to the table.
    ///
    /// - Returns: Whether the row was inserted; otherwise nothing was done.
    private func insertFresh(
        _ change: ChangeChunkReader.Change,
        plan: TablePlan,
        values: [ValueRef],
        context: ApplyContext
    ) throws -> Bool {
        guard plan.counterSlots == 0, try self.isPlainlyNew(plan, key: change.key) else { return false }
        let number = plan.definition.number
        self.hashes.compute(plan: plan, key: change.key, scratch: &self.scratch) { values[$0] }
        RowMeta.writeColumns(self.hashes, plan: plan, to: &self.scratch)
        let meta = try self.connection.statement(
            """
            INSERT INTO clinicsync_row (tableId, pk, timestamp, origin, sequence, hash, columns)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING
            """
        )
        meta.bind(1, number).bind(2, change.key).bind(3, change.timestamp.rawValue)
        meta.bind(4, context.originID).bind(5, context.batch.sequence)
        let isNew = try ReplicaWriter.withBytes(of: self.hashes.row) { hash in
            try self.scratch.bytes.withUnsafeBytes { columns in
                try meta.bind(6, .blob(hash)).bind(7, .blob(columns)).run()
                return self.connection.changes == 1
            }
        }
        guard isNew else { return false }
        let insert = try self.connection.statement(plan.insertSQL)
        insert.bind(Int32(plan.keySlot + 1), change.key)
        for slot in plan.valueSlots.setBits { insert.bind(Int32(slot + 1), values[slot]) }
        do {
            try insert.run()
        } catch let failure as SQLiteFailure where failure.isConstraint {
            // The long way will set it aside.
            try self.connection.statement("DELETE FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2")
                .bind(1, number)
                .bind(2, change.key)
                .run()
            return false
        }
        self.ledger.tables[number]?.rows += 1
        self.ledger.tables[number]?.digest += self.hashes.row
        self.ledger.tables[number]?.isChanged = true
        return true
    }

    /// The change as a small state.
    func delta(
        _ change: ChangeChunkReader.Change,
        plan: TablePlan,
        values: [ValueRef],
        context: ApplyContext
    ) -> RowState {
        let version = Version(
            timestamp: change.timestamp,
            origin: context.batch.origin,
            sequence: context.batch.sequence
        )
        var delta = RowState(
            key: change.key.value,
            birth: change.kind == .insert ? version : .genesis,
            registers: Array(repeating: nil, count: plan.slotCount)
        )
        if change.kind == .delete {
            delta.deletion = RowState.Deletion(seen: context.seen, version: version)
            return delta
        }
        for slot in change.slots.setBits {
            if plan.counterSlots & (1 << UInt64(slot)) == 0 {
                delta.registers[slot] = RowState.Register(value: values[slot].value, version: version)
            } else if case .integer(let total) = values[slot] {
                delta.counters.append(
                    RowState.CounterPart(slot: slot, origin: version.origin, total: total, sequence: version.sequence)
                )
            }
        }
        return delta
    }
}

/// A peer's chunk is damaged or is not what it says it is.
package struct MalformedChunk: Error, Hashable {
    /// What was wrong.
    package var reason: String
}

/// Two different batches carry the same name: an origin's numbers were used twice.
package struct ForkedBatch: Error, Hashable {
    /// The name.
    package var batch: BatchID
}
