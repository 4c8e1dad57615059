import ClinicSyncCore
import ClinicSyncModel

/// Opening's last steps, isolation, terms, members, and what has to be done now and then.
final class Upkeep {
    private let transactions: Transactions
    private let saver: RowSaver
    private let log: BatchLog
    private let unshared: UnsharedBatches
    private let horizon: Horizon
    private let clock: StoreClock
    private let events: EventLog
    private let projection: Projection
    private let collecting: Collecting
    private let merging: Merging
    private let restamper: Restamper
    private let adoption: FileAdoption
    private var origins: Origins { self.saver.rows.origins }
    private var members: Members { self.horizon.members }

    /// Keeps the tables of `opened`.
    init(
        _ opened: StoreOpening.Opened,
        horizon: Horizon,
        events: EventLog,
        projection: Projection,
        collecting: Collecting,
        merging: Merging,
        adoption: FileAdoption
    ) {
        self.transactions = opened.transactions
        self.saver = opened.saver
        self.log = opened.log
        self.unshared = opened.unshared
        self.horizon = horizon
        self.clock = opened.clock
        self.events = events
        self.projection = projection
        self.collecting = collecting
        self.merging = merging
        self.adoption = adoption
        self.restamper = Restamper(
            saver: opened.saver,
            log: opened.log,
            unshared: opened.unshared,
            members: horizon.members,
            clock: opened.clock
        )
    }

    /// What the core must know at the start.
    func state(schemaVersion: UInt32) throws -> StoreState {
        try self.transactions.read { connection in
            StoreState(
                vector: self.origins.vector,
                partials: try self.log.partials(on: connection),
                logHead: try self.log.head(on: connection),
                schemaVersion: schemaVersion,
                acknowledgedByHost: try self.members.acknowledgedOwn(on: connection),
                term: try Term.recorded(on: connection),
                staged: try StateStage.read(on: connection),
                formerIncarnations: self.origins.formerIncarnations
            )
        }
    }

    // MARK: - Opening and closing

    /// Does what an opened file needs before anything is collected.
    func adoptFile(isMigrated: Bool) throws {
        for id in self.origins.ids { self.clock.observe(self.origins.timestamp(of: id)) }
        let isContestedKept = try self.transactions.read {
            try Settings.read(.contested, on: $0) { _ in true } ?? false
        }
        if isMigrated || !isContestedKept {
            try self.transactions.write(.durable) { transaction in
                // The rules of keys and references may have changed, or an older program kept contested rows in their tables.
                try self.projection.enqueueAll(in: transaction)
                try Settings.set(.contested, to: .integer(1), in: transaction)
                return .durable
            }
        }
        self.log.noteNumber()
        try self.adoption.adopt(collecting: self.collecting)
        try self.collecting.bookkeeping.rebuildLostRows()
        try self.merging.examineLog()
    }

    /// Writes down that everything is on the disk, before the file is closed.
    ///
    /// When that fails, the next opening after a start of the PC only makes programs read everything again.
    func noteClosed() {
        guard self.log.hasPlace else { return }
        _ = Swift.Result {
            try self.transactions.write(.durable) { transaction in
                try EventLog.noteClosed(in: transaction)
                return .durable
            }
        }
    }

    // MARK: - Copies

    /// Makes the file ready to be copied.
    ///
    /// A batch in a copy must not get other stamps later: a node that is restored from the copy has it with the present ones.
    ///
    /// - Returns: Whether the file was ready; `false` while programs' rows wait to be collected.
    func prepareCopy() throws -> Bool {
        guard !self.collecting.collector.isInBulk, try !self.transactions.read({ try self.hasMarks(on: $0) }) else {
            return false
        }
        return try self.transactions.write(.durable) { transaction in
            guard try !self.hasMarks(on: transaction.connection) else { return .durable(false) }
            guard self.unshared.isIsolated else { return .durable(true) }
            try self.unshared.countAllAsShared(in: transaction)
            self.unshared.beginIsolation(after: self.log.highestNumber)
            return .durable(true)
        }
    }

    /// Whether rows wait to be collected; marks of tables that do not replicate are none.
    private func hasMarks(on connection: Connection) throws -> Bool {
        try self.saver.rows.plans.all.contains { plan in
            try connection.query("SELECT 1 FROM clinicsync_dirty WHERE tableId = ?1 LIMIT 1")
                .bind(1, plan.definition.number)
                .first { _ in true } ?? false
        }
    }

    // MARK: - Isolation

    /// From now on no other node can have the batches that are made.
    func beginIsolation() { self.unshared.beginIsolation(after: self.log.highestNumber) }

