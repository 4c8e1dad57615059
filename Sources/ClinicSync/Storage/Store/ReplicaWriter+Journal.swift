package import ClinicSyncModel

/// What people decide about the conflict journal.
extension ReplicaWriter {
    /// Entries that one call marks as dealt with at most: few milliseconds of the lock.
    package static let settledMax = 250
    /// Entries whose lost value one call writes at most.
    package static let restoredMax = 50
    /// A call that writes lost values begins no further entry after this time, so that programs wait for about 50 ms at most.
    private static let restoring = Duration.milliseconds(20)

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
                let resolver = JournalResolver(programRows: rows)
                let hasChanged = try resolver.resolve(prefix, keeping: choice, isExpected: isExpected, in: transaction)
                return .durable(.resolved(hasChanged: hasChanged))
            }
        } catch let refused as JournalResolver.Refused {
            return refused.resolution
        }
    }

    /// Writes the lost values of entries, and marks the entries as dealt with, in one transaction.
    ///
    /// What is refused for one entry leaves the others alone.
    ///
    /// - Parameter ids: the entries, at most ``restoredMax``.
    /// - Returns: How it ended for the first of them, one at least; call again with the others. Post `localCommitNoticed` when something
    ///   was written.
    /// - Throws: ``StoreError``; nothing is written then.
    package func restoreJournal(_ ids: [String]) throws -> [JournalResolution] {
        try self.write(.durable) { rows, transaction in
            let resolver = JournalResolver(programRows: rows)
            let start = ContinuousClock.now
            var resolutions: [JournalResolution] = []
            for id in ids.prefix(ReplicaWriter.restoredMax)
            where resolutions.isEmpty || ContinuousClock.now - start < ReplicaWriter.restoring {
                do {
                    let hasChanged = try self.transactions.savepoint(in: transaction) {
                        try resolver.resolve(id, keeping: .other, isExpected: nil, in: transaction)
                    }
                    resolutions.append(.resolved(hasChanged: hasChanged))
                } catch let refused as JournalResolver.Refused {
                    resolutions.append(refused.resolution)
                }
            }
            return .durable(resolutions)
        }
    }

    /// Marks entries as dealt with that are still open, in one transaction; no row changes.
    ///
    /// - Parameters:
    ///   - ids: the entries, at most ``settledMax``.
    ///   - milliseconds: when the person decided, corrected milliseconds since 1970; `nil`: now.
    /// - Returns: The time of the decision, for the call with the next entries, and the number of entries that were open; post
    ///   `localCommitNoticed` when there were any.
    /// - Throws: ``StoreError``; nothing is written then.
    package func settleJournal(_ ids: [String], at milliseconds: Int64? = nil) throws -> (at: Int64, settled: Int) {
        try self.write(.durable) { rows, transaction in
            let at = milliseconds ?? rows.clinicMilliseconds
            let settled = try JournalResolver(programRows: rows).settleOpen(
                Array(ids.prefix(ReplicaWriter.settledMax)),
                keeping: .current,
                at: at,
                in: transaction
            )
            return .durable((at, settled))
        }
    }
}
