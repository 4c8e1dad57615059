import ClinicSyncCore
import ClinicSyncModel

/// Repair: merges whole rows that a reconciliation exchanged.
final class RowMerger {
    private let rows: RowStates
    private let unshared: UnsharedBatches
    private let merger: Merger
    private let projection: Projection
    private let events: EventLog
    private let notes: StoreNotes

    /// Merges with `merger`.
    init(
        rows: RowStates,
        unshared: UnsharedBatches,
        merger: Merger,
        projection: Projection,
        events: EventLog,
        notes: StoreNotes
    ) {
        self.rows = rows
        self.unshared = unshared
        self.merger = merger
        self.projection = projection
        self.events = events
        self.notes = notes
    }

    /// What merging a page did.
    struct Merged {
        var result = MergeResult()
        /// The number of our rows that changed.
        var changedRows = 0
        /// The keys of rows of which we know more than the peer sent.
        var aheadKeys: [SQLiteValue] = []
    }

    /// Merges a peer's page of rows into ours, by the rules for changes.
    ///
    /// - Throws: ``MalformedRecord``.
    func merge(
        _ payload: [UInt8],
        plan: TablePlan,
        offset: Int64,
        in transaction: borrowing WriteTransaction
    ) throws -> Merged {
        // Merging judges by the stamps as they are, so they must not be corrected later.
        try self.unshared.countAllAsShared(in: transaction)
        var merged = Merged()
        try self.merger.collectAll(offset: offset, result: &merged.result, in: transaction)
        var events = EventCollector(isLocal: false)
        try payload.withUnsafeBytes { payload in
            var reader = try RowStateReader(payload, plan: plan)
            while let theirs = try reader.next() {
                if reader.hasUnknownColumns {
                    try self.notes.addUnread(plan, key: theirs.key, columns: reader.unknownColumns, in: transaction)
                }
                let row = try self.merger.merge(
                    theirs,
                    plan: plan,
                    offset: offset,
                    events: &events,
                    result: &merged.result,
                    in: transaction
                )
                if row.isAhead { merged.aheadKeys.append(theirs.key) }
                if row.isChanged { merged.changedRows += 1 }
            }
        }
        try self.projection.project(events: &events, in: transaction)
        merged.result.events += try self.events.record(events, in: transaction)
        return merged
    }
}