    /// Ends the isolation; corrects stamps that were made in it with a wrong clock.
    ///
    /// When this fails, the node is still isolated: it exchanges nothing, and the next attempt corrects the same stamps.
    /// Batches that are damaged in the log keep their stamps, because such an attempt would fail for ever.
    func endIsolation(offset: Int64) throws -> (changes: Int, outcome: CollectOutcome) {
        if self.collecting.collector.isInBulk { try self.collecting.collector.finishBulk(offset: offset) }
        guard self.unshared.isIsolated else { return (0, self.collecting.nothing) }
        do {
            let (changes, events) = try self.countAsShared { try self.restamper.correct(offset: offset, in: $0) }
            return (changes, self.collecting.outcome(Collector.Collected(events: events)))
        } catch let damage as OwnDamage {
            self.collecting.bookkeeping.note(DamageRepair(damage, outcome: .leftOut))
            let (_, events) = try self.countAsShared { _ in 0 }
            return (0, self.collecting.outcome(Collector.Collected(events: events)))
        }
    }

    private func countAsShared(
        after correct: (borrowing WriteTransaction) throws -> Int
    ) throws -> (changes: Int, events: [LoggedEvent]) {
        try self.transactions.write(.durable) { transaction in
            let changes = try correct(transaction)
            try self.unshared.countAllAsShared(in: transaction)
            var collector = EventCollector(isLocal: false)
            try self.projection.project(events: &collector, in: transaction)
            return .durable((changes, try self.events.record(collector, in: transaction)))
        }
    }

    // MARK: - Terms and members

    /// Records a term; one that is not higher than the recorded one changes nothing.
    ///
    /// - Returns: The term that is recorded now.
    func recordTerm(_ term: UInt64) throws -> UInt64 {
        let known = try self.transactions.read { try Term.recorded(on: $0) }
        guard term > known else { return known }
        return try self.transactions.write(.durable) { transaction in
            try Term.record(term, in: transaction)
            return .durable(term)
        }
    }

    /// Records how far members are.
    func recordAcknowledged(_ members: [MemberProgress]) throws {
        try self.transactions.write { transaction in
            try self.members.record(members, in: transaction)
            try StatePins(wallMilliseconds: self.clock.wallMilliseconds).release(members, in: transaction)
            return .relaxed
        }
    }

    /// Writes ``probeBytes`` to the disk and removes them.
    func probeDisk() throws {
        try self.transactions.write(.durable) { transaction in
            try Settings.set(.probe, to: .blob([UInt8](repeating: 0, count: Upkeep.probeBytes)), in: transaction)
            return .durable
        }
        try self.transactions.write(.durable) { transaction in
            try Settings.remove(.probe, in: transaction)
            return .durable
        }
    }

    /// The size of a probe of the disk: more than what the write-ahead log has room for by chance.
    private static let probeBytes = 64 << 10

    /// Keeps the log beyond `vector` for a peer that is being given the state.
    ///
    /// Unless it `isNew`, only when the log is kept for the peer already.
    func pin(_ peer: NodeID, _ vector: VersionVector, isNew: Bool) throws {
        try self.transactions.write { transaction in
            let pins = StatePins(wallMilliseconds: self.clock.wallMilliseconds)
            try isNew ? pins.set(peer, vector, in: transaction) : pins.renew(peer, vector, in: transaction)
            return .relaxed
        }
    }

    // MARK: - Now and then

    /// The most transactions that prune the log in one round of upkeep.
    private static let pruningsMax = 4

    /// Decides as host what every active member has, prunes the logs, continues the slow sweep, and moves the write-ahead log into
    /// the file.
    func maintain(retentionMilliseconds: Int64, presence: MemberPresence) throws -> UpkeepOutcome {
        try self.collecting.bookkeeping.checkNumbers()
        try self.refreshSums()
        try self.merging.forgetOldState(at: self.clock.wallMilliseconds)
        var outcome = UpkeepOutcome()
        if presence.isHost {
            let hasDecided = try self.decide(presence, retentionMilliseconds: retentionMilliseconds)
            let hasRemoved = try self.removeSettled(presence, retentionMilliseconds: retentionMilliseconds)
            outcome.hasDecided = hasDecided || hasRemoved
        }
        outcome.lapsed = try self.transactions.read { connection in
            try Lapses.confirmed(
                among: presence.members,
                days: presence.days,
                at: presence.clinicMilliseconds,
                silence: self.horizon.silenceMilliseconds,
                on: connection
            )
        }
        outcome.pruned = try self.prune(retentionMilliseconds: retentionMilliseconds, linked: presence.linked)
        outcome.forgotten = try self.forgetRows()
        try self.adoption.rewriteFormerStates(of: self.saver.rows)
        outcome.escaped = try self.collecting.continueSlowSweep()
        try self.pruneEvents()
        guard !self.collecting.collector.isInBulk else { return outcome }
        try self.transactions.checkpoint()
        let hasCollected = self.collecting.collector.takeFilledCache()
        if self.merging.takeFilledCache() || hasCollected { try self.transactions.shrinkMemory() }
        return outcome
    }

    /// Computes large sums again that a transaction could not keep.
    private func refreshSums() throws {
        let sums = self.saver.rows.sums
        guard sums.isStale else { return }
        try self.transactions.readSnapshot { try sums.refresh(on: $0) }
        try self.transactions.write { _ in .relaxed }
    }

