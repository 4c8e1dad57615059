package import ClinicSyncModel

/// A session as `clinic-node sessions --json` and `GET /v1/sessions` show it; the names are the JSON keys.
public struct SessionSummary: Sendable, Hashable, Codable {
    /// The session's key.
    public var id: String
    /// The user's key.
    public var userId: String
    /// The user's name.
    public var username: String
    /// Which PC: its node's id for logins through the agent, else what the program wrote.
    public var deviceId: String
    /// The PC's name for people.
    public var deviceName: String
    /// When it began, ISO 8601.
    public var loginTime: String
    /// When the user last did something, ISO 8601.
    public var lastActivity: String
    /// When it ends by itself, ISO 8601.
    public var expiresAt: String
    /// Whether it lasts.
    public var isActive: Bool
    /// Whether another PC may have been granted the same user a session: see docs/SESSIONS.md.
    public var provisional: Bool
    /// When it was ended, ISO 8601; not there while it lasts.
    public var invalidatedAt: String?
    /// Why it was ended; not there while it lasts.
    public var endReason: String?
}

/// The answer of `clinic-node sessions --json` and `GET /v1/sessions`.
public struct SessionsSummary: Sendable, Hashable, Codable {
    /// Sessions that last, the newest first; with `state=all` then those that ended, 1 000 in all.
    public var sessions: [SessionSummary]
    /// How many sessions there are in the table: `active`, and for each reason those that ended for it.
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
    /// The PC's name for people; the node's name when it is not there.
    package var deviceName: String?
    /// Whether sessions of the user on other PCs end.
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
    /// It is told once; the node keeps its hash.
    package var token: String

    /// Makes an answer.
    package init(session: SessionSummary, token: String) {
        self.session = session
        self.token = token
    }
}

/// The body of the answer 409 to a login: the error of every endpoint, and the sessions in the way.
package struct SessionConflict: Sendable, Hashable, Codable {
    /// `session_conflict`.
    package var error: String
    /// One sentence that names the other PC.
    package var message: String
    /// The sessions in the way.
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
    /// The password is not the user's, or there is no such user.
    case wrongPassword
    /// Too many wrong passwords, or too many logins at once.
    case tooMany(retryAfter: Duration)
}
