package import ClinicSyncModel

/// A value that lost to a concurrent one, and what the tables show in its place now.
package struct JournalEntry: Sendable, Hashable {
    /// A value with who wrote it and when.
    package struct Written: Sendable, Hashable {
        /// The value.
        package var value: SQLiteValue
        /// The node that wrote it.
        package var node: NodeID
        /// When it was written.
        package var timestamp: HybridTimestamp
    }

    /// Its number, which stays what it is as long as the file is there.
    package var id: Int64
    /// The table.
    package var table: String
    /// The row's key as text.
    package var recordID: String
    /// The column.
    package var column: String
    /// What the row shows now; `nil` when there is no such row any more.
    package var current: Written?
    /// What lost.
    package var other: Written
    /// When this node noticed, milliseconds since 1970 by this PC's clock.
    package var recordedAt: Int64
    /// When a person dealt with it, by this PC's clock; `nil` as long as nobody did.
    package var resolvedAt: Int64?
    /// What that person kept.
    package var kept: JournalChoice?
}

/// Which of the two values of a journal entry is to be in the table.
package enum JournalChoice: String, Sendable, Hashable, Codable, CaseIterable {
    /// What the row shows.
    case current
    /// What lost.
    case other
}

/// How an attempt to deal with a journal entry ended.
package enum JournalResolution: Sendable, Hashable {
    /// It is dealt with; whether a row was changed for it, which has to be collected then.
    case resolved(hasChanged: Bool)
    /// There is no entry of that number.
    case unknown
    /// Somebody dealt with it before.
    case alreadyResolved
    /// The row was deleted.
    case rowGone
    /// The row shows another value than the one the person was shown.
    case changedSince
    /// A constraint of the table refuses the value; the reason names columns, never values.
    case refused(reason: String)
}
