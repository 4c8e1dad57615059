import ClinicSyncCore
import ClinicSyncModel

/// The clinic's sessions as rows of `user_sessions`, and the rule of one session for each user.
///
/// What is written here is marked like a program's write, so the collector makes a batch of it.
struct SessionTable {
    let rows: ProgramRows

    // MARK: - Writing

    func begin(_ request: LoginRequest, in transaction: borrowing WriteTransaction) throws {
        try transaction
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
        try self.mark("user_sessions", key: request.sessionID, in: transaction)
        try self.recordActivity(
            Activity(
                id: request.sessionID + "-login",
                userID: request.userID,
                action: "Logged in",
                sessionID: request.sessionID,
                deviceName: request.deviceName,
                milliseconds: request.loginMilliseconds
            ),
            in: transaction
        )
    }

    /// Whether the user exists and is not deactivated.
    func mayLogIn(_ userID: String, on connection: Connection) throws -> Bool {
        try connection.query("SELECT 1 FROM users WHERE id = ?1 AND coalesce(isActive, 1) <> 0")
            .bind(1, text: userID)
            .first { _ in true } ?? false
    }

    /// The clinic's nodes.
    func members(on connection: Connection) throws -> Int {
        let listed =
            try connection.query(
                "SELECT count(*) FROM clinicsync_node WHERE id NOT IN (SELECT node FROM clinicsync_revocation)"
            )
            .first { $0.int(0) } ?? 0
        // A new node may not have written its own row yet.
        return max(listed, 1)
    }

    func setProvisional(_ id: String, _ isProvisional: Bool, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_provisional (session, isProvisional) VALUES (?1, ?2)
                ON CONFLICT (session) DO UPDATE SET isProvisional = ?2
                """
            )
            .bind(1, text: id)
            .bind(2, isProvisional ? 1 : 0)
            .run()
        try self.mark("clinicsync_provisional", key: id, in: transaction)
    }

    func end(
        _ session: SessionRow,
        _ reason: SessionEnd,
        at milliseconds: Int64,
        in transaction: borrowing WriteTransaction
    ) throws {
        try transaction
            .statement(
                "UPDATE user_sessions SET isActive = 0, invalidatedAt = \(SessionSQL.time(2)), endReason = ?3 WHERE id = ?1"
            )
            .bind(1, text: session.id)
            .bind(2, milliseconds)
            .bind(3, text: reason.rawValue)
            .run()
        try self.mark("user_sessions", key: session.id, in: transaction)
        try self.recordActivity(
            Activity(
                id: session.id + "-end",
                userID: session.userID,
                action: "Session ended: \(reason.rawValue)",
                sessionID: session.id,
                deviceName: session.deviceName,
                milliseconds: milliseconds
            ),
            in: transaction
        )
    }

    // MARK: - The rule

    /// Sessions that must end, with the reason, and those that a host which hears most nodes confirms, without.
    func sessionsToSettle(hearing: Int, at now: Int64, on connection: Connection) throws -> [(SessionRow, SessionEnd?)]
    {
        let isMajority = try hearing * 2 > self.members(on: connection)
        var actions: [(SessionRow, SessionEnd?)] = []
        var lasting: [String: [(row: SessionRow, login: Version?)]] = [:]
        for session in try self.activeSessions("s.id IN (SELECT id FROM clinicsync_session)", nil, on: connection) {
            if try !self.mayLogIn(session.userID, on: connection) {
                actions.append((session, .admin))
            } else if try self.expiry(of: session, now: now, on: connection) <= now {
                actions.append((session, .expired))
            } else {
                lasting[session.userID, default: []].append(
                    (session, try self.loginVersion(of: session, on: connection))
                )
            }
        }
        for sessions in lasting.values.sorted(by: { $0[0].row.id < $1[0].row.id }) {
            let latest = sessions.max { SessionTable.isEarlier($0, $1) }
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
    func loginVersion(of session: SessionRow, on connection: Connection) throws -> Version? {
        try self.versions(session.id, on: connection)?["isActive"]
    }

    /// When the session ends by itself, by the clinic's time.
    ///
    /// A program computes `expiresAt` by its PC's clock, which may be off by a day. How long a session shall last is right all
    /// the same, as the difference to the time written with it; and when that was written, its version says.
    func expiry(of session: SessionRow, now: Int64, on connection: Connection) throws -> Int64 {
        guard let expiry = session.moments.expiry else { return now + SessionTimes.lifetimeMilliseconds }
        guard let versions = try self.versions(session.id, on: connection) else {
            let written = [session.moments.login, session.moments.activity].compactMap { $0 }.max() ?? now
            return now + SessionTable.lifetime(expiry - written)
        }
        guard let written = versions["expiresAt"] else { return expiry }
        let base = versions["lastActivity"] == written ? session.moments.activity : session.moments.login
        guard let base, versions["lastActivity"] == written || versions["loginTime"] == written else { return expiry }
        return written.timestamp.milliseconds + SessionTable.lifetime(expiry - base)
    }

    private static func lifetime(_ milliseconds: Int64) -> Int64 {
        min(max(milliseconds, 0), SessionTimes.lifetimeMaxMilliseconds)
    }

    private func versions(_ id: String, on connection: Connection) throws -> ProgramRows.ColumnVersions? {
        try self.rows.versions("user_sessions", key: .string(id), on: connection)
    }

    // MARK: - Rows

    /// The session of this key.
    func session(_ id: String, on connection: Connection) throws -> SessionRow? {
        try connection.query("SELECT \(SessionRow.columns) FROM \(SessionRow.source) WHERE s.id = ?1")
            .bind(1, text: id)
            .first { SessionRow($0) }
    }

    /// The active sessions for which a condition holds.
    func activeSessions(_ condition: String, _ parameter: String?, on connection: Connection) throws -> [SessionRow] {
        let statement = try connection.query(
            "SELECT \(SessionRow.columns) FROM \(SessionRow.source) WHERE \(condition) AND s.isActive <> 0 ORDER BY s.id"
        )
        if let parameter { statement.bind(1, text: parameter) }
        var rows: [SessionRow] = []
        try statement.forEach { rows.append(SessionRow($0)) }
        return rows
    }

    // MARK: - The activity log

    private struct Activity {
        var id: String
        var userID: String
        var action: String
        var sessionID: String
        var deviceName: String
        var milliseconds: Int64
    }

    /// Writes into the clinic's activity log; an entry that is there stays, so that two hosts write it once.
    private func recordActivity(_ activity: Activity, in transaction: borrowing WriteTransaction) throws {
        try transaction
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
        if transaction.changes > 0 { try self.mark("user_activity_log", key: activity.id, in: transaction) }
    }

    /// Marks a row as written.
    func mark(_ table: String, key: String, in transaction: borrowing WriteTransaction) throws {
        try self.rows.mark(table, key: .string(key), in: transaction)
    }
}
