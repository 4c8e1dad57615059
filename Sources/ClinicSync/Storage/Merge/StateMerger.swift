import ClinicSyncCore
import ClinicSyncModel

/// Merges a state that another node gave, when all of its pages are here.
///
/// Everything happens in one transaction, so that no program sees a part of it: the authors' progress rises to what the state
/// began with, the states are merged by the ordinary rules, and the batches after it that wait in the log are applied.
final class StateMerger {
    private let rows: RowStates
    private let log: BatchLog
    private let unshared: UnsharedBatches
    private let merger: Merger
    private let applier: BatchApplier
    private let projection: Projection
    private let events: EventLog
    private let notes: StoreNotes
    private let clock: StoreClock
    private var origins: Origins { self.rows.origins }

    /// Merges with `merger`, and applies with `applier`.
    init(
        rows: RowStates,
        log: BatchLog,
        unshared: UnsharedBatches,
        merger: Merger,
        applier: BatchApplier,
        projection: Projection,
        events: EventLog,
        notes: StoreNotes,
        clock: StoreClock
    ) {
        self.rows = rows
        self.log = log
        self.unshared = unshared
        self.merger = merger
        self.applier = applier
        self.projection = projection
        self.events = events
        self.notes = notes
        self.clock = clock
    }

    // MARK: - Pages

    /// Reads pages in full, before anything of them is stored.
    ///
    /// - Parameters:
    ///   - pages: the pages, in their order.
    ///   - staged: what is stored already.
    /// - Throws: ``MalformedChunk`` when a page is not what it says.
    func check(_ pages: [StatePage], behind staged: StagedState?) throws {
        var cursor = staged?.cursor
        for page in pages {
            guard page.checksum == BatchChunk.checksum(of: page.payload) else {
                throw MalformedChunk(reason: "the checksum is wrong")
            }
            guard !page.table.isEmpty else {
                let authors = try StateMerger.authors(page.payload)
                let vector = VersionVector(
                    authors.map { VersionVector.Entry(origin: $0.origin, sequence: $0.sequence) }
                )
                guard vector.covers(page.vector) else {
                    throw MalformedChunk(reason: "the state lacks an author")
                }
                cursor = page.cursor
                continue
            }
            let range = KeyRange(
                after: cursor?.table == page.table ? cursor?.key : nil,
                through: page.through
            )
            if let plan = self.plan(page.table) { _ = try self.decode(page.payload, plan, range) }
            cursor = page.cursor
        }
    }

    private func plan(_ table: String) -> TablePlan? { self.rows.plans.plan(calledElsewhere: table) }

    private func decode(_ payload: [UInt8], _ plan: TablePlan, _ range: KeyRange) throws -> [RowMerger.Received] {
        let page = RowStatePage(
            round: 0,
            table: plan.definition.name,
            payload: payload,
            wanted: [],
            isLast: true
        )
        return try RowMerger.decode(page, plan: plan, within: range)
    }

    private static func authors(_ payload: [UInt8]) throws -> [AuthorState] {
        do {
            return try payload.withUnsafeBytes { try AuthorCoding.decode($0) }
        } catch let malformed as MalformedRecord {
            throw MalformedChunk(reason: malformed.reason)
        }
    }

    /// Stores pages, which were checked, behind those that are stored.
    ///
    /// A page with another vector begins the state again, if it has the authors. Other pages that do not follow are left out:
    /// they were on their way when another peer took over.
    func stage(
        _ pages: [StatePage],
        end: StateEnd?,
        in transaction: borrowing WriteTransaction
    ) throws -> StagedState? {
        var staged = try StateStage.read(on: transaction.connection)
        for page in pages {
            if staged?.vector != page.vector {
                guard page.table.isEmpty else { continue }
                try StateStage.clear(in: transaction)
                staged = StagedState(vector: page.vector, cursor: page.cursor)
            } else if let staged, !page.cursor.isBehind(staged.cursor) {
                continue
            }
            // Rows of a table that this node does not have come by reconciliation, when it has the table.
            if !page.payload.isEmpty, page.table.isEmpty || self.plan(page.table) != nil {
                try StateStage.append(page, in: transaction)
            }
            staged?.append(page)
        }
        if let end, staged?.vector == end.vector { staged?.through = end.through }
        if let staged { try StateStage.write(staged, at: self.clock.wallMilliseconds, in: transaction) }
        return staged
    }

    // MARK: - The whole state

    /// A batch of this node that the state has and this node does not know it made: it is an earlier state of itself.
    func fork(in staged: StagedState) -> BatchID? {
        let own = self.origins.own
        let known = max(staged.vector[own], staged.through?[own] ?? 0)
        return known > self.log.highestNumber ? BatchID(origin: own, sequence: known) : nil
    }

