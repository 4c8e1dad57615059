import ClinicSyncModel

extension HostReport {
    /// Makes what a node says of itself and of the host.
    init(of node: NodeStateMachine) {
        let host = node.hostConnection.flatMap { node.peers.link($0)?.identity.addresses }
        self = node.election.report(addresses: node.isHost ? node.peers.addresses : host ?? [])
        self.lockedPeers = node.isHost ? node.peers.lockedPeers : []
        self.lockedSince =
            node.data.access.lock(at: node.context.time.monotonic, node.context.clinicMilliseconds)?.sinceMilliseconds
    }
}

extension Hello {
    /// Makes what a node says first on a connection.
    init(of node: NodeStateMachine) {
        self = node.peers.hello(
            report: HostReport(of: node),
            node.context,
            partials: node.data.partials,
            schemaVersion: node.data.schemaVersion
        )
    }
}
