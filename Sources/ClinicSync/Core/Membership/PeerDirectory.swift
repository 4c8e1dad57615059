package import ClinicSyncModel
import OrderedCollections

/// What is known of a peer, connected or not.
package struct KnownPeer: Sendable, Hashable {
    /// The peer.
    package var identity: PeerIdentity
    /// The connection with the peer, if there is one.
    package var connection: ConnectionID?
    /// What the peer has said it has applied.
    package var acknowledged: VersionVector
    /// When its last message arrived.
    package var lastSeen: Now
    /// The round trip of the last answered ping.
    package var roundTrip: Duration?
    /// The progress that the store knows; `nil` when the store knows none.
    package var recorded: VersionVector?
    /// When the store last got the progress.
    package var recordedAt: Duration
}

/// Every peer that said hello since the start, connected or not.
///
/// Bounded by ``CoreLimits/knownPeersMax``; beyond that, the peer that was lost first is forgotten.
package struct PeerDirectory: Sendable, Hashable {
    private var peers: OrderedDictionary<NodeID, KnownPeer> = [:]
    /// What this node had applied at the last ``share(_:)``: a peer that lacks some of it is late.
    package private(set) var settled = VersionVector()

    /// Starts empty.
    package init() {}

    /// The peers in the order of their first hello.
    package var all: [KnownPeer] { Array(self.peers.values) }

    /// The peer with this id.
    package subscript(node: NodeID) -> KnownPeer? { self.peers[node] }

    /// A peer said hello.
    package mutating func connected(_ identity: PeerIdentity, by id: ConnectionID, vector: VersionVector, at now: Now) {
        if self.peers[identity.node] == nil { self.makeRoom() }
        var peer =
            self.peers[identity.node]
            ?? KnownPeer(
                identity: identity,
                connection: id,
                acknowledged: vector,
                lastSeen: now,
                roundTrip: nil,
                recorded: nil,
                recordedAt: .zero
            )
        peer.identity = identity
        peer.connection = id
        // Not merged with the former vector: after a restored backup a peer has less than before.
        peer.acknowledged = vector
        peer.lastSeen = now
        peer.roundTrip = nil
        self.peers[identity.node] = peer
    }

    /// A connection is gone.
    package mutating func disconnected(_ node: NodeID, from id: ConnectionID) {
        // A newer connection may have taken its place already.
        guard self.peers[node]?.connection == id else { return }
        self.peers[node]?.connection = nil
    }

    /// A message of a peer arrived.
    package mutating func heard(_ node: NodeID, at now: Now) {
        self.peers[node]?.lastSeen = now
    }

    /// A peer answered a ping.
    package mutating func measured(_ node: NodeID, roundTrip: Duration) {
        self.peers[node]?.roundTrip = roundTrip
    }

    /// A peer said what it has applied.
    package mutating func acknowledged(_ node: NodeID, _ entries: [VersionVector.Entry]) {
        self.peers[node]?.acknowledged.advance(entries, originsMax: CoreLimits.vectorEntriesMax)
    }

    /// This node has applied `vector`: peers that have applied the same are remembered in the same memory.
    package mutating func share(_ vector: VersionVector) {
        self.settled = vector
        for index in self.peers.values.indices {
            self.peers.values[index].acknowledged.share(vector)
            self.peers.values[index].recorded?.share(vector)
        }
    }

    /// A peer sent the last chunk of a batch, so it has the batch itself.
    package mutating func sent(_ node: NodeID, _ batch: BatchID) {
        guard let known = self.peers[node]?.acknowledged[batch.origin], known &+ 1 == batch.sequence else { return }
        self.acknowledged(node, [VersionVector.Entry(origin: batch.origin, sequence: batch.sequence)])
    }

    /// Returns the progress that the store does not know yet, and counts it as known.
    ///
    /// With `everything`, the progress of all peers, so that the store knows when each was last heard of.
    package mutating func takeProgress(
        at now: Now,
        offsetMilliseconds: Int64,
        everything: Bool
    ) -> [MemberProgress] {
        var progress: [MemberProgress] = []
        for index in self.peers.values.indices {
            let peer = self.peers.values[index]
            let isStale = now.monotonic - peer.recordedAt >= CoreLimits.seenRecordInterval
            let isConnected = peer.connection != nil
            guard everything || peer.recorded != peer.acknowledged || (isStale && isConnected) else { continue }
            self.peers.values[index].recorded = peer.acknowledged
            self.peers.values[index].recordedAt = now.monotonic
            progress.append(
                MemberProgress(
                    node: peer.identity.node,
                    vector: peer.acknowledged,
                    seenMilliseconds: Bounds.milliseconds(
                        clamping: peer.lastSeen.wallMilliseconds &+ offsetMilliseconds
                    )
                )
            )
        }
        return progress
    }

    private mutating func makeRoom() {
        guard self.peers.count >= CoreLimits.knownPeersMax else { return }
        let lost = self.peers.values.filter { $0.connection == nil }
        guard let oldest = lost.min(by: { $0.lastSeen.monotonic < $1.lastSeen.monotonic }) else { return }
        self.peers.removeValue(forKey: oldest.identity.node)
    }
}
