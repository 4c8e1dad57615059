import ClinicSyncCore
import ClinicSyncModel

/// Logs and applies what peers send.
///
/// A batch applies in one transaction, in the order of its author's numbers, and only when everything that its author had applied
/// is applied here. Chunks that come early wait in the log, which is on the disk.
final class BatchApplier {
    private let rows: RowStates
    private let log: BatchLog
    private let unshared: UnsharedBatches
    private let collector: Collector
    private let merger: Merger
    private let projection: Projection
    private let events: EventLog
    private let notes: StoreNotes
    private let clock: StoreClock
    private var origins: Origins { self.rows.origins }

    /// Applies batches of `log`.
    init(
        rows: RowStates,
        log: BatchLog,
        unshared: UnsharedBatches,
        collector: Collector,
        merger: Merger,
        projection: Projection,
        events: EventLog,
        notes: StoreNotes,
        clock: StoreClock
    ) {
        self.rows = rows
        self.log = log
        self.unshared = unshared
        self.collector = collector
        self.merger = merger
        self.projection = projection
        self.events = events
        self.notes = notes
        self.clock = clock
    }

    /// Logs chunks of a peer and applies what is complete and small.
    ///
    /// - Parameters:
    ///   - chunks: the chunks, checked by ``check(_:)``.
    ///   - limit: batches with more payload than this are left for later, and ``MergeResult/isPending`` says so.
    ///   - offset: what to add to this PC's time to get the clinic's.
    ///   - transaction: the transaction.
    /// - Returns: What was logged and applied.
    /// - Throws: ``ForkedBatch``, ``MalformedRecord``.
    func store(
        _ chunks: [BatchChunk],
        limit: Int,
        offset: Int64,
        in transaction: borrowing WriteTransaction
    ) throws -> MergeResult {
        var result = MergeResult()
        for chunk in chunks {
            if let logged = try self.log.appendNew(chunk, in: transaction) { result.logged.append(logged) }
        }
        try self.applyReady(limit: limit, offset: offset, result: &result, in: transaction)
        return result
    }

    /// Checks a chunk as far as that is possible without its batch.
    ///
    /// - Throws: ``MalformedChunk``.
    static func check(_ chunk: BatchChunk) throws {
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

    // MARK: - Applying

    /// Applies every batch whose turn it is.
    private func applyReady(
        limit: Int,
        offset: Int64,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        var isFirst = true
        var progress = true
        while progress {
            progress = false
            for id in self.origins.ids {
                while let batch = try self.log.nextComplete(of: id, on: transaction.connection), self.isReady(batch) {
                    guard batch.bytes <= limit else {
                        result.isPending = true
                        break
                    }
                    if isFirst {
                        // Rows of ours that programs have just written must be known before anything is merged into them.
                        guard try self.collectBeforeApply(offset: offset, result: &result, in: transaction) else {
                            result.isPending = true
                            return
                        }
                        isFirst = false
                    }
                    try self.apply(batch, originID: id, offset: offset, result: &result, in: transaction)
                    progress = true
                }
            }
        }
        guard !isFirst else { return }
        var events = EventCollector(isLocal: false)
        try self.projection.project(events: &events, in: transaction)
        result.events += try self.events.record(events, in: transaction)
    }

    /// Collects the marks that there are.
    ///
    /// - Returns: Whether all were collected; too many marks are collected in slices, before the next attempt.
    private func collectBeforeApply(
        offset: Int64,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        let marks = try self.rows.marks.count(limit: Collector.inlineMarksMax + 1, on: transaction.connection)
        guard marks <= Collector.inlineMarksMax else { return false }
        if marks > 0 { try self.merger.collectAll(offset: offset, result: &result, in: transaction) }
        return true
    }

    private func isReady(_ batch: BatchLog.CompleteBatch) -> Bool {
        batch.header.dependencies.entries.allSatisfy { entry in
            guard let id = self.origins.id(of: entry.origin) else { return false }
            return self.origins.sequence(of: id) >= entry.sequence
        }
    }

    private func apply(
        _ batch: BatchLog.CompleteBatch,
        originID id: Int,
        offset: Int64,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        // Merging judges by the stamps as they are, so they must not be corrected later.
        try self.unshared.countAllAsShared(in: transaction)
        self.origins.noteSeen(batch.header.dependencies, by: id)
        var seen = self.origins.seen(by: id)
        seen.advance(batch.id.origin, to: batch.id.sequence)
        let applied = AppliedBatch(id: batch.id, originID: id, seen: seen, offset: offset)
        var events = EventCollector(isLocal: false)
        for chunk in 0..<batch.chunks {
            try self.log.withPayload(
                of: id,
                sequence: batch.id.sequence,
                chunk: chunk,
                on: transaction.connection
            ) { payload in
                try self.apply(
                    payload,
                    header: batch.header,
                    of: applied,
                    events: &events,
                    result: &result,
                    in: transaction
                )
            }
        }
        result.events += try self.events.record(events, in: transaction)
        let timestamp = batch.header.timestamp.limited(toBatches: seen.total)
        self.origins.advance(id, to: batch.id.sequence, timestamp: timestamp)
    }

    private func apply(
        _ payload: UnsafeRawBufferPointer,
        header: BatchHeader,
        of batch: AppliedBatch,
        events: inout EventCollector,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        var reader = try ChangeChunkReader(payload, base: header.timestamp, plans: self.rows.plans)
        for table in reader.unknownTables {
            try self.notes.addUnread(batch.id, seen: batch.seen, table: table, columns: [], in: transaction)
        }
        while var change = try reader.next() {
            change.timestamp = change.timestamp.limited(toBatches: batch.seen.total)
            result.largestTimestamp = max(result.largestTimestamp, change.timestamp)
            guard let plan = change.plan else { continue }
            if change.hasUnknownColumns {
                let table = plan.definition.name
                let columns = reader.unknownColumns[table] ?? []
                try self.notes.addUnread(batch.id, seen: batch.seen, table: table, columns: columns, in: transaction)
            }
            try self.merger.apply(
                change,
                plan: plan,
                values: reader.values,
                of: batch,
                events: &events,
                result: &result,
                in: transaction
            )
        }
        self.clock.observe(result.largestTimestamp)
    }
}

/// A peer's chunk is damaged or is not what it says it is.
package struct MalformedChunk: Error, Hashable {
    /// What was wrong.
    package var reason: String
}
