import ClinicSyncModel
import Foundation
import NIOSSL

@testable import ClinicSync

/// A host that answers enrollments, and PCs that send requests.
struct TestDesk {
    static let address = "192.168.1.20"
    let clinic: TestAuthority
    let desk: EnrollmentDesk

    init(_ clinic: TestAuthority) throws { try self.init(clinic, store: clinic.host) }

    /// The desk of another node of the clinic.
    init(_ clinic: TestAuthority, store: TrustStore) throws {
        self.clinic = clinic
        let clock = clinic.clock
        self.desk = try EnrollmentDesk(
            store: store,
            wallClock: { clock.now },
            monotonic: { .milliseconds(clock.now) },
            members: EnrollmentDesk.Members(
                isNameTaken: { name, _ in name == "host" },
                isKnown: { _ in false }
            )
        ) {
            EnrollmentDesk.Surroundings(
                clinicName: "Clinic",
                hostID: store.nodeID,
                hostAddresses: ["192.168.1.10:7450"]
            )
        }
    }

    func invite(minutes: Int = 30, uses: Int = 1) throws -> JoinCode {
        let address = NetworkAddress(host: "192.168.1.10", port: 7450)
        return try self.desk.invite(ttl: .seconds(minutes * 60), uses: uses, addresses: [address])
    }

    /// An attempt of a PC with a name that no other PC has, unless one is given.
    func attempt(
        _ code: JoinCode,
        name: String = UUID().uuidString,
        key: SigningKey = SigningKey()
    ) throws -> JoinAttempt {
        let clock = self.clinic.clock
        return try JoinAttempt(code: code, nodeName: name, key: key) { clock.now }
    }

    /// Sends the request of a PC after a handshake with the host's present certificate.
    func ask(_ attempt: JoinAttempt, from address: String = TestDesk.address) throws -> EnrollmentReply {
        let challenge = self.desk.makeChallenge()
        let request = try attempt.request(to: challenge, hostCertificate: self.clinic.host.certificates[0])
        return self.answer(request, to: challenge, attempt, from: address)
    }

    func answer(
        _ request: EnrollmentRequest,
        to challenge: EnrollmentChallenge,
        _ attempt: JoinAttempt,
        from address: String = TestDesk.address
    ) -> EnrollmentReply {
        self.desk.answer(
            request,
            to: challenge,
            standing: .applicant(attempt.nodeID),
            certificate: attempt.certificate,
            address: address
        )
    }

    func renew(_ member: TrustStore, standing: PeerStanding? = nil) async throws -> EnrollmentReply {
        let shown = try member.certificates.map { try NIOSSLCertificate(bytes: $0, format: .der) }
        let judged = await self.clinic.host.judge(shown)
        return self.desk.answer(
            try member.makeRenewalRequest(),
            to: self.desk.makeChallenge(),
            standing: standing ?? judged,
            certificate: member.certificates[0],
            address: TestDesk.address
        )
    }
}

extension EnrollmentReply {
    /// The reason of the refusal; `nil` when the PC was admitted.
    var refusal: EnrollmentRefusal? {
        guard case .refused(let refusal) = self else { return nil }
        return refusal
    }

    /// The membership that a new member got.
    var membership: Membership? {
        guard case .joined(let membership) = self else { return nil }
        return membership
    }
}
