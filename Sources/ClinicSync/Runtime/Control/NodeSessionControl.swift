import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Crypto

/// Lists, begins and ends sessions of users for programs.
struct NodeSessionControl: SessionControl {
    let state: NodeState
    let storage: StorageService
    let driver: NodeDriver
    let passwords: PasswordService
    let inbox: Inbox

    /// The largest number of shown sessions.
    private static let sessionsMax = 1_000
    /// The largest size of a device's name in bytes.
    private static let deviceNameBytesMax = 128

    func sessions(onlyActive: Bool) async throws -> SessionsSummary {
        try await StorageErrors.mapping {
            try await self.storage.read { reader in
                let rows = try reader.sessions(onlyActive: onlyActive, limit: NodeSessionControl.sessionsMax)
                return SessionsSummary(sessions: rows.map(SessionSummary.init), statistics: try reader.sessionCounts())
            }
        }
    }

    func login(_ input: LoginInput) async throws -> LoginResult {
        let deviceName = input.deviceName ?? self.state.name
        guard deviceName.utf8.count <= NodeSessionControl.deviceNameBytesMax else {
            throw ClinicSyncError(
                .usage,
                "The device's name is longer than \(NodeSessionControl.deviceNameBytesMax) bytes: choose a shorter one."
            )
        }
        let verdict = try await self.passwords.verify(
            input.password,
            for: input.username,
            from: self.state.id.description
        )
        switch verdict {
        case .accepted(let userID):
            // The name as it is in the table, however it was typed.
            let username = try await StorageErrors.mapping {
                try await self.storage.read { try $0.username(of: userID) }
            }
            return try await self.logIn(
                userID,
                username ?? input.username,
                on: deviceName,
                isForced: input.force == true
            )
        case .wrong: return .wrongPassword
        case .lockedOut(let time), .busy(let time): return .tooMany(retryAfter: time)
        case .inactive:
            throw ClinicSyncError(.refused, "This user was deactivated: ask an administrator to activate it again.")
        case .unsupportedHash:
            throw ClinicSyncError(
                .refused,
                "This user's password is stored in a way that cannot be checked: set it again with clinic-node users passwd."
            )
        }
    }

    private func logIn(
        _ userID: SQLiteValue,
        _ username: String,
        on deviceName: String,
        isForced: Bool
    ) async throws -> LoginResult {
        var generator = SystemRandomNumberGenerator()
        // 256 random bits.
        let token = [UInt8](count: 32, using: &generator).hexadecimal
        let now = self.state.correctedMilliseconds
        let request = LoginRequest(
            sessionID: RowKey.make(at: now, using: &generator),
            userID: userID,
            username: username,
            deviceID: self.state.id.description,
            deviceName: deviceName,
            tokenHash: Array(SHA256.hash(data: Array(token.utf8))),
            loginMilliseconds: now,
            isForced: isForced
        )
        let reply = await self.driver.perform(.login(request))
        guard case .loginDecided(let outcome) = reply else { throw NodeSessionControl.undecided }
        switch outcome {
        case .granted:
            // The core has waited for the rows, so the store has them.
            let row = try await StorageErrors.mapping {
                try await self.storage.read { try $0.session(.string(request.sessionID)) }
            }
            guard let row, row.isActive else { throw NodeSessionControl.undecided }
            return .granted(LoginGrant(session: SessionSummary(row), token: token))
        case .conflict(let holders):
            self.inbox.post(.eventOccurred(NodeSessionControl.conflictEvent(request, holders)))
            return .conflict(SessionConflict(username: username, sessions: holders))
        case .refused:
            throw ClinicSyncError(.refused, "This user was deleted or deactivated meanwhile: ask an administrator.")
        case .unavailable:
            throw NodeSessionControl.undecided
        }
    }

    private static var undecided: ClinicSyncError {
        ClinicSyncError(.notReachable, "Nobody decided on the login in time: try again.")
    }

    /// Reports to the programs of this PC that a login conflicts with another session.
    private static func conflictEvent(_ request: LoginRequest, _ holders: [SessionHolder]) -> NamedEvent {
        NamedEvent(
            type: "session_conflict",
            category: .user,
            recordID: request.sessionID,
            timestamp: HybridTimestamp(milliseconds: request.loginMilliseconds, counter: 0),
            fields: [
                "userId": .text(request.userID.displayText), "username": .text(request.username),
                "deviceId": .text(request.deviceID), "deviceName": .text(request.deviceName),
                "with": .list(holders.map(\.eventValue)),
            ]
        )
    }

    func endSession(_ id: String) async throws {
        guard let row = try await self.session(id) else { throw NodeSessionControl.noSession }
        // The end of a session of this PC is a logout. The end of another PC's session is an administrator's action.
        let reason: SessionEnd = row.deviceID == .string(self.state.id.description) ? .logout : .admin
        _ = try await self.end([row.id], reason)
    }

    func endSessions(of username: String) async throws -> Int {
        let rows = try await StorageErrors.mapping {
            try await self.storage.read { reader in
                try reader.activeSessions(named: username, orUserIDs: SQLiteValue.displayed(as: username))
            }
        }
        return try await self.end(rows.map(\.id), .admin)
    }

    private func end(_ ids: [SQLiteValue], _ reason: SessionEnd) async throws -> Int {
        let now = self.state.correctedMilliseconds
        let ended = try await StorageErrors.mapping {
            try await self.storage.writeForPeople { try $0.endSessions(ids, reason, at: now) }
        }
        self.inbox.post(.localCommitNoticed)
        return ended.count
    }

    func touchSession(_ id: String) async throws {
        guard let row = try await self.session(id) else { throw NodeSessionControl.noSession }
        let now = self.state.correctedMilliseconds
        let lasts = try await StorageErrors.mapping {
            try await self.storage.writeForPeople { try $0.touchSession(row.id, at: now) }
        }
        guard let lasts else { throw NodeSessionControl.noSession }
        guard lasts else { throw ClinicSyncError(.refused, "This session has ended: log in again.") }
        self.inbox.post(.localCommitNoticed)
    }

    func cleanSessions(olderThan age: Duration) async throws -> Int {
        let now = self.state.correctedMilliseconds
        let removed = try await StorageErrors.mapping {
            try await self.storage.writeForPeople { try $0.cleanSessions(olderThan: age.wholeMilliseconds, at: now) }
        }
        self.inbox.post(.localCommitNoticed)
        return removed
    }

    /// Returns the session whose key is shown as `id`.
    private func session(_ id: String) async throws -> SessionRow? {
        try await StorageErrors.mapping {
            try await self.storage.read { reader in
                for key in SQLiteValue.displayed(as: id) {
                    if let row = try reader.session(key) { return row }
                }
                return nil
            }
        }
    }

    private static var noSession: ClinicSyncError {
        ClinicSyncError(.notFound, "There is no such session: clinic-node sessions lists those that last.")
    }
}

extension SessionSummary {
    /// Makes a summary from a row.
    init(_ row: SessionRow) {
        self.init(
            id: row.id.displayText,
            userId: row.userID.displayText,
            username: row.username,
            deviceId: row.deviceID.displayText,
            deviceName: row.deviceName,
            loginTime: row.loginTime,
            lastActivity: row.lastActivity,
            expiresAt: row.expiresAt,
            isActive: row.isActive,
            provisional: row.isActive && row.isProvisional,
            invalidatedAt: row.isActive ? nil : row.invalidatedAt,
            endReason: row.isActive ? nil : row.endReason
        )
    }
}
