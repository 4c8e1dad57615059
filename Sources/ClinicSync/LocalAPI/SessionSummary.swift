package import ClinicSyncModel

/// A session as `clinic-node sessions --json` and `GET /v1/sessions` show it; the names are the JSON keys.
public struct SessionSummary: Sendable, Hashable, Codable {
    /// The session's key.
    public var id: String
    /// The user's key.
    public var userId: String
    /// The user's name.
    public var username: String
    /// The PC: its node's id for logins through the agent, otherwise the text that the program wrote.
    public var deviceId: String
    /// The PC's name for people.
    public var deviceName: String
    /// When it began, ISO 8601, or the text that a program wrote instead.
    public var loginTime: String
    /// When the user last did something, in the same forms.
    public var lastActivity: String
    /// When the session ends automatically, in the same forms.
    public var expiresAt: String
    /// Whether the session is active.
    public var isActive: Bool
    /// Whether another PC may have granted the same user a session: see docs/SESSIONS.md.
    public var provisional: Bool
    /// When the session was ended, in the same forms; absent while the session is active.
    public var invalidatedAt: String?
    /// Why the session was ended; absent while the session is active.
    public var endReason: String?
}

/// The answer of `clinic-node sessions --json` and `GET /v1/sessions`.
public struct SessionsSummary: Sendable, Hashable, Codable {
    /// Active sessions, newest first.
    ///
    /// With `state=all`, ended sessions follow; the list has at most 1 000 entries.
    public var sessions: [SessionSummary]
    /// The number of sessions in the table: `active`, and one entry for each end reason.
    public var statistics: [String: Int]

    /// Makes a summary.
    package init(sessions: [SessionSummary], statistics: [String: Int]) {
        self.sessions = sessions
        self.statistics = statistics
    }
}

/// The body of `POST /v1/sessions`: a program logs a user in.
package struct LoginInput: Sendable, Codable {
    /// The user's name.
    package var username: String
    /// The password as typed.
    package var password: String
    /// The PC's display name; when absent, the node's name.
    package var deviceName: String?
    /// Whether the login ends the user's sessions on other PCs.
    package var force: Bool?

    /// Makes an input.
    package init(username: String, password: String, deviceName: String? = nil, force: Bool? = nil) {
        self.username = username
        self.password = password
        self.deviceName = deviceName
        self.force = force
    }
}

/// The answer to a login that was granted.
package struct LoginGrant: Sendable, Hashable, Codable {
    /// The session.
    package var session: SessionSummary
    /// The secret that proves to other programs that the user holds the session.
    ///
    /// The node returns the token only in this answer and stores its hash.
    package var token: String

    /// Makes an answer.
    package init(session: SessionSummary, token: String) {
        self.session = session
        self.token = token
    }
}

/// The body of the answer 409 to a login: the common error keys, and the sessions that block the login.
package struct SessionConflict: Sendable, Hashable, Codable {
    /// `session_conflict`.
    package var error: String
    /// One sentence that names the other PC.
    package var message: String
    /// The sessions that block the login.
    package var sessions: [SessionHolder]

    /// The name of the error.
    package static let code = "session_conflict"

    /// Describes a conflict of `username`.
    package init(username: String, sessions: [SessionHolder]) {
        self.error = SessionConflict.code
        self.sessions = sessions
        let first = sessions.first
        let place = first.map { $0.deviceName.isEmpty ? $0.deviceID : $0.deviceName } ?? "another PC"
        let times = first.map { " since \($0.loginTime), last active \($0.lastActivity)" } ?? ""
        self.message = "\(username) is logged in on \(place)\(times): log out there, or force the login."
    }
}

/// The outcome of a login, except errors.
package enum LoginResult: Sendable {
    /// The session exists.
    case granted(LoginGrant)
    /// The user is logged in elsewhere.
    case conflict(SessionConflict)
    /// The password is wrong, or the user does not exist.
    case wrongPassword
    /// Too many wrong passwords, or too many logins at once.
    case tooMany(retryAfter: Duration)
}
