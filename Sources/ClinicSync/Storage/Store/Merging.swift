import ClinicSyncCore
import ClinicSyncModel

/// Stores, applies and merges what peers send.
final class Merging {
    private let transactions: Transactions
    private let rows: RowStates
    private let applier: BatchApplier
    private let rowMerger: RowMerger
    private let stateMerger: StateMerger
    private let collecting: Collecting
    private let limits: StoreLimits
    private var origins: Origins { self.rows.origins }
    /// Whether a large batch has filled the page cache since ``takeFilledCache()``.
    private var hasFilledCache = false

    /// Merges with `applier` and `rowMerger`.
    init(
        transactions: Transactions,
        rows: RowStates,
        applier: BatchApplier,
        rowMerger: RowMerger,
        stateMerger: StateMerger,
        collecting: Collecting,
        limits: StoreLimits
    ) {
        self.transactions = transactions
        self.rows = rows
        self.applier = applier
        self.rowMerger = rowMerger
        self.stateMerger = stateMerger
        self.collecting = collecting
        self.limits = limits
    }

    /// Whether a large batch has filled the page cache since the last call.
    func takeFilledCache() -> Bool {
        defer { self.hasFilledCache = false }
        return self.hasFilledCache
    }

    /// Logs chunks of several peers in one transaction and applies what is complete and small.
    ///
    /// When it throws, nothing is stored, whichever delivery was at fault.
    ///
    /// - Parameters:
    ///   - deliveries: what the peers sent, in the order in which it came; no batch is in two of them.
    ///   - offset: what to add to this PC's time to get the clinic's.
    /// - Returns: The outcome of each delivery.
    /// - Throws: as ``store(_:from:offset:)``.
    func store(_ deliveries: [ChunkDelivery], offset: Int64) throws -> [StoreOutcome] {
        let outOfStep = try self.transactions.read { connection in
            try deliveries.map { try self.applier.check($0.chunks, on: connection) }
        }
        let results = try self.storing(offset: offset) { options, transaction in
            var results: [(MergeResult, VersionVector)] = []
            for (delivery, outOfStep) in zip(deliveries, outOfStep) {
                let result = try self.applier.store(
                    delivery.chunks,
                    outOfStep: outOfStep,
                    from: delivery.sender,
                    options,
                    in: transaction
                )
                results.append((result, self.origins.vector))
            }
            return results
        }
        return zip(deliveries, results).map { delivery, result in
            self.outcome(result.0, storedBytes: delivery.bytes, vector: result.1)
        }
    }

    /// Logs chunks of a peer and applies what is complete and small.
    func store(_ chunks: [BatchChunk], from sender: ChunkSender?, offset: Int64) throws -> StoreOutcome {
        let outOfStep = try self.transactions.read { try self.applier.check(chunks, on: $0) }
        do {
            let result = try self.storing(offset: offset) { options, transaction in
                try self.applier.store(chunks, outOfStep: outOfStep, from: sender, options, in: transaction)
            }
            return self.outcome(result, storedBytes: chunks.reduce(0) { $0 + $1.payload.count })
        } catch let fork as ForkedBatch where fork.batch.origin == self.origins.own {
            try self.transactions.write(.durable) { transaction in
                try Incarnation.renounce(self.origins.own, in: transaction)
                return .durable
            }
            throw fork
        }
    }

    /// Runs `body`, which logs and applies chunks, in one transaction.
    ///
    /// Nothing is looked at before it: when it finds so many marks that they are collected in slices, or marks at all, which makes an
    /// own batch that must be durable, it is rolled back and runs again. Both are rare beside the batches of other nodes.
    private func storing<Result>(
        offset: Int64,
        _ body: (BatchApplier.Options, borrowing WriteTransaction) throws -> Result
    ) throws -> Result {
        var options = BatchApplier.Options(limit: self.limits.smallBatchBytes, offset: offset)
        if self.collecting.collector.isInBulk {
            try self.collecting.collector.finishBulk(offset: offset)
        } else {
            options.marksMax = Collector.singleTransactionMarksMax
        }
        do {
            return try self.apply(options, .relaxed, body)
        } catch is BatchApplier.ManyMarks {
            try self.collecting.collector.finishBulk(offset: offset)
            options.marksMax = Collector.inlineMarksMax
            return try self.apply(options, .relaxed, body)
        }
    }

