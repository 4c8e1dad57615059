import ClinicSyncModel

import struct FoundationEssentials.Data

extension WireLoginRequest {
    /// The wire form of a login, with the client's number.
    init(id: UInt64, _ login: LoginRequest) {
        self.init()
        self.id = id
        self.session = login.sessionID
        switch login.userID {
        case .blob(let bytes) where !bytes.isEmpty: self.userBlob = Data(bytes)
        case .blob: self.userKey = Data([UserKeyKind.emptyBlob.rawValue])
        case .text(let bytes) where String(validating: bytes, as: UTF8.self) == nil:
            self.userKey = Data([UserKeyKind.malformedText.rawValue] + bytes)
        case .text, .integer, .real, .null: self.user = login.userID.displayText
        }
        self.username = login.username
        self.device = login.deviceID
        self.deviceName = login.deviceName
        self.tokenHash = Data(login.tokenHash)
        self.loginMilliseconds = login.loginMilliseconds
        self.isForced = login.isForced
    }

    /// The login.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> LoginRequest {
        let max = limits.nameBytesMax
        guard !self.session.isEmpty else { throw .missing(field: "session") }
        guard self.tokenHash.count == 32 else { throw .wrongLength(field: "token_hash") }
        guard self.userBlob.count <= max else { throw .limitExceeded(field: "user_blob") }
        return LoginRequest(
            sessionID: try MessageCodec.text(self.session, max: max, "session"),
            userID: try self.userID(max: max),
            username: try MessageCodec.text(self.username, max: max, "username"),
            deviceID: try MessageCodec.text(self.device, max: max, "device"),
            deviceName: try MessageCodec.text(self.deviceName, max: max, "device_name"),
            tokenHash: Array(self.tokenHash),
            loginMilliseconds: try MessageCodec.milliseconds(self.loginMilliseconds, "login_milliseconds"),
            isForced: self.isForced
        )
    }
}

/// What the first byte of `user_key` says.
private enum UserKeyKind: UInt8 {
    /// A TEXT that is not valid UTF-8 follows.
    case malformedText = 1
    /// The key is an empty BLOB.
    case emptyBlob = 2
}

extension WireLoginRequest {
    private func userID(max: Int) throws(WireDecodingError) -> SQLiteValue {
        let user = try MessageCodec.text(self.user, max: max, "user")
        guard self.userKey.count <= max else { throw .limitExceeded(field: "user_key") }
        guard let first = self.userKey.first else {
            return self.userBlob.isEmpty ? .string(user) : .blob(Array(self.userBlob))
        }
        switch UserKeyKind(rawValue: first) {
        case .malformedText: return .text(Array(self.userKey.dropFirst()))
        case .emptyBlob: return .blob([])
        case nil: throw .unknownValue(field: "user_key")
        }
    }
}

extension WireLoginReply {
    /// The wire form of an answer.
    init(_ reply: LoginReply) {
        self.init()
        self.id = reply.id
        if let batch = reply.batch { self.batch = WireBatchName(batch) }
        switch reply.outcome {
        case .granted(let isProvisional):
            var granted = Granted()
            granted.isProvisional = isProvisional
            self.granted = granted
        case .conflict(let holders):
            var conflict = Conflict()
            conflict.holders = holders.map(Conflict.Holder.init)
            self.conflict = conflict
        case .refused: self.refused = Refused()
        case .unavailable: self.unavailable = Unavailable()
        }
    }

    /// The answer.
    func model(_ limits: WireLimits) throws(WireDecodingError) -> LoginReply {
        guard let wire = self.outcome else { throw .missing(field: "outcome") }
        let outcome: LoginOutcome =
            switch wire {
            case .granted(let granted): .granted(isProvisional: granted.isProvisional)
            case .conflict(let conflict): .conflict(try conflict.models(limits))
            case .refused: .refused
            case .unavailable: .unavailable
            }
        let batch: BatchID? = self.hasBatch ? try self.batch.model() : nil
        return LoginReply(id: self.id, outcome: outcome, batch: batch)
    }
}

extension WireLoginReply.Conflict {
    fileprivate func models(_ limits: WireLimits) throws(WireDecodingError) -> [SessionHolder] {
        guard self.holders.count <= SessionHolder.countMax else { throw .limitExceeded(field: "holders") }
        let max = limits.nameBytesMax
        var holders = [SessionHolder]()
        for holder in self.holders {
            holders.append(
                SessionHolder(
                    sessionID: try MessageCodec.text(holder.session, max: max, "session"),
                    deviceID: try MessageCodec.text(holder.device, max: max, "device"),
                    deviceName: try MessageCodec.text(holder.deviceName, max: max, "device_name"),
                    loginTime: try MessageCodec.text(holder.loginTime, max: max, "login_time"),
                    lastActivity: try MessageCodec.text(holder.lastActivity, max: max, "last_activity")
                )
            )
        }
        return holders
    }
}

extension WireLoginReply.Conflict.Holder {
    fileprivate init(_ holder: SessionHolder) {
        self.init()
        self.session = holder.sessionID
        self.device = holder.deviceID
        self.deviceName = holder.deviceName
        self.loginTime = holder.loginTime
        self.lastActivity = holder.lastActivity
    }
}
