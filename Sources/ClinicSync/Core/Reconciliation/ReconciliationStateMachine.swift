package import ClinicSyncModel

/// A client's comparison of its tables with the host's, and their repair.
///
/// A round asks the store and then the host for counts and digests. Different vectors mean that changes are on
/// their way, which is no difference: the round is tried again a little later. With equal vectors, tables whose
/// digests differ are gone through page by page: our row hashes go out, the host's rows come in and are merged,
/// the rows it wants go out, its receipt comes in. A last comparison tells whether that was enough.
///
/// A question never passes its own number: replies and messages of another round are late and ignored.
package struct ReconciliationStateMachine: Sendable, Hashable {
    /// Where the round stands.
    package enum State: Sendable, Hashable {
        /// No round. Can transition to `measuring`.
        case idle
        /// The store was asked for digests. Can transition to `asking`, `idle`.
        case measuring(Round)
        /// The host was asked for digests. Can transition to `waitingForChanges`, `hashing`, `idle`.
        case asking(Round, ours: DigestReport)
        /// Changes are on their way; a timer runs. Can transition to `measuring`.
        case waitingForChanges(Round)
        /// The store was asked for a page of row hashes. Can transition to `exchanging`, `idle`.
        case hashing(Round, Repair)
        /// The page went to the host; its rows come in and are merged. Can transition to `gathering`,
        /// `hashing`, `measuring`.
        case exchanging(Round, Repair, Exchange)
        /// The store was asked for the rows that the host lacks. Can transition to `awaitingReceipt`.
        case gathering(Round, Repair)
        /// The rows went to the host. Can transition to `hashing`, `measuring`.
        case awaitingReceipt(Round, Repair)
    }

    /// Why a round was begun.
    package enum Trigger: Sendable, Hashable {
        /// The timer.
        case periodic
        /// A manual sync.
        case verification
    }

    /// A round's account.
    package struct Round: Sendable, Hashable {
        /// Why it was begun.
        package var trigger: Trigger
        /// The one table to compare; `nil`: all.
        package var table: String?
        /// When it was begun.
        package var startedAt: Duration
        /// The number of the question, new for each.
        package var id: UInt64
        /// How often changes were on their way since the last step forward.
        package var retries = 0
        /// Whether tables were repaired, so that this comparison is the last.
        package var hasRepaired = false
        /// Rows repaired on both sides.
        package var repairedRows: UInt64 = 0
    }

    /// The repair of tables in the order of their names.
    package struct Repair: Sendable, Hashable {
        /// The tables; the first is being repaired.
        package var tables: [String]
        /// Where the next page begins after; `nil`: at the smallest key.
        package var after: SQLiteValue?
    }

    /// One page's exchange of rows.
    package struct Exchange: Sendable, Hashable {
        /// The page's end.
        package var through: SQLiteValue?
        /// Keys the host wants, or of which we know more.
        package var keys: [SQLiteValue] = []
        /// Pages the store has not merged yet.
        package var merging = 0
        /// Whether the host's last page has come.
        package var hasLast = false
    }

    /// What is to be done.
    package enum Action: Sendable, Hashable {
        /// Ask the store for digests.
        case measure(round: UInt64)
        /// Send the host our digests.
        case ask(DigestReport)
        /// Start the retry timer.
        case waitForChanges
        /// Ask the store for a page of row hashes.
        case hash(round: UInt64, table: String, after: SQLiteValue?)
        /// Send the host a page of row hashes.
        case sendHashes(RowHashPage)
        /// Have the store merge the host's rows.
        case merge(RowStatePage)
        /// Ask the store for rows.
        case gather(round: UInt64, table: String, keys: [SQLiteValue])
        /// Send the host rows.
        case sendStates(RowStatePage)
        /// The round is over.
        case finish(Outcome)
    }

    /// How a round ended.
    package struct Outcome: Sendable, Hashable {
        /// Why it was begun.
        package var trigger: Trigger
        /// The result; `nil` when changes were on their way all the time.
        package var result: ReconciliationResult?
        /// Rows repaired on both sides.
        package var repairedRows: UInt64
        /// When it was begun.
        package var startedAt: Duration

        /// Makes an outcome.
        package init(
            trigger: Trigger,
            result: ReconciliationResult?,
            repairedRows: UInt64,
            startedAt: Duration
        ) {
            self.trigger = trigger
            self.result = result
            self.repairedRows = repairedRows
            self.startedAt = startedAt
        }
    }

    /// Where the round stands.
    package private(set) var state: State = .idle
    private let retriesMax: Int
    private var lastID: UInt64 = 0

    /// Makes a machine without a round.
    package init(retriesMax: Int) {
        self.retriesMax = retriesMax
    }

    /// Whether no round is in progress.
    package var isIdle: Bool { self.state == .idle }

    /// Begins a round; there must be none and the host must be connected.
    package mutating func begin(_ trigger: Trigger, table: String?, at time: Duration) -> [Action] {
        precondition(self.isIdle, "a round was begun in \(self.state)")
        return self.measure(Round(trigger: trigger, table: table, startedAt: time, id: 0))
    }

    /// Takes our digests.
    package mutating func measured(
        round id: UInt64,
        vector: VersionVector,
        tables: [TableDigest]
    ) -> [Action] {
        guard case .measuring(let round) = self.state, round.id == id else { return [] }
        let ours = DigestReport(round: id, vector: vector, tables: tables)
        self.state = .asking(round, ours: ours)
        return [.ask(ours)]
    }

    /// Takes the host's digests.
    package mutating func answered(_ theirs: DigestReport) -> [Action] {
        guard case .asking(var round, let ours) = self.state, round.id == theirs.round else { return [] }
        guard ours.vector == theirs.vector else {
            round.retries += 1
            guard round.retries <= self.retriesMax else { return self.finish(round, nil) }
            self.state = .waitingForChanges(round)
            return [.waitForChanges]
        }
        round.retries = 0
        guard let (tables, isWhole) = Self.differing(ours.tables, theirs.tables, only: round.table) else {
            return self.finish(round, .differs)
        }
        if tables.isEmpty { return self.finish(round, !isWhole ? .differs : round.hasRepaired ? .repaired : .equal) }
        if round.hasRepaired { return self.finish(round, .differs) }
        return self.hash(round, Repair(tables: tables, after: nil))
    }

    /// Tries again after changes were on their way.
    package mutating func retryTimerFired() -> [Action] {
        guard case .waitingForChanges(let round) = self.state else { return [] }
        return self.measure(round)
    }

    /// Takes a page of our row hashes.
    package mutating func hashed(_ page: RowHashPage) -> [Action] {
        guard case .hashing(let round, let repair) = self.state, round.id == page.round else { return [] }
        self.state = .exchanging(round, repair, Exchange(through: page.through))
        return [.sendHashes(page)]
    }

    /// Takes rows from the host: those it knows more of, or its receipt for ours.
    package mutating func received(_ page: RowStatePage) -> [Action] {
        switch self.state {
        case .exchanging(let round, let repair, var exchange):
            guard round.id == page.round, !exchange.hasLast else { return [] }
            exchange.keys += page.wanted
            exchange.hasLast = page.isLast
            if !page.payload.isEmpty { exchange.merging += 1 }
            let merge: [Action] = page.payload.isEmpty ? [] : [.merge(page)]
            return merge + self.proceed(round, repair, exchange)
        case .awaitingReceipt(let round, let repair):
            guard round.id == page.round, page.isLast else { return [] }
            return self.nextPage(round, repair)
        case .idle, .measuring, .asking, .waitingForChanges, .hashing, .gathering:
            // Benign race: rows of a round that has timed out meanwhile.
            return []
        }
    }

    /// Takes what merging a page did.
    package mutating func merged(_ page: RowStatePage, changedRows: Int, aheadKeys: [SQLiteValue]) -> [Action] {
        guard case .exchanging(var round, let repair, var exchange) = self.state, round.id == page.round
        else { return [] }
        exchange.merging -= 1
        exchange.keys += aheadKeys
        round.repairedRows += UInt64(changedRows)
        return self.proceed(round, repair, exchange)
    }

    /// Takes the rows that the host lacks.
    package mutating func gathered(_ pages: [RowStatePage]) -> [Action] {
        guard case .gathering(let round, let repair) = self.state,
            pages.allSatisfy({ $0.round == round.id })
        else { return [] }
        guard let last = pages.last else { return self.nextPage(round, repair) }
        self.state = .awaitingReceipt(round, repair)
        var ending = last
        ending.isLast = true
        return pages.dropLast().map { .sendStates($0) } + [.sendStates(ending)]
    }

    /// Ends the round because the host is gone, the store failed or it took too long.
    package mutating func breakOff() -> [Action] {
        switch self.state {
        case .idle: return []
        case .measuring(let round), .asking(let round, _), .waitingForChanges(let round),
            .hashing(let round, _), .exchanging(let round, _, _), .gathering(let round, _),
            .awaitingReceipt(let round, _):
            return self.finish(round, .unreachable)
        }
    }

    // MARK: - Steps

    private mutating func measure(_ round: Round) -> [Action] {
        var round = round
        self.lastID += 1
        round.id = self.lastID
        self.state = .measuring(round)
        return [.measure(round: round.id)]
    }

    private mutating func hash(_ round: Round, _ repair: Repair) -> [Action] {
        self.state = .hashing(round, repair)
        return [.hash(round: round.id, table: repair.tables[0], after: repair.after)]
    }

    private mutating func proceed(_ round: Round, _ repair: Repair, _ exchange: Exchange) -> [Action] {
        var repair = repair
        guard exchange.hasLast, exchange.merging == 0 else {
            self.state = .exchanging(round, repair, exchange)
            return []
        }
        repair.after = exchange.through
        guard !exchange.keys.isEmpty else { return self.nextPage(round, repair) }
        var round = round
        let keys = exchange.keys.withoutRepetitions()
        round.repairedRows += UInt64(keys.count)
        self.state = .gathering(round, repair)
        return [.gather(round: round.id, table: repair.tables[0], keys: keys)]
    }

    /// Goes on behind the page just repaired: `repair.after` is its end.
    private mutating func nextPage(_ round: Round, _ repair: Repair) -> [Action] {
        var repair = repair
        if repair.after == nil { repair.tables.removeFirst() }
        guard repair.tables.isEmpty else { return self.hash(round, repair) }
        var round = round
        round.hasRepaired = true
        return self.measure(round)
    }

    private mutating func finish(_ round: Round, _ result: ReconciliationResult?) -> [Action] {
        self.state = .idle
        let outcome = Outcome(
            trigger: round.trigger,
            result: result,
            repairedRows: round.repairedRows,
            startedAt: round.startedAt
        )
        return [.finish(outcome)]
    }

    /// The names of tables that differ, in order, and whether both sides have the same tables.
    ///
    /// With another schema version the tables that both have are repaired all the same. `nil` when a side has not the one in
    /// question.
    private static func differing(
        _ ours: [TableDigest],
        _ theirs: [TableDigest],
        only table: String?
    ) -> (names: [String], isWhole: Bool)? {
        let ours = ours.filter { table == nil || $0.name == table }
        let theirs = theirs.filter { table == nil || $0.name == table }
        let isWhole = ours.map(\.name) == theirs.map(\.name)
        guard table == nil || (isWhole && !ours.isEmpty) else { return nil }
        let names = ours.filter { table in theirs.contains { $0.name == table.name && $0 != table } }.map(\.name)
        return (names, isWhole)
    }
}

extension [SQLiteValue] {
    /// The elements in the order of their first appearance.
    fileprivate func withoutRepetitions() -> [SQLiteValue] {
        var seen = Set<SQLiteValue>()
        return self.filter { seen.insert($0).inserted }
    }
}
