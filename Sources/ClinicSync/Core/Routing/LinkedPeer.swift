package import ClinicSyncModel

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
    /// Whether a program's write transaction keeps the peer from writing.
    package var isStoreLocked: Bool

    /// Makes a peer.
    package init(
        connection: ConnectionID,
        identity: PeerIdentity,
        candidacy: Candidacy,
        isFollower: Bool,
        acknowledged: VersionVector,
        isStoreLocked: Bool = false
    ) {
        self.connection = connection
        self.identity = identity
        self.candidacy = candidacy
        self.isFollower = isFollower
        self.acknowledged = acknowledged
        self.isStoreLocked = isStoreLocked
    }
}
