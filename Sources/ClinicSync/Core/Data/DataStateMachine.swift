package import ClinicSyncModel

/// Everything about the clinic's data: the store's work, the streams of changes, reconciliation, and the manual sync.
///
/// The four parts share the store. This machine takes the store's replies and gives each part its own; the part that
/// owns a decision is ``StoreWorkStateMachine``, ``ReplicationStateMachine``, ``ReconciliationStateMachine`` or
/// ``ManualSyncStateMachine``.
package struct DataStateMachine: Sendable, Hashable {
    private var store: StoreWorkStateMachine
    private var replication: ReplicationStateMachine
    package private(set) var reconciliation: ReconciliationStateMachine
    private var sync: ManualSyncStateMachine
    private var damages = DamageStateMachine()
    /// What keeps the store from writing.
    package var access = StoreAccessStateMachine()
    private var waits = BatchWaits()
    private var transfer = StateTransferStateMachine()

    /// Makes a machine that has nothing.
    package init(_ configuration: CoreConfiguration) {
        self.store = StoreWorkStateMachine(
            retryDelay: configuration.storageRetryDelay,
            housekeepingInterval: configuration.housekeepingInterval
        )
        self.replication = ReplicationStateMachine(configuration)
        self.reconciliation = ReconciliationStateMachine(configuration)
        self.sync = ManualSyncStateMachine(configuration)
    }

    /// Takes what the store holds when the node starts.
    package mutating func start(_ state: StoreState, at time: Duration) {
        self.replication.start(state)
        self.transfer.start(state.staged, at: time)
        self.store.start(schemaVersion: state.schemaVersion)
    }

    // MARK: - What the node has

    /// What this node has applied.
    package var vector: VersionVector { self.replication.vector }

    /// Batches of which this node has some chunks.
    package var partials: [PartialBatch] { self.replication.partials }

    /// Batches of other authors of which this node has some chunks.
    package var partialsOfOthers: Int { self.replication.partialsOfOthers }

    /// This node's own batches that the host does not have.
    package var pendingChanges: UInt64 { self.replication.pendingChanges }

    /// The number of the newest migration of the store.
    package var schemaVersion: UInt32 { self.store.schemaVersion }

    /// How far the state is that this node takes from a peer, with the peer.
    package func stateTransfer(at time: Duration) -> (StateTransferStateMachine.Progress, from: NodeID?)? {
        let progress = self.transfer.progress(at: time, having: self.replication.vector)
        return progress.map { ($0, $0.source.flatMap { self.replication.node(of: $0) }) }
    }

    /// Damage in the node's own bookkeeping since the start.
    package var damage: [CoreStatus.Damage] { self.damages.record }
    /// Rows for which programs' triggers failed since the start.
    package var failedTriggers: Int { self.damages.failedTriggers }

    // MARK: - Links

    /// A link begins.
    package mutating func linked(_ introduction: PeerIntroduction) -> [Directive] {
        let id = introduction.connection
        self.reconciliation.linked(id)
        let (node, greeted) = (introduction.identity.node, introduction.greetedVector)
        let effects = self.replication.linked(id, node, introduction.hello, greeted: greeted)
        let denied = self.replication.denied(by: node, introduction.hello.vector)
        return effects.directives + (denied.isEmpty ? [] : self.discard(waiting: denied))
    }

    /// A link is gone.
    ///
    /// - Parameters:
    ///   - id: The connection.
    ///   - isLast: Whether no link is left.
    ///   - clients: On the host, the linked peers.
    ///   - time: The time.
    /// - Returns: What is to be done.
    package mutating func lost(
        _ id: ConnectionID,
        isLast: Bool,
        clients: [LinkedPeer]?,
        at time: Duration
    ) -> [Directive] {
        self.store.withdrawLogins(of: id)
        self.replication.lost(id)
        self.reconciliation.lost(id)
        let isolation = isLast ? self.replication.beginIsolation().directives : []
        let searches = self.damages.lost(id) + self.transfer.lost(id, at: time)
        return isolation + searches + (clients.map { self.sync.lost(id, clients: $0) } ?? [])
    }

    /// This node's host changed, or is gone: what it did as that host's client ends.
    package mutating func hostChanged(_ context: NodeContext) -> [Directive] {
        self.replication.hostChanged(context.host)
        let transfer = self.transfer.hostChanged(context.host, at: context.time.monotonic)
        return self.reconciliation.hostChanged(context) + self.sync.answerWishes() + transfer
    }

    /// This node follows another host, or none: it decides on no login any more, and breaks off a sync of the clinic.
    ///
    /// - Parameter wasHost: Whether it may have been host.
    /// - Returns: What is to be done.
    package mutating func abdicated(wasHost: Bool) -> [Directive] {
        self.store.withdrawLogins()
        return wasHost ? self.sync.abdicated() : []
    }

    /// This node follows a host that has `acknowledged`.
    package mutating func follow(acknowledged: VersionVector?) { self.replication.follow(acknowledged: acknowledged) }

    /// The verified members changed.
    package mutating func membersChanged(_ members: KnownMembers) -> [Directive] {
        let (effects, outdated) = self.replication.membersChanged(members, isStoreOpen: self.store.isOpen)
        return effects.directives + outdated.map { .close($0, .replaced) } + self.discard(waiting: [])
    }

    /// Removes from the log what former members left and nobody can apply, and what must be fetched again.
    private func discard(waiting: [WaitingBatch]) -> [Directive] {
        self.replication.discard(waiting: waiting).map { [.submit($0)] } ?? []
    }

    /// Whether nothing is exchanged because there is no link or the clinic's time is not known.
    package var isIsolated: Bool { self.replication.isIsolated }

    /// The clinic's time is known: the exchange begins as soon as the store has stamped again what no other node has.
    package mutating func endIsolation(_ context: NodeContext) -> [Directive] {
        self.replication.endIsolation(offsetMilliseconds: context.offsetMilliseconds).directives
    }

    /// The store has stamped again what no other node has.
    package mutating func restamped(peers: [LinkedPeer]) -> [Directive] {
        self.replication.restamped(peers: peers, isStoreOpen: self.store.isOpen).directives
    }

    // MARK: - Messages of peers

    /// A peer sent a chunk.
    package mutating func received(_ chunk: BatchChunk, on id: ConnectionID) -> [Directive] {
        let isOpen = self.store.isOpen
        guard let requests = self.replication.received(chunk, on: id, isStoreOpen: isOpen) else {
            return [.close(id, .protocolViolation)]
        }
        return requests.directives
    }

    /// A peer has applied batches and gives credit; ``readNext(for:)`` follows.
    package mutating func acknowledged(
        _ acknowledgement: Acknowledgement,
        on id: ConnectionID,
        isHost: Bool
    ) -> [Directive] {
        self.replication.acknowledged(acknowledgement, on: id, isHost: isHost).directives
    }

    /// Reads the next chunks of the log for a peer, if the peer may be sent more.
    package mutating func readNext(for id: ConnectionID) -> [Directive] {
        self.replication.readNext(for: id).directives
    }

    /// Tells every peer what this node has applied since it last told that peer.
    package mutating func announce() -> [Directive] { self.replication.announce().directives }

    /// A client reports that its part of a manual sync is done.
    package mutating func verified(_ report: VerifyReport, by id: ConnectionID, clients: [LinkedPeer]) -> [Directive] {
        self.sync.reported(report, by: id, clients: clients)
    }

    /// A peer sent a message of reconciliation or of a manual sync; any other message is ignored.
    package mutating func received(_ message: Message, on id: ConnectionID, _ context: NodeContext) -> [Directive] {
        switch message {
        case .digests(let report): return self.reconciliation.received(self.ofKnownAuthors(report), on: id, context)
        case .rowHashes(let page): return self.reconciliation.received(page, on: id)
        case .rowStates(let page): return self.reconciliation.received(page, on: id, context)
        case .stateRanges(let page): return self.reconciliation.received(page, on: id, context)
        case .stateWants(let wants): return self.reconciliation.received(wants, on: id)
        case .verifyRequest(let request): return self.reconciliation.beginVerification(request, for: id)
        case .syncRequest(let request): return self.sync.requested(request, by: id, context)
        case .syncReport(let report): return self.sync.reported(report)
        case .state(let message):
            let hasMore = self.replication.claimsMore(id)
            let time = context.time.monotonic
            return self.transfer.received(message, on: id, hasMore: hasMore, at: time)
        case .hello, .goodbye, .ping, .pong, .chunk, .acknowledge, .revocation, .memberProof, .hostReport, .handOver,
            .verifyReport, .transferRequest, .loginRequest, .loginReply:
            return []
        }
    }

    /// A report that can be compared with this node's own: both leave out the same authors.
    private func ofKnownAuthors(_ report: DigestReport) -> DigestReport {
        var report = report
        report.vector = self.replication.ofKnownAuthors(report.vector)
        return report
    }

    // MARK: - Timers and commands

    /// The timer of the periodic reconciliation fired.
    package mutating func reconcileTimerFired(_ context: NodeContext, isRunning: Bool) -> [Directive] {
        self.reconciliation.periodicTimerFired(context, isRunning: isRunning)
    }

    /// The timer fired that tries a round again.
    package mutating func roundRetryTimerFired(_ context: NodeContext) -> [Directive] {
        self.reconciliation.retryTimerFired(context)
    }

    /// A round takes too long.
    package mutating func roundTimedOut(_ context: NodeContext) -> [Directive] { self.reconciliation.breakOff(context) }

    /// A manual sync takes too long.
    package mutating func syncTimedOut(_ id: UInt64, isHost: Bool) -> [Directive] {
        self.sync.timedOut(id, isHost: isHost)
    }

    /// A person or program on this PC asks for a sync.
    package mutating func syncCommanded(table: String?, request: RequestID, _ context: NodeContext) -> [Directive] {
        self.sync.commanded(table: table, request: request, context)
    }

    /// On a client, a person or program wants to know what the host knows of the members.
    package mutating func membersCommanded(request: RequestID, host: ConnectionID?) -> [Directive] {
        self.sync.membersCommanded(request: request, host: host)
    }

    /// A program's write transaction keeps a client's store from writing.
    package mutating func locked(_ id: ConnectionID, clients: [LinkedPeer]) -> [Directive] {
        self.sync.locked(id, clients: clients)
    }

    /// Another program's write transaction keeps the store from writing.
    package mutating func storeLocked(_ lock: StoreLock, at time: Duration) -> [Directive] {
        self.access.locked(lock, at: time) + self.sync.storeLocked() + [.unfit]
    }

    /// The node stops: nobody waits for a sync any more.
    package mutating func stop() -> [Directive] { self.sync.abdicated() + self.sync.answerWishes() }

    // MARK: - The store's work

    /// Collects what programs committed, at once or after the work in progress.
    package mutating func collect(_ context: NodeContext) -> [Directive] {
        self.store.collect(offsetMilliseconds: context.offsetMilliseconds).directives
    }

    /// Gives the store the request, at once or when no collection is in progress.
    package mutating func submit(_ request: StorageRequest) -> [Effect] { self.store.submit(request) }

    /// No collection and no sweep is in progress any more: everything that waited for that goes on.
    package mutating func opened(collectAgain: Bool, _ context: NodeContext) -> [Directive] {
        var effects = self.store.release()
        effects += self.replication.storeWaiting(isStoreOpen: self.store.isOpen)
        effects += self.store.applyPending()
        return effects.directives + (collectAgain ? self.collect(context) : [])
    }

    /// A sweep is done and its rows are collected.
    package mutating func finish(
        _ sweep: FinishedSweep,
        clients: [LinkedPeer],
        _ context: NodeContext
    ) -> [Directive] {
        let (escaped, unsent) = (sweep.escaped, sweep.unsent)
        switch sweep.purpose {
        case .sync(let id) where context.isHost:
            return self.sync.swept(id: id, escaped: escaped, unsent: unsent, clients: clients)
        case .sync(let id):
            return self.reconciliation.swept(id: id, escaped: escaped, unsent: unsent, context)
        }
    }

    /// Tries again what the store could not do.
    package mutating func retry(_ context: NodeContext) -> [Directive] {
        self.store.retry(offsetMilliseconds: context.offsetMilliseconds).directives
    }

    /// The timer of the next round of housekeeping.
    package var housekeepingTimer: Effect { self.store.housekeepingTimer }

    /// Whether a round of housekeeping is in progress.
    package var isKeepingHouse: Bool { self.store.isKeepingHouse }

    /// Begins a round of housekeeping; none may be in progress.
    package mutating func keepHouse(
        progress: [MemberProgress],
        presence: MemberPresence,
        at time: Duration
    ) -> [Directive] {
        // The batches for which a state waits are not lost.
        let candidates = self.transfer.source == nil ? self.replication.waitCandidates : []
        let waiting = self.waits.update(candidates, at: time)
        let stalled = self.replication.takeStalled(isTakingState: self.transfer.state != .idle, at: time)
        return self.store.keepHouse(progress: progress, presence: presence).directives
            + self.discard(waiting: waiting) + self.transfer.keepHouse(at: time)
            + self.replication.askForProofsAgain().directives + stalled.map { .close($0, .replaced) }
    }

    // MARK: - The store's replies

    /// The store carried out a request of the data's.
    ///
    /// - Parameters:
    ///   - reply: The reply; replies that concern hosts, sessions or clocks are ignored.
    ///   - context: What may be read of the node.
    /// - Returns: What is to be done.
    package mutating func replied(_ reply: StorageReply, _ context: NodeContext) -> [Directive] {
        switch reply {
        case .collected(let outcome):
            let absorbed = self.absorb(outcome)
            let offset = context.offsetMilliseconds
            return absorbed + self.store.collected(hasMore: outcome.hasMore, offsetMilliseconds: offset)
        case .swept(let purpose, let escaped, let outcome):
            return self.swept(purpose, escaped: escaped, outcome, context)
        case .stored(let id, let outcome):
            return self.stored(from: id, outcome, at: context.time.monotonic)
        case .discarded(let outcome):
            let connections = self.replication.connections(for: outcome.forgotten)
            self.replication.forgot(outcome.forgotten, sender: nil)
            // With the next hello, peers that have a removed batch send it from its beginning.
            return self.absorb(outcome) + connections.map { .close($0, .replaced) }
        case .storedApplied(let outcome):
            self.store.applied()
            let absorbed = self.absorb(outcome)
            let announcements = self.replication.announce()
            if outcome.isApplyPending { self.store.applyLater() }
            return absorbed + (announcements + self.store.applyPending()).directives
        case .located(let id, let position?):
            return self.replication.located(id, at: position).directives
        case .logRead(let id, let chunks, let head):
            return self.replication.logRead(for: id, chunks, head: head).directives
        case .digests(let purpose, let vector, let tables, let sum):
            let vector = self.replication.ofKnownAuthors(vector)
            return self.reconciliation.measured(purpose, vector: vector, tables: tables, sum: sum, context)
        case .rowHashes(let page): return self.reconciliation.hashed(page, context)
        case .ranged(let step): return self.reconciliation.ranged(step, context)
        case .rangesAnswered(let id, let page): return self.reconciliation.answered(for: id, page)
        case .compared(let id, let pages): return self.reconciliation.compared(for: id, pages)
        case .rowStates(_, let pages, let rest): return self.reconciliation.gathered(pages, rest: rest, context)
        case .rowsMerged(let id, let page, let outcome):
            let absorbed = self.absorb(outcome.logged, vector: outcome.vector, events: outcome.events)
            return absorbed + self.reconciliation.merged(from: id, page, outcome, context)
        case .pruned(let outcome):
            self.store.housekeepingEnded()
            let notices: [Directive] =
                outcome.escaped > 0 ? [.effect(.notify(.escapedWrites(outcome.escaped)))] : []
            return notices + (outcome.escaped > 0 || outcome.hasDecided ? [.collect] : [])
        case .diskProbed: return self.access.probed(at: context.time.monotonic)
        case .batchRead(let id, let chunks): return self.replication.batchRead(for: id, chunks).directives
        case .stateNeeded, .stateRead, .stateStaged, .stateWaits, .stateInstalled:
            return self.transferReplied(reply, context.time.monotonic)
        case .statePinned, .located(_, nil), .restamped, .acknowledgedRecorded, .isolationBegun, .termRecorded,
            .loginDecided,
            .sessionsKept, .eventRecorded, .failed, .mended, .leftOut, .noticed:
            return []
        }
    }

    /// The store carried out a request of a state transfer.
    private mutating func transferReplied(_ reply: StorageReply, _ time: Duration) -> [Directive] {
        switch reply {
        case .stateNeeded(let id, let offer):
            self.replication.offered(id)
            return self.transfer.needed(offer, by: id)
        case .stateRead(let id, let answer):
            let sending = self.transfer.read(answer, for: id, self.replication.node(of: id), at: time)
            let tail = answer.end.map { self.replication.stateSent(id, $0.vector) } ?? []
            return sending + tail.directives
        case .stateStaged(let id, let staged):
            // The log has brought what the state began with.
            if staged == nil, self.transfer.isOvertaken(by: self.replication.vector) { self.transfer.installed() }
            return self.transfer.staged(staged, from: id, at: time)
        case .stateWaits:
            self.transfer.waits()
            return []
        case .stateInstalled(_, let outcome):
            self.transfer.installed()
            self.replication.forgot(outcome.forgotten, sender: nil)
            let absorbed = self.absorb(outcome)
            return absorbed + (self.replication.announce() + self.replication.stateInstalled()).directives
        default: return []
        }
    }

    private mutating func swept(
        _ purpose: SweepPurpose,
        escaped: Int,
        _ outcome: CollectOutcome,
        _ context: NodeContext
    ) -> [Directive] {
        let notices: [Directive] = escaped > 0 ? [.effect(.notify(.escapedWrites(escaped)))] : []
        let absorbed = notices + self.absorb(outcome)
        let sweep = FinishedSweep(purpose: purpose, escaped: escaped, unsent: outcome.unsentRows)
        let offset = context.offsetMilliseconds
        return absorbed + self.store.swept(sweep, hasMore: outcome.hasMore, offsetMilliseconds: offset)
    }

    private mutating func stored(
        from id: ConnectionID,
        _ outcome: StoreOutcome,
        at time: Duration
    ) -> [Directive] {
        self.replication.forgot(outcome.forgotten, sender: id)
        let absorbed = self.absorb(outcome)
        // The author sent a later chunk of a batch that began with somebody else's content: it must begin again.
        let isOutOfStep = outcome.forgotten.contains { batch in
            !outcome.logged.contains { $0.chunk.batch == batch }
        }
        let (bytes, isOpen) = (outcome.storedBytes, self.store.isOpen)
        var effects = self.replication.stored(from: id, bytes: bytes, isStoreOpen: isOpen)
        if outcome.isApplyPending {
            self.store.applyLater()
            effects += self.store.applyPending()
        }
        let closing: [Directive] = isOutOfStep ? [.close(id, .replaced)] : []
        return absorbed + effects.directives + self.damages.stored(from: id) + closing
            + self.transfer.stored(at: time)
    }

    /// Takes over what a collection, a sweep or a restamp committed.
    package mutating func absorb(_ outcome: CollectOutcome) -> [Directive] {
        let isRepaired = !outcome.repairedTables.isEmpty
        var notices: [Directive] =
            isRepaired ? [.effect(.notify(.captureRepaired(tables: outcome.repairedTables)))] : []
        notices += outcome.tables.map { .effect(.notify(.tableNoticed($0))) }
        if outcome.setBackRows > 0 { notices.append(.effect(.notify(.unmarkedSetBack(outcome.setBackRows)))) }
        notices += self.damages.triggersFailed(outcome.failedTriggers)
        return notices + self.absorb(outcome.logged, vector: outcome.vector, events: outcome.events)
    }

    private mutating func absorb(_ outcome: StoreOutcome) -> [Directive] {
        var directives = self.absorb(outcome.logged, vector: outcome.vector, events: outcome.events)
        if outcome.conflicts > 0 { directives.append(.effect(.notify(.conflictsRecorded(outcome.conflicts)))) }
        return directives + [.stamped(outcome.largestTimestamp)]
    }

    /// Takes over what the store committed: tells programs, and passes on to peers what was logged.
    private mutating func absorb(
        _ logged: [LoggedChunk],
        vector: VersionVector,
        events: [LoggedEvent]
    ) -> [Directive] {
        self.replication.committed(logged, vector: vector)
        var directives = [Directive.applied]
        if !events.isEmpty { directives.append(.effect(.publish(events))) }
        if events.contains(where: { $0.change?.category == .user }) { directives.append(.usersChanged) }
        directives += self.replication.relay(logged).directives
        return directives + self.replication.takeWithheld().map { .close($0, .replaced) }
    }

    /// The store replied while the node stops: tells programs of what was committed.
    package mutating func repliedLast(_ reply: StorageReply) -> [Effect] {
        switch reply {
        case .collected(let outcome), .swept(_, _, let outcome), .restamped(_, let outcome),
            .loginDecided(_, _, let outcome), .sessionsKept(_, let outcome):
            return self.absorbLast(outcome.events, vector: outcome.vector)
        case .stored(_, let outcome), .storedApplied(let outcome), .discarded(let outcome),
            .stateInstalled(_, let outcome):
            return self.absorbLast(outcome.events, vector: outcome.vector)
        case .rowsMerged(_, _, let outcome): return self.absorbLast(outcome.events, vector: outcome.vector)
        case .eventRecorded(let event): return [.publish([event])]
        case .noticed(let notice, let reply):
            let committed = notice.committed.map { self.absorbLast($0.events, vector: $0.vector) } ?? []
            return committed + self.repliedLast(reply)
        case .located, .logRead, .digests, .rowHashes, .compared, .rowStates, .acknowledgedRecorded, .pruned,
            .diskProbed, .termRecorded, .isolationBegun, .failed, .mended, .leftOut, .batchRead, .stateNeeded,
            .stateRead, .statePinned, .stateStaged, .stateWaits, .ranged, .rangesAnswered:
            return []
        }
    }

    private mutating func absorbLast(_ events: [LoggedEvent], vector: VersionVector) -> [Effect] {
        self.replication.committed([], vector: vector)
        return events.isEmpty ? [] : [.publish(events)]
    }

    // MARK: - Damage

    /// The store says something besides its reply, which follows.
    package mutating func noticed(
        _ notice: StoreNotice,
        peers: [LinkedPeer],
        _ context: NodeContext
    ) -> [Directive] {
        let committed = notice.committed.map { self.absorb($0) } ?? []
        for repair in notice.repairs { self.replication.forgot(repair.wanted.map(\.batch), sender: nil) }
        return committed + self.damages.noticed(notice.repairs, peers: peers, context)
    }

    /// The store has carried out a repair that it was asked for.
    package mutating func mended(
        _ repair: DamageRepair,
        peers: [LinkedPeer],
        _ context: NodeContext,
        isRunning: Bool
    ) -> [Directive] {
        let (directives, failed) = self.damages.mended(repair, peers: peers, context)
        guard let failed else { return directives }
        let failure = StorageFailure.unavailable("the bookkeeping is damaged: \(repair.reason)")
        return directives + self.failed(failed, failure, context, isRunning: isRunning)
    }

    /// A peer wants chunks that it lost to damage.
    package mutating func wanted(_ chunks: [LostChunk], by id: ConnectionID) -> [Directive] {
        self.replication.wanted(chunks, by: id).directives
    }

    /// No peer has sent a lost batch in time.
    package mutating func refetchTimedOut() -> [Directive] { self.damages.timedOut() }

    // MARK: - The store's failures

    /// The store could not carry out a request of the data's.
    ///
    /// - Parameters:
    ///   - request: The request; those that concern hosts or sessions are only reported.
    ///   - failure: Why.
    ///   - context: What may be read of the node.
    ///   - isRunning: Whether the node has started; it does not become ready by a failure.
    /// - Returns: What is to be done.
    package mutating func failed(
        _ request: StorageRequest,
        _ failure: StorageFailure,
        _ context: NodeContext,
        isRunning: Bool
    ) -> [Directive] {
        let fault = self.access.failed(request, failure, at: context.time.monotonic)
        return fault + self.end(of: request, failure, context, isRunning: isRunning)
    }

    private mutating func end(
        of request: StorageRequest,
        _ failure: StorageFailure,
        _ context: NodeContext,
        isRunning: Bool
    ) -> [Directive] {
        if case .damaged(let damage) = failure {
            if let directives = self.damages.found(damage, by: request) { return directives }
            let notes = self.damages.note(DamageRepair(damage, outcome: .failed), context) + [.unfit]
            let failure = StorageFailure.unavailable("the bookkeeping is damaged: \(damage.reason)")
            return notes + self.failed(request, failure, context, isRunning: isRunning)
        }
        let notice = [Directive.effect(.notify(.storageFailed(failure)))]
        switch request {
        case .collect:
            return self.store.retryLater(failure).directives + self.exclusiveWorkFailed(context, isRunning: isRunning)
        case .applyStored:
            self.store.applyFailed()
            return self.store.retryLater(failure).directives
        case .store(let id, _, _):
            return self.store.retryLater(failure).directives + [.close(id, failure.closeReason)]
        case .sweep(_, .sync(let id)):
            let others = self.exclusiveWorkFailed(context, isRunning: isRunning)
            let end = context.isHost ? self.sync.sweepFailed(id: id) : self.reconciliation.sweepFailed(id: id)
            return notice + others + end
        case .locate(let id, _, _), .readLog(let id, _, _), .compare(let id, _), .mergeRows(let id, _, _),
            .rowStates(let id, _, _, _), .digests(.answer(let id, _)), .readState(let id, _),
            .stageState(let id, _, _):
            return notice + [.close(id, failure.closeReason)]
        case .compareRanges(.answer(let id), _), .wantedStates(let id, _):
            return notice + [.close(id, failure.closeReason)] + self.reconciliation.scanEnded()
        case .digests(.question), .rowHashes: return notice + self.reconciliation.breakOff(context)
        case .compareRanges(.question, _): return notice + self.reconciliation.rangesFailed(failure, context)
        case .restamp: return notice + self.replication.restampFailed().map { .close($0, .storageFailed) }
        case .prune:
            self.store.housekeepingEnded()
            return notice
        case .mend:
            let waiting = self.damages.mendFailed()
            return waiting.map { self.failed($0, failure, context, isRunning: isRunning) } ?? notice
        case .readBatch(let id, _, _): return notice + self.replication.batchRead(for: id, []).directives
        case .installState:
            self.transfer.installFailed(failure, at: context.time.monotonic)
            return notice
        case .recordAcknowledged, .beginIsolation, .discard, .leaveOut, .pinState, .probeDisk: return notice
        case .recordTerm, .decideLogin, .keepSessions, .recordEvent: return notice
        }
    }

    /// Lets others write again, unless a batch is open.
    private mutating func exclusiveWorkFailed(_ context: NodeContext, isRunning: Bool) -> [Directive] {
        guard let collectAgain = self.store.exclusiveWorkFailed(), isRunning else { return [] }
        return self.opened(collectAgain: collectAgain, context)
    }
}
