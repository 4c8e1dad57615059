import ClinicSyncCore
import ClinicSyncModel

/// Brings a file that another version of the program wrote in line with this one.
///
/// Columns that were added need nothing. Rows' hashes are corrected where columns were dropped or renamed, or defaults changed.
/// What came while columns or tables were unknown is read again from the log.
final class FileAdoption {
    let notes: StoreNotes
    private let transactions: Transactions
    private let unshared: UnsharedBatches
    private let oldJournal: OldJournal
    private let schema: SchemaAdoption
    private let unread: UnreadReader
    private let rebuild: TableRebuild
    private let projection: Projection
    private let events: EventLog
    private let clock: StoreClock
    private var formerStates = FormerStates()

    /// Adopts the file of `opened`.
    init(
        _ opened: StoreOpening.Opened,
        oldJournal: OldJournal,
        unread: UnreadReader,
        rebuild: TableRebuild,
        projection: Projection,
        events: EventLog
    ) {
        self.notes = opened.notes
        self.transactions = opened.transactions
        self.unshared = opened.unshared
        self.oldJournal = oldJournal
        self.schema = SchemaAdoption(rows: opened.saver.rows)
        self.unread = unread
        self.rebuild = rebuild
        self.projection = projection
        self.events = events
        self.clock = opened.clock
    }

    /// Adopts the file; call it once, before anything is collected.
    func adopt(collecting: Collecting) throws {
        if try self.transactions.read({ try self.oldJournal.exists(on: $0) }) {
            try self.transactions.write(.durable) { transaction in
                try self.oldJournal.move(in: transaction)
                return .durable
            }
        }
        try self.rehash()
        // What programs wrote meanwhile must be known before anything is merged into it.
        guard try self.hasRowsToShow else { return }
        while try collecting.collect(offset: self.clock.offsetMilliseconds).hasMore {}
        _ = try self.showRows()
    }

    /// Stores some of the states that an earlier version stored in the present form.
    ///
    /// - Throws: what SQLite reports.
    func rewriteFormerStates(of rows: RowStates) throws { try self.formerStates.rewrite(rows, self.transactions) }

    /// Brings rows' hashes in line with the plans, when these are not those by which rows were hashed.
    func rehash() throws {
        guard let outdated = try self.transactions.read({ try self.schema.outdated(on: $0) }) else { return }
        try self.transactions.write(.durable) { transaction in
            try self.schema.rehash(since: outdated, in: transaction)
            return .durable
        }
    }

    /// Whether ``showRows()`` may find something.
    var hasRowsToShow: Bool {
        get throws {
            try self.transactions.read { connection in
                try !MissingTables.incomplete(on: connection).isEmpty || !self.unread.readable(on: connection).isEmpty
                    || self.projection.hasRefused(on: connection)
            }
        }
    }

    /// Merges what the plans know now and did not before, and removes the notes of it; brings back the rows of tables that lost
    /// theirs; tries rows again that a constraint refused.
    ///
    /// Call it when no marks are left: what programs wrote must be known before anything is merged into it.
    ///
    /// - Returns: What was committed.
    func showRows() throws -> Collector.Collected {
        guard try self.hasRowsToShow else { return Collector.Collected() }
        let (readable, incomplete) = try self.transactions.read { connection in
            (try self.unread.readable(on: connection), try MissingTables.incomplete(on: connection))
        }
        return try self.transactions.write(.durable) { transaction in
            try self.unshared.countAllAsShared(in: transaction)
            var events = EventCollector(isLocal: false)
            var result = MergeResult()
            if !incomplete.isEmpty {
                result = try self.rebuild.rebuild(incomplete, events: &events, in: transaction)
                try self.projection.enqueueAll(in: transaction)
                try MissingTables.note([], in: transaction)
            }
            try self.unread.read(readable, events: &events, in: transaction)
            try self.projection.enqueueRefused(on: transaction.connection)
            try self.projection.project(events: &events, in: transaction)
            let recorded = try self.events.record(events, in: transaction)
            try self.unread.forget(readable, in: transaction)
            return .durable(Collector.Collected(logged: result.logged, events: result.events + recorded))
        }
    }
}
