package import ClinicSyncCore
import ClinicSyncModel

/// Sessions as rows: logins, ends, activity, and the rule of one session a user.
///
/// What is written here is marked like a program's write, so the collector makes a batch of it.
extension ReplicaWriter {
    // MARK: - Logging in

    /// Decides on a login and writes what follows from it, in one transaction: of two nobody can be granted both.
    ///
    /// A request that was granted before is granted again. Without `isForced`, active sessions of the user on other PCs are in
    /// the way; those of the same PC never are, since a program that crashed logs in anew. Granted by a host that hears half of the
    /// clinic's nodes or less, a session is provisional: nobody could say whether another host grants the same.
    ///
    /// - Throws: ``StoreError``; nothing was written then.
    package func decide(_ decision: LoginDecision) throws -> LoginVerdict {
        let members = try self.perform { try self.members() }
        let isMajority = decision.hearing * 2 > members
        if !isMajority, decision.mayWait { return .tooEarly }
        return .decided(try self.outcome(of: decision, isMajority: isMajority), members: members)
    }

    private func outcome(of decision: LoginDecision, isMajority: Bool) throws -> LoginOutcome {
        try self.transaction {
            let request = decision.request
            if let known = try self.session(request.sessionID) {
                // It was granted, and has been ended meanwhile: the login is over, not refused.
                return known.isActive ? .granted(isProvisional: known.isProvisional) : .unavailable
            }
            guard try self.mayLogIn(request.userID) else { return .refused }
            let now = decision.correctedMilliseconds
            var ending: [(SessionRow, SessionEnd)] = []
            var holders: [SessionRow] = []
            for session in try self.activeSessions("s.userId = ?1", request.userID) {
                if try self.expiry(of: session, now: now) <= now {
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
            for (session, reason) in ending { try self.end(session, reason, at: now) }
            try self.begin(request)
            if !isMajority { try self.setProvisional(request.sessionID, true) }
            return .granted(isProvisional: !isMajority)
        }
    }

    private func begin(_ request: LoginRequest) throws {
        try self.connection
            .statement(
                """
                INSERT INTO user_sessions (id, userId, username, deviceId, deviceName, loginTime, lastActivity, expiresAt,
                    isActive, sessionToken)
                VALUES (?1, ?2, ?3, ?4, ?5, \(SessionSQL.time(6)), \(SessionSQL.time(6)), \(SessionSQL.time(7)), 1, ?8)
                """
            )
            .bind(1, text: request.sessionID)
            .bind(2, text: request.userID)
            .bind(3, text: request.username)
            .bind(4, text: request.deviceID)
            .bind(5, text: request.deviceName)
            .bind(6, request.loginMilliseconds)
            .bind(7, request.loginMilliseconds + SessionTimes.lifetimeMilliseconds)
            .bind(8, text: request.tokenHash.hexadecimal)
            .run()
        try self.mark("user_sessions", key: request.sessionID)
        try self.recordActivity(
            Activity(
                id: request.sessionID + "-login",
                userID: request.userID,
                action: "Logged in",
                sessionID: request.sessionID,
                deviceName: request.deviceName,
                milliseconds: request.loginMilliseconds
            )
        )
    }

    /// Whether the user exists and is not deactivated.
    private func mayLogIn(_ userID: String) throws -> Bool {
        try self.connection.statement("SELECT 1 FROM users WHERE id = ?1 AND coalesce(isActive, 1) <> 0")
            .bind(1, text: userID)
            .first { _ in true } ?? false
    }

    /// The clinic's nodes.
    private func members() throws -> Int {
        let listed =
            try self.connection.statement(
                "SELECT count(*) FROM clinicsync_node WHERE id NOT IN (SELECT node FROM clinicsync_revocation)"
            )
            .first { $0.int(0) } ?? 0
        // A new node may not have written its own row yet.
        return max(listed, 1)
    }

    private func setProvisional(_ id: String, _ isProvisional: Bool) throws {
        try self.connection
            .statement(
                """
                INSERT INTO clinicsync_provisional (session, isProvisional) VALUES (?1, ?2)
                ON CONFLICT (session) DO UPDATE SET isProvisional = ?2
                """
            )
            .bind(1, text: id)
            .bind(2, isProvisional ? 1 : 0)
            .run()
        try self.mark("clinicsync_provisional", key: id)
    }

    // MARK: - Ending

    /// Ends the active sessions among `ids`.
    ///
    /// - Returns: those that were ended now.
    /// - Throws: ``StoreError``.
    package func endSessions(_ ids: [String], _ reason: SessionEnd, at milliseconds: Int64) throws -> [String] {
        try self.transaction {
            var ended: [String] = []
            for id in ids {
                guard let session = try self.session(id), session.isActive else { continue }
                try self.end(session, reason, at: milliseconds)
                ended.append(id)
            }
            return ended
        }
    }

    private func end(_ session: SessionRow, _ reason: SessionEnd, at milliseconds: Int64) throws {
        try self.connection
            .statement(
                "UPDATE user_sessions SET isActive = 0, invalidatedAt = \(SessionSQL.time(2)), endReason = ?3 WHERE id = ?1"
            )
            .bind(1, text: session.id)
            .bind(2, milliseconds)
            .bind(3, text: reason.rawValue)
            .run()
        try self.mark("user_sessions", key: session.id)
        try self.recordActivity(
            Activity(
                id: session.id + "-end",
                userID: session.userID,
                action: "Session ended: \(reason.rawValue)",
                sessionID: session.id,
                deviceName: session.deviceName,
                milliseconds: milliseconds
            )
        )
    }

    /// Deletes the sessions that ended more than `age` milliseconds ago.
    ///
    /// - Returns: how many.
    /// - Throws: ``StoreError``.
    package func cleanSessions(olderThan age: Int64, at milliseconds: Int64) throws -> Int {
        try self.transaction {
            var ids: [String] = []
            try self.connection
                .statement(
                    """
                    SELECT id FROM user_sessions WHERE isActive = 0
                    AND julianday(coalesce(invalidatedAt, expiresAt)) < julianday(?1 / 1000.0, 'unixepoch')
                    """
                )
                .bind(1, milliseconds - age)
                .forEach { ids.append($0.string(0)) }
            for id in ids {
                try self.connection.statement("DELETE FROM user_sessions WHERE id = ?1").bind(1, text: id).run()
                try self.mark("user_sessions", key: id)
                try self.connection.statement("DELETE FROM clinicsync_provisional WHERE session = ?1").bind(1, text: id)
                    .run()
                if self.connection.changes > 0 { try self.mark("clinicsync_provisional", key: id) }
            }
            return ids.count
        }
    }

    // MARK: - Activity

    /// Notes that the user of an active session did something, and lets it last on.
    ///
    /// Written at most every ``SessionTimes/activityIntervalMilliseconds``; the call in between changes nothing.
    ///
    /// - Returns: whether the session lasts; `nil` when there is none of that id.
    /// - Throws: ``StoreError``.
    package func touchSession(_ id: String, at milliseconds: Int64) throws -> Bool? {
        let known = try self.perform { try self.session(id) }
        guard let session = known else { return nil }
        guard session.isActive else { return false }
        if let last = session.moments.activity,
            (0..<SessionTimes.activityIntervalMilliseconds).contains(milliseconds - last)
        {
            return true
        }
        return try self.transaction {
            try self.connection
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
            guard self.connection.changes > 0 else { return false }
            try self.mark("user_sessions", key: id)
            return true
        }
    }

    // MARK: - The rule

    /// Ends what the rule of one session a user does not allow, whoever wrote it: all but the latest login of a user, sessions
    /// that have expired, and those of users that are deactivated or gone.
    ///
    /// For the host alone. A function of the merged rows, so that two hosts that do the same do no harm.
    ///
    /// - Returns: how many sessions were ended or confirmed.
    /// - Throws: ``StoreError``; nothing was written then.
    package func keepSessions(hearing: Int, at now: Int64) throws -> Int {
        let broken = try self.perform { try self.sessionsToSettle(hearing: hearing, at: now) }
        guard !broken.isEmpty else { return 0 }
        return try self.transaction {
            // Again inside: a program may have written between.
            let actions = try self.sessionsToSettle(hearing: hearing, at: now)
            for (session, reason) in actions {
                if let reason {
                    try self.end(session, reason, at: now)
                } else {
                    try self.setProvisional(session.id, false)
                }
            }
            return actions.count
        }
    }

    /// Sessions that must end, with the reason, and those that a host which hears most nodes confirms, without.
    private func sessionsToSettle(hearing: Int, at now: Int64) throws -> [(SessionRow, SessionEnd?)] {
        let isMajority = try hearing * 2 > self.members()
        var actions: [(SessionRow, SessionEnd?)] = []
        var lasting: [String: [(row: SessionRow, login: Version?)]] = [:]
        for session in try self.activeSessions("s.id IN (SELECT id FROM clinicsync_session)", nil) {
            if try !self.mayLogIn(session.userID) {
                actions.append((session, .admin))
            } else if try self.expiry(of: session, now: now) <= now {
                actions.append((session, .expired))
            } else {
                lasting[session.userID, default: []].append((session, try self.loginVersion(of: session)))
            }
        }
        for sessions in lasting.values.sorted(by: { $0[0].row.id < $1[0].row.id }) {
            let latest = sessions.max { ReplicaWriter.isEarlier($0, $1) }
            for (session, _) in sessions {
                if session.id != latest?.row.id {
                    actions.append((session, .superseded))
                } else if isMajority, session.isProvisional {
                    actions.append((session, nil))
                }
            }
        }
        return actions
    }

    static func isEarlier(
        _ left: (row: SessionRow, login: Version?),
        _ right: (row: SessionRow, login: Version?)
    ) -> Bool {
        switch (left.login, right.login) {
        case (let one?, let other?): one != other ? one < other : left.row.id < right.row.id
        // What is not collected yet was written a moment ago.
        case (nil, _?): false
        case (_?, nil): true
        case (nil, nil): (left.row.loginTime, left.row.id) < (right.row.loginTime, right.row.id)
        }
    }

    /// The version of the write that made the session active: when the login happened by the clinic's time, whatever the clock
    /// of the PC said that wrote `loginTime`.
    func loginVersion(of session: SessionRow) throws -> Version? {
        guard let (meta, plan) = try self.sessionMeta(session.id), let slot = plan.slot(of: "isActive") else {
            return nil
        }
        return try self.global(meta.version(of: slot))
    }

    /// When the session ends by itself, by the clinic's time.
    ///
    /// A program computes `expiresAt` by its PC's clock, which may be off by a day. How long a session shall last is right all
    /// the same, as the difference to the time written with it; and when that was written, its version says.
    func expiry(of session: SessionRow, now: Int64) throws -> Int64 {
        guard let expiry = session.moments.expiry else { return now + SessionTimes.lifetimeMilliseconds }
        guard let (meta, plan) = try self.sessionMeta(session.id) else {
            let written = [session.moments.login, session.moments.activity].compactMap { $0 }.max() ?? now
            return now + ReplicaWriter.lifetime(expiry - written)
        }
        func version(_ column: String) -> LocalVersion? { plan.slot(of: column).map(meta.version(of:)) }
        guard let written = version("expiresAt") else { return expiry }
        let base = version("lastActivity") == written ? session.moments.activity : session.moments.login
        guard let base, version("lastActivity") == written || version("loginTime") == written else { return expiry }
        return HybridTimestamp(rawValue: written.timestamp).milliseconds + ReplicaWriter.lifetime(expiry - base)
    }

    private static func lifetime(_ milliseconds: Int64) -> Int64 {
        min(max(milliseconds, 0), SessionTimes.lifetimeMaxMilliseconds)
    }

    private func sessionMeta(_ id: String) throws -> (meta: RowMeta, plan: TablePlan)? {
        guard let plan = self.plans["user_sessions"] else { return nil }
        let meta = try ValueRef.with(.text(Array(id.utf8))) { try self.loader.meta(plan, key: $0) }
        return meta.map { ($0, plan) }
    }

    // MARK: - Rows

    /// The session of this key.
    func session(_ id: String) throws -> SessionRow? {
        try self.connection.statement("SELECT \(SessionRow.columns) FROM \(SessionRow.source) WHERE s.id = ?1")
            .bind(1, text: id)
            .first { SessionRow($0) }
    }

    func activeSessions(_ condition: String, _ parameter: String?) throws -> [SessionRow] {
        let statement = try self.connection.statement(
            "SELECT \(SessionRow.columns) FROM \(SessionRow.source) WHERE \(condition) AND s.isActive <> 0 ORDER BY s.id"
        )
        if let parameter { statement.bind(1, text: parameter) }
        var rows: [SessionRow] = []
        try statement.forEach { rows.append(SessionRow($0)) }
        return rows
    }

    private struct Activity {
        var id: String
        var userID: String
        var action: String
        var sessionID: String
        var deviceName: String
        var milliseconds: Int64
    }

    /// Writes into the clinic's activity log; an entry that is there stays, so that two hosts write it once.
    private func recordActivity(_ activity: Activity) throws {
        try self.connection
            .statement(
                """
                INSERT INTO user_activity_log (id, userId, actionDescription, targetRecordId, targetTable, timestamp, details)
                VALUES (?1, ?2, ?3, ?4, 'user_sessions', \(SessionSQL.time(5)), json_object('deviceName', ?6))
                ON CONFLICT (id) DO NOTHING
                """
            )
            .bind(1, text: activity.id)
            .bind(2, text: activity.userID)
            .bind(3, text: activity.action)
            .bind(4, text: activity.sessionID)
            .bind(5, activity.milliseconds)
            .bind(6, text: activity.deviceName)
            .run()
        if self.connection.changes > 0 { try self.mark("user_activity_log", key: activity.id) }
    }

    private func mark(_ table: String, key: String) throws {
        guard let plan = self.plans[table] else { preconditionFailure("there is no table \(table)") }
        try ValueRef.with(.text(Array(key.utf8))) { try self.mark(plan, key: $0) }
    }
}

/// Pieces of SQL about sessions.
enum SessionSQL {
    /// The milliseconds since 1970 of parameter `index` as the text that programs write.
    static func time(_ index: Int) -> String { "strftime('%Y-%m-%dT%H:%M:%fZ', ?\(index) / 1000.0, 'unixepoch')" }
}

extension SessionRow {
    /// What is told of the session to somebody whose way it is in; texts of programs are cut to what a message may carry.
    fileprivate var holder: SessionHolder {
        SessionHolder(
            sessionID: SessionRow.cut(self.id),
            deviceID: SessionRow.cut(self.deviceID),
            deviceName: SessionRow.cut(self.deviceName),
            loginTime: SessionRow.cut(self.loginTime),
            lastActivity: SessionRow.cut(self.lastActivity)
        )
    }

    private static func cut(_ text: String) -> String {
        var text = text
        while text.utf8.count > 256 { text.removeLast() }
        return text
    }
}
