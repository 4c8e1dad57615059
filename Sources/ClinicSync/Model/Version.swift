/// Who wrote a value and when: the order by which concurrent values of a column are decided.
///
/// The larger timestamp wins, ties go to the larger origin. `sequence` says in which batch of the origin
/// the value came; it answers "had this author seen that value?" (``VersionVector/covers(_:)``) and takes
/// no part in the order.
package struct Version: Sendable, Hashable, Comparable {
    /// When the value was written.
    package let timestamp: HybridTimestamp
    /// Who wrote it.
    package let origin: Origin
    /// The number of the origin's batch that carried it; 0 for seed rows.
    package let sequence: UInt64

    /// The version of seed rows.
    package static let genesis = Version(timestamp: .genesis, origin: .genesis, sequence: 0)

    /// Makes a version.
    package init(timestamp: HybridTimestamp, origin: Origin, sequence: UInt64) {
        self.timestamp = timestamp
        self.origin = origin
        self.sequence = sequence
    }

    /// Orders by timestamp, then origin.
    package static func < (left: Version, right: Version) -> Bool {
        left.timestamp == right.timestamp
            ? left.origin < right.origin
            : left.timestamp < right.timestamp
    }
}
