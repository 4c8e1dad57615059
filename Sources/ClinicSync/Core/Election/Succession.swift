package import ClinicSyncModel

/// Who may claim before this node when the host is gone.
package struct Succession: Sendable, Hashable {
    /// Those who claim first, as the last host said.
    package var successors: [NodeAddresses] = []
    /// The nodes that were asked for a host, and whose answer may come; `nil` in it: a node that is not known yet.
    package var asked: Set<NodeID?> = []

    /// Makes an empty succession.
    package init() {}

    /// A node's place among the successors; `nil` for any other node.
    package func place(of node: NodeID) -> Int? { self.successors.firstIndex { $0.node == node } }

    /// Whether `node` should wait for an answer before it claims.
    ///
    /// A successor waits only for those with a better place. Otherwise a host that hangs, whose PC still accepts sockets,
    /// would keep all from claiming.
    package func isAwaited(by node: NodeID) -> Bool {
        guard let place = self.place(of: node) else { return !self.asked.isEmpty }
        return self.successors.prefix(place).contains { self.asked.contains($0.node) }
    }
}
