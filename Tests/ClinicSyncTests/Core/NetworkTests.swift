import ClinicSyncCore
import ClinicSyncModel
import Testing

/// A few connected cores, over stores that hold only a log.
///
/// The tests show that the core alone neither stalls nor loses chunks. The simulator tests merging and time.
@Suite struct NetworkTests {
    @Test("what any node writes reaches all, whatever the order of events and cuts", arguments: 1...40)
    func converges(_ seed: Int) {
        var network = Network(seed: UInt64(seed), clients: 3)
        for _ in 0..<150 { network.disturb() }
        network.settle()
        let vectors = network.nodes.map(\.store.vector)
        #expect(vectors.allSatisfy { $0 == vectors[0] })
        #expect(network.nodes.allSatisfy { $0.store.vector[$0.configuration.origin] == $0.store.written })
        #expect(network.nodes.contains { $0.store.written > 1 })
        #expect(network.duplicates == 0 || network.cuts > 0)
        for node in network.nodes { #expect(node.core.status(at: network.now).pendingChanges == 0) }
    }
}

/// A log with a vector: the part of a store that the core sees.
private struct LogStore {
    let origin: Origin
    var log: [LoggedChunk] = []
    var vector = VersionVector()
    var uncollected = 0
    var written: UInt64 = 0

    mutating func answer(_ request: StorageRequest) -> StorageReply {
        switch request {
        case .collect: return .collected(self.collect())
        case .store(let id, _, let chunks):
            let new = chunks.filter { chunk in
                !self.log.contains { $0.chunk.batch == chunk.batch && $0.chunk.index == chunk.index }
            }
            let logged = self.append(new)
            for chunk in new where chunk.isLast && self.vector[chunk.batch.origin] + 1 == chunk.batch.sequence {
                self.vector.advance(chunk.batch.origin, to: chunk.batch.sequence)
            }
            let bytes = chunks.reduce(0) { $0 + $1.payload.count }
            return .stored(from: id, .of(logged, bytes: bytes, vector: self.vector))
        case .applyStored: return .storedApplied(.of(vector: self.vector))
        case .locate(let id, let vector, _):
            let first = self.log.first { vector[$0.chunk.batch.origin] < $0.chunk.batch.sequence }
            return .located(for: id, position: first.map { $0.position - 1 } ?? UInt64(self.log.count))
        case .readLog(let id, let after, _):
            let chunks = Array(self.log.filter { $0.position > after }.prefix(3))
            return .logRead(for: id, chunks: chunks, head: UInt64(self.log.count))
        case .digests(let purpose): return .digests(purpose, vector: self.vector, tables: [])
        case .recordAcknowledged: return .acknowledgedRecorded
        case .prune: return .pruned(UpkeepOutcome())
        case .discard: return .discarded(.of(vector: self.vector))
        case .recordTerm(let term): return .termRecorded(term)
        case .restamp: return .restamped(changes: 0, .of(vector: self.vector))
        case .beginIsolation: return .isolationBegun
        case .decideLogin(let decision):
            return .loginDecided(decision, .decided(.granted(isProvisional: false), members: 1), self.collect())
        case .keepSessions: return .sessionsKept(changes: 0, .of(vector: self.vector))
        case .recordEvent(let event): return .eventRecorded(LoggedEvent(position: 1, content: .named(event)))
        case .sweep(_, let purpose): return .swept(purpose, escaped: 0, self.collect())
        case .rowHashes, .compare, .mergeRows, .rowStates, .mend, .leaveOut, .readBatch, .readState, .pinState,
            .stageState, .installState, .compareRanges, .wantedStates, .probeDisk:
            return .failed(request, .unavailable("not part of this test"))
        }
    }

    /// One slice: a chunk of two makes a batch.
    private mutating func collect() -> CollectOutcome {
        guard self.uncollected > 0 else { return .of(vector: self.vector) }
        let index = UInt32(self.uncollected % 2 == 0 ? 0 : 1)
        let batch = BatchID(origin: self.origin, sequence: self.written + 1)
        let chunk = BatchChunk(
            batch: batch,
            index: index,
            header: index == 0
                ? BatchHeader(timestamp: .genesis, dependencies: VersionVector(), schemaVersion: 1) : nil,
            isLast: index == 1,
            checksum: 0,
            payload: [UInt8](repeating: 0, count: 100)
        )
        self.uncollected -= 1
        if chunk.isLast {
            self.written += 1
            self.vector.advance(self.origin, to: self.written)
        }
        let logged = self.append([chunk])
        return .of(logged, vector: self.vector, hasMore: self.uncollected > 0)
    }

    private mutating func append(_ chunks: [BatchChunk]) -> [LoggedChunk] {
        let logged = chunks.enumerated().map { $1.at(UInt64(self.log.count + $0 + 1)) }
        self.log += logged
        return logged
    }
}

/// Cores, the messages between them and their timers.
private struct Network {
    struct Node {
        let configuration: CoreConfiguration
        var core: NodeStateMachine
        var store: LogStore
        var writes: [StorageRequest] = []
        var reads: [StorageRequest] = []
        /// The time until the core dials again.
        var redial: Duration?
    }

    struct Link {
        let client: Int
        let clientID: ConnectionID
        let hostID: ConnectionID
        var toHost: [Message] = []
        var toClient: [Message] = []
    }

    var nodes: [Node] = []
    var links: [Link] = []
    var now = Now(monotonic: .zero, wallMilliseconds: 0)
    var cuts = 0
    var duplicates = 0
    private var generator: SplitMix64
    private var lastID: UInt64 = 0

