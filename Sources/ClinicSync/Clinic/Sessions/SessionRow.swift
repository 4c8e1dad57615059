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
    /// When the session began, as written; a number of seconds or milliseconds as ISO 8601.
    package var loginTime: String
    /// When the user last did something, in the same forms.
    package var lastActivity: String
    /// When the session ends automatically, in the same forms.
    package var expiresAt: String
    /// When the session was ended, in the same forms; `nil` while it is active.
    package var invalidatedAt: String?
    /// Why the session was ended, as written.
    package var endReason: String?
    /// Whether the session is active.
    package var isActive: Bool
    /// Whether another PC may have granted the same user a session, see ``LoginOutcome/granted(isProvisional:)``.
    package var isProvisional: Bool

    /// The times as numbers.
    var moments: SessionMoments

    /// The columns that ``init(_:)`` reads.
    static let columns = """
        s.id, s.userId, s.username, s.deviceId, coalesce(s.deviceName, ''), \(WrittenForms.shown("s.loginTime")),
        \(WrittenForms.shown("s.lastActivity")), \(WrittenForms.shown("s.expiresAt")),
        \(WrittenForms.shown("s.invalidatedAt")), s.endReason, \(SessionRow.isActive), coalesce(p.isProvisional, 0) <> 0,
        \(SessionMoments.columns)
        """

    /// SQL that is 1 for an active session.
    static let isActive = WrittenForms.isOn("s.isActive", ifNull: false)

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
        self.moments = SessionMoments(
            login: SessionMoments.moment(12, 13, of: row),
            activity: SessionMoments.moment(14, 15, of: row),
            expiry: SessionMoments.moment(16, 17, of: row)
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

/// A time of a session, as a program wrote it.
struct SessionMoment: Sendable, Hashable, Comparable {
    /// Milliseconds since 1970; for a local time, as if it were UTC.
    var milliseconds: Int64
    /// Whether the time is in the PC's local time.
    var isLocal: Bool

    static func < (left: SessionMoment, right: SessionMoment) -> Bool { left.milliseconds < right.milliseconds }
}

/// The times of a session; `nil` where a program wrote something that is not a time.
struct SessionMoments: Sendable, Hashable {
    var login: SessionMoment?
    var activity: SessionMoment?
    var expiry: SessionMoment?

    /// The columns that ``SessionRow/init(_:)`` gives to ``moment(_:_:of:)``.
    static let columns = ["s.loginTime", "s.lastActivity", "s.expiresAt"]
        .map { "\(WrittenForms.milliseconds($0)), \(WrittenForms.isLocal($0))" }
        .joined(separator: ", ")

    /// Reads a time from the column with its milliseconds and the column that says whether it is local.
    static func moment(_ milliseconds: Int32, _ isLocal: Int32, of row: Statement) -> SessionMoment? {
        guard !row.isNull(milliseconds) else { return nil }
        return SessionMoment(milliseconds: row.int64(milliseconds), isLocal: row.int64(isLocal) != 0)
    }

    /// Returns how long the session lasts from `base`, in milliseconds.
    ///
    /// A local time and a time in UTC have no difference that counts. Then an `expiresAt` in UTC counts from
    /// `writtenAt`, the clinic's time of that write.
    func lifetime(from base: SessionMoment?, writtenAt: Int64) -> Int64 {
        guard let expiry else { return SessionTimes.lifetimeMilliseconds }
        if let base, base.isLocal == expiry.isLocal {
            return SessionTimes.bounded(expiry.milliseconds - base.milliseconds)
        }
        guard !expiry.isLocal else { return SessionTimes.lifetimeMilliseconds }
        return SessionTimes.bounded(expiry.milliseconds - writtenAt)
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
