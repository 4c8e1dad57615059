/// A person's wish to be logged in on a PC, as the host decides on it.
///
/// Who decides writes exactly what stands here, so that two hosts which decide on the same wish, one after the death of the
/// other, write equal rows.
package struct LoginRequest: Sendable, Hashable {
    /// The session's key in `user_sessions`, drawn by the PC of the login; a repeated request carries the same.
    package var sessionID: String
    /// The key of the user, whose password has been checked.
    package var userID: String
    /// The user's name.
    package var username: String
    /// Which PC: its node's id as text.
    package var deviceID: String
    /// The PC's name for people.
    package var deviceName: String
    /// The SHA-256 of the session's token, 32 bytes; the token itself stays on the PC.
    package var tokenHash: [UInt8]
    /// When the person logged in, corrected milliseconds since 1970.
    package var loginMilliseconds: Int64
    /// Whether sessions of the user on other PCs end, rather than being in the way.
    package var isForced: Bool

    /// Makes a request.
    package init(
        sessionID: String,
        userID: String,
        username: String,
        deviceID: String,
        deviceName: String,
        tokenHash: [UInt8],
        loginMilliseconds: Int64,
        isForced: Bool
    ) {
        self.sessionID = sessionID
        self.userID = userID
        self.username = username
        self.deviceID = deviceID
        self.deviceName = deviceName
        self.tokenHash = tokenHash
        self.loginMilliseconds = loginMilliseconds
        self.isForced = isForced
    }
}

/// A session that is in the way of a login.
package struct SessionHolder: Sendable, Hashable {
    /// The session.
    package var sessionID: String
    /// Its PC.
    package var deviceID: String
    /// The PC's name for people.
    package var deviceName: String
    /// When it began, as its row says: ISO 8601.
    package var loginTime: String
    /// When the user last did something, as its row says: ISO 8601.
    package var lastActivity: String

    /// Sessions named at most; a user has one, except while nodes are apart.
    package static let countMax = 8

    /// Makes a holder.
    package init(sessionID: String, deviceID: String, deviceName: String, loginTime: String, lastActivity: String) {
        self.sessionID = sessionID
        self.deviceID = deviceID
        self.deviceName = deviceName
        self.loginTime = loginTime
        self.lastActivity = lastActivity
    }
}

/// What came of a wish to log in.
package enum LoginOutcome: Sendable, Hashable {
    /// The session exists. Provisional: who decided could not hear most of the clinic's PCs, so another PC may have been
    /// granted the same; the latest login then wins when they meet.
    case granted(isProvisional: Bool)
    /// The user is logged in elsewhere, and the login was not forced.
    case conflict([SessionHolder])
    /// There is no such user, or it was deactivated.
    case refused
    /// Nobody decided in time; the session may exist all the same.
    case unavailable
}

/// The host's answer to a client's login request.
package struct LoginReply: Sendable, Hashable {
    /// The asker's number.
    package var id: UInt64
    /// What was decided.
    package var outcome: LoginOutcome
    /// The batch with the session's rows; the asker waits for it before it tells a program.
    package var batch: BatchID?

    /// Makes an answer.
    package init(id: UInt64, outcome: LoginOutcome, batch: BatchID? = nil) {
        self.id = id
        self.outcome = outcome
        self.batch = batch
    }
}
