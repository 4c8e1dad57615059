import ClinicSyncModel
import Foundation
import NIOSSL
import Testing
import X509

@testable import ClinicSync

@Suite("Join codes at the new PC")
struct JoinAttemptTests {
    private let clinic: TestAuthority
    private let host: TestDesk
    private let attempt: JoinAttempt

    init() throws {
        self.clinic = try TestAuthority()
        self.host = try TestDesk(self.clinic)
        self.attempt = try self.host.attempt(self.host.invite(uses: 10))
    }

    private func judge(_ chain: [[UInt8]]) async throws -> PeerStanding {
        try await self.attempt.judge(chain.map { try NIOSSLCertificate(bytes: $0, format: .der) })
    }

    @Test("the answer makes the files of a node whom the others take for a member")
    func files() async throws {
        _ = try self.clinic.host.revoke(SigningKey().id)
        let membership = try #require(try self.host.ask(self.attempt).membership)
        let directory = try TemporaryDirectory()
        let files = try await self.attempt.check(membership)
        let store = try TestAuthority.store(files, in: directory, clock: self.clinic.clock)
        #expect(store.nodeID == self.attempt.nodeID)
        #expect(store.clinicID == self.clinic.host.clinicID)
        #expect(store.revocations == self.clinic.host.revocations)
        #expect(!store.holdsAuthority)
        let shown = try store.certificates.map { try NIOSSLCertificate(bytes: $0, format: .der) }
        let credential = PeerCredential(
            node: store.nodeID,
            signers: [],
            expiresAt: TestWallClock.start + 30 * 86_400_000
        )
        #expect(await self.clinic.host.judge(shown) == .member(credential))
        #expect(FileManager.default.fileExists(atPath: NodeDirectory(url: directory.url).authorityKeyURL.path) == false)
    }

    @Test("only a member of the clinic that the code pins is believed")
    func judgesHost() async throws {
        let host = self.clinic.host
        let root = self.clinic.authority.der
        guard case .member(let credential) = try await self.judge(host.certificates + [root]) else {
            Issue.record("the host is not believed")
            return
        }
        #expect(credential.node == host.nodeID)
        let other = try TestAuthority()
        let impostor = try CertificateRequest.selfSigned(SigningKey(), at: self.clinic.clock.now)
        for chain in [
            host.certificates, other.host.certificates + [other.authority.der], other.host.certificates + [root],
            [impostor], [impostor, root], [root], [root, root], [], host.certificates + [root, root, root],
        ] {
            guard case .refused = try await self.judge(chain) else {
                Issue.record("an impostor with \(chain.count) certificates is believed")
                continue
            }
        }
        // The pinned key in a certificate that another authority made.
        let forged = try Forgery(
            publicKey: self.clinic.authority.certificate.publicKey,
            subject: "clinic authority",
            name: "",
            basicConstraints: .isCertificateAuthority(maxPathLength: 1),
            keyUsage: KeyUsage(keyCertSign: true),
            usages: []
        ).make(issuer: CertificateProfile.name("clinic authority"), signer: SigningKey())
        #expect(try await self.judge(host.certificates + [forged]) == .refused(.foreign))
    }

    @Test("a host's certificate may have run out by two days of this PC's clock, and no more")
    func clockSlack() async throws {
        let chain = self.clinic.host.certificates + [self.clinic.authority.der]
        let end = self.clinic.host.ownCredential.expiresAt
        self.clinic.clock.set(end + 48 * 3_600_000)
        guard case .member = try await self.judge(chain) else {
            Issue.record("not believed")
            return
        }
        self.clinic.clock.set(end + 48 * 3_600_000 + 1)
        guard case .expired = try await self.judge(chain) else {
            Issue.record("believed")
            return
        }
    }

    @Test("an answer that is not what was asked for is refused")
    func check() async throws {
        let good = try #require(try self.host.ask(self.attempt).membership)
        let other = try TestAuthority()
        var wrong = Array(repeating: good, count: 7)
        wrong[0].clinicID = other.host.clinicID.description
        wrong[2].authority = other.authority.der
        wrong[3].certificates = self.clinic.host.certificates
        wrong[4].certificates = []
        wrong[5].certificates = other.host.certificates
        wrong[6].revocations = [try other.host.revoke(SigningKey().id)]
        wrong[1].authority = []
        for membership in wrong {
            await #expect(throws: ClinicSyncError(.refused, "")) { try await self.attempt.check(membership) }
        }
        _ = try await self.attempt.check(good)
    }

    @Test("clocks that differ by days are named as the cause", arguments: [-60.0, 60])
    func clocks(days: Double) async throws {
        let good = try #require(try self.host.ask(self.attempt).membership)
        self.clinic.clock.advance(days: days)
        let error = await #expect(throws: ClinicSyncError(.refused, "")) { try await self.attempt.check(good) }
        #expect(error?.message.contains("clocks") == true)
    }

    @Test("every refusal is a sentence that says what to do", arguments: EnrollmentRefusal.allCases)
    func refusals(refusal: EnrollmentRefusal) {
        #expect(refusal.error.message.hasSuffix("."))
        #expect(refusal.error.code == (refusal == .revoked ? .revoked : .enrollmentRefused))
    }
}
