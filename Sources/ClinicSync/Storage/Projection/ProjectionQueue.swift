import ClinicSyncModel

/// A row by its table's number and its key.
struct RowName: Hashable {
    var table: Int
    var key: SQLiteValue
}

/// A key or a row that rows of a table lay claim to.
struct ClaimName: Hashable {
    var table: Int
    var rule: Int
    var value: SQLiteValue
}

/// What a row in `clinicsync_shadow` looks like in its table.
enum ShadowForm: Int {
    /// It shows some other values than its own.
    case shown = 0
    /// Hidden: it is one row with an older one.
    case merged = 1
    /// Hidden: an older row has its key.
    case parked = 2
    /// Hidden: the row it refers to was deleted.
    case cascaded = 3
    /// Hidden: a constraint of the table refuses it.
    case setAside = 4
    /// Hidden: the row it refers to has not arrived.
    case waiting = 5
    /// Shown although it was deleted: a child that the deleter did not know refers to it.
    case revived = 6

    /// Whether it counts for others: for keys, as a child, as a parent.
    var isPresent: Bool {
        switch self {
        case .shown, .merged, .parked, .setAside, .revived: true
        case .cascaded, .waiting: false
        }
    }
}

/// The rows whose table form has to be worked out before the transaction ends.
struct ProjectionQueue {
    /// What a row was before it changed, as far as the tables no longer say it.
    struct Entry {
        /// Whether it counted for others; `nil` when the tables say it.
        var wasPresent: Bool?
        /// The unique keys it claimed.
        var claims: Set<ClaimName> = []
        /// The rows it referred to.
        var references: Set<RowName> = []
        /// Which change the events of the row are about; `nil` when they follow from another row's.
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

    /// Adds a row, or more of what it was.
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