    /// Sets aside batches in the log that no node can read; call it when the file is opened.
    func examineLog() throws {
        try self.transactions.write { transaction in .relaxed(try self.applier.examine(in: transaction)) }
    }

    /// Applies batches that are complete in the log but were too large for ``store(_:from:offset:)``.
    func applyStored(offset: Int64) throws -> StoreOutcome {
        self.hasFilledCache = true
        try self.collecting.collector.finishBulk(offset: offset)
        let options = BatchApplier.Options(limit: .max, offset: offset)
        let result = try self.apply(options, self.durability()) { options, transaction in
            try self.applier.store([], from: nil, options, in: transaction)
        }
        return self.outcome(result, storedBytes: 0)
    }

    /// Applies what can be applied, and removes from the log what former members alone made and nobody can apply.
    func discard(_ members: KnownMembers, waiting: [WaitingBatch], offset: Int64) throws -> StoreOutcome {
        try self.collecting.collector.finishBulk(offset: offset)
        let options = BatchApplier.Options(limit: .max, offset: offset)
        let result = try self.apply(options, self.durability()) { options, transaction in
            try self.applier.discard(members, waiting: waiting, options, in: transaction)
        }
        return self.outcome(result, storedBytes: 0)
    }

    /// Applies batches in one transaction.
    ///
    /// A batch that was read when it arrived cannot be unreadable, unless the log was changed since. Then the transaction
    /// is rolled back and runs again, and reads every batch before it applies it.
    private func apply<Result>(
        _ options: BatchApplier.Options,
        _ durability: Durability,
        _ body: (BatchApplier.Options, borrowing WriteTransaction) throws -> Result
    ) throws -> Result {
        do {
            return try self.transactions.write(durability) { .relaxed(try body(options, $0)) }
        } catch is UnreadableBatch {
            var distrustful = options
            distrustful.isDistrustful = true
            return try self.transactions.write(durability) { .relaxed(try body(distrustful, $0)) }
        }
    }

    /// How a transaction begins that collects the marks that there are: one that logs an own batch must be durable.
    private func durability() throws -> Durability {
        try self.transactions.read { try self.rows.marks.count(limit: 1, on: $0) } > 0 ? .durable : .relaxed
    }

    private func outcome(_ result: MergeResult, storedBytes: Int, vector: VersionVector? = nil) -> StoreOutcome {
        let before = self.collecting.collector.takeUntoldChanges()
        return StoreOutcome(
            logged: before.logged + result.logged,
            storedBytes: storedBytes,
            vector: vector ?? self.origins.vector,
            events: before.events + result.events,
            conflicts: result.conflicts,
            isApplyPending: result.isPending,
            largestTimestamp: result.largestTimestamp,
            forgotten: result.forgotten
        )
    }

    /// Merges a peer's rows of a range into ours, by the rules for changes.
    func merge(_ page: RowStatePage, within range: KeyRange, offset: Int64) throws -> MergeOutcome {
        guard let plan = self.rows.plans[page.table] else {
            // A program removed the table while the peer answered: that is not the peer's fault.
            if self.rows.plans.tables.absent.contains(where: { $0.name == page.table }) {
                return MergeOutcome(
                    changedRows: 0,
                    events: [],
                    logged: [],
                    vector: self.origins.vector,
                    aheadKeys: []
                )
            }
            throw MalformedChunk(reason: "the page is of a table that is not replicated")
        }
        try self.collecting.collector.finishBulk(offset: offset)
        var merged = RowMerger.Merged()
        let states = try RowMerger.decode(page, plan: plan, within: range)
        if !states.isEmpty {
            merged = try self.transactions.write(self.durability()) { transaction in
                .relaxed(try self.rowMerger.merge(states, plan: plan, offset: offset, in: transaction))
            }
        }
        let before = self.collecting.collector.takeUntoldChanges()
        return MergeOutcome(
            changedRows: merged.changedRows,
            events: before.events + merged.result.events,
            logged: before.logged + merged.result.logged,
            vector: self.origins.vector,
            aheadKeys: merged.aheadKeys
        )
    }

