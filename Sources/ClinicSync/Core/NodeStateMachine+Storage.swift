import ClinicSyncModel
import OrderedCollections

// Work for the store and what comes of it.
extension NodeStateMachine {
    mutating func receive(_ reply: StorageReply) {
        switch reply {
        case .collected(let outcome): self.collected(outcome)
        case .stored(let id, let outcome): self.stored(from: id, outcome)
        case .storedApplied(let outcome): self.storedApplied(outcome)
        case .located(let id, let position): self.located(for: id, position: position)
        case .logRead(let id, let chunks, let head): self.logRead(for: id, chunks: chunks, head: head)
        case .digests(let purpose, let vector, let tables): self.measured(purpose, vector: vector, tables: tables)
        case .swept(let purpose, let escaped, let outcome): self.swept(purpose, escaped: escaped, outcome)
        case .rowHashes(let page): self.perform(self.reconciliation.hashed(page))
        case .compared(let id, let pages): self.compared(for: id, pages)
        case .rowsMerged(let id, let page, let outcome): self.rowsMerged(from: id, page, outcome)
        case .rowStates(_, let pages): self.perform(self.reconciliation.gathered(pages))
        case .acknowledgedRecorded, .isolationBegun: break
        case .termRecorded(let term): self.termRecorded(term)
        case .restamped(_, let outcome):
            self.absorb(outcome)
            self.restamped()
        case .loginDecided(let decision, let verdict): self.decided(decision, verdict)
        case .sessionsKept(let changes): self.sessionsKept(changes: changes)
        case .eventRecorded(let event): self.emit(.publish([event]))
        case .pruned(_, let escaped): self.housekept(escaped: escaped)
        case .failed(let request, let failure): self.failed(request, failure)
        }
    }

    private mutating func housekept(escaped: Int) {
        self.isHousekeeping = false
        guard escaped > 0 else { return }
        self.emit(.notify(.escapedWrites(escaped)))
        self.collect()
    }

    // MARK: - The gate

    /// Collects what programs committed, at once or after the collection in progress.
    mutating func collect() {
        if self.gate.requestCollect() { self.emitCollect() }
    }

    private mutating func emitCollect() {
        self.emit(.storage(.collect(clockOffsetMilliseconds: self.offsetMilliseconds)))
    }

    /// Gives the store a request that must not come between the slices of a collection.
    mutating func submit(_ request: StorageRequest) {
        if self.gate.pass(request) { self.emit(.storage(request)) }
    }

    private mutating func collected(_ outcome: CollectOutcome) {
        self.absorb(outcome)
        if !outcome.hasMore { self.grantsCollected() }
        self.proceed(self.gate.finished(hasMore: outcome.hasMore))
    }

    private mutating func swept(_ purpose: SweepPurpose, escaped: Int, _ outcome: CollectOutcome) {
        if escaped > 0 { self.emit(.notify(.escapedWrites(escaped))) }
        self.absorb(outcome)
        self.sweep = Sweep(purpose: purpose, escaped: escaped, unsent: outcome.unsentRows)
        self.proceed(self.gate.finished(hasMore: outcome.hasMore))
    }

    private mutating func proceed(_ next: WriteGate.Next) {
        switch next {
        case .collect:
            self.emitCollect()
        case .release(let collectAgain):
            if self.phase == .starting { self.becomeReady() }
            self.endSweep()
            self.release()
            if collectAgain { self.collect() }
        }
    }

    /// Hands over what waited for the gate.
    private mutating func release() {
        while let request = self.gate.nextWaiting() { self.emit(.storage(request)) }
        for id in Array(self.links.keys) { self.storeNext(from: id) }
        self.applyStoredIfPending()
    }

    private mutating func endSweep() {
        guard let sweep = self.sweep else { return }
        self.sweep = nil
        switch sweep.purpose {
        case .sync(let id):
            if self.isHost {
                let actions = self.sync.swept(
                    id: id,
                    escaped: sweep.escaped,
                    unsent: sweep.unsent,
                    clients: self.clients
                )
                self.perform(actions)
            } else {
                self.verificationSwept(id: id, escaped: sweep.escaped, unsent: sweep.unsent)
            }
        }
    }

    mutating func applyStoredIfPending() {
        guard self.isApplyPending, !self.isApplying, self.gate.isOpen else { return }
        self.isApplyPending = false
        self.isApplying = true
        self.emit(.storage(.applyStored))
    }

    // MARK: - Failures

    mutating func retryStorage() {
        if self.gate.retryCollect() { self.emitCollect() }
        self.applyStoredIfPending()
    }

    private mutating func retryLater(_ failure: StorageFailure) {
        self.emit(.notify(.storageFailed(failure)))
        self.emit(.setTimer(.retryStorage, after: self.configuration.storageRetryDelay))
    }

    private mutating func failed(_ request: StorageRequest, _ failure: StorageFailure) {
        switch request {
        case .collect:
            self.retryLater(failure)
            self.exclusiveWorkFailed()
        case .sweep(_, .sync(let id)):
            self.emit(.notify(.storageFailed(failure)))
            self.exclusiveWorkFailed()
            if self.isHost {
                self.perform(self.sync.sweepFailed(id: id))
            } else {
                self.verificationFailed(id: id)
            }
        case .applyStored:
            self.isApplying = false
            self.isApplyPending = true
            self.retryLater(failure)
        case .store(let id, _):
            self.retryLater(failure)
            self.close(id, failure.closeReason)
        case .locate(let id, _), .readLog(let id, _, _), .compare(let id, _), .mergeRows(let id, _),
            .rowStates(let id, _, _, _), .digests(.answer(let id, _)):
            self.emit(.notify(.storageFailed(failure)))
            self.close(id, failure.closeReason)
        case .digests(.question), .rowHashes:
            self.emit(.notify(.storageFailed(failure)))
            self.perform(self.reconciliation.breakOff())
        case .recordTerm:
            self.emit(.notify(.storageFailed(failure)))
            self.perform(self.election.recordingFailed(retryAfter: self.configuration.storageRetryDelay))
        case .restamp:
            self.emit(.notify(.storageFailed(failure)))
            self.restampFailed()
        case .decideLogin(let decision):
            self.emit(.notify(.storageFailed(failure)))
            self.decided(decision, .decided(.unavailable, members: 0))
        case .keepSessions:
            // The next change of a session, or the timer, brings it about again.
            self.emit(.notify(.storageFailed(failure)))
            self.isKeepingSessions = false
        case .recordAcknowledged, .beginIsolation, .recordEvent:
            self.emit(.notify(.storageFailed(failure)))
        case .prune:
            self.isHousekeeping = false
            self.emit(.notify(.storageFailed(failure)))
        }
    }

    /// Opens the gate for the others, unless a batch is open; the node does not become ready by a failure.
    private mutating func exclusiveWorkFailed() {
        guard case .release(let collectAgain) = self.gate.failed(), self.phase == .running else { return }
        self.endSweep()
        self.release()
        if collectAgain { self.collect() }
    }
}

extension StorageFailure {
    /// Why a connection whose request failed is closed.
    ///
    /// A peer is at fault only for bytes that make no sense; a fork may have been relayed by it in good faith.
    fileprivate var closeReason: CloseReason {
        switch self {
        case .malformed: .protocolViolation
        case .unavailable, .forked: .storageFailed
        }
    }
}
