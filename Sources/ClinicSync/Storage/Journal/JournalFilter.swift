package import ClinicSyncModel

/// Which open entries of the journal a decision is about; a part that is `nil` leaves out none.
package struct JournalFilter: Sendable, Hashable {
    /// The row's table.
    package var table: String?
    /// The column.
    package var column: String?
    /// What the entry is about.
    package var kind: ConflictKind?
    /// The node that wrote one of the values that are not shown, or that deleted the row.
    package var node: NodeID?
    /// The times of the newest value that is not shown, milliseconds since 1970.
    package var times: ClosedRange<Int64>

    /// Lets all entries through.
    package init() { self.times = Int64.min...Int64.max }

    /// Whether the entry fits, apart from its ``node``: of several lost values that are one entry each may fit.
    func matches(_ conflict: Conflict) -> Bool {
        (self.table == nil || self.table == conflict.table) && (self.column == nil || self.column == conflict.column)
            && (self.kind == nil || self.kind == conflict.kind)
            && self.times.contains(conflict.version.timestamp.milliseconds)
    }
}

/// Some of the open entries that a filter lets through.
package struct JournalMatches: Sendable, Hashable {
    /// The ids of each entry, that under which it is listed first.
    package var entries: [[String]] = []
    /// Where to go on; `nil` at the end of the journal.
    package var next: String?
}
