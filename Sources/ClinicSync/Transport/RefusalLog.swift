import ClinicSyncModel
import NIOCore

/// Why a connection was refused; for counting and for the log.
enum RefusalReason: String, Sendable, Hashable, CaseIterable {
    /// No TLS, another version of it, or no certificate.
    case handshakeFailed
    /// The handshake ended without a judgement, as that of a resumed session does.
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
    /// A member whose certificate ran out wanted more than a new one.
    case expired
    /// A former member.
    case revoked
    /// A PC that may only ask to join wanted something else.
    case notAMember
    /// The request asks for no upgrade, or for an unknown one.
    case wrongRequest
    /// Handshake, upgrade or enrollment took too long.
    case tooSlow
    /// Too many bytes before the upgrade.
    case tooManyBytes
    /// Too many connections, in all or of one address.
    case tooManyConnections
    /// Too many enrollments at once, in all or of one address.
    case tooManyEnrollments
    /// Broke the rules of an enrollment.
    case protocolViolation
    /// From outside the local network.
    case outsideNetwork
    /// The dialled node closed the connection before the upgrade.
    case turnedAway

    /// The reason for a judgement.
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

    /// The reason why a peer of this standing does not get what it asked for.
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

/// Counts refusals and decides which to log: the first of an address, then one a minute with the number since.
///
/// So connecting again and again cannot fill the disk with log lines.
struct RefusalLog {
    /// Addresses remembered; those beyond are counted and not logged.
    static let addressesMax = 1_024
    /// The time between two lines for one address.
    static let interval = TimeAmount.seconds(60)

    /// Refusals so far.
    private(set) var counts: [RefusalReason: UInt64] = [:]
    private var entries: [String: Entry] = [:]

    private struct Entry {
        var loggedAt: NIODeadline
        var unlogged: UInt64
    }

    /// Peers that this node refused so far.
    var total: UInt64 { self.counts.reduce(0) { $1.key == .turnedAway ? $0 : $0 + $1.value } }

    /// Counts a refusal of `address`.
    ///
    /// - Returns: How many there were since the last line, this one included; `nil`: nothing is to be logged now.
    mutating func note(_ reason: RefusalReason, address: String, at now: NIODeadline) -> UInt64? {
        self.counts[reason, default: 0] += 1
        guard var entry = self.entries[address] else {
            guard self.hasRoom(at: now) else { return nil }
            self.entries[address] = Entry(loggedAt: now, unlogged: 0)
            return 1
        }
        entry.unlogged += 1
        guard now - entry.loggedAt >= RefusalLog.interval else {
            self.entries[address] = entry
            return nil
        }
        self.entries[address] = Entry(loggedAt: now, unlogged: 0)
        return entry.unlogged
    }

    /// Whether one more address can be remembered, those of the last minute kept.
    private mutating func hasRoom(at now: NIODeadline) -> Bool {
        guard self.entries.count >= RefusalLog.addressesMax else { return true }
        self.entries = self.entries.filter { now - $0.value.loggedAt < RefusalLog.interval }
        return self.entries.count < RefusalLog.addressesMax
    }
}
