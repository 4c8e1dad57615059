package import ClinicSyncModel

/// What a node announces about itself on its LAN.
///
/// Every PC on the LAN can read and copy it. It helps to find a node and proves nothing.
package struct Advertisement: Sendable, Hashable {
    /// The address families that reach the node.
    package enum Reach: Sendable, Hashable {
        /// IPv4 only.
        case ipv4
        /// IPv6 only.
        case ipv6
        /// Both.
        case both
    }

    /// The clinic's id.
    ///
    /// The announcement contains only a tag derived from it.
    package var clinicID: String
    /// The node.
    package var node: NodeID
    /// The term the node is in.
    package var term: UInt64
    /// Whether it is host in that term.
    package var isHost: Bool
    /// The TCP port on which it listens for members.
    package var port: Int
    /// The address families that reach the node.
    package var reach: Reach
    /// The version of the protocol between nodes.
    package var protocolVersion: Int
    /// The version of the database's schema.
    package var schemaVersion: Int

    /// Makes an advertisement.
    package init(
        clinicID: String,
        node: NodeID,
        term: UInt64,
        isHost: Bool,
        port: Int,
        reach: Reach,
        protocolVersion: Int,
        schemaVersion: Int
    ) {
        self.clinicID = clinicID
        self.node = node
        self.term = term
        self.isHost = isHost
        self.port = port
        self.reach = reach
        self.protocolVersion = protocolVersion
        self.schemaVersion = schemaVersion
    }
}
