import ClinicSyncModel
import Crypto
import Foundation
import NIOConcurrencyHelpers
import NIOSSL
import X509

@testable import ClinicSync

/// A wall clock that tests set.
final class TestWallClock: Sendable {
    /// 21 November 2026, noon.
    static let start: Int64 = 1_795_262_400_000

    private let milliseconds = NIOLockedValueBox(TestWallClock.start)

    var now: Int64 { self.milliseconds.withLockedValue { $0 } }

    func set(_ milliseconds: Int64) { self.milliseconds.withLockedValue { $0 = milliseconds } }

    func advance(days: Double = 0, hours: Double = 0, minutes: Double = 0) {
        let seconds = days * 86_400 + hours * 3_600 + minutes * 60
        self.milliseconds.withLockedValue { $0 += Int64(seconds * 1_000) }
    }
}

/// A clinic with its authority, and nodes whose files are in temporary directories.
struct TestAuthority {
    let clock = TestWallClock()
    let host: TrustStore
    let directories: [TemporaryDirectory]

    init() throws {
        let directory = try TemporaryDirectory()
        self.directories = [directory]
        self.host = try TestAuthority.store(
            IdentityFiles.found(at: self.clock.now),
            in: directory,
            clock: self.clock
        )
    }

    var authority: ClinicAuthority { self.host.authority }

    /// Writes files and reads them like a node at its start.
    static func store(
        _ files: IdentityFiles,
        in directory: TemporaryDirectory,
        clock: TestWallClock
    ) throws -> TrustStore {
        let node = NodeDirectory(url: directory.url)
        try files.write(to: node)
        return try TrustStore.load(directory: node) { clock.now }
    }

    /// A member, certified by the host.
    func member(in directory: TemporaryDirectory) throws -> TrustStore {
        let key = SigningKey()
        let files = IdentityFiles(
            key: key,
            certificates: try self.host.requireIssuer().issue(for: key.publicKey, at: self.clock.now),
            authority: self.authority
        )
        return try TestAuthority.store(files, in: directory, clock: self.clock)
    }

    /// A member with the right to sign.
    func grantee(in directory: TemporaryDirectory) throws -> TrustStore {
        let member = try self.member(in: directory)
        let isNew = try member.learn(grant: self.host.grant(to: member.certificates[0]))
        guard isNew else { throw ClinicSyncError(.refused, "the grant was not taken") }
        return member
    }
}

/// Makes certificates that no node of the clinic would make.
struct Forgery {
    var key = SigningKey()
    var publicKey: Certificate.PublicKey?
    var begins = TestWallClock.start - 3_600_000
    var ends = TestWallClock.start + 30 * 86_400_000
    var subject = "someone"
    var name: String?
    var extraNames: [GeneralName] = []
    var basicConstraints = BasicConstraints.notCertificateAuthority
    var keyUsage = KeyUsage(digitalSignature: true)
    var usages: [ExtendedKeyUsage.Usage] = [.serverAuth, .clientAuth]
    var criticalUsage = false

    /// Signs the certificate in the name of `issuer`, with `signer`'s key.
    func make(issuer: DistinguishedName, signer: SigningKey) throws -> [UInt8] {
        let name = self.name ?? "urn:clinicsync:node:\(self.key.id)"
        return try Certificate(
            version: .v3,
            serialNumber: CertificateProfile.makeSerialNumber(),
            publicKey: self.publicKey ?? self.key.publicKey,
            notValidBefore: CertificateProfile.date(self.begins),
            notValidAfter: CertificateProfile.date(self.ends),
            issuer: issuer,
            subject: try CertificateProfile.name(self.subject),
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(self.basicConstraints)
                Critical(self.keyUsage)
                if self.criticalUsage {
                    Critical(try ExtendedKeyUsage(self.usages))
                } else if !self.usages.isEmpty {
                    try ExtendedKeyUsage(self.usages)
                }
                if !name.isEmpty {
                    SubjectAlternativeNames([.uniformResourceIdentifier(name)] + self.extraNames)
                }
            },
            issuerPrivateKey: signer.certificateKey
        ).der()
    }

    /// Signs the certificate in its own name.
    func selfSigned() throws -> [UInt8] {
        try self.make(issuer: CertificateProfile.name(self.subject), signer: self.key)
    }
}
