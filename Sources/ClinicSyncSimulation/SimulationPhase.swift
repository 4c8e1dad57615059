import ClinicSyncCore
import ClinicSyncModel

/// What may still happen in a run, and the node that nobody trusts, if there is one.
struct SimulationPhase {
    /// Whether programs write and faults happen.
    var isDisturbed = true
    /// The node for which nothing is promised.
    var suspect: Suspect?
    /// The place of a node that has not joined yet; its PC is there, and its process does not start.
    var joiner: Int?

    /// The frames that a node sends in place of `frame`.
    mutating func frames(for frame: [UInt8], from node: SimulatedNode) -> [[UInt8]] {
        guard self.suspect?.index == node.index, self.suspect?.isHostile == true else { return [frame] }
        return self.suspect?.mutator?.frames(for: frame) ?? [frame]
    }
}

/// A node that is hostile, or whose file is damaged.
struct Suspect {
    /// Its place among the nodes.
    let index: Int
    /// Whether it makes batches under others' names.
    var isForging = false
    /// What it does to the frames that it sends; `nil`: nothing.
    var mutator: FrameMutator?
    /// Whether it has begun to do so.
    var isHostile = false
    /// Whether it was revoked: it has no process any more, and nobody reaches it.
    var isOut = false
    /// What it says that is wrong, the last first.
    var complaints: [String] = []
    /// Whether it differed from the others in the end without a complaint.
    var isSilent = false

    /// Notes what the node tells its operators of damage.
    mutating func hear(_ effects: [Effect]) {
        for case .notify(let notification) in effects {
            switch notification {
            case .storageFailed(let failure): self.complain("\(failure)")
            case .ownDamage(let repair): self.complain("\(repair)")
            case .escapedWrites, .unmarkedSetBack, .captureRepaired, .logTooShort: self.complain("\(notification)")
            case .reconciled(.differs, _, _): self.complain("differs")
            default: break
            }
        }
    }

    /// Notes a complaint; the first ones of a run are enough.
    mutating func complain(_ what: String) {
        if self.complaints.count < 20 { self.complaints.append(what) }
    }
}

// The node that nobody trusts.
extension SimulatedWorld {
    /// The nodes whose promises are checked.
    package var members: [SimulatedNode] { self.nodes.filter { !self.isSuspect($0) } }

    /// Whether nothing is promised for the node with this id.
    func isSuspect(_ id: NodeID) -> Bool { self.phase.suspect.map { self.nodes[$0.index].origin.node } == id }

    /// Whether nothing is promised for a node.
    func isSuspect(_ node: SimulatedNode) -> Bool { self.phase.suspect?.index == node.index }

    /// Whether the other end of a connection is the suspect, or the node itself, which a suspect's addresses lead to.
    func isSuspect(behind id: ConnectionID) -> Bool {
        guard let suspect = self.phase.suspect else { return false }
        for link in self.network.links.reversed() {
            guard let end = link.ends.firstIndex(where: { $0.id == id }) else { continue }
            return link.ends[1 - end].node == suspect.index || link.ends[0].node == link.ends[1].node
        }
        return false
    }

    /// Whether the node was revoked.
    func isOut(_ node: SimulatedNode) -> Bool { self.isSuspect(node) && self.phase.suspect?.isOut == true }

    /// Whether the suspect was revoked.
    var isSuspectOut: Bool { self.phase.suspect?.isOut == true }

    /// The part of a vector that is about trusted nodes.
    func withoutSuspect(_ vector: VersionVector) -> VersionVector {
        guard let index = self.phase.suspect?.index else { return vector }
        let node = self.nodes[index].origin.node
        return VersionVector(vector.entries.filter { $0.origin.node != node })
    }

    /// The observers of a node: none of one for which nothing is promised.
    func checkers(of node: SimulatedNode) -> [any SimulationChecker] { self.isSuspect(node) ? [] : self.checkers }

    /// A store could not be opened.
    ///
    /// Only a suspect's may be so damaged. Its PC tries again.
    func failedToStart(_ node: SimulatedNode, _ error: any Error) throws {
        self.note(node.name, "does not start: \(error)")
        node.process = nil
        guard self.isSuspect(node) else { return self.fail("\(node.name) does not start: \(error)") }
        self.phase.suspect?.complain("does not start: \(error)")
        self.schedule(.start(node: node.index), after: .seconds(2))
    }
}
