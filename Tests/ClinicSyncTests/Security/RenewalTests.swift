import ClinicSyncModel
import Foundation
import NIOSSL
import Testing

@testable import ClinicSync

@Suite("Renewal of certificates")
struct RenewalTests {
    private let clinic: TestAuthority
    private let host: TestDesk
    private let directory: TemporaryDirectory
    private let member: TrustStore

    init() throws {
        self.clinic = try TestAuthority()
        self.host = try TestDesk(self.clinic)
        self.directory = try TemporaryDirectory()
        self.member = try self.clinic.member(in: self.directory)
    }

    private func certificates(of reply: EnrollmentReply) throws -> [[UInt8]] {
        guard case .renewed(let certificates) = reply else {
            throw ClinicSyncError(.refused, "not renewed: \(reply)")
        }
        return certificates
    }

    @Test("a member, and one whose certificate has run out, gets a new one for its key", arguments: [0.0, 20, 31, 400])
    func renew(days: Double) async throws {
        self.clinic.clock.advance(days: days)
        try self.clinic.host.renewOwn()
        try await self.member.install(certificates: self.certificates(of: self.host.renew(self.member)))
        #expect(self.member.ownCredential.issuedAt == self.clinic.clock.now)
        let shown = try self.member.certificates.map { try NIOSSLCertificate(bytes: $0, format: .der) }
        guard case .member(let credential) = await self.clinic.host.judge(shown) else {
            Issue.record("the renewed certificate makes no member")
            return
        }
        #expect(credential.node == self.member.nodeID)
    }

    @Test("a PC whose clock is a day off renews", arguments: [-26.0, 26])
    func clockOff(hours: Double) async throws {
        // The node's own clock is wrong, and the clinic's time is right. The certificate has expired by both.
        let clock = TestWallClock()
        let store = try TrustStore.load(directory: NodeDirectory(url: self.directory.url)) { clock.now }
        self.clinic.clock.advance(days: 33)
        clock.set(self.clinic.clock.now)
        clock.advance(hours: hours)
        try self.clinic.host.renewOwn()
        #expect(store.isRenewalDue(at: clock.now))
        let host = try self.clinic.host.certificates.map { try NIOSSLCertificate(bytes: $0, format: .der) }
        guard case .member = await store.judge(host) else {
            Issue.record("the PC does not believe the host")
            return
        }
        try await store.install(certificates: self.certificates(of: self.host.renew(store)))
        #expect(!store.isRenewalDue(at: clock.now))
    }

    @Test("a PC without the authority's key renews at a grantee, after its own signer is gone for good")
    func atGrantee() async throws {
        let directories = try [TemporaryDirectory(), TemporaryDirectory()]
        let grantee = try self.clinic.grantee(in: directories[0])
        let desk = try TestDesk(self.clinic, store: grantee)
        self.clinic.clock.advance(days: 25)
        let certificates = try self.certificates(of: await desk.renew(self.member))
        #expect(certificates.count == 2)
        try await self.member.install(certificates: certificates)
    }

    @Test("nobody gets a certificate for another key, and who is out gets none")
    func refused() async throws {
        let directory = try TemporaryDirectory()
        let another = try self.clinic.member(in: directory)
        let credential = PeerCredential(node: another.nodeID, signers: [], expiresAt: .max)
        #expect(try await self.host.renew(self.member, standing: .member(credential)).refusal == .malformed)
        #expect(try await self.host.renew(self.member, standing: .applicant(self.member.nodeID)).refusal == .malformed)
        #expect(try await self.host.renew(self.member, standing: .refused(.foreign)).refusal == .malformed)
        for request in [[], [1, 2, 3], [UInt8](repeating: 0x30, count: 5_000), self.member.certificates[0]] {
            let reply = self.host.desk.answer(
                .renew(certificateRequest: request),
                to: self.host.desk.makeChallenge(),
                standing: .member(PeerCredential(node: self.member.nodeID, signers: [], expiresAt: .max)),
                certificate: self.member.certificates[0],
                address: TestDesk.address
            )
            #expect(reply.refusal == .malformed)
        }
        // The standing may be older than the revocation.
        let own = PeerCredential(node: self.member.nodeID, signers: [], expiresAt: .max)
        _ = try self.clinic.host.revoke(self.member.nodeID)
        #expect(try await self.host.renew(self.member, standing: .member(own)).refusal == .revoked)
        #expect(try await self.host.renew(self.member).refusal == .revoked)
    }

    @Test("a request for a certificate with any byte changed is refused")
    func flippedRequest() throws {
        let key = SigningKey()
        let good = try CertificateRequest.make(key)
        #expect(CertificateRequest.publicKey(in: good, of: key.id) == key.publicKey)
        #expect(CertificateRequest.publicKey(in: good, of: SigningKey().id) == nil)
        for index in good.indices {
            var bad = good
            bad[index] ^= 1 << UInt8(index % 8)
            #expect(CertificateRequest.publicKey(in: bad, of: key.id) == nil, "byte \(index)")
        }
    }
}
