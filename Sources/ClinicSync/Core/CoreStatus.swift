package import ClinicSyncModel

/// A snapshot of the node for people.
package struct CoreStatus: Sendable, Hashable {
    /// What the node is to its clinic.
    package enum Role: String, Sendable, Hashable {
        /// This node is host.
        case host
        /// The node is connected with the host.
        case client
        /// The node has no host now and looks for it.
        case searching
        /// The node has not started, or stops.
        case stopped
    }

    /// The host as far as this node knows it.
    package struct Host: Sendable, Hashable {
        /// Its id.
        package var id: NodeID
        /// Its name; `nil` before it was first heard of.
        package var name: String?
        /// Where it listens, `address:port`; `nil` when no address is known.
        package var address: String?

        /// Makes a host.
        package init(id: NodeID, name: String?, address: String?) {
            self.id = id
            self.name = name
            self.address = address
        }
    }

    /// A peer, connected or not.
    package struct Peer: Sendable, Hashable {
        /// Its id.
        package var id: NodeID
        /// Its name.
        package var name: String
        /// Where it listens, `address:port`.
        package var address: String
        /// Host or client, as it last said.
        package var role: Role
        /// Whether there is a connection.
        package var isConnected: Bool
        /// Batches we have applied and it has not, as far as it has told us.
        package var lagBatches: UInt64
        /// When it was last heard of.
        package var lastSeen: Now
        /// The last ping's round trip; `nil` before the first answer.
        package var roundTripMilliseconds: Double?
    }

    /// How a reconciliation ended.
    package struct Reconciliation: Sendable, Hashable {
        /// When it ended, corrected milliseconds since 1970.
        package var wallMilliseconds: Int64
        /// Its result.
        package var result: ReconciliationResult
        /// How long it took.
        package var took: Duration
        /// Rows repaired on both sides.
        package var repairedRows: UInt64
    }

    /// What the node is.
    package var role: Role
    /// The host's term.
    package var term: UInt64
    /// The host.
    package var host: Host?
    /// All peers heard of since the start, in the order in which they were first met.
    package var peers: [Peer]
    /// Own batches the host has not acknowledged; 0 on the host.
    package var pendingChanges: UInt64
    /// Batches that a peer has said it has applied and that are not applied here.
    package var missingBatches: UInt64
    /// Batches of others of which some chunks are here and that are not applied.
    package var partialBatches: Int
    /// What is added to this PC's wall time.
    package var clockOffsetMilliseconds: Int64
    /// The newest reconciliation that came to a result.
    package var lastReconciliation: Reconciliation?
    /// What is applied.
    package var vector: VersionVector
    /// Nodes as which two processes run, this one first.
    package var duplicates: [NodeID]
}
