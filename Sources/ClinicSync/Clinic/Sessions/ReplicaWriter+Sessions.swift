package import ClinicSyncModel
package import ClinicSyncStorage

// Changes that programs and people make to sessions on this PC. Each write marks its rows, and the collector makes a
// batch of them.
extension ReplicaWriter {
    /// Ends the active sessions among `ids`.
    ///
    /// - Returns: The sessions that this call ended. If there are any, post `localCommitNoticed`.
    /// - Throws: ``StoreError``.
    package func endSessions(
        _ ids: [SQLiteValue],
        _ reason: SessionEnd,
        at milliseconds: Int64
    ) throws -> [SQLiteValue] {
        try self.write(.durable) { rows, transaction in
            var ended: [SQLiteValue] = []
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
    /// - Returns: The number of deleted sessions.
    /// - Throws: ``StoreError``.
    package func cleanSessions(olderThan age: Int64, at milliseconds: Int64) throws -> Int {
        try self.write(.durable) { rows, transaction in
            .durable(try SessionTable(rows: rows).removeEnded(before: milliseconds - age, in: transaction))
        }
    }

    /// Records that the user of an active session was active, and extends the session.
    ///
    /// The method writes at most once per ``SessionTimes/activityIntervalMilliseconds``; a call in between changes
    /// nothing.
    ///
    /// - Returns: Whether the session is active; `nil` when no session has that id.
    /// - Throws: ``StoreError``.
    package func touchSession(_ id: SQLiteValue, at milliseconds: Int64) throws -> Bool? {
        let known = try self.read { _, connection in try SessionTable.session(id, on: connection) }
        guard let session = known else { return nil }
        guard session.isActive else { return false }
        if let last = session.moments.activity?.milliseconds,
            (0..<SessionTimes.activityIntervalMilliseconds).contains(milliseconds - last)
        {
            return true
        }
        return try self.write { rows, transaction in
            .relaxed(try SessionTable(rows: rows).prolong(id, at: milliseconds, in: transaction))
        }
    }
}
