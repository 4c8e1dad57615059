package import ClinicSyncModel

/// One round of reconciliation: a client compares its tables with the host's tables and repairs differences.
///
/// A round asks the store and then the host for counts and digests. Different vectors mean that changes are in transit,
/// which is no difference: the round is tried again a little later. With equal vectors, tables whose digests differ are
/// repaired. Ranges of states, by the time of their last change, show which states differ: the client asks for those that
/// it lacks, merges them, and sends its own. Where too much differs, and with a host of an earlier version, a table is
/// repaired page by page: the client sends its row hashes; the host sends its rows, which the client merges; the client
/// sends the rows that the host wants; the host confirms them. A last comparison shows whether the repair was complete.
///
/// Every question has a number. Replies and messages with another number are late and are ignored. An answer about what
/// was not asked, or without end, ends the round as `differs`: the next one is as good as this one.
package struct RoundStateMachine: Sendable, Hashable {
    /// The state of the round.
    package enum State: Sendable, Hashable {
        /// There is no round. Entered at the start and with a round's end. Can transition to `measuring`.
        case idle
        /// The store was asked for digests. Entered by ``begin(_:table:at:)``. Can transition to `asking`, `idle`.
        case measuring(Round)
        /// The host was asked for digests. Can transition to `waitingForChanges`, `ranging`, `hashing`, `idle`.
        case asking(Round, ours: DigestReport)
        /// Changes are in transit; a timer runs. Can transition to `measuring`, `idle`.
        case waitingForChanges(Round)
        /// The store compares ranges of states, or the host does. Can transition to `exchanging`, `gathering`, `hashing`,
        /// `measuring`, `idle`.
        case ranging(Round, Repair, Ranging)
        /// The store was asked for a page of row hashes. Can transition to `exchanging`, `idle`.
        case hashing(Round, Repair)
        /// The page went to the host; the host's rows arrive and are merged. Can transition to `gathering`, `hashing`,
        /// `measuring`, `idle`.
        case exchanging(Round, Repair, Exchange)
        /// The store was asked for the rows that the host lacks. Can transition to `awaitingReceipt`, `hashing`,
        /// `measuring`, `idle`.
        case gathering(Round, Repair)
        /// Rows went to the host, which has not confirmed them; these keys follow. Can transition to `gathering`,
        /// `hashing`, `measuring`, `idle`.
        case awaitingReceipt(Round, Repair, rest: [SQLiteValue])
    }

    /// The cause of a round.
    package enum Trigger: Sendable, Hashable {
        /// The periodic timer.
        case periodic
        /// A verification, a part of a manual sync.
        case verification
    }

    /// What a round has done so far.
    package struct Round: Sendable, Hashable {
        /// The cause of the round.
        package var trigger: Trigger
        /// The one table to compare; `nil`: all.
        package var table: String?
        /// When the round began.
        package var startedAt: Duration
        /// The number of the question; each question has a new one.
        package var id: UInt64
        /// How many times in a row changes were in transit.
        package var retries = 0
        /// Whether tables were repaired, so that the next comparison is the last.
        package var hasRepaired = false
        /// Rows repaired on both sides.
        package var repairedRows: UInt64 = 0
    }

    /// The repair of tables in the order of their names.
    package struct Repair: Sendable, Hashable {
        /// The tables to repair; the first one is being repaired.
        package var tables: [String]
        /// The next page begins behind this key; `nil`: with the smallest key.
        package var after: SQLiteValue?
        /// Whether the host compares hidden and deleted rows too, and ranges of states.
        package var hasHidden = false
    }

    /// The comparison of one table's states by ranges.
    package struct Ranging: Sendable, Hashable {
        /// Keys of rows of whose states the host has others, or none.
        package var keys: [SQLiteValue] = []
        /// States that only the host has.
        package var need: [UInt64] = []
        /// How many messages went to the host.
        package var messages = 0
        /// Whether the host must answer next; otherwise the store.
        package var isAsked = false
    }

    /// The exchange of the rows of one page.
    package struct Exchange: Sendable, Hashable {
        /// The keys that the page of hashes asks about; without an end, the page ends with the table.
        package var range: KeyRange
        /// The last key that the host's answer covers.
        package var through: SQLiteValue?
        /// How many pages of the answer have arrived.
        package var pages = 0
        /// Keys of rows that the host wants, or of which this node knows more.
        package var keys: [SQLiteValue] = []
        /// How many pages the store has not merged yet.
        package var merging = 0
        /// Whether the host's last page has arrived.
        package var hasLast = false
    }

    /// What is to be done, in this order.
    package enum Action: Sendable, Hashable {
        /// Ask the store for digests.
        case measure(round: UInt64)
        /// Send the host this node's digests.
        case ask(DigestReport)
        /// Start the retry timer.
        case waitForChanges
        /// Ask the store for a page of row hashes.
        case hash(round: UInt64, table: String, after: SQLiteValue?, hasHidden: Bool = false)
        /// Ask the store to compare ranges: to begin, or with the host's answer.
        case compareRanges(StateRangePage)
        /// Send the host ranges.
        case sendRanges(StateRangePage)
        /// Ask the host for states.
        case sendWants(StateWants)
        /// Send the host a page of row hashes.
        case sendHashes(RowHashPage)
        /// Let the store merge the host's rows, which must lie in this range.
        case merge(RowStatePage, within: KeyRange)
        /// Ask the store for rows.
        case gather(round: UInt64, table: String, keys: [SQLiteValue])
        /// Send the host rows.
        case sendStates(RowStatePage)
        /// The round is over.
        case finish(Outcome)
    }

    /// The end of a round.
    package struct Outcome: Sendable, Hashable {
        /// The cause of the round.
        package var trigger: Trigger
        /// The result; `nil` when changes were in transit all the time.
        package var result: ReconciliationResult?
        /// Rows repaired on both sides.
        package var repairedRows: UInt64
        /// When the round began.
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

    /// The state of the round.
    package private(set) var state: State = .idle
    private let retriesMax: Int
    private var lastID: UInt64 = 0
    /// Whether the host has answered with the sum of all tables, so that it needs no more of this node's report.
    private var hostHasSum = false

    /// Makes a machine without a round.
    package init(retriesMax: Int) {
        self.retriesMax = retriesMax
    }

    /// Whether no round is in progress.
    package var isIdle: Bool { self.state == .idle }

    /// Begins a round.
    ///
    /// No round may be in progress, and the host must be connected.
    package mutating func begin(_ trigger: Trigger, table: String?, at time: Duration) -> [Action] {
        precondition(self.isIdle, "a round was begun in \(self.state)")
        return self.measure(Round(trigger: trigger, table: table, startedAt: time, id: 0))
    }

    /// Another node becomes host, or none: it may be of another version.
    package mutating func forgetHost() { self.hostHasSum = false }

    /// The store has this node's digests.
    package mutating func measured(
        round id: UInt64,
        vector: VersionVector,
        tables: [TableDigest],
        sum: Digest? = nil
    ) -> [Action] {
        guard case .measuring(let round) = self.state, round.id == id else { return [] }
        var ours = DigestReport(round: id, vector: vector, sum: sum, tables: tables)
        self.state = .asking(round, ours: ours)
        // A host of an earlier version needs the tables to know whether they are equal.
        if self.hostHasSum, ours.sum != nil { ours.tables = [] }
        return [.ask(ours)]
    }

    /// The host's digests arrived.
    package mutating func answered(_ theirs: DigestReport) -> [Action] {
        guard case .asking(var round, let ours) = self.state, round.id == theirs.round else { return [] }
        self.hostHasSum = theirs.sum != nil
        guard ours.vector == theirs.vector || ours.isConfirmed(by: theirs) else {
            round.retries += 1
            guard round.retries <= self.retriesMax else { return self.finish(round, nil) }
            self.state = .waitingForChanges(round)
            return [.waitForChanges]
        }
        round.retries = 0
        guard let (tables, isWhole) = Self.differing(ours, theirs, only: round.table) else {
            return self.finish(round, .differs)
        }
        if tables.isEmpty { return self.finish(round, !isWhole ? .differs : round.hasRepaired ? .repaired : .equal) }
        if round.hasRepaired { return self.finish(round, .differs) }
        return self.compareTable(round, Repair(tables: tables, after: nil, hasHidden: theirs.sum != nil))
    }

    /// The retry timer fired: compares again.
    package mutating func retryTimerFired() -> [Action] {
        guard case .waitingForChanges(let round) = self.state else { return [] }
        return self.measure(round)
    }

    // MARK: - Ranges

    /// The store compared ranges.
    package mutating func ranged(_ step: RangeStep) -> [Action] {
        guard case .ranging(let round, let repair, var ranging) = self.state, !ranging.isAsked,
            step.round == round.id, step.table == repair.tables.first
        else { return [] }
        ranging.keys += step.haveKeys
        ranging.need += step.need
        ranging.messages += 1
        // Differences that fill whole ranges cost less in pages.
        guard !step.isTooLong, ranging.keys.count + ranging.need.count <= CoreLimits.rangedRowsMax,
            ranging.messages <= CoreLimits.rangeMessagesMax
        else { return self.hash(round, repair) }
        guard let next = step.next else { return self.exchange(round, repair, ranging) }
        ranging.isAsked = true
        self.state = .ranging(round, repair, ranging)
        return [.sendRanges(next)]
    }

    /// The host's answer arrived.
    package mutating func received(_ page: StateRangePage) -> [Action] {
        guard case .ranging(let round, let repair, var ranging) = self.state, ranging.isAsked,
            page.round == round.id, page.table == repair.tables.first
        else { return [] }
        if page.isTooLong { return self.hash(round, repair) }
        guard !page.ranges.isEmpty else { return self.exchange(round, repair, ranging) }
        ranging.isAsked = false
        self.state = .ranging(round, repair, ranging)
        return [.compareRanges(page)]
    }

    /// Everything is compared: exchanges the states that were found.
    private mutating func exchange(_ round: Round, _ repair: Repair, _ ranging: Ranging) -> [Action] {
        var exchange = Exchange(range: .all, through: nil)
        exchange.keys = ranging.keys
        exchange.hasLast = ranging.need.isEmpty
        guard !ranging.need.isEmpty else { return self.proceed(round, repair, exchange) }
        self.state = .exchanging(round, repair, exchange)
        return [.sendWants(StateWants(round: round.id, table: repair.tables[0], ids: ranging.need))]
    }

    // MARK: - Pages

    /// The store has a page of this node's row hashes.
    package mutating func hashed(_ page: RowHashPage) -> [Action] {
        guard case .hashing(let round, let repair) = self.state, round.id == page.round else { return [] }
        let range = KeyRange(after: page.after, through: page.through)
        self.state = .exchanging(round, repair, Exchange(range: range, through: page.through))
        return [.sendHashes(page)]
    }

    /// Rows of the host arrived: rows of which it knows more, or its confirmation of this node's rows.
    package mutating func received(_ page: RowStatePage) -> [Action] {
        switch self.state {
        case .exchanging(let round, let repair, let exchange):
            guard round.id == page.round, !exchange.hasLast else { return [] }
            return self.received(page, round, repair, exchange)
        case .awaitingReceipt(let round, let repair, let rest):
            guard round.id == page.round, page.isLast else { return [] }
            return rest.isEmpty ? self.nextPage(round, repair) : self.gather(round, repair, rest)
        case .idle, .measuring, .asking, .waitingForChanges, .ranging, .hashing, .gathering:
            // Race: the round of these rows has timed out meanwhile.
            return []
        }
    }

    private mutating func received(
        _ page: RowStatePage,
        _ round: Round,
        _ repair: Repair,
        _ exchange: Exchange
    ) -> [Action] {
        var exchange = exchange
        exchange.pages += 1
        guard page.table == repair.tables.first, exchange.pages <= CoreLimits.repairPagesMax,
            page.wanted.allSatisfy(exchange.range.contains), exchange.add(page.wanted)
        else { return self.finish(round, .differs) }
        exchange.hasLast = page.isLast
        if page.isLast, let covered = page.covered {
            // The rest of the page is asked about again, from there: so the answer must have come further.
            guard exchange.range.contains(covered) else { return self.finish(round, .differs) }
            exchange.through = covered
        }
        guard !page.payload.isEmpty else { return self.proceed(round, repair, exchange) }
        exchange.merging += 1
        return [.merge(page, within: exchange.range)] + self.proceed(round, repair, exchange)
    }

    /// The store merged a page of the host's rows.
    package mutating func merged(_ page: RowStatePage, changedRows: Int, aheadKeys: [SQLiteValue]) -> [Action] {
        guard case .exchanging(var round, let repair, var exchange) = self.state, round.id == page.round
        else { return [] }
        exchange.merging -= 1
        guard exchange.add(aheadKeys) else { return self.finish(round, .differs) }
        round.repairedRows = Bounds.rows(round.repairedRows, and: changedRows)
        return self.proceed(round, repair, exchange)
    }

    /// The store has rows that the host lacks; the keys in `rest` did not fit.
    package mutating func gathered(_ pages: [RowStatePage], rest: [SQLiteValue] = []) -> [Action] {
        guard case .gathering(let round, let repair) = self.state,
            pages.allSatisfy({ $0.round == round.id })
        else { return [] }
        guard let last = pages.last else { return self.nextPage(round, repair) }
        self.state = .awaitingReceipt(round, repair, rest: rest)
        var ending = last
        ending.isLast = true
        return pages.dropLast().map { .sendStates($0) } + [.sendStates(ending)]
    }

    /// Ends the round, because the host is gone, the store failed, or the round took too long.
    package mutating func breakOff() -> [Action] {
        switch self.state {
        case .idle: return []
        case .measuring(let round), .asking(let round, _), .waitingForChanges(let round), .ranging(let round, _, _),
            .hashing(let round, _), .exchanging(let round, _, _), .gathering(let round, _),
            .awaitingReceipt(let round, _, _):
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

    /// Begins with a table: by ranges of states, or page by page when the host knows no ranges.
    private mutating func compareTable(_ round: Round, _ repair: Repair) -> [Action] {
        guard repair.hasHidden else { return self.hash(round, repair) }
        self.state = .ranging(round, repair, Ranging())
        return [.compareRanges(StateRangePage(round: round.id, table: repair.tables[0], ranges: []))]
    }

    private mutating func hash(_ round: Round, _ repair: Repair) -> [Action] {
        self.state = .hashing(round, repair)
        let hasHidden = repair.hasHidden
        return [.hash(round: round.id, table: repair.tables[0], after: repair.after, hasHidden: hasHidden)]
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
        round.repairedRows = Bounds.rows(round.repairedRows, and: keys.count)
        return self.gather(round, repair, keys)
    }

    private mutating func gather(_ round: Round, _ repair: Repair, _ keys: [SQLiteValue]) -> [Action] {
        self.state = .gathering(round, repair)
        return [.gather(round: round.id, table: repair.tables[0], keys: keys)]
    }

    /// Continues behind the page that was just repaired: `repair.after` is its last key.
    private mutating func nextPage(_ round: Round, _ repair: Repair) -> [Action] {
        var repair = repair
        if repair.after != nil { return self.hash(round, repair) }
        repair.tables.removeFirst()
        guard repair.tables.isEmpty else { return self.compareTable(round, repair) }
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

    /// The names of the tables that differ, in order, and whether both nodes have the same tables.
    ///
    /// Nodes with different schema versions repair the tables that both have. `nil` when one of them lacks the one
    /// table in question.
    private static func differing(
        _ ours: DigestReport,
        _ theirs: DigestReport,
        only table: String?
    ) -> (names: [String], isWhole: Bool)? {
        let isSame = ours.sum != nil && ours.sum == theirs.sum
        let (ours, theirs) = (ours.tables, isSame ? ours.tables : theirs.tables)
        let our = ours.filter { table == nil || $0.name == table }
        let their = theirs.filter { table == nil || $0.name == table }
        let isWhole = our.map(\.name) == their.map(\.name)
        guard table == nil || (isWhole && !our.isEmpty) else { return nil }
        let names = our.filter { table in their.contains { $0.name == table.name && !$0.agrees(with: table) } }
            .map(\.name)
        return (names, isWhole)
    }
}

extension DigestReport {
    /// Whether two reports have the same tables, as far as both tell.
    func agrees(with other: DigestReport) -> Bool {
        if let sum = self.sum, let theirs = other.sum { return sum == theirs }
        return self.tables.count == other.tables.count
            && zip(self.tables, other.tables).allSatisfy { $0.agrees(with: $1) }
    }

    /// Whether an answer says that the host has the same: the sum alone.
    fileprivate func isConfirmed(by answer: DigestReport) -> Bool {
        self.sum != nil && self.sum == answer.sum && answer.vector.entries.isEmpty
    }

    /// The host's answer to this question.
    ///
    /// It needs the tables only to find those that differ, and the vector only when something does.
    package func answered(by report: DigestReport) -> DigestReport {
        var answer = report
        guard self.sum != nil else { return answer }
        if self.vector != report.vector {
            answer.tables = []
        } else if self.sum == report.sum {
            (answer.tables, answer.vector) = ([], VersionVector())
        }
        return answer
    }
}

extension RoundStateMachine.Exchange {
    /// Adds keys of rows that the host must get.
    ///
    /// - Returns: Whether they are within the limit.
    fileprivate mutating func add(_ keys: [SQLiteValue]) -> Bool {
        guard self.keys.count + keys.count <= CoreLimits.repairKeysMax else { return false }
        self.keys += keys
        return true
    }
}

extension [SQLiteValue] {
    /// The elements in the order of their first appearance.
    fileprivate func withoutRepetitions() -> [SQLiteValue] {
        var seen = Set<SQLiteValue>()
        return self.filter { seen.insert($0).inserted }
    }
}
