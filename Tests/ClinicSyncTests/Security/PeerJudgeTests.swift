import ClinicSyncModel
import Crypto
import Foundation
import NIOConcurrencyHelpers
import NIOSSL
import Testing
import X509

@testable import ClinicSync

@Suite("Who a peer is, by its certificates")
struct PeerJudgeTests {
    private let clinic: TestAuthority
    private let rootKey: SigningKey

    init() throws {
        self.clinic = try TestAuthority()
        self.rootKey = try #require(self.clinic.host.authorityKey)
    }

    private func judge(_ chain: [[UInt8]]) async throws -> PeerStanding {
        try await self.clinic.host.judge(chain.map { try NIOSSLCertificate(bytes: $0, format: .der) })
    }

    /// Judges certificates that the authority itself signed.
    private func judge(_ forgery: Forgery) async throws -> PeerStanding {
        try await self.judge([forgery.make(issuer: self.clinic.authority.certificate.subject, signer: self.rootKey)])
    }

    @Test("a node the authority certified is a member, with or without the authority's certificate")
    func member() async throws {
        let directory = try TemporaryDirectory()
        let member = try self.clinic.member(in: directory)
        let expected = PeerStanding.member(
            PeerCredential(node: member.nodeID, signers: [], expiresAt: TestWallClock.start + 30 * 86_400_000)
        )
        #expect(try await self.judge(member.certificates) == expected)
        #expect(try await self.judge(member.certificates + [self.clinic.authority.der]) == expected)
        #expect(await self.clinic.host.judge([]) == .refused(.malformed))
        let long = Array(repeating: member.certificates[0], count: 4)
        #expect(try await self.judge(long) == .refused(.malformed))
    }

    @Test("a node that a grantee certified is a member, whose standing rests on the grantee")
    func signedByGrantee() async throws {
        let directories = try [TemporaryDirectory(), TemporaryDirectory()]
        let grantee = try self.clinic.grantee(in: directories[0])
        let key = SigningKey()
        let chain = try grantee.requireIssuer().issue(for: key.publicKey, at: self.clinic.clock.now)
        #expect(chain.count == 2)
        let credential = PeerCredential(
            node: key.id,
            signers: [grantee.nodeID],
            expiresAt: TestWallClock.start + 30 * 86_400_000
        )
        #expect(try await self.judge(chain) == .member(credential))
        #expect(try await self.judge(chain + [self.clinic.authority.der]) == .member(credential))
        #expect(try await self.judge([chain[0]]) == .refused(.foreign))

        // The signer is revoked. Only the nodes that the revocation vouches for stay members.
        _ = try self.clinic.host.revoke(grantee.nodeID, vouching: [key.id])
        #expect(try await self.judge(chain) == .member(credential))
        #expect(self.clinic.host.review(credential) == .member(credential))
        let later = SigningKey()
        let unvouched = try LeafIssuer(
            authority: self.clinic.authority,
            grant: #require(grantee.state.withLockedValue { $0.grant }),
            key: grantee.key
        ).issue(for: later.publicKey, at: self.clinic.clock.now)
        #expect(try await self.judge(unvouched) == .refused(.signerRevoked))
        let other = PeerCredential(node: later.id, signers: [grantee.nodeID], expiresAt: credential.expiresAt)
        #expect(self.clinic.host.review(other) == .refused(.signerRevoked))
    }

