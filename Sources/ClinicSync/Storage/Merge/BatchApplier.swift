import ClinicSyncCore
import ClinicSyncModel

/// Logs and applies what peers send.
///
/// A batch applies in one transaction, in the order of its author's numbers, and only when everything that its author had applied
/// is applied here. Chunks that come early wait in the log, which is on the disk. A batch that no node can read is set aside.
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
    private let unreadable: UnreadableBatches
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
        clock: StoreClock,
        unreadable: UnreadableBatches
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
        self.unreadable = unreadable
    }

    /// How batches are applied.
    struct Options {
        /// Batches with more payload than this are left for later, and ``MergeResult/isPending`` says so.
        var limit: Int
        /// What to add to this PC's time to get the clinic's.
        var offset: Int64
        /// With more marks than these nothing is applied: ``ManyMarks`` is thrown, or ``MergeResult/isPending`` says so.
        var marksMax = Collector.inlineMarksMax
        /// Whether every batch is read in full before it is applied, also one that was read when it arrived.
        var isDistrustful = false
    }

    /// Programs have written so much that it is collected in slices before anything is applied; the transaction must be rolled back.
    struct ManyMarks: Error {}

    /// Reads a peer's chunks in full.
    ///
    /// - Parameters:
    ///   - chunks: the chunks, in the order in which they came.
    ///   - connection: the connection.
    /// - Returns: The batches whose first chunk in the log is not the one of these chunks.
    /// - Throws: ``MalformedChunk`` when a chunk is not what it says or cannot be read.
    func check(_ chunks: [BatchChunk], on connection: Connection) throws -> Set<BatchID> {
        var sent: [BatchID: HybridTimestamp] = [:]
        var outOfStep: Set<BatchID> = []
        for chunk in chunks {
            try ChunkCheck.outline(chunk)
            if let header = chunk.header { sent[chunk.batch] = header.timestamp }
            // A chunk whose first chunk is missing is not kept.
            guard let base = try sent[chunk.batch] ?? self.timestamp(of: chunk.batch, on: connection) else { continue }
            do {
                try ChunkCheck.read(chunk.payload, base: base)
            } catch {
                // Somebody else may have sent the first chunk in the log, under the author's name.
                guard sent[chunk.batch] == nil, ChunkCheck.canBeRead(chunk.payload) else {
                    throw MalformedChunk(reason: error.reason)
                }
                outOfStep.insert(chunk.batch)
            }
        }
        return outOfStep
    }

    private func timestamp(of batch: BatchID, on connection: Connection) throws -> HybridTimestamp? {
        guard let id = self.origins.id(of: batch.origin) else { return nil }
        return try self.log.header(of: id, sequence: batch.sequence, on: connection)?.timestamp
    }

    /// Logs chunks of a peer and applies what is complete and small.
    ///
    /// - Parameters:
    ///   - chunks: the chunks, checked by ``check(_:on:)``.
    ///   - outOfStep: what ``check(_:on:)`` found. Such a batch must begin again, if the sender may replace it.
    ///   - sender: who sent them; `nil` for a sender that may not replace anything.
    ///   - options: how to apply.
    ///   - transaction: the transaction.
    /// - Returns: What was logged and applied.
    /// - Throws: ``ForkedBatch``, ``UnreadableBatch``.
    func store(
        _ chunks: [BatchChunk],
        outOfStep: Set<BatchID> = [],
        from sender: ChunkSender?,
        _ options: Options,
        in transaction: borrowing WriteTransaction
    ) throws -> MergeResult {
        var result = MergeResult()
        for batch in outOfStep.sorted() where sender?.mayReplace(batch) == true {
            if try self.log.removeWaiting(batch, in: transaction) { result.forgotten.append(batch) }
        }
        var arrived = ArrivedBatches()
        for chunk in chunks where !outOfStep.contains(chunk.batch) {
            switch try self.log.take(chunk, from: sender, replaced: &result.forgotten, in: transaction) {
            case .logged(let logged):
                result.logged.append(logged)
                arrived.add(chunk)
            case .known, .notKept: break
            }
        }
        try self.applyReady(arrived, options, result: &result, in: transaction)
        return result
    }

    /// An incomplete batch is removed when no chunk of it came for so long.
    static let incompleteLimit: Duration = .seconds(10)
    /// A whole batch that a linked peer has applied, and that waits here for so long, is fetched again.
    static let waitingLimit: Duration = .seconds(60)

    /// Applies what can be applied, and removes what nobody can apply.
    ///
    /// Of former members that is an incomplete batch of which nothing comes any more, a batch that waits for a batch of
    /// somebody who was never a member, and the author's batches after it. A node that has a removed batch whole sends it
    /// again.
    ///
    /// - Parameters:
    ///   - members: the verified members.
    ///   - waiting: batches with the time without a new chunk. Those that linked peers have applied, and that do not become
    ///     whole here or wait for too long, are removed: their author said different things to two nodes. Those that their author
    ///     denies are removed at once.
    ///   - options: how to apply.
    ///   - transaction: the transaction.
    /// - Returns: What was applied, and what was removed.
    /// - Throws: what SQLite reports.
    func discard(
        _ members: KnownMembers,
        waiting: [WaitingBatch],
        _ options: Options,
        in transaction: borrowing WriteTransaction
    ) throws -> MergeResult {
        var result = MergeResult()
        try self.applyReady(ArrivedBatches(), options, result: &result, in: transaction)
        guard !result.isPending else { return result }
        let waits = Dictionary(waiting.map { ($0.batch, $0) }, uniquingKeysWith: { first, _ in first })
        for id in self.origins.ids where id != self.origins.ownID {
            let origin = try self.origins.origin(id)
            let next = self.origins.sequence(of: id) &+ 1
            guard let first = try self.log.firstWaiting(of: id, on: transaction.connection) else { continue }
            let batch = try self.log.nextComplete(of: id, on: transaction.connection)
            let isIncomplete = batch == nil && first == next
            let wait = waits[BatchID(origin: origin, sequence: first)]
            let waited = wait?.waited ?? .zero
            if wait?.isDenied == true {
                // Somebody else made it, and the author's batches before it would have it applied.
            } else if wait?.isHeldByPeer == true {
                // Also when the next batch is missing altogether: a peer whose log is damaged may have passed it over.
                guard waited >= (isIncomplete ? BatchApplier.incompleteLimit : BatchApplier.waitingLimit) else {
                    continue
                }
            } else {
                guard first == next, members.past.contains(origin.node) else { continue }
                guard batch.map({ self.isHopeless($0, members) }) ?? (waited >= BatchApplier.incompleteLimit) else {
                    continue
                }
            }
            result.forgotten += try self.log.removeBatches(of: id, from: next, in: transaction)
        }
        return result
    }

    /// Whether a batch waits for a batch of somebody who was never a member.
    private func isHopeless(_ batch: BatchLog.CompleteBatch, _ members: KnownMembers) -> Bool {
        batch.header.dependencies.entries.contains { entry in
            let applied = self.origins.id(of: entry.origin).map(self.origins.sequence) ?? 0
            return applied < entry.sequence && !members.knows(entry.origin.node)
        }
    }

    /// Reads in full what is in the log and not applied, and sets aside what no node can read.
    func examine(in transaction: borrowing WriteTransaction) throws {
        var events = EventCollector(isLocal: false)
        if try self.unreadable.examine(events: &events, in: transaction) {
            _ = try self.events.record(events, in: transaction)
        }
    }

    // MARK: - Applying

    /// Applies every batch whose turn it is; those that have just arrived as a whole from memory.
    private func applyReady(
        _ arrived: ArrivedBatches,
        _ options: Options,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        let connection = transaction.connection
        // What takes all that waits also looks at all authors.
        if options.limit == .max { self.log.waiting.forget() }
        var isFirst = true
        var progress = true
        while progress {
            progress = false
            for id in try self.log.waiting.ids(on: connection) {
                while let batch = try self.log.nextComplete(of: id, arrived, on: connection) {
                    guard self.isReady(batch) else { break }
                    guard batch.bytes <= options.limit else {
                        result.isPending = true
                        break
                    }
                    if isFirst {
                        // Rows of ours that programs have just written must be known before anything is merged into them.
                        guard try self.collectBeforeApply(options, result: &result, in: transaction) else {
                            result.isPending = true
                            return
                        }
                        isFirst = false
                    }
                    try self.applyOrSetAside(batch, originID: id, options, result: &result, in: transaction)
                    progress = true
                }
            }
        }
        guard !isFirst else { return }
        var events = EventCollector(isLocal: false)
        try self.projection.project(events: &events, in: transaction)
        result.events += try self.events.record(events, in: transaction)
    }

    /// Collects the marks that there are, and closes an own batch that a crash left open.
    ///
    /// - Returns: Whether all were collected; too many marks are collected in slices, before the next attempt.
    private func collectBeforeApply(
        _ options: Options,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        let marks = try self.rows.marks.count(limit: options.marksMax + 1, on: transaction.connection)
        guard marks <= options.marksMax else {
            guard options.marksMax < Collector.inlineMarksMax else { return false }
            throw ManyMarks()
        }
        let isOpen = try self.collector.hasOpenBatch(on: transaction.connection)
        if marks > 0 || isOpen { try self.merger.collectAll(offset: options.offset, result: &result, in: transaction) }
        return true
    }

    private func isReady(_ batch: BatchLog.CompleteBatch) -> Bool {
        batch.header.dependencies.entries.allSatisfy { entry in
            guard let id = self.origins.id(of: entry.origin) else { return false }
            return self.origins.sequence(of: id) >= entry.sequence
        }
    }

    /// Applies a batch, or sets it aside when no node can read it; its number counts as applied either way.
    ///
    /// Batches are read when they arrive, and when the file is opened. So most often there is nothing to look for.
    private func applyOrSetAside(
        _ batch: BatchLog.CompleteBatch,
        originID id: Int,
        _ options: Options,
        result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard options.isDistrustful,
            try self.unreadable.reason(against: batch, of: id, on: transaction.connection) != nil
        else {
            return try self.apply(batch, originID: id, offset: options.offset, result: &result, in: transaction)
        }
        self.origins.noteSeen(batch.header.dependencies, by: id)
        var events = EventCollector(isLocal: false)
        try self.unreadable.setAside(batch, of: id, events: &events, in: transaction)
        result.events += try self.events.record(events, in: transaction)
        self.origins.advance(id, to: batch.id.sequence)
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
            try self.log.withPayload(of: batch, id, chunk: chunk, on: transaction.connection) { payload in
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
        var reader = try BatchApplier.reading(batch.id) { () throws(MalformedRecord) in
            try ChangeChunkReader(payload, base: header.timestamp, plans: self.rows.plans)
        }
        for table in reader.unknownTables {
            try self.notes.addUnread(batch.id, seen: batch.seen, table: table, columns: [], in: transaction)
        }
        while var change = try BatchApplier.reading(batch.id, { () throws(MalformedRecord) in try reader.next() }) {
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

    /// Runs `body`; what it finds malformed is malformed in the batch.
    @inline(__always)
    private static func reading<Result>(_ batch: BatchID, _ body: () throws(MalformedRecord) -> Result) throws -> Result
    {
        do {
            return try body()
        } catch {
            throw UnreadableBatch(batch: batch, reason: error.reason)
        }
    }
}
