/// The nodes whose membership this node has verified by signatures.
///
/// The set is this node's own knowledge, and it grows: two nodes may know different members for a moment. So it may
/// decide whom a node counts and to whom it listens. It must never decide what becomes of a batch that other nodes have.
package struct KnownMembers: Sendable, Hashable {
    /// The members of the clinic, this node included; ascending.
    package let present: [NodeID]
    /// Nodes that were members and are not any more, because they or their signers are revoked; ascending.
    package let past: [NodeID]
    /// When members last ran, by their own signed statements, milliseconds since 1970; of the others nothing is signed.
    package let days: [NodeID: Int64]
    /// Members that lapsed by a host's decision: nothing waits for them.
    package var lapsed: [NodeID] = []

    /// Makes a set; a node in both lists counts as present.
    package init(
        present: some Sequence<NodeID> = [],
        past: some Sequence<NodeID> = [],
        days: [NodeID: Int64] = [:]
    ) {
        self.days = days
        let members = Set(present)
        self.present = members.sorted()
        self.past = Set(past).subtracting(members).sorted()
    }

    /// Takes over other members; those that lapsed stay so.
    package mutating func update(_ members: KnownMembers) {
        let lapsed = self.lapsed
        self = members
        self.lapsed = lapsed
    }

    /// Returns whether the node is or was a member, so that batches of it can exist.
    package func knows(_ node: NodeID) -> Bool {
        KnownMembers.contains(node, in: self.present) || KnownMembers.contains(node, in: self.past)
    }

    /// Returns the number of active members when these connected nodes count as members too.
    ///
    /// A connected node has proved its membership to the transport, possibly a moment before this set was made.
    package func count(with connected: some Sequence<NodeID>) -> Int {
        let connected = Set(connected)
        let others = connected.filter { !KnownMembers.contains($0, in: self.present) }
        let absent = Set(self.lapsed).filter { KnownMembers.contains($0, in: self.present) && !connected.contains($0) }
        return self.present.count - absent.count + others.count
    }

    private static func contains(_ node: NodeID, in sorted: [NodeID]) -> Bool {
        var (low, high) = (sorted.startIndex, sorted.endIndex)
        while low < high {
            let middle = low + (high - low) / 2
            if sorted[middle] == node { return true }
            if sorted[middle] < node { low = middle + 1 } else { high = middle }
        }
        return false
    }
}