    // MARK: - State in place of history

    /// Stores an answer of a peer that gives its state.
    ///
    /// - Parameters:
    ///   - answer: the pages, in their order.
    ///   - place: the place behind which the peer was asked for them; `nil`: the beginning.
    /// - Returns: What is stored, without the answer if that does not follow it; `nil` when there is nothing.
    /// - Throws: ``MalformedChunk``, ``ForkedBatch``, ``StoreError``.
    func stage(_ answer: StateAnswer, behind place: StateCursor?) throws -> StagedState? {
        try self.stateMerger.check(answer, behind: place)
        let vectors = answer.pages.map(\.vector) + (answer.end.map { [$0.through] } ?? [])
        if let fork = self.stateMerger.fork(in: vectors) {
            throw try self.renounce(fork)
        }
        do {
            // The pages are written once and read once, so they need not stay in memory.
            return try self.transactions.withSmallCache(true) {
                try self.transactions.write { transaction in
                    .relaxed(try self.stateMerger.stage(answer, behind: place, in: transaction))
                }
            }
        } catch let error as StoreError where error.code == .diskFull {
            // Programs need the room more than a state that does not fit.
            try self.forgetState()
            throw error
        }
    }

    /// Merges the stored state and shows it.
    ///
    /// - Returns: How many rows it has, and what was applied; `nil` when batches are missing of which its pages have a part,
    ///   unless `isForced`.
    func install(isForced: Bool, offset: Int64) throws -> (rows: UInt64, outcome: StoreOutcome)? {
        let (staged, hasTail) = try self.transactions.readSnapshot { connection in
            var staged = try StateStage.read(on: connection)
            if let forgotten = staged?.forgotten { staged?.forgotten = try self.believable(forgotten, on: connection) }
            return (staged, try staged.map { try self.stateMerger.hasTail(of: $0, on: connection) } ?? true)
        }
        guard let staged, let through = staged.through else {
            return (0, self.outcome(MergeResult(), storedBytes: 0))
        }
        guard hasTail || isForced else { return nil }
        self.hasFilledCache = true
        try self.collecting.collector.finishBulk(offset: offset)
        do {
            let isLarge = staged.rows >= self.limits.largeStateRowsMin
            let result = try self.transactions.withSmallCache(isLarge) {
                try self.transactions.write(.durable) { transaction in
                    .durable(
                        try self.stateMerger.install(
                            staged,
                            through: through,
                            isLarge: isLarge,
                            offset: offset,
                            in: transaction
                        )
                    )
                }
            }
            return (staged.rows, self.outcome(result, storedBytes: 0))
        } catch is MalformedRecord, is MalformedChunk {
            // The file does not have what was stored: begin again.
            try self.forgetState()
            return (0, self.outcome(MergeResult(), storedBytes: 0))
        }
    }

    /// What a sender may have forgotten: of this node's batches only those that another member is known to have.
    private func believable(_ forgotten: VersionVector, on connection: Connection) throws -> VersionVector {
        let own = self.origins.own
        let known = try Members.acknowledged(own, on: connection)
        return VersionVector(
            forgotten.entries.map { entry in
                guard entry.origin == own, entry.sequence > known else { return entry }
                return VersionVector.Entry(origin: own, sequence: known)
            }
        )
    }

    /// Forgets a state that has made no progress for too long, or whose beginning has come from the log meanwhile.
    func forgetOldState(at milliseconds: Int64) throws {
        let isOld = try self.transactions.read { connection in
            guard try !StateStage.isExpired(at: milliseconds, on: connection) else { return true }
            return try StateStage.read(on: connection).map { self.origins.vector.covers($0.vector) } ?? false
        }
        if isOld { try self.forgetState() }
    }

    private func forgetState() throws {
        try self.transactions.write { transaction in
            try StateStage.clear(in: transaction)
            return Ending.relaxed
        }
    }

    /// Another state of this node made a batch: the next opening begins a new incarnation.
    private func renounce(_ batch: BatchID) throws -> ForkedBatch {
        try self.transactions.write(.durable) { transaction in
            try Incarnation.renounce(self.origins.own, in: transaction)
            return .durable
        }
        return ForkedBatch(batch: batch)
    }
}
