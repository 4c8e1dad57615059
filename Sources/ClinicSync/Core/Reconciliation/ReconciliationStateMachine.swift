package import ClinicSyncModel
import OrderedCollections

/// A node's part in reconciliation: as a client its rounds with the host, as host the answers to its clients.
///
/// A client compares its tables with the host's every 30 s, and when the host asks for a verification (a part of a
/// manual sync). ``RoundStateMachine`` says how a round goes; here it meets the host's connection, the store and the
/// timers.
package struct ReconciliationStateMachine: Sendable, Hashable {
    /// A client's request for which the store reads a whole table.
    private struct Scan: Sendable, Hashable {
        let connection: ConnectionID
        let request: StorageRequest
    }

    private let interval: Duration
    private let retryDelay: Duration
    private let roundLimit: Duration
    private var round: RoundStateMachine
    private var verification: Verification?
    /// What the store works on for each linked peer.
    private var quotas: OrderedDictionary<ConnectionID, ReconciliationQuota> = [:]
    /// Clients' requests for which the store reads a whole table; the store has the first one, the others wait.
    ///
    /// One at a time, so that other peers' requests for the log come between them.
    private var scans: [Scan] = []
    /// The newest reconciliation that came to a result.
    package private(set) var last: CoreStatus.Reconciliation?
    /// On a client, what the rounds with the present host have shown; `nil` before the first result.
    package private(set) var comparisonWithHost: PeerComparison?
    /// The tables that the round in progress repairs.
    private var repairedTables: [String] = []

    /// Makes a machine without a round.
    package init(_ configuration: CoreConfiguration) {
        self.interval = configuration.reconcileInterval
        self.retryDelay = configuration.roundRetryDelay
        self.roundLimit = configuration.roundLimit
        self.round = RoundStateMachine(retriesMax: configuration.roundRetriesMax)
    }

    /// A link begins.
    package mutating func linked(_ id: ConnectionID) { self.quotas[id] = ReconciliationQuota() }

    /// A link is gone.
    package mutating func lost(_ id: ConnectionID) { self.quotas[id] = nil }

    // MARK: - Client: rounds

    /// The timer of the periodic round fired.
    package mutating func periodicTimerFired(_ context: NodeContext, isRunning: Bool) -> [Directive] {
        let timer = Directive.effect(.setTimer(.reconcile, after: self.interval))
        guard !context.isHost else { return [timer] }
        // A round in progress serves as well, and so does one that is about to begin for a verification.
        guard isRunning, self.round.isIdle, self.verification == nil else { return [timer] }
        guard context.host != nil else {
            let outcome = RoundStateMachine.Outcome(
                trigger: .periodic,
                result: .unreachable,
                repairedRows: 0,
                startedAt: context.time.monotonic
            )
            return [timer] + self.record(outcome, context)
        }
        return [timer] + self.begin(.periodic, table: nil, context)
    }

    /// The timer fired that tries a round again because changes were on their way.
    package mutating func retryTimerFired(_ context: NodeContext) -> [Directive] {
        self.perform(self.round.retryTimerFired(), context)
    }

    /// The round takes too long, or the store failed.
    package mutating func breakOff(_ context: NodeContext) -> [Directive] {
        self.perform(self.round.breakOff(), context)
    }

    /// The node follows another host, or none: the round and the verification with the former host are over.
    package mutating func hostChanged(_ context: NodeContext) -> [Directive] {
        self.verification = nil
        let end = self.breakOff(context)
        self.comparisonWithHost = nil
        self.round.forgetHost()
        return end
    }

    private mutating func begin(
        _ trigger: RoundStateMachine.Trigger,
        table: String?,
        _ context: NodeContext
    ) -> [Directive] {
        self.repairedTables = []
        let start = self.round.begin(trigger, table: table, at: context.time.monotonic)
        return [.effect(.setTimer(.roundTimeout, after: self.roundLimit))] + self.perform(start, context)
    }

    private mutating func perform(_ actions: [RoundStateMachine.Action], _ context: NodeContext) -> [Directive] {
        var result: [Directive] = []
        for action in actions {
            switch action {
            case .measure(let round):
                result.append(.effect(.storage(.digests(.question(round: round)))))
            case .waitForChanges:
                result.append(.effect(.setTimer(.retryRound, after: self.retryDelay)))
            case .hash(let round, let table, let after, let hasHidden):
                self.repairs(table)
                let request = StorageRequest.rowHashes(round: round, table: table, after: after, hasHidden: hasHidden)
                result.append(.effect(.storage(request)))
            case .gather(let round, let table, let keys):
                guard let host = context.host else { continue }
                result.append(.effect(.storage(.rowStates(for: host, round: round, table: table, keys: keys))))
            case .merge(let page, let range):
                guard let host = context.host else { continue }
                result.append(.submit(.mergeRows(from: host, page, within: range)))
            case .ask(let report): result += self.send(.digests(report), to: context.host)
            case .compareRanges(let page):
                self.repairs(page.table)
                result.append(.effect(.storage(.compareRanges(.question, page))))
            case .sendRanges(let page): result += self.send(.stateRanges(page), to: context.host)
            case .sendWants(let wants): result += self.send(.stateWants(wants), to: context.host)
            case .sendHashes(let page): result += self.send(.rowHashes(page), to: context.host)
            case .sendStates(let page): result += self.send(.rowStates(page), to: context.host)
            case .finish(let outcome): result += self.finish(outcome, context)
            }
        }
        return result
    }

    private func send(_ message: Message, to connection: ConnectionID?) -> [Directive] {
        connection.map { [.effect(.send([$0], message))] } ?? []
    }

    private mutating func finish(_ outcome: RoundStateMachine.Outcome, _ context: NodeContext) -> [Directive] {
        let end = [Directive.effect(.cancelTimer(.retryRound)), .effect(.cancelTimer(.roundTimeout))]
        let actions = end + self.record(outcome, context)
        guard let verification = self.verification else { return actions }
        switch verification.stage {
        case .sweeping: return actions
        case .queued: return actions + self.continueVerification(context)
        case .reconciling:
            self.verification = nil
            return actions + self.send(.verifyReport(verification.report(outcome)), to: verification.connection)
        }
    }

    /// Keeps the result for people; a round that met nothing but changes on their way has no result.
    private mutating func record(_ outcome: RoundStateMachine.Outcome, _ context: NodeContext) -> [Directive] {
        guard let result = outcome.result else { return [] }
        self.compared(result, at: context.clinicNow)
        let took = context.time.monotonic - outcome.startedAt
        self.last = CoreStatus.Reconciliation(
            wallMilliseconds: context.clinicMilliseconds,
            result: result,
            took: took,
            repairedRows: outcome.repairedRows
        )
        return [.effect(.notify(.reconciled(result, repairedRows: outcome.repairedRows, took: took)))]
    }

    private mutating func repairs(_ table: String) {
        if self.repairedTables.last != table { self.repairedTables.append(table) }
    }

    /// A round of this client ended with a result.
    private mutating func compared(_ result: ReconciliationResult, at now: Now) {
        guard result != .unreachable else { return }
        let isEqual = result != .differs
        self.comparisonWithHost = PeerComparison(isEqual: isEqual, at: now)
        guard !isEqual else { return }
        // The round has tried to repair it: this is no difference that was just found.
        self.comparisonWithHost?.add(isEqual: false, at: now)
        for table in self.repairedTables { self.comparisonWithHost?.add(table) }
    }

    /// As host, what comparing the tables of a client has shown; `nil` before the client's first question.
    package func comparison(of id: ConnectionID) -> PeerComparison? { self.quotas[id]?.comparison }

    // MARK: - Client: verification

    /// The host asks this client to sweep its tables and to reconcile.
    ///
    /// A newer request takes the place of one in progress, for which the host waits no more. A sweep in progress goes on for
    /// the newer one, so that the store never has more than one of them to do, however many a host asks for.
    package mutating func beginVerification(_ request: SyncRequest, for id: ConnectionID) -> [Directive] {
        guard var running = self.verification, running.stage == .sweeping else { return self.sweep(request, for: id) }
        (running.request, running.connection) = (request, id)
        self.verification = running
        return []
    }

    private mutating func sweep(_ request: SyncRequest, for id: ConnectionID) -> [Directive] {
        self.verification = Verification(request: request, sweep: request, connection: id)
        return [.submit(.sweep(table: request.table, .sync(id: request.id)))]
    }

    /// The sweep for a verification is done and its rows are collected.
    package mutating func swept(id: UInt64, escaped: Int, unsent: Int, _ context: NodeContext) -> [Directive] {
        guard let verification = self.verification, verification.sweep.id == id, verification.stage == .sweeping else {
            return []
        }
        guard verification.request.table == verification.sweep.table else {
            return self.sweep(verification.request, for: verification.connection)
        }
        self.verification?.escaped = escaped
        self.verification?.unsent = unsent
        self.verification?.stage = .queued
        return self.round.isIdle ? self.continueVerification(context) : []
    }

    private mutating func continueVerification(_ context: NodeContext) -> [Directive] {
        guard let request = self.verification?.request else { return [] }
        self.verification?.stage = .reconciling
        return self.begin(.verification, table: request.table, context)
    }

    /// The sweep for a verification failed.
    package mutating func sweepFailed(id: UInt64) -> [Directive] {
        guard let verification = self.verification, verification.sweep.id == id else { return [] }
        self.verification = nil
        let report = VerifyReport(id: verification.request.id, result: .differs, repairedRows: 0)
        return self.send(.verifyReport(report), to: verification.connection)
    }

    // MARK: - Both: digests and hashes

    /// A client asks, or the host answers.
    package mutating func received(_ report: DigestReport, on id: ConnectionID, _ context: NodeContext) -> [Directive] {
        if context.isHost {
            guard self.quotas[id]?.beginQuestion() == true else { return [.close(id, .protocolViolation)] }
            return [.effect(.storage(.digests(.answer(to: id, question: report))))]
        }
        return id == context.host ? self.perform(self.round.answered(report), context) : []
    }

    /// A client sent a page of its row hashes: from now on it may send rows of this range.
    package mutating func received(_ page: RowHashPage, on id: ConnectionID) -> [Directive] {
        guard self.quotas[id]?.beginQuestion() == true else { return [.close(id, .protocolViolation)] }
        let range = KeyRange(after: page.after, through: page.through)
        self.quotas[id]?.ask(round: page.round, table: page.table, range: range)
        return [.effect(.storage(.compare(from: id, page)))]
    }

    /// A client compares ranges of states, or the host answers.
    ///
    /// From now on the client may send rows of the table.
    package mutating func received(
        _ page: StateRangePage,
        on id: ConnectionID,
        _ context: NodeContext
    ) -> [Directive] {
        guard context.isHost else {
            return id == context.host ? self.perform(self.round.received(page), context) : []
        }
        guard self.quotas[id]?.beginQuestion() == true else { return [.close(id, .protocolViolation)] }
        self.quotas[id]?.ask(round: page.round, table: page.table, range: .all)
        return self.scan(.compareRanges(.answer(to: id), page), for: id)
    }

    /// A client asks for states that it lacks.
    package mutating func received(_ wants: StateWants, on id: ConnectionID) -> [Directive] {
        guard self.quotas[id]?.beginQuestion() == true else { return [.close(id, .protocolViolation)] }
        return self.scan(.wantedStates(from: id, wants), for: id)
    }

    private mutating func scan(_ request: StorageRequest, for id: ConnectionID) -> [Directive] {
        self.scans.append(Scan(connection: id, request: request))
        return self.scans.count == 1 ? [.effect(.storage(request))] : []
    }

    /// The store has carried out the first scan, or failed: the next one of a linked client begins.
    package mutating func scanEnded() -> [Directive] {
        guard !self.scans.isEmpty else { return [] }
        self.scans.removeFirst()
        self.scans.removeAll { self.quotas[$0.connection] == nil }
        return self.scans.first.map { [.effect(.storage($0.request))] } ?? []
    }

    /// The store has counts and digests: for this node's round, or for a client's question.
    package mutating func measured(
        _ purpose: DigestPurpose,
        vector: VersionVector,
        tables: [TableDigest],
        sum: Digest? = nil,
        _ context: NodeContext
    ) -> [Directive] {
        switch purpose {
        case .question(let round):
            return self.perform(self.round.measured(round: round, vector: vector, tables: tables, sum: sum), context)
        case .answer(let id, let question):
            let report = DigestReport(round: question.round, vector: vector, sum: sum, tables: tables)
            guard self.quotas[id] != nil else { return [] }
            self.quotas[id]?.endQuestion()
            let isEqual = question.agrees(with: report)
            if question.vector == vector {
                self.quotas[id]?.compared(isEqual: isEqual, at: context.clinicNow)
                self.last = CoreStatus.Reconciliation(
                    wallMilliseconds: context.clinicMilliseconds,
                    result: isEqual ? .equal : .differs,
                    took: .zero,
                    repairedRows: 0
                )
            }
            return self.send(.digests(question.answered(by: report)), to: id)
        }
    }

    /// The store has a page of this node's row hashes.
    package mutating func hashed(_ page: RowHashPage, _ context: NodeContext) -> [Directive] {
        self.perform(self.round.hashed(page), context)
    }

    /// The store compared ranges of this node's round.
    package mutating func ranged(_ step: RangeStep, _ context: NodeContext) -> [Directive] {
        self.perform(self.round.ranged(step), context)
    }

    /// The store could not compare ranges of this node's round: the host's may be no ranges.
    package mutating func rangesFailed(_ failure: StorageFailure, _ context: NodeContext) -> [Directive] {
        let end = self.breakOff(context)
        guard case .malformed = failure, let host = context.host else { return end }
        return end + [.close(host, .protocolViolation)]
    }

    /// The store compared a client's ranges with the host's states.
    package mutating func answered(for id: ConnectionID, _ page: StateRangePage) -> [Directive] {
        let next = self.scanEnded()
        guard self.quotas[id] != nil else { return next }
        self.quotas[id]?.endQuestion()
        return self.send(.stateRanges(page), to: id) + next
    }

    /// The store compared a client's page with the host's rows, or has the states that the client wants.
    package mutating func compared(for id: ConnectionID, _ pages: [RowStatePage]) -> [Directive] {
        var next: [Directive] = []
        if let scan = self.scans.first, scan.connection == id, case .wantedStates = scan.request {
            next = self.scanEnded()
        }
        guard self.quotas[id] != nil else { return next }
        self.quotas[id]?.endQuestion()
        return pages.flatMap { self.send(.rowStates($0), to: id) } + next
    }

    // MARK: - Both: rows

    /// A peer sent rows.
    ///
    /// They are merged only when this node asked that peer for them: a client in its round, a host about the range of
    /// the client's newest page of hashes. All others are dropped.
    package mutating func received(_ page: RowStatePage, on id: ConnectionID, _ context: NodeContext) -> [Directive] {
        guard let admission = self.quotas[id]?.beginPage(page) else { return [.close(id, .protocolViolation)] }
        switch admission {
        case .refused: return [.close(id, .protocolViolation)]
        case .admitted, .dropped: break
        }
        if context.isHost {
            guard let range = self.quotas[id]?.range(of: page), admission == .admitted else {
                self.quotas[id]?.endPage(page)
                // Race: this node was no host a moment ago, and has not seen the question. Or the store has enough to
                // do: the client goes on, and finds in its next comparison that the rows are missing here.
                return self.quotas[id]?.range(of: page) == nil ? [] : self.receipt(for: page, to: id)
            }
            return [.submit(.mergeRows(from: id, page, within: range))]
        }
        guard id == context.host else {
            // Race: the sender took this node for its host, or was this node's host a moment ago.
            self.quotas[id]?.endPage(page)
            return []
        }
        var wanted = page
        if admission == .dropped { wanted.payload = [] }
        // A page that the round does not want is late. A page that it merges counts until the store has merged it.
        let actions = self.round.received(wanted)
        let isMerged = actions.contains { if case .merge = $0 { true } else { false } }
        if !isMerged { self.quotas[id]?.endPage(page) }
        return self.perform(actions, context)
    }

    /// The store has this node's rows that the host lacks; the keys in `rest` did not fit.
    package mutating func gathered(
        _ pages: [RowStatePage],
        rest: [SQLiteValue],
        _ context: NodeContext
    ) -> [Directive] {
        self.perform(self.round.gathered(pages, rest: rest), context)
    }

    /// The store merged a peer's rows.
    package mutating func merged(
        from id: ConnectionID,
        _ page: RowStatePage,
        _ outcome: MergeOutcome,
        _ context: NodeContext
    ) -> [Directive] {
        guard self.quotas[id] != nil else { return [] }
        self.quotas[id]?.endPage(page)
        guard context.isHost else {
            guard id == context.host else { return [] }
            let actions = self.round.merged(
                page,
                changedRows: outcome.changedRows,
                aheadKeys: outcome.aheadKeys
            )
            return self.perform(actions, context)
        }
        return self.receipt(for: page, to: id)
    }

    /// Confirms a client's last page.
    private func receipt(for page: RowStatePage, to id: ConnectionID) -> [Directive] {
        guard page.isLast else { return [] }
        let receipt = RowStatePage(round: page.round, table: page.table, payload: [], wanted: [], isLast: true)
        return self.send(.rowStates(receipt), to: id)
    }
}