    @Test("a certificate is good from two days before it was made to the last moment of its life, then good to renew")
    func life() async throws {
        let directory = try TemporaryDirectory()
        let member = try self.clinic.member(in: directory)
        let credential = PeerCredential(
            node: member.nodeID,
            signers: [],
            expiresAt: TestWallClock.start + 30 * 86_400_000
        )
        let hour: Int64 = 3_600_000
        for (now, expected): (Int64, PeerStanding) in [
            (TestWallClock.start - 48 * hour - 1_000, .refused(.notYetValid)),
            (TestWallClock.start - 48 * hour, .member(credential)),
            (credential.expiresAt, .member(credential)),
            (credential.expiresAt + 1, .expired(credential)),
            (credential.expiresAt + 3 * 365 * 24 * hour, .expired(credential)),
        ] {
            self.clinic.clock.set(now)
            #expect(try await self.judge(member.certificates) == expected)
            if expected != .refused(.notYetValid) { #expect(self.clinic.host.review(credential) == expected) }
        }
    }

    @Test("a revoked node is told so by its revocation, whatever the clock says")
    func revoked() async throws {
        let directory = try TemporaryDirectory()
        let member = try self.clinic.member(in: directory)
        let notice = try self.clinic.host.revoke(member.nodeID)
        for days in [0.0, 40, -90] {
            self.clinic.clock.advance(days: days)
            guard case .revoked(let credential, let bytes) = try await self.judge(member.certificates) else {
                Issue.record("not revoked after \(days) days")
                continue
            }
            #expect(credential.node == member.nodeID)
            #expect(bytes == notice)
            #expect(self.clinic.host.review(credential) == .revoked(credential, notice: notice))
        }
    }

    @Test("another clinic's certificates are foreign, though its authority has the same name")
    func foreign() async throws {
        let other = try TestAuthority()
        #expect(other.authority.certificate.subject == self.clinic.authority.certificate.subject)
        #expect(try await self.judge(other.host.certificates) == .refused(.foreign))
        #expect(try await self.judge(other.host.certificates + [other.authority.der]) == .refused(.foreign))
        #expect(
            try await self.judge(other.host.certificates + [self.clinic.authority.der]) == .refused(.foreign)
        )
    }

    @Test("the authority's own certificate is good for no connection")
    func authorityAsPeer() async throws {
        #expect(try await self.judge([self.clinic.authority.der]) == .refused(.malformed))
    }

    @Test("what the authority signed for anything but connections is refused")
    func usage() async throws {
        let wrong: [Forgery] = [
            Forgery(usages: [.emailProtection]), Forgery(usages: [.serverAuth]), Forgery(usages: [.clientAuth]),
            Forgery(usages: []), Forgery(keyUsage: KeyUsage(digitalSignature: true, keyCertSign: true)),
            Forgery(keyUsage: KeyUsage(keyEncipherment: true)),
            Forgery(basicConstraints: .isCertificateAuthority(maxPathLength: 0)),
        ]
        for forgery in wrong {
            #expect(try await self.judge(forgery) == .refused(.wrongUsage))
        }
        guard case .member = try await self.judge(Forgery()) else {
            Issue.record("the certificate that the others differ from is no good")
            return
        }
    }

    @Test("a demand that nobody here understands is refused")
    func unknownDemand() async throws {
        #expect(try await self.judge(Forgery(criticalUsage: true)) == .refused(.foreign))
        #expect(try await self.judge([Forgery(criticalUsage: true).selfSigned()]) == .refused(.malformed))
    }

    @Test("a certificate has exactly one name, that of a node")
    func names() async throws {
        let id = SigningKey().id
        for name in ["", "urn:clinicsync:node:", "urn:clinicsync:signer:\(id)", "https://example.org/\(id)"] {
            #expect(try await self.judge(Forgery(name: name)) == .refused(.malformed))
        }
        let extra: [[GeneralName]] = [[.dnsName("host")], [.uniformResourceIdentifier("urn:clinicsync:node:\(id)")]]
        for names in extra {
            #expect(try await self.judge(Forgery(extraNames: names)) == .refused(.malformed))
            #expect(try await self.judge([Forgery(extraNames: names).selfSigned()]) == .refused(.malformed))
        }
    }

    @Test("a certificate that names another node than its key's is refused")
    func identityMismatch() async throws {
        let name = "urn:clinicsync:node:\(SigningKey().id)"
        #expect(try await self.judge(Forgery(name: name)) == .refused(.identityMismatch))
        #expect(try await self.judge([Forgery(name: name).selfSigned()]) == .refused(.identityMismatch))
    }

    @Test("keys other than P-256 are refused")
    func otherKeys() async throws {
        let key = Certificate.PublicKey(P384.Signing.PrivateKey().publicKey)
        #expect(try await self.judge(Forgery(publicKey: key)) == .refused(.malformed))
    }

