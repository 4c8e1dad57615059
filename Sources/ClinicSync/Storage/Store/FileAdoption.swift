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
    private let projection: Projection
    private let events: EventLog
    private let clock: StoreClock

    /// Adopts the file of `opened`.
    init(
        _ opened: StoreOpening.Opened,
        oldJournal: OldJournal,
        unread: UnreadReader,
        projection: Projection,
        events: EventLog
    ) {
        self.notes = opened.notes
        self.transactions = opened.transactions
        self.unshared = opened.unshared
        self.oldJournal = oldJournal
        self.schema = SchemaAdoption(rows: opened.saver.rows)
        self.unread = unread
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
        if let outdated = try self.transactions.read({ try self.schema.outdated(on: $0) }) {
            try self.transactions.write(.durable) { transaction in
                try self.schema.rehash(since: outdated, in: transaction)
                return .durable
            }
        }
        try self.readUnread(collecting: collecting)
    }

    /// Merges what this program knows and the one before did not, and removes the notes of it.
    private func readUnread(collecting: Collecting) throws {
        let readable = try self.transactions.read { try self.unread.readable(on: $0) }
        guard !readable.isEmpty else { return }
        // What programs wrote meanwhile must be known before anything is merged into it.
        while try collecting.collect(offset: self.clock.offsetMilliseconds).hasMore {}
        try self.transactions.write(.durable) { transaction in
            try self.unshared.countAllAsShared(in: transaction)
            var events = EventCollector(isLocal: false)
            try self.unread.read(readable, events: &events, in: transaction)
            try self.projection.project(events: &events, in: transaction)
            _ = try self.events.record(events, in: transaction)
            try self.unread.forget(readable, in: transaction)
            return .durable
        }
    }
}
