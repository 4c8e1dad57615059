package import ClinicSyncModel
import Crypto
import Foundation
import NIOConcurrencyHelpers
import X509

/// Makes join codes, admits PCs that present a join code, and renews members' certificates.
///
/// A node without the right to sign refuses every request; a newly granted right takes effect at once. Methods that
/// change something write files, so they may block.
package final class EnrollmentDesk: Sendable {
    /// The information that a new member receives besides its certificates.
    package struct Surroundings: Sendable {
        /// The clinic's name for people.
        package var clinicName: String
        /// The host: this node or another.
        package var hostID: NodeID
        /// Where the host listens, in the order in which a member tries the addresses.
        package var hostAddresses: [String]

        /// Makes surroundings.
        package init(clinicName: String, hostID: NodeID, hostAddresses: [String]) {
            self.clinicName = clinicName
            self.hostID = hostID
            self.hostAddresses = hostAddresses
        }
    }

    /// What the desk asks about the members of the clinic.
    package struct Members: Sendable {
        /// Whether a member other than the node has the name.
        package var isNameTaken: @Sendable (String, NodeID) -> Bool
        /// Whether the node is a member whose name is known.
        package var isKnown: @Sendable (NodeID) -> Bool

        /// Makes the questions.
        package init(
            isNameTaken: @escaping @Sendable (String, NodeID) -> Bool,
            isKnown: @escaping @Sendable (NodeID) -> Bool
        ) {
            self.isNameTaken = isNameTaken
            self.isKnown = isKnown
        }
    }

    private struct State: Sendable {
        var book: InvitationBook
        var admissions: AdmissionBook
        /// The addresses from which wrong codes came.
        var lockOut = LockOut<String>(.joinCodes)
    }

    /// The largest size of a new member's name in bytes.
    package static let nameBytesMax = 64
    /// The largest number of revocations in the answer to a new member, and their largest total size.
    ///
    /// The member receives others with its first sync.
    package static let revocationsMax = 64
    /// The largest number of uses of a code.
    package static let usesMax = 1_000
    /// The longest validity of a code.
    package static let lifeMax = Duration.seconds(30 * 86_400)

    private let store: TrustStore
    private let wallClock: @Sendable () -> Int64
    private let monotonic: @Sendable () -> Duration
    private let surroundings: @Sendable () -> Surroundings
    private let members: Members
    /// The desk holds this lock while it decides a request and writes the decision, so that no code is used twice.
    private let state: NIOLockedValueBox<State>

    /// Reads the existing join codes.
    ///
    /// - Parameters:
    ///   - store: the node's certificates and files.
    ///   - wallClock: milliseconds since 1970.
    ///   - monotonic: the time of a clock that never goes back, for lock-outs.
    ///   - members: the members of the clinic.
    ///   - surroundings: called when a PC joins.
    /// - Throws: ``ClinicSyncError`` of code `corrupt`, or those of reading files.
    package init(
        store: TrustStore,
        wallClock: @escaping @Sendable () -> Int64,
        monotonic: @escaping @Sendable () -> Duration,
        members: Members,
        surroundings: @escaping @Sendable () -> Surroundings
    ) throws {
        self.store = store
        self.wallClock = wallClock
        self.monotonic = monotonic
        self.surroundings = surroundings
        self.members = members
        self.state = NIOLockedValueBox(
            State(
                book: try InvitationBook.read(from: store.directory),
                admissions: AdmissionBook.read(from: store.directory)
            )
        )
    }

    /// Makes a join code.
    ///
    /// - Parameters:
    ///   - ttl: how long the code is valid.
    ///   - uses: how many PCs may join with it.
    ///   - addresses: where this node listens.
    /// - Returns: The code. The node does not store its secret.
    /// - Throws: ``ClinicSyncError`` of code `refused` without the right to sign, `usage` for numbers beyond the limits;
    ///   those of writing files.
    package func invite(ttl: Duration, uses: Int, addresses: [NetworkAddress]) throws -> JoinCode {
        _ = try self.store.requireIssuer()
        guard (1...EnrollmentDesk.usesMax).contains(uses), ttl >= .seconds(1), ttl <= EnrollmentDesk.lifeMax else {
            throw ClinicSyncError(
                .usage,
                "A join code is good for 1 to \(EnrollmentDesk.usesMax) PCs and 1 second to 30 days: choose other numbers."
            )
        }
        let secret = EnrollmentDesk.randomBytes(JoinCode.secretBytes)
        let now = self.wallClock()
        let invitation = InvitationBook.Invitation(
            id: Data(JoinProof.invitationID(secret: secret)),
            proofKey: JoinProof.key(secret: secret).withUnsafeBytes { Data($0) },
            madeAt: now,
            expiresAt: now + ttl.components.seconds * 1_000,
            usesLeft: uses
        )
        try self.state.withLockedValue { state in
            var book = state.book
            try book.add(invitation, at: now)
            try book.write(to: self.store.directory)
            state.book = book
        }
        return JoinCode(pin: self.store.clinicID, secret: secret, addresses: addresses)
    }

    /// A fresh challenge for one connection.
    package func makeChallenge() -> EnrollmentChallenge {
        EnrollmentChallenge(nonce: EnrollmentDesk.randomBytes(EnrollmentChallenge.nonceBytes))
    }

    /// Answers a request.
    ///
    /// - Parameters:
    ///   - request: the PC's request.
    ///   - challenge: the challenge that the PC received.
    ///   - standing: the standing that the PC's certificate proves.
    ///   - certificate: the PC's certificate in DER.
    ///   - address: the remote IP address of the socket.
    /// - Returns: The reply. The desk has already written to disk what the reply grants.
    package func answer(
        _ request: EnrollmentRequest,
        to challenge: EnrollmentChallenge,
        standing: PeerStanding,
        certificate: [UInt8],
        address: String
    ) -> EnrollmentReply {
        switch (request, standing) {
        case (_, .revoked): .refused(.revoked)
        case (.join(let join), .applicant(let node)):
            self.join(
                join,
                proof: { key in
                    self.store.shownCertificates.contains { host in
                        JoinProof.isValid(
                            join.proof,
                            key: key,
                            host: host,
                            asker: certificate,
                            nonce: challenge.nonce,
                            certificateRequest: join.certificateRequest
                        )
                    }
                },
                node: node,
                address: address
            )
        case (.renew(let certificateRequest), .member(let credential)),
            (.renew(let certificateRequest), .expired(let credential)):
            self.renew(certificateRequest, node: credential.node)
        default: .refused(.malformed)
        }
    }

    private func renew(_ certificateRequest: [UInt8], node: NodeID) -> EnrollmentReply {
        if self.store.isRevoked(node) { return .refused(.revoked) }
        guard let issuer = self.store.issuer else { return .refused(.noSigningRight) }
        guard let key = CertificateRequest.publicKey(in: certificateRequest, of: node) else {
            return .refused(.malformed)
        }
        do {
            return .renewed(certificates: try issuer.issue(for: key, at: self.wallClock()))
        } catch {
            return .refused(.malformed)
        }
    }

    private func join(
        _ request: JoinRequest,
        proof isProven: (SymmetricKey) -> Bool,
        node: NodeID,
        address: String
    ) -> EnrollmentReply {
        let now = self.wallClock()
        if self.state.withLockedValue({ self.isLocked(address, $0) }) { return .refused(.lockedOut) }
        guard let issuer = self.store.issuer else { return .refused(.noSigningRight) }
        guard EnrollmentDesk.isName(request.nodeName),
            let key = CertificateRequest.publicKey(in: request.certificateRequest, of: node)
        else { return .refused(.malformed) }
        do {
            // The desk signs before it consumes the code, so that a failure does not cost a use of the code.
            let membership = self.membership(certificates: try issuer.issue(for: key, at: now))
            let outcome = try self.state.withLockedValue { state in
                // The desk checks again under the lock, so that ten wrong codes are the limit even when many arrive at
                // once.
                if self.isLocked(address, state) { return InvitationBook.Outcome.refused(.lockedOut) }
                let taker = InvitationBook.Taker(node: node, name: request.nodeName)
                let outcome = try self.decide(request.invitationID, isProven, of: taker, from: address, at: now, &state)
                if outcome == .taken { self.note(node, name: request.nodeName, at: now, &state) }
                return outcome
            }
            switch outcome {
            case .refused(let refusal): return .refused(refusal)
            case .taken: return .joined(membership)
            }
        } catch {
            return .refused(.storageFailed)
        }
    }

    /// The PCs that joined here in the last 30 days.
    package var admissions: [AdmissionBook.Admission] { self.state.withLockedValue { $0.admissions.admissions } }

    private func note(_ node: NodeID, name: String, at now: Int64, _ state: inout State) {
        state.admissions.add(node, name: name, at: now)
        do { try state.admissions.write(to: self.store.directory) } catch {
            // The book is for people. The PC is a member, and must not be refused for it.
        }
    }

    private func isLocked(_ address: String, _ state: State) -> Bool {
        state.lockOut.remaining([address], at: self.monotonic()) != nil
    }

    private func decide(
        _ id: [UInt8],
        _ isProven: (SymmetricKey) -> Bool,
        of taker: InvitationBook.Taker,
        from address: String,
        at now: Int64,
        _ state: inout State
    ) throws -> InvitationBook.Outcome {
        var book = state.book
        let key = book.proofKey(of: id, at: now).map { SymmetricKey(data: $0) }
        // The desk takes as long to refuse an unknown code as a wrong code.
        guard isProven(key ?? SymmetricKey(size: .bits256)), key != nil else {
            state.lockOut.failed([address], at: self.monotonic())
            if book.countWrongProof(of: id) {
                state.book = book
                try book.write(to: self.store.directory)
            }
            return .refused(.unknownCode)
        }
        // The desk checks this last, because a PC without a code must not learn which keys are revoked.
        if self.store.isRevoked(taker.node) { return .refused(.revoked) }
        let outcome = book.take(id, by: taker, at: now)
        if outcome == .taken, self.isNameTaken(taker, in: book) {
            // The use of the code is not written.
            return .refused(.nameTaken)
        }
        if outcome == .taken {
            // The desk writes before the reply, so that the code is not valid again after a crash.
            try book.write(to: self.store.directory)
            state.book = book
        }
        return outcome
    }

    /// Returns whether a member has the name of a new PC, or a PC that joined a moment ago and is not known as a member yet.
    private func isNameTaken(_ taker: InvitationBook.Taker, in book: InvitationBook) -> Bool {
        if self.members.isNameTaken(taker.name, taker.node) { return true }
        return book.takers(of: taker.name).contains { node in
            node != taker.node && !self.store.isRevoked(node) && !self.members.isKnown(node)
        }
    }

    private func membership(certificates: [[UInt8]]) -> Membership {
        let surroundings = self.surroundings()
        return Membership(
            clinicID: self.store.clinicID.description,
            clinicName: surroundings.clinicName,
            certificates: certificates,
            authority: self.store.authority.der,
            hostID: surroundings.hostID,
            hostAddresses: surroundings.hostAddresses,
            revocations: Array(self.store.newestRevocations(EnrollmentDesk.revocationsMax))
        )
    }

    private static func isName(_ name: String) -> Bool {
        name.utf8.count <= EnrollmentDesk.nameBytesMax
            && name.contains { !$0.isWhitespace }
            && name.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
    }

    private static func randomBytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return [UInt8](count: count, using: &generator)
    }
}

extension LockOutPolicy {
    /// The policy for join codes, by address: ten wrong codes lock the address for 15 minutes, then the count restarts.
    static let joinCodes = LockOutPolicy(
        failuresMax: 10,
        window: .seconds(15 * 60),
        lockMin: .seconds(15 * 60),
        lockMax: .seconds(15 * 60),
        probation: .zero,
        recordsMax: 1_024
    )
}
