package import ClinicSyncModel
import OrderedCollections

/// The streams of changes: what this node has, what each peer sends, and what each peer is sent.
///
/// Chunks come in from peers, go to the store, and come back from it as logged; a logged chunk goes out to every peer
/// that keeps up. A peer that does not keep up is served from the log. Nothing is exchanged while the node is isolated
/// (``IsolationStateMachine``).
///
/// Authors are members, present or past. Chunks of other authors wait (``ParkedChunks``), and are not sent. Vectors that
/// peers get, and that are compared with theirs, leave other authors out. A node that knows no member at all makes no
/// such difference.
package struct ReplicationStateMachine: Sendable, Hashable {
    /// The streams of one linked peer.
    private struct Streams: Sendable, Hashable {
        /// The peer.
        var node: NodeID
        /// What the peer is sent.
        var outbound: PeerOutboundStateMachine
        /// What the peer sends.
        var inbound: PeerInboundStateMachine
        /// Whether the peer can take the state in place of history.
        var takesState: Bool
        /// The part of this node's vector that the peer has been told.
        var announced: VersionVector
        /// Batches under the peer's own name that were not applied when they came, and so were not sent.
        var withheld = VersionVector()

        /// Remembers what this node has applied once for all peers that have it too.
        mutating func share(_ vector: VersionVector) {
            self.announced.share(vector)
            self.outbound.share(vector)
        }

        /// Whether a chunk must not be sent now: anybody can send chunks under the peer's name, and the peer would take
        /// them for its own of the future.
        func withholds(_ chunk: BatchChunk, applied: VersionVector) -> Bool {
            let batch = chunk.batch
            return batch.origin.node == self.node && applied[batch.origin] < batch.sequence
                && !self.outbound.sent.has(chunk)
        }
    }

    private let origin: Origin
    private let creditBytes: Int
    private let logReadBytes: Int
    /// What this node has.
    private var chunks = ChunkSet(vector: VersionVector(), partials: [])
    /// The place of the newest chunk in the log.
    private var logHead: UInt64 = 0
    /// The connection with this node's host; `nil` when it is host itself, or has none.
    private var host: ConnectionID?
    /// The number of this node's newest batch that the host has.
    private var acknowledgedByHost: UInt64 = 0
    /// The verified members.
    private var members: KnownMembers
    /// What this node has applied of known authors.
    package private(set) var vector = VersionVector()
    private var isolation = IsolationStateMachine()
    private var streams: OrderedDictionary<ConnectionID, Streams> = [:]
    private var stalls = StallWatch()

    /// Makes a machine without peers.
    package init(_ configuration: CoreConfiguration) {
        self.origin = configuration.origin
        self.creditBytes = Int(UInt32(clamping: configuration.creditBytes))
        self.logReadBytes = configuration.logReadBytes
        self.members = configuration.members
    }

    /// Takes what the store holds when the node starts.
    package mutating func start(_ state: StoreState) {
        self.chunks = ChunkSet(vector: state.vector, partials: state.partials)
        self.logHead = state.logHead
        self.acknowledgedByHost = state.acknowledgedByHost
        self.vector = self.ofKnownAuthors(self.chunks.vector)
    }

    /// Batches of known authors of which this node has some chunks.
    package var partials: [PartialBatch] { self.chunks.partials.filter { self.knows($0.batch.origin.node) } }

    /// Batches of other authors of which this node has some chunks.
    package var partialsOfOthers: Int { self.chunks.partials.count { $0.batch.origin != self.origin } }

    /// This node's own batches that the host does not have.
    package var pendingChanges: UInt64 {
        let own = self.vector[self.origin]
        return own > self.acknowledgedByHost ? own - self.acknowledgedByHost : 0
    }

    // MARK: - Members

    /// Whether batches of a node can exist: it is or was a member, as far as this node can verify.
    ///
    /// A linked node has proved its membership to the transport.
    private func knows(_ node: NodeID) -> Bool {
        self.members.present.isEmpty || node == self.origin.node || self.members.knows(node)
            || self.streams.values.contains { $0.node == node }
    }

    /// The part of a vector that concerns known authors, ``CoreLimits/vectorEntriesMax`` entries at most.
    package func ofKnownAuthors(_ vector: VersionVector) -> VersionVector {
        let known = vector.filter { self.knows($0.node) }
        guard known.entries.count > CoreLimits.vectorEntriesMax else { return known }
        return VersionVector(known.entries.prefix(CoreLimits.vectorEntriesMax))
    }

    /// The verified members changed: chunks that waited for this go to the store.
    ///
    /// - Parameters:
    ///   - members: The members.
    ///   - isStoreOpen: Whether the store takes peers' changes now.
    /// - Returns: The requests to the store, and the connections that must close: their peers must send again what had
    ///   no room.
    package mutating func membersChanged(
        _ members: KnownMembers,
        isStoreOpen: Bool
    ) -> (effects: [Effect], outdated: [ConnectionID]) {
        self.members = members
        self.vector = self.ofKnownAuthors(self.chunks.vector)
        let before = self
        var outdated: [ConnectionID] = []
        for index in self.streams.values.indices
        where self.streams.values[index].inbound.learned({ before.knows($0) }) {
            outdated.append(self.streams.keys[index])
        }
        return (self.storeWaiting(isStoreOpen: isStoreOpen), outdated)
    }

    /// Asks again for the proofs of authors whose chunks wait.
    ///
    /// An answer may have been dropped, because a peer may send more of them than this node checks at a time.
    package mutating func askForProofsAgain() -> [Effect] {
        var effects: [Effect] = []
        for index in self.streams.values.indices {
            let unproven = self.streams.values[index].inbound.takeUnproven(again: true)
            guard !unproven.isEmpty else { continue }
            let acknowledgement = Acknowledgement(applied: [], creditBytes: 0, unproven: unproven)
            effects.append(.send([self.streams.keys[index]], .acknowledge(acknowledgement)))
        }
        return effects
    }

    /// The batches that are not applied, and that former members made or linked peers have applied.
    ///
    /// A linked peer that has applied a batch has sent all that this node lacks of it, unless it was told that this node has
    /// it: then the two have other content under one name.
    package var waitCandidates: [BatchWaits.Candidate] {
        self.chunks.partials.compactMap { partial in
            let holders = self.connections(for: [partial.batch])
            guard !holders.isEmpty || self.members.past.contains(partial.batch.origin.node) else { return nil }
            return BatchWaits.Candidate(partial: partial, holders: holders)
        }
    }

    /// The batches under a peer's name that it cannot have made, as its hello says.
    ///
    /// Whoever relays an author's batches gives them in their order. So a batch behind a gap, of which the author itself has not made
    /// the one before, is another node's. It would be applied as soon as the author fills the gap.
    ///
    /// - Parameters:
    ///   - node: The peer.
    ///   - vector: The vector in its hello.
    /// - Returns: The first such batch of each of the peer's incarnations, for ``discard(waiting:)``; the later ones go with it.
    package func denied(by node: NodeID, _ vector: VersionVector) -> [WaitingBatch] {
        var seen: Set<Origin> = []
        return self.chunks.partials.compactMap { partial in
            let batch = partial.batch
            guard batch.origin.node == node, seen.insert(batch.origin).inserted,
                max(vector[batch.origin], self.chunks.vector[batch.origin]) &+ 1 < batch.sequence
            else { return nil }
            return WaitingBatch(batch, isDenied: true)
        }
    }

    /// The request to remove from the log what former members left and nobody can apply, and what must be fetched again;
    /// `nil` when no such batch can be there.
    ///
    /// - Parameter waiting: The batches of ``waitCandidates``, or none while their times are not known.
    /// - Returns: The request.
    package func discard(waiting: [WaitingBatch]) -> StorageRequest? {
        let isLeft =
            !self.members.past.isEmpty
            && self.chunks.partials.contains { self.members.past.contains($0.batch.origin.node) }
        return isLeft || !waiting.isEmpty ? .discard(self.members, waiting: waiting) : nil
    }

    /// The connections over which batches must come again that were removed from the log.
    package func connections(for batches: [BatchID]) -> [ConnectionID] {
        self.streams.keys.filter { id in
            batches.contains { (self.streams[id]?.outbound.sent.vector[$0.origin] ?? 0) >= $0.sequence }
        }
    }

    /// Looks for links over which nothing comes of what their peers have and this node lacks.
    ///
    /// Peers that have what this node has are remembered in the same memory from then on.
    ///
    /// - Parameters:
    ///   - isTakingState: Whether this node takes a state in place of batches.
    ///   - time: The time.
    /// - Returns: The connections that must close, so that the next hello says what is missing.
    package mutating func takeStalled(isTakingState: Bool, at time: Duration) -> [ConnectionID] {
        for index in self.streams.values.indices { self.streams.values[index].share(self.vector) }
        guard self.isExchanging, !isTakingState else {
            self.stalls.forget()
            return []
        }
        // What other nodes know of this node's batches and it does not, came before a restored file (``takeWithheld()``).
        let peers = self.streams.map { id, streams in
            let sent = streams.outbound.sent.vector
            return StallWatch.Peer(
                connection: id,
                node: streams.node,
                has: self.chunks.vector.covers(sent)
                    ? VersionVector() : sent.filter { $0 != self.origin && self.knows($0.node) },
                isStoring: streams.inbound.hasWork
            )
        }
        return self.stalls.update(peers, having: self.chunks, at: time)
    }

    // MARK: - Links

    /// A link begins.
    ///
    /// - Parameters:
    ///   - id: The connection.
    ///   - node: The peer.
    ///   - hello: The peer's hello.
    ///   - greeted: The vector in this node's hello.
    /// - Returns: The request for the place in the log from which the peer is served, if changes are exchanged already.
    package mutating func linked(
        _ id: ConnectionID,
        _ node: NodeID,
        _ hello: Hello,
        greeted: VersionVector?
    ) -> [Effect] {
        self.streams[id] = Streams(
            node: node,
            outbound: PeerOutboundStateMachine(
                vector: hello.vector,
                // A part of an own batch that the peer has may be another's: it is sent again from its first chunk.
                partials: hello.partials.filter { $0.batch.origin != self.origin },
                credit: Int(hello.creditBytes)
            ),
            inbound: PeerInboundStateMachine(credit: self.creditBytes),
            takesState: hello.takesState,
            announced: greeted ?? self.vector
        )
        self.vector = self.ofKnownAuthors(self.chunks.vector)
        return self.isolation.state == .over ? self.locate(id, hello.vector) : []
    }

    private func locate(_ id: ConnectionID, _ vector: VersionVector) -> [Effect] {
        [.storage(.locate(for: id, vector: vector, takesState: self.streams[id]?.takesState ?? false))]
    }

    /// A link is gone.
    package mutating func lost(_ id: ConnectionID) { self.streams[id] = nil }

    /// This node follows the host at the other end of that connection, or no other host.
    package mutating func hostChanged(_ id: ConnectionID?) { self.host = id }

    /// This node follows a host that has `acknowledged` of it.
    package mutating func follow(acknowledged: VersionVector?) {
        self.acknowledgedByHost = acknowledged?[self.origin] ?? 0
    }

    /// Whether a linked peer says that it has batches which this node lacks.
    package func claimsMore(_ id: ConnectionID) -> Bool {
        self.streams[id].map { !self.chunks.vector.covers($0.outbound.sent.vector) } ?? false
    }

    /// The peer at the other end of a link.
    package func node(of id: ConnectionID) -> NodeID? { self.streams[id]?.node }

    // MARK: - Isolation

    /// Whether batches are exchanged.
    package var isExchanging: Bool { self.isolation.state == .over }

    /// Whether nothing is exchanged because there is no connection or the clinic's time is not known.
    package var isIsolated: Bool { self.isolation.state == .isolated }

    /// The last link is gone.
    package mutating func beginIsolation() -> [Effect] { self.isolation.begin() }

    /// The clinic's time is known.
    package mutating func endIsolation(offsetMilliseconds: Int64) -> [Effect] {
        self.isolation.end(offsetMilliseconds: offsetMilliseconds)
    }

    /// The store has stamped again what no other node has: the exchange begins.
    ///
    /// It begins only now, because the store reads the log beside its writes.
    ///
    /// - Parameters:
    ///   - peers: The linked peers.
    ///   - isStoreOpen: Whether the store takes peers' changes now.
    /// - Returns: The requests to the store.
    package mutating func restamped(peers: [LinkedPeer], isStoreOpen: Bool) -> [Effect] {
        guard self.isolation.restamped() else { return [] }
        var effects: [Effect] = []
        for peer in peers {
            effects += self.locate(peer.connection, peer.acknowledged)
            effects += self.storeNext(from: peer.connection, isStoreOpen: isStoreOpen)
        }
        return effects
    }

    /// The store could not stamp the changes again.
    ///
    /// - Returns: The connections that must close.
    package mutating func restampFailed() -> [ConnectionID] {
        self.isolation.restampFailed() ? Array(self.streams.keys) : []
    }

    // MARK: - In

    /// A peer sent a chunk.
    ///
    /// - Returns: The request to the store; `nil` when the peer was not allowed to send the chunk.
    package mutating func received(_ chunk: BatchChunk, on id: ConnectionID, isStoreOpen: Bool) -> [Effect]? {
        let isKnown = self.knows(chunk.batch.origin.node)
        guard let arrival = self.streams[id]?.inbound.receive(chunk, isAuthorKnown: isKnown), arrival != .refused else {
            return nil
        }
        self.streams[id]?.outbound.received(chunk)
        guard !isKnown else { return self.storeNext(from: id, isStoreOpen: isStoreOpen) }
        // The sender has the proof, or it would not have sent the chunk. The proof's row may be in a batch that waits for this
        // chunk's batch, so waiting for the row alone could last for ever.
        let unproven = self.streams[id]?.inbound.takeUnproven() ?? []
        let credit = arrival == .dropped ? UInt32(clamping: chunk.payload.count) : 0
        // A dropped chunk costs the peer no credit, so it counts as other messages do.
        var effects: [Effect] = arrival == .dropped ? [.meter(id, bytes: chunk.payload.count)] : []
        if credit > 0 || !unproven.isEmpty {
            let acknowledgement = Acknowledgement(applied: [], creditBytes: credit, unproven: unproven)
            effects.append(.send([id], .acknowledge(acknowledgement)))
        }
        return effects
    }

    private mutating func storeNext(from id: ConnectionID, isStoreOpen: Bool) -> [Effect] {
        guard isStoreOpen, self.isolation.state == .over, let chunks = self.streams[id]?.inbound.nextStore(),
            let node = self.streams[id]?.node
        else { return [] }
        return [.storage(.store(from: id, ChunkSender(node: node, isHost: id == self.host), chunks))]
    }

    /// Gives the store what waits of every peer, one request for each.
    package mutating func storeWaiting(isStoreOpen: Bool) -> [Effect] {
        Array(self.streams.keys).flatMap { self.storeNext(from: $0, isStoreOpen: isStoreOpen) }
    }

    /// The store has a peer's chunks: the peer gets its credit back and hears what this node has applied since.
    package mutating func stored(from id: ConnectionID, bytes: Int, isStoreOpen: Bool) -> [Effect] {
        guard self.streams[id] != nil else { return [] }
        self.streams[id]?.inbound.stored(bytes: bytes)
        var effects: [Effect] = []
        let rises = self.takeRises(for: id)
        if !rises.isEmpty || bytes > 0 {
            let acknowledgement = Acknowledgement(applied: rises, creditBytes: UInt32(clamping: bytes))
            effects.append(.send([id], .acknowledge(acknowledgement)))
        }
        return effects + self.storeNext(from: id, isStoreOpen: isStoreOpen)
    }

    /// Chunks of these batches are no longer in the log: other content of the same name came, or nobody can apply them.
    ///
    /// - Parameters:
    ///   - batches: The batches.
    ///   - sender: The connection from which the other content came; its peer has that content.
    package mutating func forgot(_ batches: [BatchID], sender: ConnectionID?) {
        guard !batches.isEmpty else { return }
        self.chunks.forget(batches)
        for index in self.streams.values.indices where self.streams.keys[index] != sender {
            self.streams.values[index].outbound.forget(batches)
        }
    }

    /// The store has committed chunks and applied batches.
    package mutating func committed(_ logged: [LoggedChunk], vector: VersionVector) {
        for chunk in logged {
            self.logHead = max(self.logHead, chunk.position)
            self.chunks.hold(chunk.chunk)
        }
        self.chunks.merge(vector)
        self.vector = self.ofKnownAuthors(self.chunks.vector)
    }

    // MARK: - Out

    /// A peer has lost chunks: they are read and sent one after another, as the peer's credit allows.
    package mutating func wanted(_ chunks: [LostChunk], by id: ConnectionID) -> [Effect] {
        self.streams[id]?.outbound.wanted(chunks)
        return self.readWanted(for: id)
    }

    /// The store has read chunks that a peer has lost; empty when they cannot be sent.
    package mutating func batchRead(for id: ConnectionID, _ chunks: [BatchChunk]) -> [Effect] {
        self.streams[id]?.outbound.wantedRead()
        var effects: [Effect] = []
        if self.isolation.state == .over {
            for chunk in chunks where self.streams[id]?.outbound.resend(chunk) == true {
                effects.append(.send([id], .chunk(chunk)))
            }
        }
        return effects + self.readWanted(for: id)
    }

    private mutating func readWanted(for id: ConnectionID) -> [Effect] {
        guard let read = self.streams[id]?.outbound.nextWanted() else { return [] }
        return [.storage(.readBatch(for: id, from: read.chunk, maxBytes: read.maxBytes))]
    }

    /// Sends new chunks to every peer that keeps up; each chunk is encoded once.
    package mutating func relay(_ logged: [LoggedChunk]) -> [Effect] {
        // What is logged before the stamps are final is read from the log when they are.
        guard self.isolation.state == .over else { return [] }
        var effects: [Effect] = []
        for chunk in logged where self.knows(chunk.chunk.batch.origin.node) {
            var receivers: [ConnectionID] = []
            for index in self.streams.values.indices {
                guard !self.withholds(chunk.chunk, at: index), self.streams.values[index].outbound.offer(chunk) else {
                    continue
                }
                receivers.append(self.streams.keys[index])
            }
            if !receivers.isEmpty { effects.append(self.send(chunk.chunk, to: receivers)) }
        }
        return effects + Array(self.streams.keys).flatMap { self.relocate(for: $0) }
    }

    /// The request for the place in the log of a peer that turned out to have other content of a batch.
    private mutating func relocate(for id: ConnectionID) -> [Effect] {
        guard let vector = self.streams[id]?.outbound.nextLocate() else { return [] }
        return self.locate(id, vector)
    }

    /// Whether a chunk must not be sent now to the peer at `index`; notes that it was not.
    private mutating func withholds(_ chunk: BatchChunk, at index: Int) -> Bool {
        guard self.streams.values[index].withholds(chunk, applied: self.chunks.vector) else { return false }
        self.streams.values[index].withheld.advance(chunk.batch.origin, to: chunk.batch.sequence)
        return true
    }

    /// Sends a chunk; of dependencies that no message can hold, those on unknown authors are left out.
    private func send(_ chunk: BatchChunk, to receivers: [ConnectionID]) -> Effect {
        guard let header = chunk.header, header.dependencies.entries.count > CoreLimits.vectorEntriesMax else {
            return .send(receivers, .chunk(chunk))
        }
        let sent = BatchChunk(
            batch: chunk.batch,
            index: chunk.index,
            header: BatchHeader(
                timestamp: header.timestamp,
                dependencies: self.ofKnownAuthors(header.dependencies),
                schemaVersion: header.schemaVersion
            ),
            isLast: chunk.isLast,
            checksum: chunk.checksum,
            payload: chunk.payload
        )
        return .send(receivers, .chunk(sent))
    }

    /// The store found the place in the log from which a peer is served.
    package mutating func located(_ id: ConnectionID, at position: UInt64) -> [Effect] {
        self.streams[id]?.outbound.located(position)
        return self.readNext(for: id)
    }

    /// The log cannot serve a peer, which is offered the state: it gets nothing of the log until it has the state.
    package mutating func offered(_ id: ConnectionID) { self.streams[id]?.outbound.offered() }

    /// A peer was sent the whole state, which began with `vector`: what follows comes from the log.
    package mutating func stateSent(_ id: ConnectionID, _ vector: VersionVector) -> [Effect] {
        self.streams[id]?.outbound.locateAgain(vector).map { self.locate(id, $0) } ?? []
    }

    /// This node got a state in place of history: peers that lack what the log does not have need the state as well.
    package mutating func stateInstalled() -> [Effect] {
        guard self.isolation.state == .over else { return [] }
        var effects: [Effect] = []
        for id in Array(self.streams.keys) {
            guard let vector = self.streams[id]?.outbound.locateAfresh() else { continue }
            effects += self.locate(id, vector)
        }
        return effects
    }

    /// The store read chunks of the log for a peer.
    package mutating func logRead(for id: ConnectionID, _ chunks: [LoggedChunk], head: UInt64) -> [Effect] {
        self.logHead = max(self.logHead, head)
        guard let index = self.streams.index(forKey: id) else { return [] }
        var withheld: Set<BatchID> = []
        for chunk in chunks.map(\.chunk) where self.withholds(chunk, at: index) { withheld.insert(chunk.batch) }
        let sending = self.streams.values[index].outbound.logRead(chunks, head: head) {
            withheld.contains($0.batch)
        }
        return sending.filter { self.knows($0.batch.origin.node) }.map { self.send($0, to: [id]) }
            + self.readNext(for: id)
    }

    /// Returns the requests for what the peer has lost and for the next chunks of the log, if the peer may be sent more.
    package mutating func readNext(for id: ConnectionID) -> [Effect] {
        let wanted = self.readWanted(for: id) + self.relocate(for: id)
        guard let read = self.streams[id]?.outbound.nextRead(head: self.logHead, maxBytes: self.logReadBytes) else {
            return wanted
        }
        return wanted + [.storage(.readLog(for: id, after: read.after, maxBytes: read.maxBytes))]
    }

    /// The connections whose peers lack batches of their own name that were withheld and are applied now.
    ///
    /// They are batches of a former incarnation, which a restored file lacks. The peers get them with their next hello.
    package mutating func takeWithheld() -> [ConnectionID] {
        let applied = self.chunks.vector
        var connections: [ConnectionID] = []
        for index in self.streams.values.indices where !self.streams.values[index].withheld.isEmpty {
            let sent = self.streams.values[index].outbound.sent.vector
            let withheld = self.streams.values[index].withheld
            if withheld.entries.contains(where: { sent[$0.origin] < min($0.sequence, applied[$0.origin]) }) {
                connections.append(self.streams.keys[index])
            }
            self.streams.values[index].withheld = VersionVector(withheld.entries(beyond: applied))
        }
        return connections
    }

    // MARK: - Acknowledgements

    /// A peer has applied batches and gives credit; ``readNext(for:)`` follows.
    ///
    /// - Returns: The request for a place in the log, when the peer may have got from another node what it was offered.
    @discardableResult
    package mutating func acknowledged(
        _ acknowledgement: Acknowledgement,
        on id: ConnectionID,
        isHost: Bool
    ) -> [Effect] {
        if isHost {
            for entry in acknowledgement.applied where entry.origin == self.origin {
                self.acknowledgedByHost = max(self.acknowledgedByHost, entry.sequence)
            }
        }
        self.streams[id]?.outbound.acknowledged(acknowledgement)
        guard let node = self.streams[id]?.node, acknowledgement.applied.contains(where: { $0.origin.node != node })
        else { return [] }
        return self.streams[id]?.outbound.locateAgain().map { self.locate(id, $0) } ?? []
    }

    /// Tells every peer what this node has applied since it last told that peer; equal messages are encoded once.
    package mutating func announce() -> [Effect] {
        var groups: OrderedDictionary<[VersionVector.Entry], [ConnectionID]> = [:]
        for id in Array(self.streams.keys) {
            let rises = self.takeRises(for: id)
            if !rises.isEmpty { groups[rises, default: []].append(id) }
        }
        return groups.map { rises, receivers in
            .send(receivers, .acknowledge(Acknowledgement(applied: rises, creditBytes: 0)))
        }
    }

    private mutating func takeRises(for id: ConnectionID) -> [VersionVector.Entry] {
        let vector = self.vector
        guard let announced = self.streams[id]?.announced, announced != vector else { return [] }
        self.streams[id]?.announced = vector
        return vector.entries(beyond: announced)
    }
}
