import ClinicSyncCore
import ClinicSyncModel

/// Turns the marks that triggers left into batches.
///
/// A mark says only that a row may have changed. Row by row the collector compares the row in its table with the hashes of what
/// the node last knew, and derives the operation and the changed columns. Marks and rows are read in one snapshot, so that a
/// batch is a union of whole transactions; see `docs/design/0001-capture.md`.
final class Collector {
    /// Up to this many marks are collected in one short write transaction; more are collected in slices.
    ///
    /// A row that concerns other rows takes up to 0.4 ms. So a transaction takes less than 30 ms.
    static let singleTransactionMarksMax = 64
    /// Up to this many marks are collected inside the transaction that applies a peer's batch, if programs write that many
    /// during a collection in slices.
    static let inlineMarksMax = 2_000

    private let transactions: Transactions
    private let rows: RowStates
    private let rowCollector: RowCollector
    private let unmarked: UnmarkedRows
    /// Has rows that are too large to be sent give way to others' rows.
    let unsent: UnsentRows
    private let batches: OwnBatches
    private let projection: Projection
    private let events: EventLog
    private let limits: StoreLimits
    /// A collection that continues over several slices.
    private var bulk: BulkCollection?
    /// What is committed and in no reply yet.
    private var untold = Collected()
    /// Whether a large collection has filled the page cache since ``takeFilledCache()``.
    private var hasFilledCache = false

    /// Collects the marks of `rows`.
    init(
        transactions: Transactions,
        rows: RowStates,
        rowCollector: RowCollector,
        unmarked: UnmarkedRows,
        unsent: UnsentRows,
        batches: OwnBatches,
        projection: Projection,
        events: EventLog,
        limits: StoreLimits
    ) {
        self.transactions = transactions
        self.rows = rows
        self.rowCollector = rowCollector
        self.unmarked = unmarked
        self.unsent = unsent
        self.batches = batches
        self.projection = projection
        self.events = events
        self.limits = limits
    }

    /// Whether an own batch is in the log whose end is not, so that it must be closed before others' batches are applied.
    func hasOpenBatch(on connection: Connection) throws -> Bool { try self.batches.open(on: connection) != nil }

    /// Whether a collection in slices has begun and not ended.
    var isInBulk: Bool { self.bulk != nil }

    /// Whether a large collection has filled the page cache since the last call.
    func takeFilledCache() -> Bool {
        defer { self.hasFilledCache = false }
        return self.hasFilledCache
    }

    /// The number of rows in which other nodes' values were put back since the last call.
    func takeSetBack() -> Int { self.unmarked.takeSetBack() }

    /// Gives up a collection in slices; its marks are still there, and a new snapshot will find them.
    func abandonBulk() {
        self.bulk?.abandon()
        self.bulk = nil
    }

    // MARK: - Collecting

    /// What was collected.
    struct Collected {
        var logged: [LoggedChunk] = []
        var events: [LoggedEvent] = []
        /// Tables whose triggers were missing and were created again.
        var repairedTables: [String] = []
        /// Tables that programs removed or brought back.
        var tables: [TableNotice] = []
        /// Whether there is more to collect at once.
        var hasMore = false

        /// Whether nothing was committed.
        var isEmpty: Bool {
            self.logged.isEmpty && self.events.isEmpty && self.repairedTables.isEmpty && self.tables.isEmpty
        }

        /// Adds what was committed later.
        mutating func append(_ later: Collected) {
            self.logged += later.logged
            self.events += later.events
            self.repairedTables += later.repairedTables
            self.tables += later.tables
        }
    }

    /// Keeps what was committed by a part of a request for its reply, or for the notice with its failure.
    func keep(_ collected: Collected) { self.untold.append(collected) }

    /// Takes the changes that are committed and in no reply yet; notices about tables stay for a reply that has a place for them.
    func takeUntoldChanges() -> Collected {
        var untold = self.takeUntold()
        self.keep(Collected(repairedTables: untold.repairedTables, tables: untold.tables))
        (untold.repairedTables, untold.tables) = ([], [])
        return untold
    }

    /// Takes what is committed and in no reply yet.
    func takeUntold() -> Collected {
        defer { self.untold = Collected() }
        return self.untold
    }

    /// Collects marks for at most 50 ms.
    ///
    /// - Parameter offset: what to add to this PC's time to get the clinic's.
    /// - Returns: What was collected.
    /// - Throws: what SQLite reports.
    func collectSlice(offset: Int64) throws -> Collected {
        if let bulk = self.bulk { return try self.collect(bulk) }
        let (marks, isOpen) = try self.transactions.read { connection in
            let marks = try self.rows.marks.count(limit: Collector.singleTransactionMarksMax + 1, on: connection)
            return (marks, try self.batches.open(on: connection) != nil)
        }
        guard marks > 0 || isOpen else { return Collected() }
        if marks > Collector.singleTransactionMarksMax {
            // Programs wait for a write transaction, so that these many rows are compared before it begins.
            let crowded = try self.transactions.readSnapshot { try self.unmarked.crowdedTables(on: $0) }
            if !crowded.isEmpty {
                try self.transactions.write { transaction in
                    try self.unmarked.noteCrowds(of: crowded, in: transaction)
                    return .relaxed
                }
            }
        }
        if marks > Collector.singleTransactionMarksMax, let snapshots = self.transactions.database.snapshots {
            let bulk = try BulkCollection(snapshots, offset: offset, sliceMarks: self.limits.sliceMarks)
            self.bulk = bulk
            return try self.collect(bulk)
        }
        return try self.transactions.write(.durable) { transaction in
            .durable(try self.collectAll(offset: offset, in: transaction))
        }
    }

