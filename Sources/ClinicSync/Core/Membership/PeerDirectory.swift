package import ClinicSyncModel
import OrderedCollections

/// A peer as it was when last heard of.
package struct KnownPeer: Sendable, Hashable {
    /// Who it is.
    package var identity: PeerIdentity
    /// The connection with it, if there is one.
    package var connection: ConnectionID?
    /// What it has said it has applied.
    package var acknowledged: VersionVector
    /// When it was last heard of.
    package var lastSeen: Now
    /// The round trip of the last ping that was answered.
    package var roundTrip: Duration?
    /// What of its progress the store knows; `nil` when it knows nothing.
    package var recorded: VersionVector?
    /// When its progress was last given to the store.
    package var recordedAt: Duration
}

/// Every peer that said hello since the start, connected or not.
///
/// Bounded by ``CoreLimits/knownPeersMax``: then the one that was lost longest ago is forgotten.
package struct PeerDirectory: Sendable, Hashable {
    private var peers: OrderedDictionary<NodeID, KnownPeer> = [:]

    /// Starts empty.
    package init() {}

    /// The peers in the order in which they were first met.
    package var all: [KnownPeer] { Array(self.peers.values) }

    /// The peer with this id.
    package subscript(node: NodeID) -> KnownPeer? { self.peers[node] }

    /// Takes note of a hello.
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
        // Not merged: after a restored backup a peer has less than it once had.
        peer.acknowledged = vector
        peer.lastSeen = now
        peer.roundTrip = nil
        self.peers[identity.node] = peer
    }

    /// Takes note that the connection is gone.
    package mutating func disconnected(_ node: NodeID, from id: ConnectionID) {
        // A newer connection may have taken the place already.
        guard self.peers[node]?.connection == id else { return }
        self.peers[node]?.connection = nil
    }

    /// Takes note of a sign of life.
    package mutating func heard(_ node: NodeID, at now: Now) {
        self.peers[node]?.lastSeen = now
    }

    /// Takes note of an answered ping.
    package mutating func measured(_ node: NodeID, roundTrip: Duration) {
        self.peers[node]?.roundTrip = roundTrip
    }

    /// Takes note of what a peer has applied.
    package mutating func acknowledged(_ node: NodeID, _ entries: [VersionVector.Entry]) {
        for entry in entries {
            self.peers[node]?.acknowledged.advance(entry.origin, to: entry.sequence)
        }
    }

    /// Takes note that a peer sent the end of a batch, so that it has the batch itself.
    package mutating func sent(_ node: NodeID, _ batch: BatchID) {
        guard let known = self.peers[node]?.acknowledged[batch.origin], known &+ 1 == batch.sequence else { return }
        self.peers[node]?.acknowledged.advance(batch.origin, to: batch.sequence)
    }

    /// Returns the progress the store does not know yet, and takes it as known.
    ///
    /// With `everything`, also of peers that were only heard of since.
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
                    seenMilliseconds: peer.lastSeen.wallMilliseconds &+ offsetMilliseconds
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
