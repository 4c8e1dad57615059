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
    /// Whether a ping of the peer has come since this node's last beat: the peer is alive, and hears this node.
    var hasPinged = false
    /// When the link began.
    let since: Duration
    /// Whether nobody was told of the link, because links with this peer end again and again.
    var isQuiet: Bool
    /// How far the peer's clinic time was ahead of this PC's time when it said hello.
    ///
    /// The time that the hello needed to arrive is not subtracted.
    package let wallAhead: Int64
}