    @Test("a member cannot sign: neither with its certificate nor with a grant below a grant")
    func noSigningByMembers() async throws {
        let directories = try [TemporaryDirectory(), TemporaryDirectory()]
        let member = try self.clinic.member(in: directories[0])
        let leaf = try Certificate(der: member.certificates[0])
        let signed = try Forgery().make(issuer: leaf.subject, signer: member.key)
        #expect(try await self.judge([signed] + member.certificates) == .refused(.foreign))

        let grantee = try self.clinic.grantee(in: directories[1])
        let grant = try #require(grantee.state.withLockedValue { $0.grant })
        let subKey = SigningKey()
        let sub = try Forgery(
            key: subKey,
            subject: "signer \(subKey.id)",
            name: "urn:clinicsync:signer:\(subKey.id)",
            basicConstraints: .isCertificateAuthority(maxPathLength: 0),
            keyUsage: KeyUsage(keyCertSign: true),
            usages: []
        ).make(issuer: grant.certificate.subject, signer: grantee.key)
        let below = try Forgery().make(issuer: CertificateProfile.name("signer \(subKey.id)"), signer: subKey)
        #expect(try await self.judge([below, sub, grant.bytes]) == .refused(.foreign))
        // A certificate that is its own issuer does not count in path lengths.
        let twin = try Forgery(
            key: subKey,
            subject: "signer \(grantee.nodeID)",
            name: "urn:clinicsync:signer:\(subKey.id)",
            basicConstraints: .isCertificateAuthority(maxPathLength: 0),
            keyUsage: KeyUsage(keyCertSign: true),
            usages: []
        ).make(issuer: grant.certificate.subject, signer: grantee.key)
        let belowTwin = try Forgery().make(issuer: grant.certificate.subject, signer: subKey)
        #expect(try await self.judge([belowTwin, twin, grant.bytes]) == .refused(.wrongUsage))
    }

    @Test("a signer whose certificate is no grant makes no members")
    func notAGrant() async throws {
        let key = SigningKey()
        for name in ["urn:clinicsync:signer:\(SigningKey().id)", "urn:clinicsync:node:\(key.id)", ""] {
            let signer = try Forgery(
                key: key,
                subject: "signer",
                name: name,
                basicConstraints: .isCertificateAuthority(maxPathLength: 0),
                keyUsage: KeyUsage(keyCertSign: true),
                usages: []
            ).make(issuer: self.clinic.authority.certificate.subject, signer: self.rootKey)
            let leaf = try Forgery().make(issuer: CertificateProfile.name("signer"), signer: key)
            #expect(try await self.judge([leaf, signer]) == .refused(.wrongUsage))
        }
    }

    @Test("whoever shows a certificate of its own making may ask to join, and nothing else")
    func applicant() async throws {
        let key = SigningKey()
        let certificate = try CertificateRequest.selfSigned(key, at: self.clinic.clock.now)
        #expect(try await self.judge([certificate]) == .applicant(key.id))
        #expect(try await self.judge([certificate, self.clinic.authority.der]) == .refused(.malformed))
        #expect(try await self.judge([Forgery(usages: [.emailProtection]).selfSigned()]) == .refused(.wrongUsage))
        #expect(try await self.judge([Forgery(name: "").selfSigned()]) == .refused(.malformed))
        // The certificate has its own name and another key's signature.
        let forged = try Forgery().make(issuer: CertificateProfile.name("someone"), signer: SigningKey())
        #expect(try await self.judge([forged]) == .refused(.malformed))
        // Wrong clocks do not matter.
        self.clinic.clock.advance(days: 4_000)
        #expect(try await self.judge([certificate]) == .applicant(key.id))
    }

    @Test("a certificate with any byte changed makes nobody a member")
    func flippedBytes() async throws {
        let directory = try TemporaryDirectory()
        let good = try self.clinic.member(in: directory).certificates[0]
        for index in good.indices {
            var bad = good
            bad[index] ^= 1 << UInt8(index % 8)
            switch await self.clinic.host.judge([bad].compactMap { try? NIOSSLCertificate(bytes: $0, format: .der) }) {
            case .refused: break
            default: Issue.record("byte \(index) changed, and nobody noticed")
            }
        }
    }
}
