package import ClinicSyncModel

/// An address at which a member of the clinic may be reached.
///
/// Only a hint: the certificate says which node answers there, and the heartbeat says whether it is alive.
package struct PeerHint: Sendable, Hashable {
    /// Where a hint comes from, the most reliable source first.
    package enum Source: Int, Sendable, Hashable, Comparable {
        /// Discovery saw the node on the LAN just now.
        case discovered
        /// The list of members: the address that each member last said of itself.
        case remembered
        /// An administrator's configuration.
        case configured
        /// A peer named it.
        case told

        /// Orders by reliability, the best first.
        package static func < (left: Source, right: Source) -> Bool { left.rawValue < right.rawValue }
    }

    /// Where to connect, `address:port`.
    package var address: String
    /// The node that is said to be there; `nil` when that is not known.
    package var node: NodeID?
    /// Where the hint comes from.
    package var source: Source

    /// Makes a hint.
    package init(address: String, node: NodeID?, source: Source) {
        self.address = address
        self.node = node
        self.source = source
    }
}
