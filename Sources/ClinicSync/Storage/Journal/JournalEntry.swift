package import ClinicSyncModel

/// An entry of the conflict journal, for people: what is not shown, and what the tables show in its place now.
package struct JournalEntry: Sendable, Hashable {
    /// A value, with the node that wrote it and the time.
    package struct Written: Sendable, Hashable {
        /// The value.
        package var value: SQLiteValue
        /// The node that wrote it.
        package var node: NodeID
        /// When it was written.
        package var timestamp: HybridTimestamp
    }

    /// A lost value, with the id of the entry that stands for it alone.
    package struct LostValue: Sendable, Hashable {
        /// The id.
        package var id: String
        /// The value.
        package var written: Written
    }

    /// A row.
    package struct Row: Sendable, Hashable {
        /// Its table.
        package var table: String
        /// Its key.
        package var key: SQLiteValue
        /// Whether its table has it.
        package var isShown: Bool
    }

    /// What a person decided.
    package struct Decision: Sendable, Hashable {
        /// What the table must show.
        package var kept: JournalChoice
        /// When, corrected milliseconds since 1970.
        package var at: Int64
        /// On which node; `nil` when a program wrote something there that names none.
        package var node: NodeID?
    }

    /// 32 hexadecimal digits, the same on every node.
    package var id: String
    /// What it is about.
    package var kind: ConflictKind
    /// The row.
    package var row: Row
    /// The column; `nil` when it is about the row.
    package var column: String?
    /// What the row shows in that column now, of two rows that became one the shown one; `nil` when there is no column or no row.
    package var current: Written?
    /// What is not shown, and which node wrote it; for entries about a deletion NULL, and the node that deleted the row.
    package var other: Written
    /// The other row, where there is one.
    package var related: Row?
    /// What a person decided, on any PC; `nil` for an open entry.
    package var decision: Decision?
    /// How many lost values of the column the entry stands for, this one among them; see ``LossGroup``.
    package var count = 1
    /// These values, newest first and at most ``JournalReading/entriesMax``, where one entry with several is asked for.
    package var values: [LostValue] = []

    /// Whether the value stands for a whole row that was deleted past the triggers: the row refers to itself.
    package var standsForRow: Bool {
        self.kind == .value && self.related.map { $0.table == self.row.table && $0.key == self.row.key } == true
    }
}

/// Which of the two values of a journal entry the table must show.
package enum JournalChoice: String, Sendable, Hashable, Codable, CaseIterable {
    /// What the row shows.
    case current
    /// What lost.
    case other
}

/// The result of looking for an entry by the beginning of its id.
package enum JournalLookup: Sendable, Hashable {
    /// The entry.
    case found(JournalEntry)
    /// There is none.
    case unknown
    /// There are several.
    case ambiguous
}

/// How an attempt to deal with a journal entry ended.
package enum JournalResolution: Sendable, Hashable {
    /// The entry is dealt with; `hasChanged` says whether a row was changed.
    case resolved(hasChanged: Bool)
    /// There is no entry whose id begins like that.
    case unknown
    /// There are several.
    case ambiguous
    /// A person dealt with it before.
    case alreadyResolved
    /// The row was deleted.
    case rowGone
    /// The row shows another value than the one the person was shown.
    case changedSince
    /// A constraint of the table refuses the value; the reason names columns, never values.
    case refused(reason: String)
    /// Conflicts of this kind end in another way.
    case impossible(JournalEntry)
}
