package import ClinicSyncModel

/// What the node knows of a connected peer that has said hello, until the connection ends.
///
/// The streams of changes and the peer's questions belong to other machines, which know the connection by its id.
package struct PeerLink: Sendable, Hashable {
    /// The peer.
    package let identity: PeerIdentity
    /// What the peer says of the clinic's host.
    package var report: HostReport
    /// The highest term in the peer's frames; a peer's term never decreases.
    var term: UInt64
    /// When the last message of the peer arrived.
    var lastHeard: Duration
    /// How far the peer's clinic time was ahead of this PC's time when it said hello.
    ///
    /// The time that the hello needed to arrive is not subtracted.
    package let wallAhead: Int64
}

/// A connected peer as the other machines see it.
package struct LinkedPeer: Sendable, Hashable {
    /// The connection.
    package var connection: ConnectionID
    /// The peer.
    package var identity: PeerIdentity
    /// What the peer would be worth as host.
    package var candidacy: Candidacy
    /// Whether the peer follows this node as its host.
    package var isFollower: Bool
    /// What the peer has said it has applied.
    package var acknowledged: VersionVector

    /// Makes a peer.
    package init(
        connection: ConnectionID,
        identity: PeerIdentity,
        candidacy: Candidacy,
        isFollower: Bool,
        acknowledged: VersionVector
    ) {
        self.connection = connection
        self.identity = identity
        self.candidacy = candidacy
        self.isFollower = isFollower
        self.acknowledged = acknowledged
    }
}