    /// Runs `body` and collects every mark, in one durable transaction.
    ///
    /// A collection in slices, and more marks than fit into one transaction, are collected before; see ``takeUntold()``.
    ///
    /// - Parameters:
    ///   - offset: what to add to this PC's time to get the clinic's.
    ///   - body: writes rows and marks them.
    /// - Returns: the result of `body`, and what was collected.
    /// - Throws: ``StoreError``, and what `body` throws; nothing of `body` is written then.
    func write<Result>(
        offset: Int64,
        _ body: (borrowing WriteTransaction) throws -> Result
    ) throws -> (Result, Collected) {
        try self.finishBulk(offset: offset)
        return try self.transactions.write(.durable) { transaction in
            let result = try body(transaction)
            return .durable((result, try self.collectAll(offset: offset, in: transaction)))
        }
    }

    /// Collects every mark there is, works out what tables show, and writes down the events.
    private func collectAll(offset: Int64, in transaction: borrowing WriteTransaction) throws -> Collected {
        var events = EventCollector(isLocal: true)
        var projected = EventCollector(isLocal: false)
        var collected = Collected()
        collected.logged = try self.collectAll(offset: offset, events: &events, in: transaction)
        // A program may have given back a key that another row claims, or needs a row that was deleted.
        try self.projection.project(events: &projected, in: transaction)
        collected.events = try self.events.takeLate() + self.events.record(events, in: transaction)
        collected.events += try self.events.record(projected, in: transaction)
        return collected
    }

    /// Collects every mark there is.
    func collectAll(
        offset: Int64,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws -> [LoggedChunk] {
        var marks = try self.rows.marks.all(self.rows.plans, on: transaction.connection)
        if marks.contains(where: { $0.source == .comparison }) {
            let crowded = try self.unmarked.crowdedTables(on: transaction.connection)
            try self.unmarked.noteCrowds(of: crowded, in: transaction)
            if !crowded.isEmpty { marks = try self.rows.marks.all(self.rows.plans, on: transaction.connection) }
        }
        var batch = try self.batches.open(on: transaction.connection)
        var logged: [LoggedChunk] = []
        for mark in marks {
            try self.rowCollector.collect(
                mark,
                from: transaction.connection,
                offset: offset,
                batch: &batch,
                events: &events,
                in: transaction
            )
            if let chunk = try self.batches.logFullChunk(of: &batch, in: transaction) { logged.append(chunk) }
        }
        if let chunk = try self.batches.close(&batch, in: transaction) { logged.append(chunk) }
        return logged
    }

    // MARK: - Slices

    /// Collects one slice of a bulk.
    private func collect(_ bulk: BulkCollection) throws -> Collected {
        let collected: Collected
        let isDone: Bool
        do {
            try self.transactions.read { try bulk.makeWay($0) }
            // Begins as durable and so never runs twice: the marks of the snapshot are read once.
            (collected, isDone) = try self.transactions.write(.durable, isOnce: true) { transaction in
                .durable(try self.collect(bulk, in: transaction))
            }
        } catch {
            self.abandonBulk()
            throw error
        }
        if isDone { self.abandonBulk() } else { self.hasFilledCache = true }
        return collected
    }

    private func collect(
        _ bulk: BulkCollection,
        in transaction: borrowing WriteTransaction
    ) throws -> (collected: Collected, isDone: Bool) {
        var events = EventCollector(isLocal: true, rowsLeft: bulk.eventRowsLeft)
        var projected = EventCollector(isLocal: false)
        var collected = Collected(hasMore: true)
        var isDone = false
        var batch = try self.batches.open(on: transaction.connection)
        let start = ContinuousClock.now
        var count = 0
        repeat {
            guard let mark = try bulk.next(self.rows.plans) else {
                isDone = true
                break
            }
            try self.rowCollector.collect(
                mark,
                from: bulk.connection,
                offset: bulk.offset,
                batch: &batch,
                events: &events,
                in: transaction
            )
            if let chunk = try self.batches.logFullChunk(of: &batch, in: transaction) { collected.logged.append(chunk) }
            count += 1
            // What the slice's rows cost other rows counts as the slice's time.
            try self.projection.projectMany(events: &projected, in: transaction)
        } while !bulk.isSliceOver(after: count, since: start)
        let last =
            isDone
            ? try self.batches.close(&batch, in: transaction) : try self.batches.suspend(&batch, in: transaction)
        if let last { collected.logged.append(last) }
        try self.projection.project(events: &projected, in: transaction)
        collected.events = try self.events.takeLate() + self.events.record(events, in: transaction)
        collected.events += try self.events.record(projected, in: transaction)
        bulk.eventRowsLeft = events.rowsLeft
        return (collected, isDone)
    }

    /// Collects slice by slice until nothing is left of a bulk, for work that cannot begin before.
    ///
    /// The work collects in its own transaction what programs write meanwhile: with programs that never pause it would never
    /// begin otherwise. Every slice is committed for itself. So what was collected is kept for ``takeUntold()``, also when a
    /// later slice fails.
    func finishBulk(offset: Int64) throws {
        var marksMax = Collector.singleTransactionMarksMax
        while try self.bulk != nil || self.hasMarks(moreThan: marksMax) {
            self.keep(try self.collectSlice(offset: offset))
            marksMax = Collector.inlineMarksMax
        }
    }

    private func hasMarks(moreThan count: Int) throws -> Bool {
        try self.transactions.read { try self.rows.marks.count(limit: count + 1, on: $0) > count }
    }
}
