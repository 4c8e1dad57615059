package import ClinicSyncModel

/// A node of the clinic as it announced itself.
package struct DiscoveredPeer: Sendable, Hashable {
    /// The largest number of reported addresses, independent of the number of shared interfaces and networks.
    package static let addressesMax = 4

    /// The id that the node announces.
    package var node: NodeID
    /// Where to dial the node, the most likely address first: `ip:port`, `[v6]:port`, `[fe80::1%eth0]:port`.
    package var addresses: [String]
    /// The term that the node announces.
    package var term: UInt64
    /// Whether the node announces that it is host.
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
    /// A node of the clinic is new, or has changed its announcement.
    case found(DiscoveredPeer)
    /// A node has withdrawn its announcement, or this PC has lost the network.
    ///
    /// The event comes late or never for a node that crashes or loses its cable. So the event does not say whether the
    /// node is alive.
    case lost(NodeID)
    /// Discovery works from now on.
    case available
    /// Discovery does not work for now, for the given reason; reported once until discovery works again.
    ///
    /// Found nodes stay listed, although discovery no longer knows whether they are present.
    case unavailable(String)
    /// Another node on the LAN uses this node's name; this node is now announced under the given name.
    case renamed(String)
}

/// Finds the nodes of one clinic on the LAN, and lets them find this one.
package protocol Discovery: Sendable {
    /// Announces and searches until cancelled.
    ///
    /// - Parameter onEvent: Called in order from a separate thread; must not block. One call may still be running when
    ///   this method returns.
    /// - Throws: An error that permanently prevents discovery. A temporary failure is an event.
    func run(onEvent: @escaping @Sendable (DiscoveryEvent) -> Void) async throws

    /// Replaces the announced advertisement; from any thread.
    ///
    /// Several changes in a short time become one change.
    func update(_ advertisement: Advertisement)
}
