import ClinicSyncModel

extension MemberPresence {
    /// Describes who is a member, and who is connected with a node.
    init(of node: NodeStateMachine) {
        self.init(
            isHost: node.isHost,
            members: node.peers.members.present,
            days: node.peers.members.days,
            linked: node.peers.linkedPeers.map(\.identity.node).sorted(),
            clinicMilliseconds: node.context.clinicMilliseconds
        )
    }
}
