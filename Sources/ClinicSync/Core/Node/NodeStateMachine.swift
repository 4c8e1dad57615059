import ClinicSyncModel

/// The whole node without its sockets, files and clocks.
///
/// One value, owned by one driver: ``handle(_:at:)`` turns an input and a time into effects. The driver executes the
/// effects in their order before it takes the next input.
///
/// The machine decides nothing itself. It calls the sub-machine that an input concerns and carries out the actions that
/// the sub-machine returns, in their order: an effect goes to the list, everything else is a call of another
/// sub-machine. No sub-machine sees another one. `docs/design/0011-core-machines.md` says which machine owns what.
package struct NodeStateMachine: Sendable, Equatable {
    let configuration: CoreConfiguration
    var phase: NodePhase = .created
    var ending = Ending()
    var turn: Turn
    var clock: ClinicClock
    var peers: PeersStateMachine
    var election: ElectionStateMachine
    var handOver = HandOverStateMachine()
    var data: DataStateMachine
    var sessions = SessionsStateMachine()
    var probes: ProbeStateMachine

    /// Makes the machine; it does nothing before ``Input/started(_:)``.
    package init(configuration: CoreConfiguration) {
        self.configuration = configuration
        self.turn = Turn(seed: configuration.randomSeed)
        self.clock = ClinicClock(tolerance: configuration.clockTolerance)
        self.peers = PeersStateMachine(configuration)
        self.election = ElectionStateMachine(configuration)
        self.data = DataStateMachine(configuration)
        self.probes = ProbeStateMachine(own: configuration.origin.node)
    }

    /// Handles one input.
    ///
    /// The driver must give inputs in the order in which they happened, and must execute the effects of one input
    /// before it gives the next. The first input must be ``Input/started(_:)``.
    package mutating func handle(_ input: Input, at now: Now) -> [Effect] {
        let gap = self.turn.begin(at: now)
        // A host that slept through its lease is host no more, whatever input wakes it.
        if self.phase == .running, self.isHost, gap >= self.configuration.silenceLimit {
            self.carryOut(self.election.woke(at: now.monotonic))
        }
        if case .storageReplied = input { self.turn.requestAnswered() }
        switch self.phase {
        case .created: self.routeBeforeStart(input)
        case .starting, .running: self.route(input)
        case .stopping:
            if case .storageReplied(let reply) = input { self.emit(self.data.repliedLast(reply)) }
            self.emit(NodePhase.effectsWhileStopping(input))
        case .stopped:
            // Race: the input was on its way when the node stopped.
            break
        }
        if self.phase == .stopping, self.turn.unansweredRequests == 0 {
            self.phase = .stopped
            self.emit(.stopped(self.ending.reason))
        }
        return self.turn.end()
    }

    private mutating func routeBeforeStart(_ input: Input) {
        switch input {
        case .started(let state): self.start(state)
        case .shutdownRequested: self.phase = .stopping
        default: preconditionFailure("the node was given work before it was started")
        }
    }

    private mutating func route(_ input: Input) {
        switch input {
        case .started: preconditionFailure("the node was started twice")
        case .connectionOpened(let id, let dialled, let peer): self.open(id, dialled: dialled, peer: peer)
        case .peersFound(let hints):
            self.peers.learn(hints, at: self.now.monotonic)
            self.dial()
        case .membersChanged(let members):
            self.peers.members.update(members)
            self.carryOut(self.data.membersChanged(members))
        case .addressesChanged(let addresses): self.peers.addresses = addresses
        case .dialAnswered(let address): self.peers.dialAnswered(address, at: self.now.monotonic)
        case .dialFailed(let address, let failure):
            self.emit(self.peers.dialFailed(address, failure, at: self.now.monotonic, using: &self.turn.generator))
            self.dial()
        case .messageReceived(let id, let message, let term): self.receive(message, term: term, on: id)
        case .malformedMessageReceived(let id): self.close(id, .protocolViolation)
        case .connectionClosed(let id):
            self.carryOut(self.peers.closed(id, .connectionLost, at: self.now.monotonic, using: &self.turn.generator))
        case .timerFired(let timer): self.fire(timer)
        case .localCommitNoticed: self.carryOut(self.data.collect(self.context))
        case .storageReplied(let reply): self.receive(reply)
        case .storeLocked(let lock): self.carryOut(self.data.storeLocked(lock, at: self.now.monotonic))
        case .storeUnlocked, .syncsTakeLong, .roomIsShort: self.carryOut(self.data.access.heard(input, self.context))
        case .eventOccurred(let event): self.emit(.storage(.recordEvent(event)))
        case .answerProbe(let own): self.carryOut(self.probes.answer(own, peers: self.peers.linkedPeers, self.context))
        case .commandReceived(let request, let command): self.perform(command, for: request)
        case .shutdownRequested: self.shutDown()
        }
    }

    private mutating func fire(_ timer: TimerID) {
        switch timer {
        case .heartbeat: self.beat()
        case .handshake(let id): self.carryOut(self.peers.handshakeTimedOut(id))
        case .dial: self.dial()
        case .election: self.electionTimerFired()
        case .handOver: self.carryOut(self.handOver.timedOut())
        case .transfer:
            let peer = self.handOver.wished.flatMap { self.peers.linkedPeer($0) }
            self.carryOut(self.handOver.wishWaited(peer: peer, self.context))
        case .login(let number):
            self.carryOut(self.sessions.loginTimedOut(number, peers: self.peers.linkedPeers, self.context))
        case .grants:
            self.carryOut(self.sessions.decisionsTimedOut(peers: self.peers.linkedPeers, self.context))
        case .sessions: self.keepSessionRule()
        case .reconcile:
            self.carryOut(self.data.reconcileTimerFired(self.context, isRunning: self.phase == .running))
        case .retryRound: self.carryOut(self.data.roundRetryTimerFired(self.context))
        case .roundTimeout: self.carryOut(self.data.roundTimedOut(self.context))
        case .syncTimeout(let id): self.carryOut(self.data.syncTimedOut(id, isHost: self.isHost))
        case .retryStorage: self.carryOut(self.data.retry(self.context))
        case .housekeeping: self.keepHouse()
        case .refetch: self.carryOut(self.data.refetchTimedOut())
        case .probes: self.carryOut(self.probes.gatheringEnded(peers: self.peers.linkedPeers))
        }
    }

    /// Carries out what sub-machines ask for.
    mutating func carryOut(_ directives: [Directive]) {
        for directive in directives {
            switch directive {
            case .effect(let effect): self.emit(effect)
            case .send(let id, let message): if self.peers.isLinked(id) { self.emit(.send([id], message)) }
            case .close(let id, let reason): self.close(id, reason)
            case .judge(let hello, let id):
                self.carryOut(self.peers.welcome(hello, on: id, greeting: Hello(of: self), at: self.now))
            case .established(let introduction): self.established(introduction)
            case .deliver(let message, let id, let node): self.deliver(message, on: id, from: node)
            case .lost(let id): self.lost(id)
            case .dial: self.dial()
            case .submit(let request):
                // Which own rows a state may delete depends on what others are known to have.
                if case .installState = request { self.emit(StoreWorkStateMachine.record(self.takeProgress())) }
                self.emit(self.data.submit(request))
            case .collect: self.carryOut(self.data.collect(self.context))
            case .opened(let collectAgain):
                if self.phase == .starting { self.becomeReady() }
                self.carryOut(self.data.opened(collectAgain: collectAgain, self.context))
            case .swept(let sweep):
                self.carryOut(self.data.finish(sweep, clients: self.peers.linkedPeers, self.context))
            case .applied: if self.sessions.hasLogins { self.carryOut(self.sessions.applied(self.context)) }
            case .stamped(let stamp): self.emit(self.clock.check(stamp, at: self.now))
            case .usersChanged: self.keepSessionRule()
            case .nameHeir(let node): self.election.nameHeir(node)
            case .reviewHandOver: self.handOverWhenCovered()
            case .unfit: self.handOverAsUnfit()
            case .storeBlocked(true): self.carryOut(self.election.storeLocked())
            case .storeBlocked(false): self.carryOut(self.election.storeUnlocked(at: self.now.monotonic))
            case .stop: self.stop()
            }
        }
    }

    // MARK: - Common

    /// Adds an effect.
    mutating func emit(_ effect: Effect) { self.turn.emit(effect) }

    /// Adds effects in their order.
    mutating func emit(_ effects: [Effect]) { for effect in effects { self.turn.emit(effect) } }

    /// The time of the input that is being handled.
    var now: Now { self.turn.time }

    /// Whether this node is host.
    var isHost: Bool { self.election.isHost }

    /// On a client, the connection with the host.
    var hostConnection: ConnectionID? {
        self.election.hostConnection.flatMap { self.peers.isLinked($0) ? $0 : nil }
    }

    /// What sub-machines may read of the node.
    var context: NodeContext { NodeContext(of: self) }

    /// The term that goes with every frame: the highest that this node has heard of.
    package var term: UInt64 { self.election.highestTerm }

    /// Returns the clinic's time when this PC's time is `wallMilliseconds`.
    package func clinicMilliseconds(at wallMilliseconds: Int64) -> Int64 {
        self.clock.milliseconds(at: wallMilliseconds)
    }
}