    /// Whether the log has every batch of which a page may have a part.
    func hasTail(of staged: StagedState, on connection: Connection) throws -> Bool {
        guard let through = staged.through else { return false }
        for entry in through.entries {
            let id = self.origins.id(of: entry.origin)
            let known = max(id.map { self.origins.sequence(of: $0) } ?? 0, staged.vector[entry.origin])
            guard known < entry.sequence else { continue }
            guard let id else { return false }
            let logged =
                try connection
                .query(
                    """
                    SELECT count(DISTINCT sequence) FROM clinicsync_log
                    WHERE origin = ?1 AND sequence > ?2 AND sequence <= ?3 AND isLast = 1
                    """
                )
                .bind(1, id)
                .bind(2, known)
                .bind(3, entry.sequence)
                .first { UInt64(clamping: $0.int64(0)) }
            guard logged == entry.sequence - known else { return false }
        }
        return true
    }

    /// Merges the state, shows it, and applies what waits in the log.
    ///
    /// - Parameters:
    ///   - staged: what is stored.
    ///   - through: what no page is newer than.
    ///   - offset: what to add to this PC's time to get the clinic's.
    ///   - transaction: the transaction.
    /// - Returns: What was applied.
    /// - Throws: ``MalformedRecord`` when the file does not have what was stored; what SQLite reports.
    func install(
        _ staged: StagedState,
        through: VersionVector,
        offset: Int64,
        in transaction: borrowing WriteTransaction
    ) throws -> MergeResult {
        var result = MergeResult()
        // Merging judges by the stamps as they are, so they must not be corrected later.
        try self.unshared.countAllAsShared(in: transaction)
        // What programs wrote, they wrote without knowing the state.
        try self.merger.collectAll(offset: offset, result: &result, in: transaction)
        var events = EventCollector(isLocal: false)
        var number: Int64 = 0
        while let next = try StateStage.next(after: number, on: transaction.connection) {
            number = next
            guard let page = try StateStage.take(number, in: transaction) else { continue }
            if page.table.isEmpty {
                try self.adopt(StateMerger.authors(page.payload), upTo: staged.vector, in: transaction)
            } else if let plan = self.plan(page.table) {
                for row in try self.decode(page.payload, plan, .all) {
                    try self.merge(row, plan, staged, through, offset, &events, &result, in: transaction)
                }
            }
        }
        self.clock.observe(result.largestTimestamp)
        try StateStage.clear(in: transaction)
        let options = BatchApplier.Options(limit: .max, offset: offset)
        let tail = try self.applier.store([], from: nil, options, in: transaction)
        try self.projection.project(events: &events, in: transaction)
        result.events += try self.events.record(events, in: transaction)
        result.append(tail)
        return result
    }

    /// Takes over what each author had made and seen when the state began.
    private func adopt(
        _ authors: [AuthorState],
        upTo vector: VersionVector,
        in transaction: borrowing WriteTransaction
    ) throws {
        for author in authors where author.origin != self.origins.own {
            let sequence = min(author.sequence, vector[author.origin])
            guard self.origins.id(of: author.origin) != nil || self.origins.hasRoom(for: author.origin) else {
                continue
            }
            let id = try self.origins.id(of: author.origin, in: transaction)
            guard sequence > self.origins.sequence(of: id) else { continue }
            self.origins.noteSeen(author.seen.meet(vector), by: id)
            self.origins.advance(id, to: sequence, timestamp: author.timestamp)
            // This node got the state in place of these batches.
            self.origins.raiseFloor(of: id, to: sequence)
        }
    }

    private func merge(
        _ received: RowMerger.Received,
        _ plan: TablePlan,
        _ staged: StagedState,
        _ through: VersionVector,
        _ offset: Int64,
        _ events: inout EventCollector,
        _ result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        var state = received.state
        guard state.names(only: { through.covers($0) }) else { return }
        state.limitSeen(to: through)
        if !received.unknownColumns.isEmpty {
            try self.notes.addUnread(plan, key: state.key, columns: received.unknownColumns, in: transaction)
        }
        result.largestTimestamp = max(result.largestTimestamp, state.largestTimestamp.limited(toBatches: through.total))
        _ = try self.merger.merge(
            state,
            plan: plan,
            // The sender knew what the authors of these had seen, and its journal comes with the state.
            settled: staged.vector,
            offset: offset,
            events: &events,
            result: &result,
            in: transaction
        )
    }
}
