import ClinicSyncModel

// Start, the store's replies, commands, sessions, stop.
extension NodeStateMachine {
    /// The node starts: collects what programs wrote while it did not run.
    mutating func start(_ state: StoreState) {
        self.phase = .starting
        self.ending.started(formerIncarnations: state.formerIncarnations, at: self.now.monotonic)
        self.data.start(state, at: self.now.monotonic)
        self.election.restore(recordedTerm: state.term, at: self.now.monotonic)
        self.peers.learnConfigured(at: self.now.monotonic)
        self.emit(self.peers.startHeartbeat(at: self.now.monotonic))
        self.emit(self.data.housekeepingTimer)
        self.emit(.setTimer(.reconcile, after: self.configuration.reconcileInterval))
        self.carryOut(self.data.collect(self.context))
    }

    /// The first collection is complete: from now on peers may see this node's vector.
    mutating func becomeReady() {
        self.phase = .running
        let time = self.now.monotonic
        self.refreshCandidacy()
        self.peers.beginSearch(at: time, using: &self.turn.generator)
        self.dial()
        self.carryOut(self.election.start(isAlone: self.peers.knowsNoAddress, at: time, using: &self.turn.generator))
        for id in self.peers.connectionIDs {
            let (greeting, early) = self.peers.takeEarly(id, greeting: Hello(of: self))
            self.carryOut(greeting)
            for message in early { self.receive(message, term: nil, on: id) }
        }
    }

    // MARK: - The store's replies

    /// Gives the store's reply to the machine that asked.
    mutating func receive(_ reply: StorageReply) {
        switch reply {
        case .acknowledgedRecorded, .isolationBegun, .leftOut: break
        case .termRecorded(let term):
            self.refreshCandidacy()
            self.carryOut(self.election.recorded(term, at: self.now.monotonic))
        case .loginDecided(let decision, let verdict, let outcome):
            // The rows leave with this turn, before the answer.
            self.carryOut(self.data.absorb(outcome))
            self.carryOut(self.sessions.decided(decision, verdict, peers: self.peers.linkedPeers, self.context))
        case .sessionsKept(_, let outcome):
            self.carryOut(self.data.absorb(outcome))
            if self.sessions.ruleKept() { self.keepSessionRule() }
        case .eventRecorded(let event): self.emit(.publish([event]))
        case .restamped(_, let outcome):
            self.carryOut(self.data.absorb(outcome))
            self.carryOut(self.data.restamped(peers: self.peers.linkedPeers))
        case .located(let id, nil):
            guard let node = self.peers.link(id)?.identity.node else { return }
            // It connects again with its back-off; another host may have helped it meanwhile.
            self.emit(.notify(.logTooShort(for: node)))
            self.close(id, .storageFailed)
        case .failed(let request, let failure): self.failed(request, failure)
        case .noticed(let notice, let reply):
            self.carryOut(self.data.noticed(notice, peers: self.peers.linkedPeers, self.context))
            self.receive(reply)
        case .mended(let repair):
            let isRunning = self.phase == .running
            self.carryOut(self.data.mended(repair, peers: self.peers.linkedPeers, self.context, isRunning: isRunning))
        case .batchRead, .collected, .stored, .storedApplied, .discarded, .located, .logRead, .digests, .swept,
            .rowHashes, .compared, .rowsMerged, .rowStates, .pruned, .stateNeeded, .stateRead, .statePinned,
            .stateStaged, .stateWaits, .stateInstalled, .ranged, .rangesAnswered, .diskProbed:
            if case .pruned(let outcome) = reply { self.peers.members.lapsed = outcome.lapsed }
            self.carryOut(self.data.replied(reply, self.context))
        }
    }

    private mutating func failed(_ request: StorageRequest, _ failure: StorageFailure) {
        self.carryOut(self.data.failed(request, failure, self.context, isRunning: self.phase == .running))
        switch request {
        case .recordTerm:
            self.carryOut(self.election.recordingFailed(retryAfter: self.configuration.storageRetryDelay))
        case .decideLogin(let decision):
            let refusal = LoginVerdict.decided(.unavailable, members: 0)
            self.carryOut(self.sessions.decided(decision, refusal, peers: self.peers.linkedPeers, self.context))
        case .keepSessions: self.sessions.ruleFailed()
        default: break
        }
        if self.ending.isEnded(by: failure, self.configuration.origin, at: self.now.monotonic) { self.stop() }
    }

    // MARK: - Commands and sessions

    /// Gives a command to the machine that answers it.
    mutating func perform(_ command: Command, for request: RequestID) {
        switch command {
        case .sync(let table):
            // Whoever asks for a sync wants every peer, also those that wait.
            self.peers.retryNow(at: self.now.monotonic)
            self.dial()
            self.carryOut(self.data.syncCommanded(table: table, request: request, self.context))
        case .members where self.isHost: self.emit(.reply(request, .synced(SyncReport(aboutMembersOf: self, id: 0))))
        case .members:
            let host = self.hostConnection.flatMap { self.peers.link($0)?.identity.reportsMembers == true ? $0 : nil }
            self.carryOut(self.data.membersCommanded(request: request, host: host))
        case .transferHost(let node):
            let (reign, peer, context) = (self.election.reign, self.peers.linkedPeer(node), self.context)
            self.carryOut(self.handOver.commanded(node, by: request, reign: reign, peer: peer, context))
        case .login(let login):
            self.carryOut(self.sessions.requested(login, by: request, peers: self.peers.linkedPeers, self.context))
        }
    }

    /// On the host: restores the rule of one session a user.
    mutating func keepSessionRule() {
        guard self.phase == .running, self.isHost else { return }
        self.carryOut(self.sessions.keepRule(peers: self.peers.linkedPeers, self.context))
    }

    // MARK: - Housekeeping and the end

    /// The housekeeping timer fired.
    mutating func keepHouse() {
        self.emit(self.data.housekeepingTimer)
        guard !self.data.isKeepingHouse else { return }
        self.peers.share(self.data.vector)
        let progress = self.takeProgress()
        let presence = MemberPresence(of: self)
        self.carryOut(self.data.keepHouse(progress: progress, presence: presence, at: self.now.monotonic))
    }

    mutating func takeProgress(everything: Bool = false) -> [MemberProgress] {
        self.peers.takeProgress(at: self.now, offsetMilliseconds: self.clock.offsetMilliseconds, everything: everything)
    }

    /// Stops the node: closes every connection, answers everybody who waits, and records the members' progress.
    mutating func stop() {
        // The loss of the successor's link, which belongs to the end, asks for the end again.
        guard self.phase != .stopping else { return }
        self.carryOut(self.data.stop())
        self.emit(self.peers.goodbyes)
        self.emit(TimerID.single.map { .cancelTimer($0) })
        self.carryOut(self.handOver.wishTimedOut())
        self.carryOut(self.sessions.stop(self.context))
        self.emit(self.peers.handshakeEnds)
        self.phase = .stopping
        self.election.stop()
        for id in self.peers.linkIDs { self.carryOut(self.peers.unlink(id, .shuttingDown)) }
        self.peers.removeConnections()
        self.emit(StoreWorkStateMachine.record(self.takeProgress(everything: true)))
    }
}
