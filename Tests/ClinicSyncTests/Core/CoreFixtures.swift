import ClinicSyncCore
import ClinicSyncModel

/// A node's core with a time that the test moves.
struct Bench {
    var node: NodeStateMachine
    var now = Now(monotonic: .zero, wallMilliseconds: 1_000_000)

    init(_ configuration: CoreConfiguration) {
        self.node = NodeStateMachine(configuration: configuration)
    }

    @discardableResult
    mutating func give(_ input: Input) -> [Effect] {
        self.node.handle(input, at: self.now)
    }

    mutating func advance(_ time: Duration) {
        self.now.monotonic += time
        self.now.wallMilliseconds += Int64(time / .milliseconds(1))
    }

    /// Starts the node and answers its first collection and application with nothing.
    @discardableResult
    mutating func start(vector: VersionVector = VersionVector(), logHead: UInt64 = 0) -> [Effect] {
        let state = StoreState(
            vector: vector,
            partials: [],
            logHead: logHead,
            schemaVersion: 1,
            acknowledgedByHost: 0
        )
        self.give(.started(state))
        let effects = self.give(.storageReplied(.collected(.of(vector: vector))))
        self.give(.storageReplied(.storedApplied(.of(vector: vector))))
        return effects
    }

    /// Opens a connection to a peer and lets it say hello, its place in the log being the head.
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
        effects += self.give(.messageReceived(.c(id), .hello(.of(peer, vector: vector, credit: credit))))
        effects += self.give(.storageReplied(.located(for: .c(id), position: head)))
        return effects
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
    static var host: CoreConfiguration { .node(1, .local) }

    /// A client of node 1.
    static func client(_ number: UInt64, addresses: [String] = ["host:1"]) -> CoreConfiguration {
        .node(number, .remote(.n(1), addresses: addresses))
    }

    private static func node(_ number: UInt64, _ policy: HostPolicy) -> CoreConfiguration {
        CoreConfiguration(
            origin: .o(number),
            nodeName: "PC \(number)",
            clinicID: "clinic",
            clinicName: "Clinic",
            softwareVersion: "test",
            listenAddress: "pc\(number):1",
            hostPolicy: policy,
            randomSeed: number
        )
    }

    var isHost: Bool { self.hostPolicy == .local }
}

extension Hello {
    static func of(
        _ node: CoreConfiguration,
        vector: VersionVector = VersionVector(),
        partials: [PartialBatch] = [],
        credit: UInt32 = 8 << 20
    ) -> Hello {
        Hello(
            protocolVersion: 1,
            clinicID: node.clinicID,
            nodeName: node.nodeName,
            softwareVersion: node.softwareVersion,
            schemaVersion: 1,
            term: 1,
            isHost: node.isHost,
            listenAddress: node.listenAddress,
            vector: vector,
            partials: partials,
            creditBytes: credit
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
        bytes: Int = 100
    ) -> BatchChunk {
        BatchChunk(
            batch: BatchID(origin: .o(origin), sequence: sequence),
            index: index,
            header: index == 0
                ? BatchHeader(timestamp: .genesis, dependencies: VersionVector(), schemaVersion: 1) : nil,
            isLast: index + 1 == count,
            checksum: 0,
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
        events: [ChangeEvent] = [],
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

extension ChangeEvent {
    static func of(_ table: String) -> ChangeEvent {
        ChangeEvent(
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
