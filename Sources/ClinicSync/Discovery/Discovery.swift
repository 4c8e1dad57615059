package import ClinicSyncModel

/// A node of the clinic as it announced itself.
package struct DiscoveredPeer: Sendable, Hashable {
    /// Addresses named at most, however many interfaces and networks a PC has in common with this one.
    package static let addressesMax = 4

    /// The id that the node announces.
    package var node: NodeID
    /// Where it can be dialled, the likeliest first: `ip:port`, `[v6]:port`, `[fe80::1%eth0]:port`.
    package var addresses: [String]
    /// The term it says it is in.
    package var term: UInt64
    /// Whether it says it is host.
    package var isHost: Bool

    /// Makes a peer.
    package init(node: NodeID, addresses: [String], term: UInt64, isHost: Bool) {
        self.node = node
        self.addresses = addresses
        self.term = term
        self.isHost = isHost
    }
}

/// An event of discovery.
package enum DiscoveryEvent: Sendable, Hashable {
    /// A node of the clinic is new, or has announced something new.
    case found(DiscoveredPeer)
    /// A node has withdrawn its announcement, or this PC has lost the network.
    ///
    /// A node that crashes, or whose cable is cut, is lost late or never: this says nothing about who is alive.
    case lost(NodeID)
    /// Discovery works from now on.
    case available
    /// Discovery does not work for now, for the reason given; told once until it works again.
    ///
    /// Nodes that were found stay listed, though discovery no longer knows whether they are there.
    case unavailable(String)
    /// Another node on the LAN uses this node's name; this node is now announced under the given name.
    case renamed(String)
}

/// Finds the nodes of one clinic on the LAN, and lets them find this one.
package protocol Discovery: Sendable {
    /// Announces and looks until cancelled.
    ///
    /// - Parameter onEvent: Called in order from a thread of its own; must not block. One call may still be under way
    ///   when this returns.
    /// - Throws: What keeps discovery from working for good; what may pass is an event.
    func run(onEvent: @escaping @Sendable (DiscoveryEvent) -> Void) async throws

    /// Announces something else from now on; from any thread. Several changes in a short time become one.
    func update(_ advertisement: Advertisement)
}
