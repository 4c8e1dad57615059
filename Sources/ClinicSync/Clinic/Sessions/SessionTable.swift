import ClinicSyncModel
import ClinicSyncStorage

/// Reads and writes the rows of sessions and related rows: the activity log and the provisional marks.
///
/// Every write marks its rows like a program's write, so the collector makes a batch of them.
struct SessionTable {
    /// The table of sessions.
    static let name = "user_sessions"
    /// The table of activities.
    private static let activityTable = "user_activity_log"
    /// The agents' table of sessions that another PC may also have granted.
    private static let provisionalTable = "clinicsync_provisional"

    /// Marks rows, and returns versions of values.
    let rows: ProgramRows

    // MARK: - Reading

    /// Returns the session with this key.
    static func session(_ id: SQLiteValue, on connection: Connection) throws -> SessionRow? {
        try connection.query("SELECT \(SessionRow.columns) FROM \(SessionRow.source) WHERE s.id = ?1")
            .bind(1, id)
            .first { SessionRow($0) }
    }

    /// Returns the active sessions of a user, in the order of their keys.
    static func active(ofUser user: SQLiteValue, on connection: Connection) throws -> [SessionRow] {
        try self.active("s.userId = ?1", user, on: connection)
    }

    /// Returns the active sessions whose rows have a user name, in the order of their keys.
    static func active(ofUserNamed name: SQLiteValue, on connection: Connection) throws -> [SessionRow] {
        try self.active("s.username = ?1", name, on: connection)
    }

    /// Returns the active sessions that programs of this PC know, of one user or of all, in the order of their keys.
    static func known(ofUser user: SQLiteValue? = nil, on connection: Connection) throws -> [SessionRow] {
        let known = "s.id IN (SELECT id FROM clinicsync_session)"
        guard let user else { return try self.active(known, nil, on: connection) }
        return try self.active("s.userId = ?1 AND \(known)", user, on: connection)
    }

    private static func active(
        _ condition: String,
        _ parameter: SQLiteValue?,
        on connection: Connection
    ) throws -> [SessionRow] {
        let statement = try connection.query(
            "SELECT \(SessionRow.columns) FROM \(SessionRow.source) WHERE \(condition) AND \(SessionRow.isActive) ORDER BY s.id"
        )
        if let parameter { statement.bind(1, parameter) }
        var rows: [SessionRow] = []
        try statement.forEach { rows.append(SessionRow($0)) }
        return rows
    }

    /// Returns whether the user exists and is not deactivated.
    static func mayLogIn(_ userID: SQLiteValue, on connection: Connection) throws -> Bool {
        try connection.query("SELECT 1 FROM users WHERE id = ?1 AND \(UserTable.isActive)")
            .bind(1, userID)
            .first { _ in true } ?? false
    }

    // MARK: - Times

    /// Returns the version of the write that made the session active.
    ///
    /// The version gives the time of the login by the clinic's time, even when the PC that wrote `loginTime` had a
    /// wrong clock.
    func loginVersion(of session: SessionRow, on connection: Connection) throws -> Version? {
        try self.rows.versions(SessionTable.name, key: session.id, on: connection)?["isActive"]
    }

    /// Returns when the session ends automatically, by the clinic's time.
    ///
    /// A program computes `expiresAt` by its PC's clock, which may be off by a day. The length of the session is still
    /// correct, because it is the difference between `expiresAt` and the time written with it. The version says when
    /// the program wrote that time. An `expiresAt` that tells no length counts as ``SessionTimes/lifetimeMilliseconds``.
    func expiry(of session: SessionRow, now: Int64, on connection: Connection) throws -> Int64 {
        let moments = session.moments
        guard let versions = try self.rows.versions(SessionTable.name, key: session.id, on: connection) else {
            // The row is not collected yet, so a program wrote it a moment ago.
            return now
                + moments.lifetime(from: [moments.login, moments.activity].compactMap { $0 }.max(), writtenAt: now)
        }
        let login = versions["loginTime"]?.timestamp.milliseconds ?? now
        let activity = versions["lastActivity"]?.timestamp.milliseconds ?? login
        let written = versions["expiresAt"]?.timestamp.milliseconds ?? now
        guard let expiry = moments.expiry else {
            return max(login, activity, written) + SessionTimes.lifetimeMilliseconds
        }
        if versions["lastActivity"] == versions["expiresAt"] {
            return written + moments.lifetime(from: moments.activity, writtenAt: written)
        }
        if versions["loginTime"] == versions["expiresAt"] || expiry.isLocal {
            return login + moments.lifetime(from: moments.login, writtenAt: login)
        }
        return written + moments.lifetime(from: nil, writtenAt: written)
    }

    // MARK: - Writing

