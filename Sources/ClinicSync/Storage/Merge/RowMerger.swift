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

    /// A row of a page, with the names of the columns that this node does not know and the row has.
    struct Received {
        var state: RowState
        var unknownColumns: [String]
    }

    /// Reads a peer's page, to its end, before anything of it is believed.
    ///
    /// - Throws: ``MalformedChunk`` when it is no page, or has a row that was not asked for.
    static func decode(_ page: RowStatePage, plan: TablePlan, within range: KeyRange) throws -> [Received] {
        guard !page.payload.isEmpty else { return [] }
        do {
            return try page.payload.withUnsafeBytes { payload in
                var reader = try RowStateReader(payload, plan: plan)
                var rows: [Received] = []
                while let state = try reader.next() {
                    guard range.contains(state.key) else {
                        throw MalformedChunk(reason: "the page has a row that was not asked for")
                    }
                    let unknown = reader.hasUnknownColumns ? reader.unknownColumns : []
                    rows.append(Received(state: state, unknownColumns: unknown))
                }
                return rows
            }
        } catch let malformed as MalformedRecord {
            throw MalformedChunk(reason: malformed.reason)
        }
    }

    /// Reads a page of a state to its end, and keeps nothing of it.
    ///
    /// - Throws: ``MalformedChunk`` when it is no page, or has a row outside of `range`.
    static func check(_ payload: [UInt8], plan: TablePlan, within range: KeyRange) throws {
        guard !payload.isEmpty else { return }
        do {
            try payload.withUnsafeBytes { payload in
                var reader = try RowStateReader(payload, plan: plan)
                var values = [ValueRef](repeating: .null, count: plan.slotCount)
                while let key = try reader.nextKey(values: &values) {
                    guard range.contains(key) else {
                        throw MalformedChunk(reason: "the page has a row that was not asked for")
                    }
                }
            }
        } catch let malformed as MalformedRecord {
            throw MalformedChunk(reason: malformed.reason)
        }
    }

    /// Merges rows of a peer's page into ours, by the rules for changes.
    ///
    /// A row is passed over when it is said to be of a batch that this node does not have: either the batch is on its way, and the
    /// next comparison finds what is left; or there is no such batch. What a row's deleters had seen is cut to what exists: see
    /// `docs/design/0014-unmarked-changes.md`.
    func merge(
        _ theirs: [Received],
        plan: TablePlan,
        offset: Int64,
        in transaction: borrowing WriteTransaction
    ) throws -> Merged {
        // Merging judges by the stamps as they are, so they must not be corrected later.
        try self.unshared.countAllAsShared(in: transaction)
        var merged = Merged()
        try self.merger.collectAll(offset: offset, result: &merged.result, in: transaction)
        var events = EventCollector(isLocal: false)
        for received in theirs {
            var state = received.state
            guard state.names(only: { self.rows.origins.hasApplied($0) }) else { continue }
            if state.deletion != nil { state.limitSeen(to: self.rows.origins.vector) }
            if !received.unknownColumns.isEmpty {
                try self.notes.addUnread(plan, key: state.key, columns: received.unknownColumns, in: transaction)
            }
            let row = try self.merger.merge(
                state,
                plan: plan,
                offset: offset,
                events: &events,
                result: &merged.result,
                in: transaction
            )
            if row.isAhead { merged.aheadKeys.append(state.key) }
            if row.isChanged { merged.changedRows += 1 }
        }
        try self.projection.project(events: &events, in: transaction)
        merged.result.events += try self.events.record(events, in: transaction)
        return merged
    }
}
