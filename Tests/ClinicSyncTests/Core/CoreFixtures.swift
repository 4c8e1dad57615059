import ClinicSyncCore
import ClinicSyncModel

/// A node's core, and a time that the test sets.
struct Bench {
    var node: NodeStateMachine
    var now = Now(monotonic: .zero, wallMilliseconds: 1_000_000)

    init(_ configuration: CoreConfiguration) {
        self.node = NodeStateMachine(configuration: configuration)
    }

    /// Gives the core an input.
    ///
    /// Terms are written at once. Effects of the election are left out, because its own tests check them.
    @discardableResult
    mutating func give(_ input: Input) -> [Effect] {
        var effects = self.node.handle(input, at: self.now)
        while let index = effects.firstIndex(where: { $0.recordedTerm != nil }) {
            guard let term = effects.remove(at: index).recordedTerm else { break }
            effects += self.node.handle(.storageReplied(.termRecorded(term)), at: self.now)
        }
        for effect in effects {
            switch effect {
            case .storage(.restamp):
                effects += self.node.handle(.storageReplied(.restamped(changes: 0, .of(vector: .v()))), at: self.now)
            case .storage(.beginIsolation):
                effects += self.node.handle(.storageReplied(.isolationBegun), at: self.now)
            case .storage(.keepSessions):
                effects += self.node.handle(.storageReplied(.sessionsKept(changes: 0, .of(vector: .v()))), at: self.now)
            default: break
            }
        }
        return effects.filter { !$0.isOfElection }
    }

    mutating func advance(_ time: Duration) {
        self.now.monotonic += time
        self.now.wallMilliseconds += Int64(time / .milliseconds(1))
    }

    /// Starts the node and answers its first collection and application with nothing.
    @discardableResult
    mutating func start(
        vector: VersionVector = VersionVector(),
        logHead: UInt64 = 0,
        formerIncarnations: Int = 0
    ) -> [Effect] {
        let state = StoreState(
            vector: vector,
            partials: [],
            logHead: logHead,
            schemaVersion: 1,
            acknowledgedByHost: 0,
            term: 0,
            formerIncarnations: formerIncarnations
        )
        self.give(.started(state))
        let effects = self.give(.storageReplied(.collected(.of(vector: vector))))
        self.give(.storageReplied(.storedApplied(.of(vector: vector))))
        return effects
    }

    /// Opens a connection to a peer and lets the peer send its hello.
    ///
    /// The peer's place in the log is the head.
    @discardableResult
    mutating func connect(
        _ id: UInt64,
        to peer: CoreConfiguration,
        dialled: String? = nil,
        vector: VersionVector = VersionVector(),
        credit: UInt32 = 8 << 20,
        head: UInt64 = 0
    ) -> [Effect] {
        var effects = self.give(.connectionOpened(.c(id), dialled: dialled, peer: peer.origin.node))
        effects += self.give(.received(.c(id), .hello(.of(peer, vector: vector, credit: credit))))
        effects += self.give(.storageReplied(.located(for: .c(id), position: head)))
        return effects
    }
}

extension Input {
    /// A message whose sender knows the bench's one term.
    static func received(_ id: ConnectionID, _ message: Message, term: UInt64 = 1) -> Input {
        .messageReceived(id, message, term: term)
    }
}

extension Effect {
    /// The term to be written, if that is the effect.
    var recordedTerm: UInt64? {
        if case .storage(.recordTerm(let term)) = self { term } else { nil }
    }

    /// Whether the effect corrects stamps.
    var isRestamp: Bool {
        if case .storage(.restamp) = self { true } else { false }
    }

    /// Whether the effect belongs to the election, the dial pool or the end of an isolation.
    var isOfElection: Bool {
        switch self {
        case .setTimer(.election, _), .setTimer(.dial, _), .cancelTimer(.election), .storage(.restamp),
            .storage(.beginIsolation), .notify(.hostChanged), .send(_, .hostReport), .setTimer(.handOver, _),
            .storage(.keepSessions), .setTimer(.sessions, _), .cancelTimer(.sessions):
            true
        default: false
        }
    }
}

extension ConnectionID {
    static func c(_ number: UInt64) -> ConnectionID { ConnectionID(rawValue: number) }
}

extension NodeID {
    static func n(_ number: UInt64) -> NodeID { NodeID(high: 0, low: number) }
}

extension Origin {
    static func o(_ number: UInt64) -> Origin { Origin(node: .n(number)) }
}

extension VersionVector {
    /// A vector with these sequences of the origins 1, 2, 3...
    static func v(_ sequences: UInt64...) -> VersionVector {
        var vector = VersionVector()
        for (index, sequence) in sequences.enumerated() {
            vector.advance(.o(UInt64(index) + 1), to: sequence)
        }
        return vector
    }
}

extension CoreConfiguration {
    /// Node 1, the host.
    static var host: CoreConfiguration { .node(1) }

    /// A client of node 1, and never host.
    static func client(_ number: UInt64, addresses: [String] = ["host:1"]) -> CoreConfiguration {
        let hints = addresses.map { PeerHint(address: $0, node: .n(1), source: .remembered) }
        return .node(number, priority: 0, hints: hints)
    }

    /// A node that knows the other nodes in `hints`.
    static func node(_ number: UInt64, priority: UInt32 = 100, hints: [PeerHint] = []) -> CoreConfiguration {
        CoreConfiguration(
            origin: .o(number),
            nodeName: "PC \(number)",
            clinicID: "clinic",
            clinicName: "Clinic",
            softwareVersion: "test",
            addresses: ["pc\(number):1"],
            priority: priority,
            hints: hints,
            randomSeed: number
        )
    }

