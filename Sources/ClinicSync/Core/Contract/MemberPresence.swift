package import ClinicSyncModel

/// What the node knows of the members when it keeps house.
///
/// Only a host decides for the clinic who has lapsed, and what every active member has.
package struct MemberPresence: Sendable, Hashable {
    /// Whether this node is host.
    package var isHost: Bool
    /// The members as signatures prove them, ascending, this node included; empty when the node knows of no proofs.
    package var members: [NodeID]
    /// When members last ran, by their own signed statements, milliseconds since 1970.
    package var days: [NodeID: Int64]
    /// The nodes that are connected.
    package var linked: [NodeID]
    /// The clinic's time, milliseconds since 1970.
    package var clinicMilliseconds: Int64

    /// Makes a value.
    package init(
        isHost: Bool,
        members: [NodeID] = [],
        days: [NodeID: Int64] = [:],
        linked: [NodeID] = [],
        clinicMilliseconds: Int64 = 0
    ) {
        self.isHost = isHost
        self.members = members
        self.days = days
        self.linked = linked
        self.clinicMilliseconds = clinicMilliseconds
    }
}

/// What a round of upkeep did.
package struct UpkeepOutcome: Sendable, Hashable {
    /// The number of chunks that were removed from the log.
    package var pruned: Int
    /// The number of tombstones that were removed.
    package var forgotten = 0
    /// The number of rows that had been written without a mark; the store has marked them.
    package var escaped: Int
    /// The members that have lapsed.
    package var lapsed: [NodeID]
    /// Whether rows for all nodes were written, which are to be collected.
    package var hasDecided: Bool

    /// Makes an outcome.
    package init(pruned: Int = 0, escaped: Int = 0, lapsed: [NodeID] = [], hasDecided: Bool = false) {
        self.pruned = pruned
        self.escaped = escaped
        self.lapsed = lapsed
        self.hasDecided = hasDecided
    }
}
