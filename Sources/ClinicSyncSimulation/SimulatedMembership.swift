import ClinicSyncCore
import ClinicSyncModel

/// How nodes learn who is a member; instead of certificates, a proof has the member's id.
struct SimulatedMembership {
    private let world: SimulatedWorld

    init(_ world: SimulatedWorld) { self.world = world }

    /// Sends a peer the proofs that a node has.
    func prove(_ nodes: [NodeID], to id: ConnectionID, by node: SimulatedNode, _ process: SimulatedNode.Process) {
        for member in nodes where node.configuration.members.knows(member) {
            let bytes = Summary.encode(.memberProof([Array(member.bytes)]), term: process.machine.term)
            for frame in self.world.phase.frames(for: bytes, from: node) { self.world.send(frame, over: id) }
        }
    }

    /// A node got a proof, which is forged if it is no node's.
    func learn(_ chain: [[UInt8]], at node: SimulatedNode) throws {
        guard let member = chain.first.flatMap({ NodeID(bytes: $0) }),
            self.world.nodes.contains(where: { $0.origin.node == member })
        else { return }
        try self.meet(member, at: node)
    }

    /// A node verified a membership, which it remembers from then on.
    func meet(_ member: NodeID, at node: SimulatedNode) throws {
        let members = node.configuration.members
        guard !members.knows(member) else { return }
        node.configuration.members = KnownMembers(present: members.present + [member], past: members.past)
        try self.world.give(.membersChanged(node.configuration.members), to: node.index, process: node.processNumber)
    }
}
