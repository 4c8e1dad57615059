import ClinicSyncModel

/// What people are told of a peer whose connections end again and again.
struct BackOffAdvice {
    /// Why the connections end, without a full stop.
    let cause: String
    /// What to do, in one sentence.
    let remedy: String

    /// Describes the end of connections.
    ///
    /// - Parameters:
    ///   - reason: why the last connection ended.
    ///   - isPeersWord: whether the peer gave the reason, and not this node.
    init(_ reason: CloseReason, isPeersWord: Bool) {
        switch reason {
        case .protocolViolation where isPeersWord:
            self.cause = "That PC says that this PC sends what makes no sense"
            self.remedy = "Look at both logs, and update both PCs."
        case .protocolViolation:
            self.cause = "That PC sends what makes no sense"
            self.remedy = "Look at its log, update it, or let it join again."
        case .protocolVersion:
            self.cause = "The two PCs have versions that cannot talk to each other"
            self.remedy = "Update the older one."
        case .wrongClinic:
            self.cause = "That PC belongs to another clinic"
            self.remedy = "Let it join this clinic."
        case .duplicateIdentity:
            self.cause = "Two PCs run with one node's key"
            self.remedy = "Stop one of them and let it join again."
        case .storageFailed where isPeersWord:
            self.cause = "That PC cannot serve this PC"
            self.remedy = "Look at that PC's log."
        case .storageFailed:
            self.cause = "This PC cannot serve that PC"
            self.remedy = "Look at this PC's log."
        case .otherEpoch:
            self.cause =
                "The whole clinic was brought back to a backup, and one of the two PCs has not followed yet"
            self.remedy = "Look at its status."
        case .shuttingDown, .peerSilent, .connectionLost, .notHost, .replaced, .notAMember, .handshakeTimeout,
            .overloaded, .revoked:
            self.cause = "Connections with that PC end again and again"
            self.remedy = FindingCode.connectionsEnd.remedy
        }
    }

    /// Cause and remedy in one sentence, as `backOff.message` of the status has them.
    var message: String { "\(self.cause): \(self.remedy.prefix(1).lowercased())\(self.remedy.dropFirst())" }

    /// Describes a peer of a status that waits.
    init(_ backOff: NodeStatus.BackOff) {
        let reason = CloseReason.allCases.first { "\($0)" == backOff.reason } ?? .connectionLost
        self.init(reason, isPeersWord: backOff.by == "peer")
    }

    /// The code of the finding about such a peer.
    static func code(of backOff: NodeStatus.BackOff) -> FindingCode {
        backOff.reason == "\(CloseReason.protocolVersion)" ? .versionsDiffer : .connectionsEnd
    }
}
