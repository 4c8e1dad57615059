/// Carries out one decision about many entries of the conflict journal, a part of them in each call.
///
/// Every call is one transaction. Between two calls programs write.
package struct JournalDecisions {
    let writer: ReplicaWriter

    /// Entries that one call marks as dealt with at most: few milliseconds of the lock.
    package static let settledMax = 250
    /// Entries whose lost value one call writes at most.
    package static let restoredMax = 50
    /// A call that writes lost values begins no further entry after this time, so that programs wait for about 50 ms at most.
    private static let restoring = Duration.milliseconds(20)

    /// Writes the lost values of entries, and marks the entries as dealt with, in one transaction.
    ///
    /// What is refused for one entry leaves the others alone.
    ///
    /// - Parameter ids: the entries, at most ``restoredMax``.
    /// - Returns: How it ended for the first of them, one at least; call again with the others. Post `localCommitNoticed` when something
    ///   was written.
    /// - Throws: ``StoreError``; nothing is written then.
    package func restore(_ ids: [String]) throws -> [JournalResolution] {
        try self.writer.write(.durable) { rows, transaction in
            let resolver = JournalResolver(programRows: rows, journal: self.writer.journal)
            let start = ContinuousClock.now
            var resolutions: [JournalResolution] = []
            for id in ids.prefix(JournalDecisions.restoredMax)
            where resolutions.isEmpty || ContinuousClock.now - start < JournalDecisions.restoring {
                do {
                    let hasChanged = try self.writer.transactions.savepoint(in: transaction) {
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
    package func settle(_ ids: [String], at milliseconds: Int64? = nil) throws -> (at: Int64, settled: Int) {
        try self.writer.write(.durable) { rows, transaction in
            let at = milliseconds ?? rows.clinicMilliseconds
            let settled = try JournalResolver(programRows: rows, journal: self.writer.journal).settleOpen(
                Array(ids.prefix(JournalDecisions.settledMax)),
                keeping: .current,
                at: at,
                in: transaction
            )
            return .durable((at, settled))
        }
    }
}