    /// Writes down who has lapsed and what every active member has.
    ///
    /// - Returns: Whether there was anything to write.
    private func decide(_ presence: MemberPresence, retentionMilliseconds: Int64) throws -> Bool {
        let decision = try self.transactions.read { connection in
            try self.horizon.decide(presence, retentionMilliseconds: retentionMilliseconds, on: connection)
        }
        guard !decision.isEmpty else { return false }
        try self.transactions.write(.durable) { transaction in
            try self.horizon.write(decision, at: presence.clinicMilliseconds, in: transaction)
            return .durable
        }
        return true
    }

    /// Removes entries of the journal that people settled before the retention.
    ///
    /// - Returns: Whether there were any.
    private func removeSettled(_ presence: MemberPresence, retentionMilliseconds: Int64) throws -> Bool {
        let entries = SettledEntries(programRows: self.horizon.programRows)
        let ids = try self.transactions.read { connection -> [SQLiteValue] in
            guard let horizon = try self.horizon.vector(on: connection) else { return [] }
            let oldest = presence.clinicMilliseconds &- max(0, retentionMilliseconds)
            return try entries.old(coveredBy: horizon, before: oldest, on: connection)
        }
        guard !ids.isEmpty else { return false }
        try self.transactions.write(.durable) { transaction in
            try entries.remove(ids, in: transaction)
            return .durable
        }
        return true
    }

    /// Removes chunks from the log that are older than the retention and that every active member has.
    ///
    /// What a connected node has not acknowledged stays as well: it may be on its way to it, and the node must not miss it silently.
    ///
    /// - Returns: The number of chunks that were removed.
    private func prune(retentionMilliseconds: Int64, linked: [NodeID]) throws -> Int {
        let limit = try self.transactions.read { connection -> VersionVector? in
            guard let horizon = try self.horizon.vector(on: connection) else { return nil }
            // What this version does not understand is read again after an update. But an old note must not keep the log for ever.
            let oldest = self.clock.wallMilliseconds - self.horizon.silenceMilliseconds
            let unread = try self.adoption.notes.unreadBatches(notedAfter: oldest, on: connection)
            // A state that is on its way to a peer needs the batches that come after it.
            let pinned = try StatePins(wallMilliseconds: self.clock.wallMilliseconds).floor(on: connection)
            var limit = pinned.map { horizon.meet($0) } ?? horizon
            let progress = try linked.isEmpty ? [:] : self.members.progress(on: connection)
            for node in linked { limit = limit.meet(progress[node]?.vector ?? VersionVector()) }
            return limit.limited(before: unread)
        }
        guard let limit else { return 0 }
        let pruner = LogPruner(origins: self.origins, clock: self.clock)
        var pruned = 0
        for _ in 0..<Upkeep.pruningsMax {
            let chunks = try self.transactions.write { transaction in
                let retention = retentionMilliseconds
                return .relaxed(try pruner.prune(upTo: limit, retentionMilliseconds: retention, in: transaction))
            }
            pruned += chunks
            if chunks == 0 { break }
        }
        return pruned
    }

    /// The contexts that one transaction removes.
    private static let contextsMax = 256

    /// Removes tombstones of deletions that are forgotten.
    ///
    /// None while a state is on its way to a peer: its pages would be of different moments.
    ///
    /// - Returns: The number of tombstones.
    private func forgetRows() throws -> Int {
        let pruner = TombstonePruner(rows: self.saver.rows)
        let sums = self.saver.rows.sums
        let isStale = try self.transactions.read { connection in
            try ForgottenRows.decided(self.saver.rows.plans, on: connection) != sums.forgotten
                || ForgottenRows.inUse(on: connection) != sums.forgotten
        }
        if isStale {
            // A program wrote the horizon past the triggers, or the note of what is in use.
            try self.transactions.write { transaction in
                try sums.followHorizon(in: transaction)
                try sums.forgotten.use(in: transaction)
                return .relaxed
            }
        }
        let limit = pruner.limit
        guard !limit.isEmpty,
            try self.transactions.read({ try StatePins(wallMilliseconds: self.clock.wallMilliseconds).floor(on: $0) })
                == nil
        else { return 0 }
        var count = 0
        for _ in 0..<Upkeep.pruningsMax {
            let pruned = try self.transactions.write { .relaxed(try pruner.prune(upTo: limit, in: $0)) }
            count += pruned.removed
            if pruned.isDone { break }
        }
        let unused = try self.transactions.readSnapshot { try pruner.unusedContexts(on: $0) }
        for first in stride(from: 0, to: unused.count, by: Upkeep.contextsMax) {
            try self.transactions.write { transaction in
                try pruner.remove(contexts: unused[first...].prefix(Upkeep.contextsMax), in: transaction)
                return .relaxed
            }
        }
        return count
    }

    private func pruneEvents() throws {
        guard let last = try self.transactions.read({ try self.events.pruneLimit(on: $0) }) else { return }
        try self.transactions.write { transaction in
            try self.events.prune(upTo: last, in: transaction)
            return .relaxed
        }
    }
}
