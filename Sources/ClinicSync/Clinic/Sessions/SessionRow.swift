package import ClinicSyncModel
import ClinicSyncStorage

/// A row of the table of sessions, with its times as numbers.
package struct SessionRow: Sendable, Hashable {
    /// The row's key.
    package var id: SQLiteValue
    /// The user's key.
    package var userID: SQLiteValue
    /// The user's name.
    package var username: String
    /// The PC, in the form that the row's author wrote; a node's id for logins through the agent.
    package var deviceID: SQLiteValue
    /// The PC's name for people; empty when the row has none.
    package var deviceName: String
    /// When the session began, as written.
    package var loginTime: String
    /// When the user last did something, as written.
    package var lastActivity: String
    /// When the session ends automatically, as written.
    package var expiresAt: String
    /// When the session was ended, as written; `nil` while it is active.
    package var invalidatedAt: String?
    /// Why the session was ended, as written.
    package var endReason: String?
    /// Whether the session is active.
    package var isActive: Bool
    /// Whether another PC may have granted the same user a session, see ``LoginOutcome/granted(isProvisional:)``.
    package var isProvisional: Bool

    /// The times in milliseconds since 1970; `nil` where the text is not a time.
    var moments: (login: Int64?, activity: Int64?, expiry: Int64?)

    /// The columns that ``init(_:)`` reads.
    static let columns = """
        s.id, s.userId, s.username, s.deviceId, coalesce(s.deviceName, ''), s.loginTime, s.lastActivity, s.expiresAt,
        s.invalidatedAt, s.endReason, s.isActive <> 0, coalesce(p.isProvisional, 0) <> 0,
        CAST(round((julianday(s.loginTime) - 2440587.5) * 86400000.0) AS INTEGER),
        CAST(round((julianday(s.lastActivity) - 2440587.5) * 86400000.0) AS INTEGER),
        CAST(round((julianday(s.expiresAt) - 2440587.5) * 86400000.0) AS INTEGER)
        """

    /// The tables that ``columns`` come from.
    static let source = "user_sessions AS s LEFT JOIN clinicsync_provisional AS p ON p.session = s.id"

    /// Reads a row.
    init(_ row: Statement) {
        self.id = row.value(0)
        self.userID = row.value(1)
        self.username = row.string(2)
        self.deviceID = row.value(3)
        self.deviceName = row.string(4)
        self.loginTime = row.string(5)
        self.lastActivity = row.string(6)
        self.expiresAt = row.string(7)
        self.invalidatedAt = row.isNull(8) ? nil : row.string(8)
        self.endReason = row.isNull(9) ? nil : row.string(9)
        self.isActive = row.int64(10) != 0
        self.isProvisional = row.int64(11) != 0
        self.moments = (
            row.isNull(12) ? nil : row.int64(12), row.isNull(13) ? nil : row.int64(13),
            row.isNull(14) ? nil : row.int64(14)
        )
    }

    package static func == (left: SessionRow, right: SessionRow) -> Bool {
        left.id == right.id && left.isActive == right.isActive && left.lastActivity == right.lastActivity
            && left.expiresAt == right.expiresAt && left.endReason == right.endReason
            && left.isProvisional == right.isProvisional
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(self.id) }
}

/// How long sessions last.
package enum SessionTimes {
    /// Without activity, a session ends after this time: 8 h.
    package static let lifetimeMilliseconds: Int64 = 8 * 3_600_000
    /// The longest lifetime that counts: 30 days.
    ///
    /// A longer lifetime, written by a program, counts as 30 days.
    private static let lifetimeMaxMilliseconds: Int64 = 30 * 86_400_000
    /// The shortest time between two writes of activity: 60 s.
    ///
    /// So not every keystroke becomes a change on every PC.
    package static let activityIntervalMilliseconds: Int64 = 60_000

    /// Returns the lifetime that counts: neither negative nor longer than 30 days.
    static func bounded(_ milliseconds: Int64) -> Int64 {
        min(max(milliseconds, 0), self.lifetimeMaxMilliseconds)
    }
}

/// Why a session ended, as stored in `endReason` and in the event.
package enum SessionEnd: String, Sendable, Hashable, CaseIterable {
    /// The user logged in on another PC and chose to end this session.
    case forcedLogin = "forced_login"
    /// The user logged out.
    case logout
    /// The session had no activity for too long.
    case expired
    /// An administrator ended it, or the user was deactivated or deleted.
    case admin
    /// The user logged in again: on the same PC, or on two PCs that could not hear each other.
    case superseded
}

extension SessionRow {
    /// The session as shown to a person whose login it blocks.
    var holder: SessionHolder {
        SessionHolder(
            sessionID: self.id.displayText,
            deviceID: self.deviceID.displayText,
            deviceName: self.deviceName,
            loginTime: self.loginTime,
            lastActivity: self.lastActivity
        )
    }
}

extension SessionHolder {
    /// The holder with its texts cut to the size that a message may contain, because programs write longer texts.
    var cut: SessionHolder {
        SessionHolder(
            sessionID: SessionHolder.cut(self.sessionID),
            deviceID: SessionHolder.cut(self.deviceID),
            deviceName: SessionHolder.cut(self.deviceName),
            loginTime: SessionHolder.cut(self.loginTime),
            lastActivity: SessionHolder.cut(self.lastActivity)
        )
    }

    private static func cut(_ text: String) -> String {
        var text = text
        while text.utf8.count > 256 { text.removeLast() }
        return text
    }
}