    /// Whether it is host in tests that have one.
    var isHost: Bool { self.priority > 0 }

    /// The node's candidacy.
    var candidacy: Candidacy {
        Candidacy(priority: self.priority, coverage: 0, uptimeBucket: 0, node: self.origin.node)
    }

    /// The node's view of the host, node 1, in a bench with a host.
    var hostReport: HostReport {
        HostReport(
            role: self.isHost ? .host : .client,
            term: 1,
            reign: Reign(term: 1, candidacy: CoreConfiguration.host.candidacy),
            addresses: ["pc1:1"],
            candidacy: self.candidacy,
            successors: []
        )
    }
}

extension Hello {
    /// The hello of a node that has not heard of any host.
    static func searching(_ node: CoreConfiguration) -> Hello {
        var hello = Hello.of(node)
        hello.hostReport = HostReport(
            role: .searching,
            term: 0,
            reign: nil,
            addresses: [],
            candidacy: node.candidacy,
            successors: []
        )
        return hello
    }

    static func of(
        _ node: CoreConfiguration,
        vector: VersionVector = VersionVector(),
        partials: [PartialBatch] = [],
        credit: UInt32 = 8 << 20,
        runID: UInt64? = nil
    ) -> Hello {
        Hello(
            protocolVersion: 1,
            clinicID: node.clinicID,
            nodeName: node.nodeName,
            softwareVersion: node.softwareVersion,
            schemaVersion: 1,
            addresses: node.addresses,
            hostReport: node.hostReport,
            wallMilliseconds: 1_000_000,
            vector: vector,
            partials: partials,
            creditBytes: credit,
            runID: runID ?? RunWatch.runID(seed: node.randomSeed),
            takesState: true,
            knowsEpochs: true,
            epoch: node.epoch,
            gathersProbes: true,
            reportsMembers: true
        )
    }
}

extension BatchChunk {
    /// Chunk `index` of `count` of batch `sequence` of origin `origin`.
    static func of(
        _ origin: UInt64,
        _ sequence: UInt64,
        index: UInt32 = 0,
        of count: UInt32 = 1,
        bytes: Int = 100,
        timestamp: HybridTimestamp = .genesis,
        checksum: UInt64 = 0
    ) -> BatchChunk {
        BatchChunk(
            batch: BatchID(origin: .o(origin), sequence: sequence),
            index: index,
            header: index == 0
                ? BatchHeader(timestamp: timestamp, dependencies: VersionVector(), schemaVersion: 1) : nil,
            isLast: index + 1 == count,
            checksum: checksum,
            payload: [UInt8](repeating: 7, count: bytes)
        )
    }

    func at(_ position: UInt64) -> LoggedChunk { LoggedChunk(position: position, chunk: self) }
}

extension CollectOutcome {
    static func of(_ logged: [LoggedChunk] = [], vector: VersionVector, hasMore: Bool = false) -> CollectOutcome {
        CollectOutcome(logged: logged, vector: vector, events: [], hasMore: hasMore, repairedTables: [])
    }
}

extension StoreOutcome {
    static func of(
        _ logged: [LoggedChunk] = [],
        bytes: Int = 0,
        vector: VersionVector,
        events: [LoggedEvent] = [],
        isApplyPending: Bool = false,
        stamp: HybridTimestamp = .genesis
    ) -> StoreOutcome {
        StoreOutcome(
            logged: logged,
            storedBytes: bytes,
            vector: vector,
            events: events,
            conflicts: 0,
            isApplyPending: isApplyPending,
            largestTimestamp: stamp
        )
    }
}

extension LoggedEvent {
    static func of(_ table: String) -> LoggedEvent {
        let change = ChangeEvent(
            category: .data,
            table: table,
            operation: .insert,
            recordID: "1",
            columns: [],
            rows: 1,
            timestamp: .genesis,
            isLocal: false,
            batch: nil
        )
        return LoggedEvent(position: 1, content: .change(change))
    }
}

extension [Effect] {
    /// The effects that close a connection, with their reasons.
    var closes: [CloseReason] {
        self.compactMap { effect in
            if case .close(_, let reason) = effect { reason } else { nil }
        }
    }

    /// The requests to the store.
    var requests: [StorageRequest] {
        self.compactMap { effect in
            if case .storage(let request) = effect { request } else { nil }
        }
    }

    /// The messages, each with its receivers.
    var messages: [Message] {
        self.compactMap { effect in
            if case .send(_, let message) = effect { message } else { nil }
        }
    }
}

extension LinkedPeer {
    /// Client `number` of this node, on the connection with the same number.
    static func follower(_ number: UInt64, acknowledged: VersionVector = VersionVector()) -> LinkedPeer {
        let configuration = CoreConfiguration.node(number)
        return LinkedPeer(
            connection: .c(number),
            identity: PeerIdentity(.n(number), .of(configuration)),
            candidacy: configuration.candidacy,
            isFollower: true,
            acknowledged: acknowledged
        )
    }
}

extension StorageRequest {
    /// The request to store chunks of node `n`, no host, on connection `n`.
    static func store(from id: ConnectionID, _ chunks: [BatchChunk]) -> StorageRequest {
        .store(from: id, ChunkSender(node: .n(id.rawValue), isHost: false), chunks)
    }
}

extension ReplicationStateMachine {
    /// A link begins with the node that the hello's candidacy names.
    mutating func linked(_ id: ConnectionID, _ hello: Hello, greeted: VersionVector?) -> [Effect] {
        self.linked(id, hello.hostReport.candidacy.node, hello, greeted: greeted)
    }
}
