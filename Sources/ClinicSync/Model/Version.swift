/// Who wrote a value and when; the larger version of a column's concurrent values wins.
///
/// The larger timestamp wins; of equal timestamps the larger origin wins. `sequence` is the batch of the origin that
/// carried the value. It answers "had this author seen that value?" (``VersionVector/covers(_:)``), and does not
/// count in the order.
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
