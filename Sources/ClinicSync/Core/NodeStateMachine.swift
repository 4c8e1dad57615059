import ClinicSyncModel
import OrderedCollections

/// The whole node without its sockets, files and clocks.
///
/// One value, owned by one driver: ``handle(_:at:)`` turns an input and a time into effects, which the driver
/// executes in order before it takes the next input. The machine only routes; what to do is decided by the
/// sub-machines: ``PeerConnectionStateMachine``, ``ElectionStateMachine``, ``DialPool``,
/// ``PeerOutboundStateMachine``, ``PeerInboundStateMachine``, ``WriteGate``, ``ReconciliationStateMachine``, ``SyncStateMachine``.
package struct NodeStateMachine: Sendable, Equatable {
    /// The node's life.
    enum Phase: Sendable, Hashable {
        /// Made. Can transition to `starting`.
        case created
        /// What was written while the node did not run is being collected; nobody is answered yet, because a
        /// hello must carry the right vector. Can transition to `running`, `stopping`.
        case starting
        /// Everything. Can transition to `stopping`.
        case running
        /// Connections are closed; replies of the store are awaited. Can transition to `stopped`.
        case stopping
        /// Nothing more happens. Final.
        case stopped
    }

    /// A client's wish for a sync of the clinic that the host has not answered yet.
    struct SyncWish: Sendable, Hashable {
        let id: UInt64
        let request: RequestID
    }

    /// A sweep that found `escaped` rows, and `unsent` ones that no other node can have.
    struct Sweep: Sendable, Hashable {
        let purpose: SweepPurpose
        let escaped: Int
        let unsent: Int
    }

    let configuration: CoreConfiguration
    let helloRules: HelloRules
    var phase: Phase = .created

    /// The time of the input that is being handled.
    var now = Now(monotonic: .zero, wallMilliseconds: 0)
    /// The effects of the input that is being handled.
    var effects: [Effect] = []
    /// Requests the store has not answered.
    var outstandingRequests = 0
    var generator: SplitMix64

    // What this node has.
    var ledger = ChunkLedger(vector: VersionVector(), partials: [])
    var logHead: UInt64 = 0
    var schemaVersion: UInt32 = 0
    var acknowledgedByHost: UInt64 = 0

    // Peers.
    var connections: OrderedDictionary<ConnectionID, PeerConnectionStateMachine> = [:]
    var links: OrderedDictionary<ConnectionID, PeerLink> = [:]
    var directory = PeerDirectory()
    var dialling: DialPool
    /// Where this node is reached.
    var addresses: [String]
    var startedAt: Duration = .zero
    var isolation: Isolation = .isolated
    /// Corrections of stamps that the store has not answered.
    var outstandingRestamps = 0
    var recordedTerm: UInt64 = 0
    var heartbeat: Heartbeat
    var clockOffset = ClockOffsetEstimator()
    var skewNoticedAt: Duration?
    /// Which processes said that they are which node.
    var runs = RunWatch()
    /// When somebody last said that another process carries this node's identity.
    var duplicateNoticedAt: Duration?

    // Who is host.
    var election: ElectionStateMachine
    /// Who shall claim when this host is gone.
    var successors: [NodeAddresses] = []
    /// The last host that this node was a client of.
    var lastHost: NodeAddresses?
    var handOver: HandOver?
    var transferWish: TransferWish?

    // The store's work.
    var gate = WriteGate()
    var isApplyPending = false
    var isApplying = false
    var isHousekeeping = false
    /// A sweep whose collection is not complete yet.
    var sweep: Sweep?

    // Reconciliation and manual sync.
    var reconciliation: ReconciliationStateMachine
    var lastReconciliation: CoreStatus.Reconciliation?
    var verification: Verification?
    var sync: SyncStateMachine
    var syncWishes: [SyncWish] = []
    var lastSyncWish: UInt64 = 0

    // Sessions.
    var logins: OrderedDictionary<UInt64, PendingLogin> = [:]
    var lastLogin: UInt64 = 0
    /// Decisions that wait for most nodes to be heard.
    var heldLogins: [LoginDecision] = []
    /// Logins that were granted and wait for most nodes to have them.
    var grants: [Grant] = []
    /// When this node last became host.
    var hostSince: Duration = .zero
    var isKeepingSessions = false
    /// Something changed while the rule was being restored.
    var mustKeepSessions = false

    /// Makes the machine; nothing happens before ``Input/started(_:)``.
    package init(configuration: CoreConfiguration) {
        self.configuration = configuration
        self.helloRules = HelloRules(configuration)
        self.generator = SplitMix64(seed: configuration.randomSeed)
        self.heartbeat = Heartbeat(silenceLimit: configuration.silenceLimit)
        self.reconciliation = ReconciliationStateMachine(retriesMax: configuration.roundRetriesMax)
        self.addresses = configuration.addresses
        self.dialling = DialPool(delayMin: configuration.redialDelayMin, delayMax: configuration.redialDelayMax)
        self.election = ElectionStateMachine(
            candidacy: Candidacy(
                priority: configuration.priority,
                coverage: 0,
                uptimeBucket: 0,
                node: configuration.origin.node
            ),
            timing: configuration.election
        )
        self.sync = SyncStateMachine(
            host: configuration.origin.node,
            name: configuration.nodeName,
            passesMax: configuration.syncPassesMax
        )
    }

    /// Handles one input.
    ///
    /// Inputs must be given in the order in which they happened, and the effects of one executed before the
    /// next is given. The first input must be ``Input/started(_:)``.
    package mutating func handle(_ input: Input, at now: Now) -> [Effect] {
        // Who slept through its lease is host no more, whatever it wakes up to.
        let gap = now.monotonic - self.now.monotonic
        self.now = now
        if self.phase == .running, self.isHost, gap >= self.configuration.silenceLimit {
            self.perform(self.election.woke(at: now.monotonic))
        }
        if case .storageReplied = input { self.outstandingRequests -= 1 }
        switch self.phase {
        case .created: self.routeBeforeStart(input)
        case .starting, .running: self.route(input)
        case .stopping: self.routeWhileStopping(input)
        case .stopped:
            // Benign race: what was on its way when the node stopped.
            break
        }
        if self.phase == .stopping, self.outstandingRequests == 0 {
            self.phase = .stopped
            self.effects.append(.stopped)
        }
        defer { self.effects = [] }
        return self.effects
    }

    private mutating func routeBeforeStart(_ input: Input) {
        switch input {
        case .started(let state): self.start(state)
        case .shutdownRequested: self.phase = .stopping
        case .connectionOpened, .peersFound, .addressesChanged, .dialFailed, .messageReceived,
            .malformedMessageReceived,
            .connectionClosed, .timerFired, .localCommitNoticed, .storageReplied, .eventOccurred,
            .commandReceived:
            preconditionFailure("the node was given work before it was started")
        }
    }

    private mutating func route(_ input: Input) {
        switch input {
        case .started: preconditionFailure("the node was started twice")
        case .connectionOpened(let id, let dialled, let peer): self.open(id, dialled: dialled, peer: peer)
        case .peersFound(let hints): self.learn(hints)
        case .addressesChanged(let addresses): self.addresses = addresses
        case .dialFailed(let address): self.dialFailed(address)
        case .messageReceived(let id, let message, let term): self.receive(message, term: term, on: id)
        case .malformedMessageReceived(let id): self.close(id, .protocolViolation)
        case .connectionClosed(let id): self.drop(id, .connectionLost)
        case .timerFired(let timer): self.fire(timer)
        case .localCommitNoticed: self.collect()
        case .storageReplied(let reply): self.receive(reply)
        case .eventOccurred(let event): self.emit(.storage(.recordEvent(event)))
        case .commandReceived(let request, let command): self.perform(command, for: request)
        case .shutdownRequested: self.shutDown()
        }
    }

    /// Only changes that programs must be told of, and people who wait, still count.
    private mutating func routeWhileStopping(_ input: Input) {
        switch input {
        case .storageReplied(let reply): self.publishLast(reply)
        case .connectionOpened(let id, _, _): self.emit(.close(id, .shuttingDown))
        case .commandReceived(let request, .sync): self.replyUnreachable(request)
        case .commandReceived(let request, .transferHost): self.answer(request, .noHost)
        case .commandReceived(let request, .login): self.answer(request, .unavailable)
        case .started, .peersFound, .addressesChanged, .dialFailed, .messageReceived, .malformedMessageReceived,
            .connectionClosed,
            .timerFired,
            .localCommitNoticed, .eventOccurred, .shutdownRequested:
            break
        }
    }

    private mutating func fire(_ timer: TimerID) {
        switch timer {
        case .heartbeat: self.beat()
        case .handshake(let id): self.handshakeTimedOut(id)
        case .dial: self.dial()
        case .election: self.electionTimerFired()
        case .handOver: self.handOverTimedOut()
        case .transfer: self.transferTimedOut()
        case .login(let number): self.loginTimedOut(number)
        case .grants: self.grantsTimedOut()
        case .sessions: self.keepSessions()
        case .reconcile: self.reconcilePeriodically()
        case .retryRound: self.perform(self.reconciliation.retryTimerFired())
        case .roundTimeout: self.perform(self.reconciliation.breakOff())
        case .syncTimeout(let id): self.syncTimedOut(id)
        case .retryStorage: self.retryStorage()
        case .housekeeping: self.keepHouse()
        }
    }

    // MARK: - Common

    /// Adds an effect.
    mutating func emit(_ effect: Effect) {
        if case .storage = effect { self.outstandingRequests += 1 }
        self.effects.append(effect)
    }

    /// What is added to this PC's wall time: the host's time is the clinic's, and a new host goes on with it.
    var offsetMilliseconds: Int64 { self.clockOffset.offsetMilliseconds }

    /// The clinic's time when this PC's is `wallMilliseconds`.
    package func clinicMilliseconds(at wallMilliseconds: Int64) -> Int64 { wallMilliseconds &+ self.offsetMilliseconds }

    /// The clinic's time.
    var correctedMilliseconds: Int64 { self.now.wallMilliseconds &+ self.offsetMilliseconds }
}
