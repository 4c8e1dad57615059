import ClinicSyncModel
import OrderedCollections

// Reconciliation rounds, manual syncs, and the host's answers to them.
extension NodeStateMachine {
    // MARK: - Client: rounds

    mutating func reconcilePeriodically() {
        self.emit(.setTimer(.reconcile, after: self.configuration.reconcileInterval))
        guard !self.isHost else { return }
        // A round in progress, or one about to begin for a manual sync, serves as well.
        guard self.phase == .running, self.reconciliation.isIdle, self.verification == nil else { return }
        guard self.hostConnection != nil else {
            let outcome = ReconciliationStateMachine.Outcome(
                trigger: .periodic,
                result: .unreachable,
                repairedRows: 0,
                startedAt: self.now.monotonic
            )
            return self.record(outcome)
        }
        self.beginRound(.periodic, table: nil)
    }

    private mutating func beginRound(_ trigger: ReconciliationStateMachine.Trigger, table: String?) {
        self.emit(.setTimer(.roundTimeout, after: self.configuration.roundLimit))
        self.perform(self.reconciliation.begin(trigger, table: table, at: self.now.monotonic))
    }

    mutating func perform(_ actions: [ReconciliationStateMachine.Action]) {
        for action in actions {
            switch action {
            case .measure(let round): self.emit(.storage(.digests(.question(round: round))))
            case .waitForChanges: self.emit(.setTimer(.retryRound, after: self.configuration.roundRetryDelay))
            case .hash(let round, let table, let after):
                self.emit(.storage(.rowHashes(round: round, table: table, after: after)))
            case .gather(let round, let table, let keys): self.gather(round: round, table: table, keys: keys)
            case .merge(let page): self.merge(page)
            case .ask(let report): self.sendToHost(.digests(report))
            case .sendHashes(let page): self.sendToHost(.rowHashes(page))
            case .sendStates(let page): self.sendToHost(.rowStates(page))
            case .finish(let outcome): self.finish(outcome)
            }
        }
    }

    private mutating func sendToHost(_ message: Message) {
        guard let host = self.hostConnection else { return }
        self.emit(.send([host], message))
    }

    private mutating func gather(round: UInt64, table: String, keys: [SQLiteValue]) {
        guard let host = self.hostConnection else { return }
        self.emit(.storage(.rowStates(for: host, round: round, table: table, keys: keys)))
    }

    private mutating func merge(_ page: RowStatePage) {
        guard let host = self.hostConnection else { return }
        self.submit(.mergeRows(from: host, page))
    }

    private mutating func finish(_ outcome: ReconciliationStateMachine.Outcome) {
        self.emit(.cancelTimer(.retryRound))
        self.emit(.cancelTimer(.roundTimeout))
        self.record(outcome)
        guard let verification = self.verification else { return }
        switch verification.stage {
        case .sweeping: break
        case .queued: self.continueVerification()
        case .reconciling:
            self.verification = nil
            self.emit(.send([verification.connection], .verifyReport(verification.report(outcome))))
        }
    }

    /// Keeps the result for people.
    ///
    /// A round that met nothing but changes on their way has none.
    private mutating func record(_ outcome: ReconciliationStateMachine.Outcome) {
        guard let result = outcome.result else { return }
        let took = self.now.monotonic - outcome.startedAt
        self.lastReconciliation = CoreStatus.Reconciliation(
            wallMilliseconds: self.correctedMilliseconds,
            result: result,
            took: took,
            repairedRows: outcome.repairedRows
        )
        self.emit(.notify(.reconciled(result, repairedRows: outcome.repairedRows, took: took)))
    }

    // MARK: - Client: manual sync

    /// A newer request of the host takes the place of one in progress: the host no longer waits for that.
    mutating func beginVerification(_ request: SyncRequest, for id: ConnectionID) {
        self.verification = Verification(request: request, connection: id)
        self.submit(.sweep(table: request.table, .sync(id: request.id)))
    }