    init(seed: UInt64, clients: UInt64) {
        self.generator = SplitMix64(seed: seed)
        let configurations = [CoreConfiguration.host] + (2...(clients + 1)).map { CoreConfiguration.client($0) }
        for var configuration in configurations {
            configuration.creditBytes = 350
            // Time advances in leaps, so silence and suspension are not tested here.
            configuration.silenceLimit = .seconds(86_400)
            self.nodes.append(
                Node(
                    configuration: configuration,
                    core: NodeStateMachine(configuration: configuration),
                    store: LogStore(origin: configuration.origin)
                )
            )
        }
        for index in self.nodes.indices {
            let state = StoreState(
                vector: VersionVector(),
                partials: [],
                logHead: 0,
                schemaVersion: 1,
                acknowledgedByHost: 0,
                term: 0
            )
            self.give(index, .started(state))
        }
    }

    /// One random event: mostly progress, sometimes a write or a cut.
    mutating func disturb() {
        let node = self.random(below: self.nodes.count)
        switch self.random(below: 20) {
        case 0..<4:
            self.nodes[node].store.uncollected += 2
            self.give(node, .localCommitNoticed)
        case 4 where !self.links.isEmpty:
            self.cuts += 1
            self.cut(self.random(below: self.links.count))
        default:
            for _ in 0..<3 { self.step(self.random(below: 1_000)) }
        }
    }

    /// Delivers everything, with a heartbeat now and then, until nothing is left.
    mutating func settle() {
        for _ in 0..<6 {
            var idle = 0
            while idle < 100 { idle = self.step(self.random(below: 1_000)) ? 0 : idle + 1 }
            self.now.monotonic += .milliseconds(100)
            for index in self.nodes.indices { self.give(index, .timerFired(.heartbeat)) }
        }
    }

    /// Carries out one of the possible events; `choice` selects it.
    @discardableResult
    private mutating func step(_ choice: Int) -> Bool {
        let node = choice % self.nodes.count
        switch choice / self.nodes.count % 4 {
        case 0 where !self.nodes[node].writes.isEmpty:
            let request = self.nodes[node].writes.removeFirst()
            self.give(node, .storageReplied(self.nodes[node].store.answer(request)))
        case 1 where !self.nodes[node].reads.isEmpty:
            let request = self.nodes[node].reads.removeFirst()
            self.give(node, .storageReplied(self.nodes[node].store.answer(request)))
        case 2:
            guard let delay = self.nodes[node].redial else { return false }
            self.nodes[node].redial = nil
            self.now.monotonic += delay
            self.give(node, .timerFired(.dial))
        case 3 where !self.links.isEmpty:
            return self.deliver(self.random(below: self.links.count), toHost: self.random(below: 2) == 0)
        default:
            return false
        }
        return true
    }

    private mutating func deliver(_ index: Int, toHost: Bool) -> Bool {
        let link = self.links[index]
        guard let message = toHost ? link.toHost.first : link.toClient.first else { return false }
        if case .chunk(let chunk) = message {
            let store = self.nodes[toHost ? 0 : link.client].store
            if store.log.contains(where: { $0.chunk == chunk }) { self.duplicates += 1 }
        }
        if toHost {
            self.links[index].toHost.removeFirst()
            self.give(0, .received(link.hostID, message))
        } else {
            self.links[index].toClient.removeFirst()
            self.give(link.client, .received(link.clientID, message))
        }
        return true
    }

    private mutating func cut(_ index: Int) {
        let link = self.links.remove(at: index)
        self.give(0, .connectionClosed(link.hostID))
        self.give(link.client, .connectionClosed(link.clientID))
    }

    private mutating func give(_ node: Int, _ input: Input) {
        for effect in self.nodes[node].core.handle(input, at: self.now) { self.perform(effect, of: node) }
    }

    private mutating func perform(_ effect: Effect, of node: Int) {
        switch effect {
        case .send(let receivers, let message):
            for id in receivers { self.send(message, over: id, from: node) }
        case .dial(let address):
            // A host dials members that it misses. In these tests the members dial.
            guard node > 0 else { return }
            self.lastID += 2
            let (client, host) = (ConnectionID.c(self.lastID), ConnectionID.c(self.lastID + 1))
            self.links.append(Link(client: node, clientID: client, hostID: host))
            let ids = [node, 0].map { self.nodes[$0].configuration.origin.node }
            self.give(0, .connectionOpened(host, dialled: nil, peer: ids[0]))
            self.give(node, .connectionOpened(client, dialled: address, peer: ids[1]))
        case .close(let id, let reason):
            if reason != .replaced { Issue.record("a node closed a connection: \(reason)") }
            guard let index = self.links.firstIndex(where: { $0.clientID == id || $0.hostID == id }) else { return }
            self.cut(index)
        case .turnAway(let id, let reason, _):
            // Links that were cut again and again; otherwise these nodes have no reason to wait.
            #expect(reason == .overloaded)
            guard let index = self.links.firstIndex(where: { $0.clientID == id || $0.hostID == id }) else { return }
            self.cut(index)
        case .setTimer(.dial, let delay): self.nodes[node].redial = delay
        case .storage(let request):
            if request.isRead {
                self.nodes[node].reads.append(request)
            } else {
                self.nodes[node].writes.append(request)
            }
        case .setTimer, .cancelTimer, .publish, .learn, .prove, .meter, .reply, .notify, .stopped, .probeAnswered,
            .recordAnswers:
            break
        }
    }

    private mutating func send(_ message: Message, over id: ConnectionID, from node: Int) {
        guard let index = self.links.firstIndex(where: { $0.clientID == id || $0.hostID == id }) else { return }
        if node == 0 {
            self.links[index].toClient.append(message)
        } else {
            self.links[index].toHost.append(message)
        }
    }

    private mutating func random(below limit: Int) -> Int {
        Int(self.generator.next() % UInt64(limit))
    }
}
