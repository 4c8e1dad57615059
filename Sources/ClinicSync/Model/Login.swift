/// A request to log a user in on a PC; the host decides it.
///
/// The host writes exactly these values. So two hosts that decide the same request, one after the death of the other,
/// write equal rows.
package struct LoginRequest: Sendable, Hashable {
    /// The session's key, made by the PC of the login.
    ///
    /// A retry carries the same key.
    package var sessionID: String
    /// The user's key.
    ///
    /// The PC has checked the user's password.
    package var userID: SQLiteValue
    /// The user's name.
    package var username: String
    /// The PC of the login: its node's id as text.
    package var deviceID: String
    /// The PC's name for people.
    package var deviceName: String
    /// The SHA-256 of the session's token, 32 bytes; the token itself stays on the PC.
    package var tokenHash: [UInt8]
    /// When the user logged in, in corrected milliseconds since 1970.
    package var loginMilliseconds: Int64
    /// Whether the login ends the user's sessions on other PCs.
    ///
    /// Otherwise such sessions make a conflict.
    package var isForced: Bool

    /// Makes a request.
    package init(
        sessionID: String,
        userID: SQLiteValue,
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

/// A session of the user on another PC, which conflicts with a login.
package struct SessionHolder: Sendable, Hashable, Codable {
    /// The session.
    package var sessionID: String
    /// The session's PC: its node's id as text.
    package var deviceID: String
    /// The PC's name for people.
    package var deviceName: String
    /// When the session began, as its row says: ISO 8601.
    package var loginTime: String
    /// When the user was last active, as the session's row says: ISO 8601.
    package var lastActivity: String

    /// The largest number of sessions in an answer.
    ///
    /// A user has one session, except while nodes are apart.
    package static let countMax = 8

    /// The JSON keys, which programs know.
    private enum CodingKeys: String, CodingKey {
        case sessionID = "sessionId"
        case deviceID = "deviceId"
        case deviceName, loginTime, lastActivity
    }

    /// Makes a holder.
    package init(sessionID: String, deviceID: String, deviceName: String, loginTime: String, lastActivity: String) {
        self.sessionID = sessionID
        self.deviceID = deviceID
        self.deviceName = deviceName
        self.loginTime = loginTime
        self.lastActivity = lastActivity
    }

    /// The session as an event shows it, with the same keys.
    package var eventValue: EventValue {
        .object([
            CodingKeys.sessionID.rawValue: .text(self.sessionID), CodingKeys.deviceID.rawValue: .text(self.deviceID),
            CodingKeys.deviceName.rawValue: .text(self.deviceName),
            CodingKeys.loginTime.rawValue: .text(self.loginTime),
            CodingKeys.lastActivity.rawValue: .text(self.lastActivity),
        ])
    }
}

/// The outcome of a login request.
package enum LoginOutcome: Sendable, Hashable {
    /// The session exists. It is provisional if the host had no quorum. Another host may then have granted the same
    /// user another session. When the hosts meet, the latest login stays.
    case granted(isProvisional: Bool)
    /// The user is logged in elsewhere, and the login was not forced.
    case conflict([SessionHolder])
    /// There is no such user, or the user was deactivated.
    case refused
    /// No host decided in time. The session may exist nevertheless.
    case unavailable
}

/// The host's answer to a client's login request.
package struct LoginReply: Sendable, Hashable {
    /// The number of the request.
    package var id: UInt64
    /// The decision.
    package var outcome: LoginOutcome
    /// The batch with the session's rows.
    ///
    /// The asking node answers the program only after it has applied this batch.
    package var batch: BatchID?

    /// Makes an answer.
    package init(id: UInt64, outcome: LoginOutcome, batch: BatchID? = nil) {
        self.id = id
        self.outcome = outcome
        self.batch = batch
    }
}
