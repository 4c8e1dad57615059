import ClinicSyncModel
import Logging
import NIOConcurrencyHelpers
import NIOCore

/// Why a connection was refused, for counters and for the log.
enum RefusalReason: String, Sendable, Hashable, CaseIterable {
    /// The peer used no TLS, another TLS version, or no certificate.
    case handshakeFailed
    /// The peer left before the end of the handshake: it stops, or something only looked whether the port is open.
    case leftEarly
    /// The handshake ended without a judgement, as for a resumed session.
    case unjudged
    /// See ``PeerRefusal/malformed``.
    case malformed
    /// See ``PeerRefusal/foreign``.
    case foreign
    /// See ``PeerRefusal/notYetValid``.
    case notYetValid
    /// See ``PeerRefusal/identityMismatch``.
    case identityMismatch
    /// See ``PeerRefusal/wrongUsage``.
    case wrongUsage
    /// See ``PeerRefusal/signerRevoked``.
    case signerRevoked
    /// A member with an expired certificate requested more than a new certificate.
    case expired
    /// A former member.
    case revoked
    /// A PC that may only request to join requested something else.
    case notAMember
    /// The request contains no upgrade, or an unknown upgrade.
    case wrongRequest
    /// The handshake, upgrade or enrollment took too long.
    case tooSlow
    /// Too many bytes before the upgrade.
    case tooManyBytes
    /// Too many connections, in total or from one address.
    case tooManyConnections
    /// Too many enrollments at once, in total or from one address.
    case tooManyEnrollments
    /// The peer violated the rules of an enrollment.
    case protocolViolation
    /// The peer is outside the local network.
    case outsideNetwork
    /// The dialled node closed the connection before the upgrade.
    case turnedAway

    /// Whether this node refused a peer.
    var isRefusalHere: Bool { self != .turnedAway && self != .leftEarly }

    /// The reason that corresponds to a judgement.
    init(_ refusal: PeerRefusal) {
        switch refusal {
        case .malformed: self = .malformed
        case .foreign: self = .foreign
        case .notYetValid: self = .notYetValid
        case .identityMismatch: self = .identityMismatch
        case .wrongUsage: self = .wrongUsage
        case .signerRevoked: self = .signerRevoked
        }
    }

    /// The reason why a peer of this standing cannot use the requested route.
    init(_ standing: PeerStanding) {
        switch standing {
        case .member: self = .wrongRequest
        case .expired: self = .expired
        case .revoked: self = .revoked
        case .applicant: self = .notAMember
        case .refused(let refusal): self.init(refusal)
        }
    }
}

/// Counts refusals and decides which of them to log.
///
/// The log shows the first refusal of an address, then one line a minute with the number since. So repeated connections
/// cannot fill the disk with log lines. The end of a node that stops in order is no line.
struct RefusalLog {
    /// The largest number of remembered addresses.
    ///
    /// Refusals of further addresses are counted and not logged.
    static let addressesMax = 1_024
    /// The time between two lines for one address.
    static let interval = TimeAmount.seconds(60)

    /// Refusals so far.
    private(set) var counts: [RefusalReason: UInt64] = [:]
    private var entries: [String: Entry] = [:]

    private struct Entry {
        var loggedAt: NIODeadline?
        var unlogged: UInt64
    }

    /// The number of peers that this node has refused.
    var total: UInt64 { self.counts.reduce(0) { $1.key.isRefusalHere ? $0 + $1.value : $0 } }

    /// Counts a refusal of `address`.
    ///
    /// - Returns: The number of refusals since the last line, including this refusal; `nil` when the caller must log
    ///   nothing now.
    mutating func note(_ reason: RefusalReason, address: String, at now: NIODeadline) -> UInt64? {
        self.counts[reason, default: 0] += 1
        guard reason != .leftEarly else { return nil }
        guard var entry = self.entries[address] else {
            guard self.hasRoom(at: now) else { return nil }
            // A node that stops in order turns away one dial. Only one that goes on does not want this node.
            let isNews = reason != .turnedAway
            self.entries[address] = Entry(loggedAt: isNews ? now : nil, unlogged: isNews ? 0 : 1)
            return isNews ? 1 : nil
        }
        entry.unlogged += 1
        guard entry.loggedAt.map({ now - $0 >= RefusalLog.interval }) ?? true else {
            self.entries[address] = entry
            return nil
        }
        self.entries[address] = Entry(loggedAt: now, unlogged: 0)
        return entry.unlogged
    }

    /// Returns whether the log can remember another address without forgetting an address of the last minute.
    private mutating func hasRoom(at now: NIODeadline) -> Bool {
        guard self.entries.count >= RefusalLog.addressesMax else { return true }
        self.entries = self.entries.filter { entry in
            entry.value.loggedAt.map { now - $0 < RefusalLog.interval } ?? false
        }
        return self.entries.count < RefusalLog.addressesMax
    }
}

extension NIOLockedValueBox<RefusalLog> {
    /// Counts a refusal, and logs `message` when it is time for a line.
    func note(_ reason: RefusalReason, of address: String, _ message: Logger.Message, to logger: Logger) {
        guard let count = self.withLockedValue({ $0.note(reason, address: address, at: .now()) }) else { return }
        logger.notice(
            message,
            metadata: [
                "peer.address": "\(address)", "refusal.reason": "\(reason.rawValue)", "refusal.count": "\(count)",
            ]
        )
    }
}
