import ClinicSyncModel
import OrderedCollections

// Start, heartbeat, housekeeping, stop.
extension NodeStateMachine {
    mutating func start(_ state: StoreState) {
        self.phase = .starting
        self.ledger = ChunkLedger(vector: state.vector, partials: state.partials)
        self.logHead = state.logHead
        self.schemaVersion = state.schemaVersion
        self.acknowledgedByHost = state.acknowledgedByHost
        self.startedAt = self.now.monotonic
        self.recordedTerm = state.term
        self.dialling.learn(self.configuration.hints, at: self.now.monotonic)
        // Large batches of the last run may be complete and not applied.
        self.isApplyPending = true
        self.emit(.setTimer(.heartbeat, after: self.configuration.heartbeatInterval))
        self.emit(.setTimer(.housekeeping, after: self.configuration.housekeepingInterval))
        self.emit(.setTimer(.reconcile, after: self.configuration.reconcileInterval))
        self.collect()
    }

    /// The first collection is complete: from now on our vector may be shown.
    mutating func becomeReady() {
        self.phase = .running
        self.startElection()
        for id in Array(self.connections.keys) {
            guard var connection = self.connections[id] else { continue }
            let early = connection.takeEarly()
            self.connections[id] = connection
            if connection.dialled != nil { self.greet(id) }
            for message in early { self.receive(message, on: id) }
        }
    }

    private mutating func startElection() {
        self.refreshCandidacy()
        self.dialling.enter(.search, at: self.now.monotonic, spread: .zero, using: &self.generator)
        self.dial()
        self.perform(
            self.election.start(
                recordedTerm: self.recordedTerm,
                isAlone: self.dialling.addresses.isEmpty,
                at: self.now.monotonic,
                using: &self.generator
            )
        )
    }

    mutating func beat() {
        let (ping, wasAsleep) = self.heartbeat.beat(at: self.now.monotonic)
        let limit = self.configuration.silenceLimit
        var next = self.configuration.heartbeatInterval
        for id in Array(self.links.keys) {
            guard var link = self.links[id] else { continue }
            if wasAsleep {
                link.lastHeard = max(link.lastHeard, self.now.monotonic - limit / 2)
                self.links[id] = link
            }
            let remaining = link.lastHeard + limit - self.now.monotonic
            if remaining <= .zero {
                self.close(id, .peerSilent)
            } else {
                // A beat at the moment a peer's time is up, rather than half a second later.
                next = min(next, remaining)
            }
        }
        self.announceToAll()
        self.updateSuccessors()
        if !self.links.isEmpty { self.emit(.send(Array(self.links.keys), .ping(Ping(id: ping)))) }
        self.emit(.setTimer(.heartbeat, after: next))
    }

    mutating func receive(_ pong: Pong, on id: ConnectionID, from identity: PeerIdentity) {
        guard let roundTrip = self.heartbeat.roundTrip(of: pong.id, at: self.now.monotonic) else { return }
        self.directory.measured(identity.node, roundTrip: roundTrip)
        guard id == self.hostConnection else { return }
        self.clockOffset.add(
            remoteMilliseconds: pong.wallMilliseconds,
            roundTrip: roundTrip,
            localMilliseconds: self.now.wallMilliseconds
        )
    }

    /// Tells operators when changes come from a clock that is ahead of the clinic's.
    mutating func checkClock(_ stamp: HybridTimestamp) {
        let ahead = stamp.milliseconds &- self.correctedMilliseconds
        guard ahead > Int64(self.configuration.clockTolerance / .milliseconds(1)) else { return }
        if let last = self.skewNoticedAt, self.now.monotonic - last < CoreLimits.clockSkewNoticeInterval { return }
        self.skewNoticedAt = self.now.monotonic
        self.emit(.notify(.clockSkew(milliseconds: ahead)))
    }

    mutating func keepHouse() {
        self.emit(.setTimer(.housekeeping, after: self.configuration.housekeepingInterval))
        guard !self.isHousekeeping else { return }
        self.isHousekeeping = true
        self.recordProgress(everything: false)
        self.emit(.storage(.prune))
    }

    mutating func recordProgress(everything: Bool) {
        let progress = self.directory.takeProgress(
            at: self.now,
            offsetMilliseconds: self.offsetMilliseconds,
            everything: everything
        )
        if !progress.isEmpty { self.emit(.storage(.recordAcknowledged(progress))) }
    }

    mutating func stop() {
        self.perform(self.sync.breakOff())
        for wish in self.syncWishes { self.answer(wish, .unreachable) }
        self.syncWishes = []
        for id in self.connections.keys { self.emit(.close(id, .shuttingDown)) }
        for timer: TimerID in [
            .heartbeat, .housekeeping, .reconcile, .retryRound, .roundTimeout, .retryStorage, .dial, .election,
            .handOver, .transfer, .sessions, .grants,
        ] {
            self.emit(.cancelTimer(timer))
        }
        self.transferTimedOut()
        self.endLogins()
        for connection in self.connections.values where connection.state == .awaitingHello {
            self.emit(.cancelTimer(.handshake(connection.id)))
        }
        self.phase = .stopping
        self.election.stop()
        for id in self.links.keys { self.forget(id, .shuttingDown) }
        self.connections = [:]
        self.recordProgress(everything: true)
    }

    /// Programs are told of what was committed while the node stopped.
    mutating func publishLast(_ reply: StorageReply) {
        let (events, vector): ([LoggedEvent], VersionVector)
        switch reply {
        case .collected(let outcome), .swept(_, _, let outcome), .restamped(_, let outcome):
            (events, vector) = (outcome.events, outcome.vector)
        case .stored(_, let outcome), .storedApplied(let outcome): (events, vector) = (outcome.events, outcome.vector)
        case .rowsMerged(_, _, let outcome): (events, vector) = (outcome.events, outcome.vector)
        case .located, .logRead, .digests, .rowHashes, .compared, .rowStates, .acknowledgedRecorded, .pruned,
            .termRecorded, .isolationBegun, .loginDecided, .sessionsKept, .failed:
            return
        case .eventRecorded(let event):
            return self.emit(.publish([event]))
        }
        self.ledger.merge(vector)
        if !events.isEmpty { self.emit(.publish(events)) }
    }
}
