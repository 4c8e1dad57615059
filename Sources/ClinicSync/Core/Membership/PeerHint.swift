package import ClinicSyncModel

/// An address at which a member of the clinic may be reached.
///
/// Only a hint: who answers there is known from the certificate, and whether it lives from the heartbeat.
package struct PeerHint: Sendable, Hashable {
    /// Where a hint comes from, from the one worth most to the one worth least.
    package enum Source: Int, Sendable, Hashable, Comparable {
        /// Seen on the LAN just now.
        case discovered
        /// The list of members, as each last said of itself.
        case remembered
        /// An administrator's configuration.
        case configured
        /// A peer named it.
        case told

        /// Orders by worth, the best first.
        package static func < (left: Source, right: Source) -> Bool { left.rawValue < right.rawValue }
    }

    /// Where to connect, `address:port`.
    package var address: String
    /// Who is said to be there, when that is known.
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
