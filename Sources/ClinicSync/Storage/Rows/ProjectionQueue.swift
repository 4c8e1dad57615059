import ClinicSyncModel

/// A row by its table's number and its key.
struct RowName: Hashable {
    var table: Int
    var key: SQLiteValue
}

/// The rows whose form in their table must be computed before the transaction ends.
struct ProjectionQueue {
    /// What a row was before it changed, as far as the tables no longer say it.
    struct Entry {
        /// Whether the row counted for other rows; `nil` when the tables say so.
        var wasPresent: Bool?
        /// The unique keys that the row claimed.
        var claims: Set<ClaimName> = []
        /// The rows that the row referred to.
        var references: Set<RowName> = []
        /// The change that the events of the row are about; `nil` when they follow from a change of another row.
        var cause: Cause?
    }

    /// A change of a row.
    struct Cause {
        var timestamp: HybridTimestamp
        var batch: BatchID?
    }

    /// The rows in the order in which they were named first.
    private(set) var order: [RowName] = []
    private(set) var entries: [RowName: Entry] = [:]

    /// Whether there is nothing to do.
    var isEmpty: Bool { self.order.isEmpty }

    /// Adds a row, or adds to what is known of it.
    mutating func add(_ row: RowName, _ entry: Entry = Entry()) {
        guard var known = self.entries[row] else {
            self.order.append(row)
            self.entries[row] = entry
            return
        }
        // What came first is what it was before.
        known.wasPresent = known.wasPresent ?? entry.wasPresent
        known.claims.formUnion(entry.claims)
        known.references.formUnion(entry.references)
        known.cause = entry.cause ?? known.cause
        self.entries[row] = known
    }

    /// Forgets everything.
    mutating func removeAll() { self = ProjectionQueue() }
}
