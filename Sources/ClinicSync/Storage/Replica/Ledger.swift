import ClinicSyncModel

/// The small state of a store that every transaction touches, kept in memory beside its tables.
///
/// A value, so that a transaction that fails puts back the copy it took.
struct Ledger {
    /// What is known of an origin.
    struct OriginEntry {
        var origin: Origin
        /// All its batches up to this one are applied.
        var sequence: UInt64
        /// What it had applied when it made the newest of them.
        var seen: VersionVector
        /// Its largest stamp.
        var timestamp: UInt64
        var isChanged = false
    }

    /// Rows and digest of a table.
    struct TableEntry {
        var rows: Int64
        var digest: Digest
        var tombstones: Int
        /// Rows whose table form is not their own state.
        var shadows = 0
        var isChanged = false

        /// Whether a row of the table may be other than it shows: only then is it worth while to look.
        var isUnsettled: Bool { self.tombstones > 0 || self.shadows > 0 }
    }

    /// By the origin's small number.
    var origins: [OriginEntry] = []
    /// By the table's number.
    var tables: [Int: TableEntry] = [:]
    /// The newest position given to an event.
    var eventPosition: UInt64 = 0
    /// Rows whose table form is not their own state, in all tables.
    var shadows = 0
    /// Rows that wait for the row they refer to.
    var orphans = 0
    /// Notes on rows set aside.
    var waiting = 0
    /// Those of them that say that a row is too large to be sent.
    var large = 0
    /// Own batches from this number on nobody else can have; `nil` while others may get them as soon as they are made.
    var unsharedFrom: UInt64?

    /// The origins' names by their small numbers.
    private(set) var names: [Origin] = []

    private var ids: [Origin: Int] = [:]

    /// The vector of what is applied.
    var vector: VersionVector {
        VersionVector(
            self.origins.lazy.map { VersionVector.Entry(origin: $0.origin, sequence: $0.sequence) }
        )
    }

    /// The small number of `origin`, if it has one.
    func id(of origin: Origin) -> Int? { self.ids[origin] }

    /// Adds an origin under the next small number.
    mutating func add(_ entry: OriginEntry) {
        self.ids[entry.origin] = self.origins.count
        self.names.append(entry.origin)
        self.origins.append(entry)
    }

    /// Whether what the author of `author` had seen, as far as this node can tell, covers `version`.
    ///
    /// Batches of an origin apply in order and only after what they depend on. So a version that is not covered by the
    /// newest knowledge of an author was certainly not seen when the author's applied batches were made.
    func hasSeen(_ author: Version, _ version: Version) -> Bool {
        if author.origin == version.origin { return author.sequence >= version.sequence }
        guard let id = self.ids[author.origin] else { return false }
        return self.origins[id].seen.covers(version)
    }
}
