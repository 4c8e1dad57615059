import ClinicSyncModel

extension NodeContext {
    /// Takes a snapshot of the node.
    init(of node: NodeStateMachine) {
        self.init(
            time: node.turn.time,
            offsetMilliseconds: node.clock.offsetMilliseconds,
            origin: node.configuration.origin,
            isHost: node.isHost,
            host: node.hostConnection,
            vector: node.data.vector,
            members: node.peers.members,
            isStoreLocked: node.data.access.isLocked
        )
    }
}

extension Pong {
    /// Makes the answer to a ping.
    init(to ping: Ping, _ context: NodeContext) {
        self.init(id: ping.id, wallMilliseconds: context.clinicMilliseconds)
    }
}
