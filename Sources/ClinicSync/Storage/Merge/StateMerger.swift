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
    private let saver: RowSaver
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
        saver: RowSaver,
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
        self.saver = saver
        self.merger = merger
        self.applier = applier
        self.projection = projection
        self.events = events
        self.notes = notes
        self.clock = clock
    }

    // MARK: - Pages

    /// Reads an answer in full, before anything of it is stored.
    ///
    /// It is judged by what the peer was asked, and not by what is stored meanwhile: the store may have got more from a peer that
    /// was asked before.
    ///
    /// - Parameters:
    ///   - answer: the pages, in their order.
    ///   - place: the place behind which the peer was asked for them; `nil`: the beginning.
    /// - Throws: ``MalformedChunk`` when a page is not what it says, or has a row that was not asked for.
    func check(_ answer: StateAnswer, behind place: StateCursor?) throws {
        if let end = answer.end { try self.checkNumbers(end.through) }
        var cursor = place
        for page in answer.pages {
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
                try self.checkNumbers(page.vector)
                cursor = page.cursor
                continue
            }
            let range = KeyRange(
                after: cursor?.table == page.table ? cursor?.key : nil,
                through: page.through
            )
            if let plan = self.plan(page.table) { try RowMerger.check(page.payload, plan: plan, within: range) }
            cursor = page.cursor
        }
    }

    /// The batches of one author that a state may have beyond what this node has.
    ///
    /// No author makes as many. Beyond the numbers that a sender makes up, the author still has room for its own.
    private static let batchesMax: UInt64 = 1 << 32

    private func checkNumbers(_ vector: VersionVector) throws {
        for entry in vector.entries {
            let known = self.origins.sequence(of: entry.origin)
            guard entry.sequence <= known || entry.sequence - known <= StateMerger.batchesMax else {
                throw MalformedChunk(reason: "the state has too many batches of one author")
            }
        }
    }

    private func plan(_ table: String) -> TablePlan? { self.rows.plans.plan(calledElsewhere: table) }

    private static func authors(_ payload: [UInt8]) throws -> [AuthorState] {
        do {
            return try payload.withUnsafeBytes { try AuthorCoding.decode($0) }
        } catch let malformed as MalformedRecord {
            throw MalformedChunk(reason: malformed.reason)
        }
    }

    /// Stores an answer, which was checked, behind what is stored.
    ///
    /// Authors with another vector begin the state again. Everything else must go on where the stored pages end, or before:
    ///
    /// * Of an answer that begins before that place, the pages up to there are left out: another peer, which was asked before, has
    ///   given them meanwhile.
    /// * An answer that begins behind it is left out as a whole: the store has failed to store, or has forgotten, what came before
    ///   it. With such a gap the rows between would count as deleted.
    func stage(
        _ answer: StateAnswer,
        behind place: StateCursor?,
        in transaction: borrowing WriteTransaction
    ) throws -> StagedState? {
        var staged = try StateStage.read(on: transaction.connection)
        var isNext = staged.map { place?.isBehind($0.cursor) != true } ?? false
        // Its sender says it once in an answer, for all pages.
        var forgotten = VersionVector()
        for page in answer.pages {
            if staged?.vector != page.vector {
                guard page.table.isEmpty else { continue }
                try StateStage.clear(in: transaction)
                staged = StagedState(vector: page.vector, cursor: page.cursor)
                isNext = true
            } else if let staged, !isNext || !page.cursor.isBehind(staged.cursor) {
                forgotten.merge(page.forgotten)
                continue
            }
            // Rows of a table that this node does not have come by reconciliation, when it has the table. A page without rows says
            // that there are none in its range.
            if page.table.isEmpty ? !page.payload.isEmpty : self.plan(page.table) != nil {
                try StateStage.append(page, in: transaction)
            }
            staged?.append(page)
            staged?.forgotten.merge(forgotten)
        }
        if let end = answer.end, isNext, staged?.vector == end.vector { staged?.through = end.through }
        if let staged { try StateStage.write(staged, at: self.clock.wallMilliseconds, in: transaction) }
        return staged
    }

    // MARK: - The whole state

    /// A batch of this node that a state has and this node does not know it made: it is an earlier state of itself.
    func fork(in vectors: [VersionVector]) -> BatchID? {
        let own = self.origins.own
        let known = vectors.reduce(0) { max($0, $1[own]) }
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
            for sequence in known &+ 1...entry.sequence {
                guard try self.log.complete(of: id, sequence: sequence, on: connection) != nil else { return false }
            }
        }
        return true
    }

    /// Merges the state, shows it, and applies what waits in the log.
    ///
    /// - Parameters:
    ///   - staged: what is stored.
    ///   - through: what no page is newer than.
    ///   - isLarge: whether the indexes of empty tables are built when the tables are full.
    ///   - offset: what to add to this PC's time to get the clinic's.
    ///   - transaction: the transaction.
    /// - Returns: What was applied.
    /// - Throws: ``MalformedRecord`` when the file does not have what was stored; what SQLite reports.
    func install(
        _ staged: StagedState,
        through: VersionVector,
        isLarge: Bool,
        offset: Int64,
        in transaction: borrowing WriteTransaction
    ) throws -> MergeResult {
        var result = MergeResult()
        // Merging judges by the stamps as they are, so they must not be corrected later.
        try self.unshared.countAllAsShared(in: transaction)
        // What programs wrote, they wrote without knowing the state.
        try self.merger.collectAll(offset: offset, result: &result, in: transaction)
        var events = EventCollector(isLocal: false)
        var absent = try AbsentRows(rows: self.rows, merger: self.merger, staged, on: transaction.connection)
        var indexes = DeferredIndexes(isLarge: isLarge)
        var number: Int64 = 0
        while let next = try StateStage.next(after: number, on: transaction.connection) {
            number = next
            guard let page = try StateStage.take(number, in: transaction) else { continue }
            if page.table.isEmpty {
                try self.adopt(StateMerger.authors(page.payload), upTo: staged.vector, in: transaction)
            } else if let plan = self.plan(page.table) {
                // The sender may name authors that the file has no room for; the rows say nothing of others then.
                let known = through.filter { self.origins.id(of: $0) != nil }
                let merging = Merging(settled: staged.vector, through: known, offset: offset)
                try indexes.enter(plan, in: transaction)
                try absent.delete(page, plan, offset: offset, events: &events, result: &result, in: transaction)
                try self.merge(page.payload, plan, merging, absent, &events, &result, in: transaction)
            }
        }
        try indexes.build(in: transaction)
        self.clock.observe(result.largestTimestamp)
        try StateStage.clear(in: transaction)
        try Settings.set(.stateTaken, to: .integer(self.clock.wallMilliseconds), in: transaction)
        // Events are told in the order of their positions.
        result.events += try self.events.record(events, in: transaction)
        let options = BatchApplier.Options(limit: .max, offset: offset)
        result.append(try self.applier.store([], from: nil, options, in: transaction))
        var projected = EventCollector(isLocal: false)
        try self.projection.project(events: &projected, in: transaction)
        result.events += try self.events.record(projected, in: transaction)
        try absent.forget(in: transaction)
        return result
    }

    /// The places for authors that states leave free, so that made-up authors keep no new PC out.
    private static let authorsLeft = 1_024

    private func hasRoom(for author: Origin) -> Bool {
        self.origins.ids.count < Origins.originsMax - StateMerger.authorsLeft && self.origins.hasRoom(for: author)
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

    /// What the rows of a state are merged by.
    private struct Merging {
        /// What the state began with: the sender knew what the authors of these batches had seen, and its journal comes with
        /// the state.
        let settled: VersionVector
        /// What no page is newer than.
        let through: VersionVector
        /// What to add to this PC's time to get the clinic's.
        let offset: Int64
    }

    /// Merges the rows of a page.
    private func merge(
        _ payload: [UInt8],
        _ plan: TablePlan,
        _ merging: Merging,
        _ absent: AbsentRows,
        _ events: inout EventCollector,
        _ result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard !payload.isEmpty else { return }
        try payload.withUnsafeBytes { bytes in
            var reader = try RowStateReader(bytes, plan: plan)
            var values = [ValueRef](repeating: .null, count: plan.slotCount)
            while !reader.isAtEnd {
                if plan.definition.isClinical, plan.counterSlots == 0, plan.valueBytesMax == nil,
                    let row = try reader.plainRow(values: &values), merging.through.covers(row.birth),
                    !absent.mayBeForgotten(row.birth),
                    row.birth.timestamp <= .lastTime,
                    try self.insertFresh(row, values, plan, &events, in: transaction)
                {
                    result.largestTimestamp = max(result.largestTimestamp, row.birth.timestamp)
                    reader.skip(row)
                    continue
                }
                guard let state = try reader.next() else { break }
                let unknown = reader.hasUnknownColumns ? reader.unknownColumns : []
                try self.merge(state, unknown, plan, merging, absent, &events, &result, in: transaction)
            }
        }
    }

    /// Inserts a row of which this node knows nothing, without building its state.
    private func insertFresh(
        _ row: RowStateReader.PlainRow,
        _ values: [ValueRef],
        _ plan: TablePlan,
        _ events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        let birth = try self.origins.local(row.birth, in: transaction)
        guard try self.rows.insertFresh(plan, key: row.key, values: values, birth: birth, in: transaction) else {
            return false
        }
        try self.saver.enqueueIfEntangled(plan, key: row.key, on: transaction.connection) { values[$0] }
        events.add(
            VisibleChange(operation: .insert, slots: plan.valueSlots),
            plan: plan,
            key: row.key.value,
            timestamp: row.birth.timestamp,
            batch: nil
        ) { values[$0].value }
        return true
    }

    private func merge(
        _ theirs: RowState,
        _ unknownColumns: [String],
        _ plan: TablePlan,
        _ merging: Merging,
        _ absent: AbsentRows,
        _ events: inout EventCollector,
        _ result: inout MergeResult,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard theirs.names(only: { merging.through.covers($0) }),
            var state = try absent.remembered(theirs, plan, on: transaction.connection)
        else { return }
        state.limitSeen(to: merging.through)
        if !unknownColumns.isEmpty {
            try self.notes.addUnread(plan, key: state.key, columns: unknownColumns, in: transaction)
        }
        let largest = state.largestTimestamp.limited(toBatches: merging.through.total)
        result.largestTimestamp = max(result.largestTimestamp, largest)
        _ = try self.merger.merge(
            state,
            plan: plan,
            settled: merging.settled,
            offset: merging.offset,
            events: &events,
            result: &result,
            in: transaction
        )
    }
}
