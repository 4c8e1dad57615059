import ClinicSyncModel

/// The conflict journal, for people.
extension ReplicaReader {
    /// Entries of one list at most; the newest are given.
    package static let journalEntriesMax = JournalReading.entriesMax

    /// Rows of the journal that one search looks at.
    private static let journalRowsMax = 1_000

    /// The newest entries of the journal, newest first.
    ///
    /// Entries of dropped tables or columns are left out, and so are open entries whose value the row shows, and values that no
    /// person entered (``ColumnDefinition/isDerived``). Values of two PCs that lost in one column of a row are one entry.
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

    /// The open entries that a filter lets through, as they are listed, in the order of their ids.
    ///
    /// Looks at some thousand rows of the journal, so that no other reader waits for long: call it again with
    /// ``JournalMatches/next`` until that is `nil`.
    ///
    /// - Parameters:
    ///   - filter: which entries.
    ///   - id: where to go on; an empty text at the beginning.
    /// - Returns: The entries among those rows.
    /// - Throws: ``StoreError``.
    package func openJournal(matching filter: JournalFilter, after id: String) throws -> JournalMatches {
        try self.perform {
            try JournalReading(plans: self.plans, loader: try self.journalLoader())
                .open(matching: filter, after: id, rowsMax: ReplicaReader.journalRowsMax)
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