    mutating func verificationSwept(id: UInt64, escaped: Int, unsent: Int) {
        guard self.verification?.request.id == id, self.verification?.stage == .sweeping else { return }
        self.verification?.escaped = escaped
        self.verification?.unsent = unsent
        self.verification?.stage = .queued
        if self.reconciliation.isIdle { self.continueVerification() }
    }

    private mutating func continueVerification() {
        guard let request = self.verification?.request else { return }
        self.verification?.stage = .reconciling
        self.beginRound(.verification, table: request.table)
    }

    mutating func verificationFailed(id: UInt64) {
        guard let verification = self.verification, verification.request.id == id else { return }
        self.verification = nil
        let report = VerifyReport(id: id, result: .differs, repairedRows: 0)
        self.emit(.send([verification.connection], .verifyReport(report)))
    }

    // MARK: - Host: answers

    mutating func receive(question: DigestReport, on id: ConnectionID) {
        guard self.links[id]?.quota.beginQuestion() == true else { return self.close(id, .protocolViolation) }
        self.emit(.storage(.digests(.answer(to: id, question: question))))
    }

    mutating func receive(hashes page: RowHashPage, on id: ConnectionID) {
        guard self.links[id]?.quota.beginQuestion() == true else { return self.close(id, .protocolViolation) }
        self.emit(.storage(.compare(from: id, page)))
    }

    mutating func measured(_ purpose: DigestPurpose, vector: VersionVector, tables: [TableDigest]) {
        switch purpose {
        case .question(let round):
            self.perform(self.reconciliation.measured(round: round, vector: vector, tables: tables))
        case .answer(let id, let question):
            guard self.links[id] != nil else { return }
            self.links[id]?.quota.endQuestion()
            let answer = DigestReport(round: question.round, vector: vector, tables: tables)
            self.emit(.send([id], .digests(answer)))
            guard question.vector == vector else { return }
            self.lastReconciliation = CoreStatus.Reconciliation(
                wallMilliseconds: self.correctedMilliseconds,
                result: question.tables == tables ? .equal : .differs,
                took: .zero,
                repairedRows: 0
            )
        }
    }

    mutating func compared(for id: ConnectionID, _ pages: [RowStatePage]) {
        guard self.links[id] != nil else { return }
        self.links[id]?.quota.endQuestion()
        for page in pages { self.emit(.send([id], .rowStates(page))) }
    }

    // MARK: - Both: rows

    mutating func receive(_ page: RowStatePage, on id: ConnectionID) {
        guard self.links[id]?.quota.beginPage() == true else { return self.close(id, .protocolViolation) }
        if self.isHost {
            self.submit(.mergeRows(from: id, page))
        } else if id != self.hostConnection {
            // Benign race: the sender took this node for its host, or was ours a moment ago.
            self.links[id]?.quota.endPage()
        } else {
            // What the round does not want is late; what it merges is counted until it is merged.
            let actions = self.reconciliation.received(page)
            let isMerging = actions.contains(.merge(page))
            if !isMerging { self.links[id]?.quota.endPage() }
            self.perform(actions)
        }
    }

    mutating func rowsMerged(from id: ConnectionID, _ page: RowStatePage, _ outcome: MergeOutcome) {
        self.absorb(logged: outcome.logged, vector: outcome.vector, events: outcome.events)
        guard self.links[id] != nil else { return }
        self.links[id]?.quota.endPage()
        guard self.isHost else {
            guard id == self.hostConnection else { return }
            let actions = self.reconciliation.merged(
                page,
                changedRows: outcome.changedRows,
                aheadKeys: outcome.aheadKeys
            )
            return self.perform(actions)
        }
        guard page.isLast else { return }
        let receipt = RowStatePage(round: page.round, table: page.table, payload: [], wanted: [], isLast: true)
        self.emit(.send([id], .rowStates(receipt)))
    }
}
