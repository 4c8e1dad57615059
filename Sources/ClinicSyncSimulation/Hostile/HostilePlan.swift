import ClinicSyncModel

/// How hostile the hostile member of a run is.
package struct HostilePlan: Sendable, Hashable {
    /// The seed of the mutations.
    var seed: UInt64
    /// The member's place among the nodes.
    package var index: Int
    /// Its id, as frames have it.
    var own: [UInt8]
    /// All members' ids, as frames have them.
    var members: [[UInt8]]
    /// How many of a thousand frames it changes.
    package var permille: Int
    /// What it does to single messages.
    package var kinds: [MutationKind]
    /// Whether it also forges what others entered.
    package var isForging: Bool

    /// What happens to a message; all other kinds happen to the traffic.
    static let messageKinds: [MutationKind] = [
        .number, .numbers, .bytes, .remove, .duplicate, .many, .reorder, .unknown, .node, .payload, .swap, .garbage,
        .authors, .last,
    ]
}
