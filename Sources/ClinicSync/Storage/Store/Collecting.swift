import ClinicSyncCore
import ClinicSyncModel

/// Collects what programs wrote, and looks for what no trigger saw.
final class Collecting {
    let collector: Collector
    let repair: CaptureRepair
    private let sweep: Sweep
    private let transactions: Transactions
    private let origins: Origins
    private let notes: StoreNotes
    private let clock: StoreClock
    let bookkeeping: BookkeepingRepair
    /// Follows changes of the schema; `nil` until the store is built.
    private var follower: SchemaFollower?
    /// Whether rows may have been written while capture was switched off.
    private var isSweepDue = false
    /// Whether marks of rows were lost.
    private var isComparisonDue = false

    /// Collects with `collector`.
    init(
        collector: Collector,
        transactions: Transactions,
        rows: RowStates,
        large: LargeRows,
        clock: StoreClock,
        schema version: Int64,
        bookkeeping: BookkeepingRepair
    ) {
        self.bookkeeping = bookkeeping
        self.collector = collector
        self.transactions = transactions
        self.origins = rows.origins
        self.notes = large.notes
        self.clock = clock
        self.repair = CaptureRepair(transactions: transactions, checked: version)
        self.sweep = Sweep(transactions: transactions, rows: rows, large: large, repair: self.repair)
    }

    /// Has `follower` read the schema before each collection.
    func follow(with follower: SchemaFollower) { self.follower = follower }

    /// Collects marks for at most 50 ms; see ``CollectOutcome/hasMore``.
    func collect(offset: Int64) throws -> CollectOutcome {
        self.outcome(try self.collectSlice(offset: offset))
    }

    private func collectSlice(offset: Int64) throws -> Collector.Collected {
        self.clock.offsetMilliseconds = offset
        try self.mendGuard()
        try self.follower?.follow()
        let collected = try self.collector.collectSlice(offset: offset)
        guard !collected.hasMore, let follower = self.follower else { return collected }
        self.collector.keep(collected)
        return try follower.showRows()
    }

    /// Switches capture on again if a program left it off, and marks what was written meanwhile.
    private func mendGuard() throws {
        if try self.repair.switchOn() { self.isSweepDue = true }
        if self.bookkeeping.takeComparisonDue() { self.isComparisonDue = true }
        // During a collection in slices its snapshot is the truth; the sweep waits for its end.
        guard self.isSweepDue || self.isComparisonDue, !self.collector.isInBulk else { return }
        let escaped = try self.sweep.markEscaped(table: nil)
        self.isComparisonDue = false
        guard self.isSweepDue else { return }
        self.isSweepDue = false
        let damage = OwnDamage(.guardFlag, "a program had switched capture off")
        self.bookkeeping.note(DamageRepair(damage, count: max(escaped, 1), outcome: .rebuilt))
    }

    /// Runs `body` and makes a batch of what it wrote, in one durable transaction.
    func write<Result>(
        offset: Int64,
        _ body: (borrowing WriteTransaction) throws -> Result
    ) throws -> (Result, CollectOutcome) {
        let (result, collected) = try self.collector.write(offset: offset, body)
        return (result, self.outcome(collected))
    }

    /// The outcome of a request that had nothing to collect.
    var nothing: CollectOutcome { self.outcome(Collector.Collected()) }

    /// The outcome of what was collected, with what is in no reply yet.
    func outcome(_ collected: Collector.Collected) -> CollectOutcome {
        var total = self.collector.takeUntold()
        total.append(collected)
        var outcome = CollectOutcome(
            logged: total.logged,
            vector: self.origins.vector,
            events: total.events,
            hasMore: collected.hasMore,
            repairedTables: total.repairedTables
        )
        outcome.tables = total.tables
        outcome.setBackRows = self.collector.takeSetBack()
        outcome.failedTriggers = self.transactions.takeTriggerFailures()
        return outcome
    }

    /// What a request committed before it failed; `nil` when the replies have told everything.
    func takeUntold() -> CollectOutcome? {
        let untold = self.collector.takeUntold()
        guard !untold.isEmpty else { return nil }
        self.collector.keep(untold)
        return self.nothing
    }

    /// Compares whole tables with what the node knows and collects the differences as local edits.
    ///
    /// - Returns: The number of rows that had been written without a mark, and what was collected.
    func sweep(table: String?, offset: Int64) throws -> (escaped: Int, CollectOutcome) {
        self.repair.compare()
        try self.bookkeeping.checkNumbers()
        try self.collectEverything(offset: offset)
        let escaped = try self.sweep.markEscaped(table: table)
        if escaped > 0 { try self.collectEverything(offset: offset) }
        try self.sweep.correctTotals(table: table)
        var outcome = self.nothing
        outcome.unsentRows = try self.transactions.read { try self.notes.countLarge(table: table, on: $0) }
        return (escaped, outcome)
    }

    private func collectEverything(offset: Int64) throws {
        var hasMore = true
        while hasMore {
            let collected = try self.collectSlice(offset: offset)
            self.collector.keep(collected)
            hasMore = collected.hasMore
        }
    }

    /// Continues the slow sweep by one slice.
    ///
    /// - Returns: The number of rows that had been written without a mark.
    func continueSlowSweep() throws -> Int {
        // During a collection in slices its snapshot is the truth; the sweep waits for its end.
        self.collector.isInBulk ? 0 : try self.sweep.continueSlowly()
    }
}
