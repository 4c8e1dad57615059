package import ClinicSyncStorage

// What programs and people do with sessions on this PC. What is written is marked, and the collector makes a batch of it.
extension ReplicaWriter {
    /// Ends the active sessions among `ids`.
    ///
    /// - Returns: Those that were ended now; post `localCommitNoticed` then.
    /// - Throws: ``StoreError``.
    package func endSessions(_ ids: [String], _ reason: SessionEnd, at milliseconds: Int64) throws -> [String] {
        try self.write(.durable) { rows, transaction in
            var ended: [String] = []
            for id in ids {
                guard let session = try SessionTable.session(id, on: transaction.connection), session.isActive else {
                    continue
                }
                try SessionTable(rows: rows).end(session, reason, at: milliseconds, in: transaction)
                ended.append(id)
            }
            return .durable(ended)
        }
    }

    /// Deletes the sessions that ended more than `age` milliseconds ago.
    ///
    /// - Returns: How many.
    /// - Throws: ``StoreError``.
    package func cleanSessions(olderThan age: Int64, at milliseconds: Int64) throws -> Int {
        try self.write(.durable) { rows, transaction in
            .durable(try SessionTable(rows: rows).removeEnded(before: milliseconds - age, in: transaction))
        }
    }

    /// Notes that the user of an active session did something, and lets the session last on.
    ///
    /// Written at most every ``SessionTimes/activityIntervalMilliseconds``; the call in between changes nothing.
    ///
    /// - Returns: Whether the session is active; `nil` when there is none of that id.
    /// - Throws: ``StoreError``.
    package func touchSession(_ id: String, at milliseconds: Int64) throws -> Bool? {
        let known = try self.read { _, connection in try SessionTable.session(id, on: connection) }
        guard let session = known else { return nil }
        guard session.isActive else { return false }
        if let last = session.moments.activity,
            (0..<SessionTimes.activityIntervalMilliseconds).contains(milliseconds - last)
        {
            return true
        }
        return try self.write { rows, transaction in
            .relaxed(try SessionTable(rows: rows).prolong(id, at: milliseconds, in: transaction))
        }
    }
}
