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

    /// Collects with `collector`.
    init(collector: Collector, transactions: Transactions, rows: RowStates, large: LargeRows, clock: StoreClock) {
        self.collector = collector
        self.transactions = transactions
        self.origins = rows.origins
        self.notes = large.notes
        self.clock = clock
        self.repair = CaptureRepair(transactions: transactions, plans: rows.plans, marks: rows.marks)
        self.sweep = Sweep(transactions: transactions, rows: rows, large: large, repair: self.repair)
    }

    /// Collects marks for at most 50 ms; see ``CollectOutcome/hasMore``.
    func collect(offset: Int64) throws -> CollectOutcome {
        self.clock.offsetMilliseconds = offset
        let repaired = try self.repair.repair()
        var outcome = self.outcome(try self.collector.collectSlice(offset: offset))
        outcome.repairedTables = repaired
        return outcome
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

    /// The outcome of what was collected.
    func outcome(_ collected: Collector.Collected) -> CollectOutcome {
        var outcome = CollectOutcome(
            logged: collected.logged,
            vector: self.origins.vector,
            events: collected.events,
            hasMore: collected.hasMore,
            repairedTables: []
        )
        outcome.setBackRows = self.collector.takeSetBack()
        return outcome
    }

    /// Compares whole tables with what the node knows and collects the differences as local edits.
    ///
    /// - Returns: The number of rows that had been written without a mark, and what was collected.
    func sweep(table: String?, offset: Int64) throws -> (escaped: Int, CollectOutcome) {
        self.repair.forgetCheck()
        var outcome = try self.collectEverything(offset: offset)
        let escaped = try self.sweep.markEscaped(table: table)
        if escaped > 0 {
            let second = try self.collectEverything(offset: offset)
            outcome.logged += second.logged
            outcome.events += second.events
            outcome.vector = second.vector
            outcome.repairedTables += second.repairedTables
            outcome.setBackRows += second.setBackRows
        }
        try self.sweep.correctTotals(table: table)
        outcome.unsentRows = try self.transactions.read { try self.notes.countLarge(table: table, on: $0) }
        return (escaped, outcome)
    }

    private func collectEverything(offset: Int64) throws -> CollectOutcome {
        var total = try self.collect(offset: offset)
        while total.hasMore {
            let next = try self.collect(offset: offset)
            total.logged += next.logged
            total.events += next.events
            total.vector = next.vector
            total.hasMore = next.hasMore
            total.setBackRows += next.setBackRows
        }
        return total
    }

    /// Continues the slow sweep by one slice.
    ///
    /// - Returns: The number of rows that had been written without a mark.
    func continueSlowSweep() throws -> Int {
        // During a collection in slices its snapshot is the truth; the sweep waits for its end.
        self.collector.isInBulk ? 0 : try self.sweep.continueSlowly()
    }
}
