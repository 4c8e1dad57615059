package import ClinicSyncModel

/// The error for a part of this node's own bookkeeping that makes no sense.
///
/// A program, a bad disk or an older version of the software changed the part: no peer is at fault. Reads of the node's own
/// tables throw this error. The store then repairs the part and runs the request again; see
/// `docs/design/0013-own-damage.md`.
package struct OwnDamage: Error, Sendable, Hashable {
    /// The damaged table: its name without `clinicsync_`.
    package enum Table: String, Sendable, Hashable, CaseIterable {
        /// The versions and hashes of visible rows.
        case row
        /// The states of deleted rows.
        case tombstone
        /// The states of rows that their table does not show as they are.
        case shadow
        /// The batches that deleters had seen.
        case context
        /// The parts of counters.
        case counter
        /// Counts and digests of tables.
        case digest
        /// The change log.
        case log
        /// The authors, and how far their batches are applied.
        case origin
        /// The marks of what programs wrote.
        case dirty
        /// The numbers of the replicated tables and of their columns.
        case table
        /// Single values.
        case setting
        /// The progress of members.
        case member
        /// Own batches that no other node has.
        case unshared
        /// Notes on batches that this version does not understand.
        case unread
        /// The events for programs.
        case event
        /// The flag that switches the capture triggers off.
        case guardFlag = "guard"
        /// The database file, when the table is not known.
        case file
    }

    /// The place in the table.
    ///
    /// The store needs it for the repair. It names a row, so nothing for people contains it.
    package enum Place: Sendable, Hashable {
        /// The place is not known, or the whole table is meant.
        case somewhere
        /// The row of a table, by the table's number and the row's key.
        case row(table: Int, key: SQLiteValue)
        /// A batch in the log, from one of its chunks on.
        case batch(BatchID, chunk: UInt32 = 0)
        /// The indexes of a table, by the table's number; `nil`: of every table.
        case index(table: Int?)
    }

    /// The damaged table.
    package let table: Table
    /// What is wrong; contains no value of a row.
    package let reason: String
    /// The place in the table.
    package let place: Place

    /// Makes the error.
    package init(_ table: Table, _ reason: String, at place: Place = .somewhere) {
        self.table = table
        self.reason = reason
        self.place = place
    }
}

/// A repair of this node's own bookkeeping.
package struct DamageRepair: Sendable, Hashable {
    /// What the repair did.
    package enum Outcome: String, Sendable, Hashable {
        /// The damaged part was rebuilt from what else is in the file.
        case rebuilt
        /// The damaged part was removed, and the node gets it from another node.
        case refetching
        /// Nothing in the file could replace the damaged part, which is left out.
        case leftOut
        /// The store could not repair the part.
        case failed
    }

    /// The damaged table.
    package var table: OwnDamage.Table
    /// What was wrong; contains no value of a row.
    package var reason: String
    /// How many entries of the table were damaged.
    package var count: Int
    /// What the repair did.
    package var outcome: Outcome
    /// Chunks that the node must ask another node for.
    package var wanted: [LostChunk]

    /// Makes a report.
    package init(
        _ damage: OwnDamage,
        count: Int = 1,
        outcome: Outcome,
        wanted: [LostChunk] = []
    ) {
        self.table = damage.table
        self.reason = damage.reason
        self.count = count
        self.outcome = outcome
        self.wanted = wanted
    }
}

/// What the store has to say besides its reply to a request.
package struct StoreNotice: Sendable, Hashable {
    /// Damage in the node's own bookkeeping that the store found and dealt with.
    package var repairs: [DamageRepair]
    /// What was committed and has not been in a reply, because a later part of the request failed.
    package var committed: CollectOutcome?

    /// Makes a notice.
    package init(repairs: [DamageRepair] = [], committed: CollectOutcome? = nil) {
        self.repairs = repairs
        self.committed = committed
    }

    /// Whether there is nothing to say.
    package var isEmpty: Bool { self.repairs.isEmpty && self.committed == nil }
}
