package import ClinicSyncModel

/// The part of the node's state that a sub-machine may read while it handles a call.
///
/// A snapshot: the root machine makes it for one call, and nobody keeps it.
package struct NodeContext: Sendable, Hashable {
    /// The time of the input.
    package var time: Now
    /// What is added to this PC's wall time to get the clinic's time.
    package var offsetMilliseconds: Int64
    /// This node as the author of changes.
    package var origin: Origin
    /// Whether this node is host.
    package var isHost: Bool
    /// The connection with the host; `nil` on the host and on a node that searches.
    package var host: ConnectionID?
    /// What this node has applied.
    package var vector: VersionVector
    /// The verified members of the clinic.
    package var members: KnownMembers
    /// Whether another program's write transaction keeps the store from writing.
    package var isStoreLocked: Bool

    /// Makes a snapshot.
    package init(
        time: Now,
        offsetMilliseconds: Int64,
        origin: Origin,
        isHost: Bool,
        host: ConnectionID?,
        vector: VersionVector,
        members: KnownMembers = KnownMembers(),
        isStoreLocked: Bool = false
    ) {
        self.time = time
        self.offsetMilliseconds = offsetMilliseconds
        self.origin = origin
        self.isHost = isHost
        self.host = host
        self.vector = vector
        self.members = members
        self.isStoreLocked = isStoreLocked
    }

    /// The clinic's time, milliseconds since 1970.
    package var clinicMilliseconds: Int64 {
        Bounds.milliseconds(clamping: self.time.wallMilliseconds &+ self.offsetMilliseconds)
    }

    /// The time of the input, by the clinic's clock.
    package var clinicNow: Now {
        Now(monotonic: self.time.monotonic, wallMilliseconds: self.clinicMilliseconds)
    }
}
