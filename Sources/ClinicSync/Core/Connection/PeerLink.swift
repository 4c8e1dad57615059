import ClinicSyncModel

/// Everything the node keeps for one peer that has said hello, until the connection ends.
struct PeerLink: Sendable, Hashable {
    /// Who it is.
    let identity: PeerIdentity
    /// When anything was last heard of it.
    var lastHeard: Duration
    /// What it is sent.
    var outbound: PeerOutboundStateMachine
    /// What it sends.
    var inbound: PeerInboundStateMachine
    /// What of our vector it has been told.
    var announced: VersionVector
    /// What the store works on for its reconciliation.
    var quota = ReconciliationQuota()
}
