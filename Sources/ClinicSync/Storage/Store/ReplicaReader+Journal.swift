import ClinicSyncModel

/// The conflict journal, for people.
extension ReplicaReader {
    /// Entries of one list at most; the newest are given.
    package static let journalEntriesMax = 500

    /// The newest entries of the journal, newest first.
    ///
    /// Entries of dropped tables or columns are left out, and so are open entries whose value the row shows. Of entries that say the
    /// same of one column only one is given.
    ///
    /// - Parameters:
    ///   - openOnly: whether only open entries are given.
    ///   - limit: how many at most.
    /// - Returns: The entries.
    /// - Throws: ``StoreError``.
    package func journal(openOnly: Bool, limit: Int = journalEntriesMax) throws -> [JournalEntry] {
        try self.perform {
            try JournalReading(plans: self.plans, loader: try self.journalLoader()).entries(
                openOnly: openOnly,
                limit: limit
            )
        }
    }

    /// The entry whose id begins with `prefix`, six digits at least.
    ///
    /// - Throws: ``StoreError``.
    package func journalEntry(_ prefix: String) throws -> JournalLookup {
        try self.perform {
            try JournalReading(plans: self.plans, loader: try self.journalLoader()).entry(prefix)
        }
    }

    /// Reports which node wrote which value of the row that a path names, or of one column of it.
    ///
    /// The path is `TABLE/PK` or `TABLE/PK/COLUMN`. A key may hold slashes: all after the table is taken for a key first, and when
    /// no such row was ever known, what follows the last slash is the column. A key of bytes is written `x'…'`.
    ///
    /// - Parameter path: the path.
    /// - Returns: What is known; ``RowReport/State/unknown`` when nothing is known.
    /// - Throws: ``MalformedPath``; ``UnknownTable``; ``StoreError``.
    package func report(_ path: String) throws -> RowReport {
        try self.perform { try RowReporter(plans: self.plans, loader: try self.journalLoader()).report(path) }
    }
}
