import ClinicSyncModel

/// Everything the node keeps for one peer that has said hello, until the connection ends.
struct PeerLink: Sendable, Hashable {
    /// Who it is.
    let identity: PeerIdentity
    /// What it says of the clinic's host.
    var report: HostReport
    /// The highest term of its frames; they never go back.
    var term: UInt64
    /// When anything was last heard of it.
    var lastHeard: Duration
    /// What it is sent.
    var outbound: PeerOutboundStateMachine
    /// What it sends.
    var inbound: PeerInboundStateMachine
    /// What of our vector it has been told.
    var announced: VersionVector
    /// How far its corrected time was ahead of this PC's when it said hello; a little less, by the hello's way.
    let wallAhead: Int64
    /// What the store works on for its reconciliation.
    var quota = ReconciliationQuota()
}
