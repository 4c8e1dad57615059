package import ClinicSyncModel

/// What people decide about the conflict journal.
extension ReplicaWriter {
    /// Decisions about many entries.
    package var journalDecisions: JournalDecisions { JournalDecisions(writer: self) }

    /// Marks an entry of the journal as dealt with, on every node; with ``JournalChoice/other`` writes what lost.
    ///
    /// - Parameters:
    ///   - prefix: the beginning of the entry's id, six digits at least.
    ///   - choice: what the table must show.
    ///   - isExpected: whether what the row shows now is what the person saw; `nil` when that does not matter.
    /// - Returns: How it ended; post `localCommitNoticed` when something was written.
    /// - Throws: ``StoreError``; nothing is written then.
    package func resolveJournal(
        _ prefix: String,
        keeping choice: JournalChoice,
        isExpected: ((SQLiteValue) -> Bool)? = nil
    ) throws -> JournalResolution {
        do {
            return try self.write(.durable) { rows, transaction in
                let resolver = JournalResolver(programRows: rows, journal: self.journal)
                let hasChanged = try resolver.resolve(prefix, keeping: choice, isExpected: isExpected, in: transaction)
                return .durable(.resolved(hasChanged: hasChanged))
            }
        } catch let refused as JournalResolver.Refused {
            return refused.resolution
        }
    }
}