    /// Writes the session of a granted login.
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
            .bind(2, request.userID)
            .bind(3, text: request.username)
            .bind(4, text: request.deviceID)
            .bind(5, text: request.deviceName)
            .bind(6, request.loginMilliseconds)
            .bind(7, request.loginMilliseconds + SessionTimes.lifetimeMilliseconds)
            .bind(8, text: request.tokenHash.hexadecimal)
            .run()
        try self.rows.mark(SessionTable.name, key: .string(request.sessionID), in: transaction)
        try self.record(
            Activity(
                id: .string(request.sessionID + "-login"),
                userID: request.userID,
                action: "Logged in",
                sessionID: .string(request.sessionID),
                deviceName: request.deviceName,
                milliseconds: request.loginMilliseconds
            ),
            in: transaction
        )
    }

    /// Ends an active session.
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
            .bind(1, session.id)
            .bind(2, milliseconds)
            .bind(3, text: reason.rawValue)
            .run()
        try self.rows.mark(SessionTable.name, key: session.id, in: transaction)
        try self.record(
            Activity(
                id: session.id.text(with: "-end"),
                userID: session.userID,
                action: "Session ended: \(reason.rawValue)",
                sessionID: session.id,
                deviceName: session.deviceName,
                milliseconds: milliseconds
            ),
            in: transaction
        )
    }

    /// Extends an active session from now.
    ///
    /// - Returns: Whether the session was active.
    func prolong(_ id: SQLiteValue, at milliseconds: Int64, in transaction: borrowing WriteTransaction) throws -> Bool {
        try transaction
            .statement(
                """
                UPDATE user_sessions SET lastActivity = \(SessionSQL.time(2)), expiresAt = \(SessionSQL.time(3))
                WHERE id = ?1 AND \(WrittenForms.isOn("isActive", ifNull: false))
                """
            )
            .bind(1, id)
            .bind(2, milliseconds)
            .bind(3, milliseconds + SessionTimes.lifetimeMilliseconds)
            .run()
        guard transaction.changes > 0 else { return false }
        try self.rows.mark(SessionTable.name, key: id, in: transaction)
        return true
    }

    /// Deletes the sessions that ended before a time.
    ///
    /// - Returns: The number of deleted sessions.
    func removeEnded(before milliseconds: Int64, in transaction: borrowing WriteTransaction) throws -> Int {
        var ids: [SQLiteValue] = []
        try transaction
            .statement(
                """
                SELECT s.id FROM user_sessions AS s WHERE NOT \(SessionRow.isActive)
                AND coalesce(\(WrittenForms.milliseconds("s.invalidatedAt")), \(WrittenForms.milliseconds("s.expiresAt"))) < ?1
                """
            )
            .bind(1, milliseconds)
            .forEach { ids.append($0.value(0)) }
        for id in ids {
            try transaction.statement("DELETE FROM user_sessions WHERE id = ?1").bind(1, id).run()
            try self.rows.mark(SessionTable.name, key: id, in: transaction)
            try transaction.statement("DELETE FROM clinicsync_provisional WHERE session = ?1").bind(1, id).run()
            if transaction.changes > 0 {
                try self.rows.mark(SessionTable.provisionalTable, key: id, in: transaction)
            }
        }
        return ids.count
    }

    /// Records whether another PC may have granted the same user a session.
    func setProvisional(_ id: SQLiteValue, _ isProvisional: Bool, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_provisional (session, isProvisional) VALUES (?1, ?2)
                ON CONFLICT (session) DO UPDATE SET isProvisional = ?2
                """
            )
            .bind(1, id)
            .bind(2, isProvisional ? 1 : 0)
            .run()
        try self.rows.mark(SessionTable.provisionalTable, key: id, in: transaction)
    }

    /// An entry of the activity log.
    private struct Activity {
        var id: SQLiteValue
        var userID: SQLiteValue
        var action: String
        var sessionID: SQLiteValue
        var deviceName: String
        var milliseconds: Int64
    }

    private func record(_ activity: Activity, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                """
                INSERT INTO user_activity_log (id, userId, actionDescription, targetRecordId, targetTable, timestamp, details)
                VALUES (?1, ?2, ?3, ?4, 'user_sessions', \(SessionSQL.time(5)), json_object('deviceName', ?6))
                ON CONFLICT (id) DO NOTHING
                """
            )
            .bind(1, activity.id)
            .bind(2, activity.userID)
            .bind(3, text: activity.action)
            .bind(4, activity.sessionID)
            .bind(5, activity.milliseconds)
            .bind(6, text: activity.deviceName)
            .run()
        guard transaction.changes > 0 else { return }
        try self.rows.mark(SessionTable.activityTable, key: activity.id, in: transaction)
    }
}

/// Pieces of SQL about sessions.
private enum SessionSQL {
    /// Returns SQL that converts milliseconds since 1970 in parameter `index` to the text that programs write.
    static func time(_ index: Int) -> String { WrittenForms.text(of: "?\(index)") }
}
