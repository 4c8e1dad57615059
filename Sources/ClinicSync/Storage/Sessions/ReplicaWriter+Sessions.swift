package import ClinicSyncCore
import ClinicSyncModel

/// Requests about sessions.
extension ReplicaWriter {
    /// Decides on a login and writes what follows from it, in one transaction: of two logins of a user both can never be granted.
    ///
    /// A request that was granted before is granted again. Without `isForced`, active sessions of the user on other PCs are in
    /// the way. Sessions of the same PC never are, since a program that crashed logs in again. Granted by a host that hears half
    /// of the clinic's nodes or less, a session is provisional: another host may grant the same.
    ///
    /// - Throws: ``StoreError``; nothing is written then.
    package func decide(_ decision: LoginDecision) throws -> LoginVerdict {
        let members = try self.read { rows, connection in try SessionTable(rows: rows).members(on: connection) }
        let isMajority = decision.hearing * 2 > members
        if !isMajority, decision.mayWait { return .tooEarly }
        let outcome = try self.write(.durable) { rows, transaction in
            .durable(try SessionTable(rows: rows).outcome(of: decision, isMajority: isMajority, in: transaction))
        }
        return .decided(outcome, members: members)
    }

    /// Ends the active sessions among `ids`.
    ///
    /// - Returns: The sessions that were ended now.
    /// - Throws: ``StoreError``.
    package func endSessions(_ ids: [String], _ reason: SessionEnd, at milliseconds: Int64) throws -> [String] {
        try self.write(.durable) { rows, transaction in
            let table = SessionTable(rows: rows)
            var ended: [String] = []
            for id in ids {
                guard let session = try table.session(id, on: transaction.connection), session.isActive else {
                    continue
                }
                try table.end(session, reason, at: milliseconds, in: transaction)
                ended.append(id)
            }
            return .durable(ended)
        }
    }

    /// Deletes the sessions that ended more than `age` milliseconds ago.
    ///
    /// - Returns: The number of sessions that were deleted.
    /// - Throws: ``StoreError``.
    package func cleanSessions(olderThan age: Int64, at milliseconds: Int64) throws -> Int {
        try self.write(.durable) { rows, transaction in
            let table = SessionTable(rows: rows)
            let ids = try table.ended(before: milliseconds - age, on: transaction.connection)
            for id in ids { try table.delete(id, in: transaction) }
            return .durable(ids.count)
        }
    }

    /// Notes that the user of an active session did something, and prolongs the session.
    ///
    /// Written at most every ``SessionTimes/activityIntervalMilliseconds``; a call in between changes nothing.
    ///
    /// - Returns: Whether the session is active; `nil` when there is none of that id.
    /// - Throws: ``StoreError``.
    package func touchSession(_ id: String, at milliseconds: Int64) throws -> Bool? {
        let known = try self.read { rows, connection in try SessionTable(rows: rows).session(id, on: connection) }
        guard let session = known else { return nil }
        guard session.isActive else { return false }
        if let last = session.moments.activity,
            (0..<SessionTimes.activityIntervalMilliseconds).contains(milliseconds - last)
        {
            return true
        }
        return try self.write { rows, transaction in
            .relaxed(try SessionTable(rows: rows).touch(id, at: milliseconds, in: transaction))
        }
    }

    /// Ends what the rule of one session for each user does not allow, whoever wrote it: all but the latest login of a user,
    /// sessions that have expired, and sessions of users that are deactivated or gone.
    ///
    /// For the host alone. A function of the merged rows, so that two hosts that do the same do no harm.
    ///
    /// - Returns: The number of sessions that were ended or confirmed.
    /// - Throws: ``StoreError``; nothing is written then.
    package func keepSessions(hearing: Int, at now: Int64) throws -> Int {
        let broken = try self.read { rows, connection in
            try SessionTable(rows: rows).sessionsToSettle(hearing: hearing, at: now, on: connection)
        }
        guard !broken.isEmpty else { return 0 }
        return try self.write { rows, transaction in
            let table = SessionTable(rows: rows)
            // Again inside: a program may have written between.
            let actions = try table.sessionsToSettle(hearing: hearing, at: now, on: transaction.connection)
            for (session, reason) in actions {
                if let reason {
                    try table.end(session, reason, at: now, in: transaction)
                } else {
                    try table.setProvisional(session.id, false, in: transaction)
                }
            }
            return .relaxed(actions.count)
        }
    }
}

extension SessionTable {
    fileprivate func outcome(
        of decision: LoginDecision,
        isMajority: Bool,
        in transaction: borrowing WriteTransaction
    ) throws -> LoginOutcome {
        let connection = transaction.connection
        let request = decision.request
        if let known = try self.session(request.sessionID, on: connection) {
            // It was granted, and has been ended meanwhile: the login is over, not refused.
            return known.isActive ? .granted(isProvisional: known.isProvisional) : .unavailable
        }
        guard try self.mayLogIn(request.userID, on: connection) else { return .refused }
        let now = decision.correctedMilliseconds
        var ending: [(SessionRow, SessionEnd)] = []
        var holders: [SessionRow] = []
        for session in try self.activeSessions("s.userId = ?1", request.userID, on: connection) {
            if try self.expiry(of: session, now: now, on: connection) <= now {
                ending.append((session, .expired))
            } else if session.deviceID == request.deviceID {
                ending.append((session, .superseded))
            } else {
                holders.append(session)
            }
        }
        guard holders.isEmpty || request.isForced else {
            return .conflict(holders.prefix(SessionHolder.countMax).map(\.holder))
        }
        ending += holders.map { ($0, .forcedLogin) }
        for (session, reason) in ending { try self.end(session, reason, at: now, in: transaction) }
        try self.begin(request, in: transaction)
        if !isMajority { try self.setProvisional(request.sessionID, true, in: transaction) }
        return .granted(isProvisional: !isMajority)
    }

    /// The ids of the sessions that ended before `milliseconds`.
    fileprivate func ended(before milliseconds: Int64, on connection: Connection) throws -> [String] {
        var ids: [String] = []
        try connection
            .query(
                """
                SELECT id FROM user_sessions WHERE isActive = 0
                AND julianday(coalesce(invalidatedAt, expiresAt)) < julianday(?1 / 1000.0, 'unixepoch')
                """
            )
            .bind(1, milliseconds)
            .forEach { ids.append($0.string(0)) }
        return ids
    }

    fileprivate func delete(_ id: String, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("DELETE FROM user_sessions WHERE id = ?1").bind(1, text: id).run()
        try self.mark("user_sessions", key: id, in: transaction)
        try transaction.statement("DELETE FROM clinicsync_provisional WHERE session = ?1").bind(1, text: id).run()
        if transaction.changes > 0 { try self.mark("clinicsync_provisional", key: id, in: transaction) }
    }

    fileprivate func touch(_ id: String, at milliseconds: Int64, in transaction: borrowing WriteTransaction) throws
        -> Bool
    {
        try transaction
            .statement(
                """
                UPDATE user_sessions SET lastActivity = \(SessionSQL.time(2)), expiresAt = \(SessionSQL.time(3))
                WHERE id = ?1 AND isActive <> 0
                """
            )
            .bind(1, text: id)
            .bind(2, milliseconds)
            .bind(3, milliseconds + SessionTimes.lifetimeMilliseconds)
            .run()
        guard transaction.changes > 0 else { return false }
        try self.mark("user_sessions", key: id, in: transaction)
        return true
    }
}
