import ClinicSync
import ClinicSyncModel
import Crypto
import Foundation
import NIOConcurrencyHelpers
import NIOSSL
import SwiftASN1
import X509

/// A key with its certificate.
struct TestIdentity: Sendable {
    let key: Certificate.PrivateKey
    let certificate: Certificate
    let node: NodeID

    var der: [UInt8] {
        get throws {
            var serializer = DER.Serializer()
            try serializer.serialize(self.certificate)
            return serializer.serializedBytes
        }
    }

    /// The PEM of certificate and key, for `openssl`.
    var pem: String {
        get throws { try self.certificate.serializeAsPEM().pemString + "\n" + self.key.serializeAsPEM().pemString }
    }

    var source: NIOSSLCertificateSource {
        get throws { .certificate(try NIOSSLCertificate(bytes: self.der, format: .der)) }
    }

    var keySource: NIOSSLPrivateKeySource {
        get throws {
            let pem = try self.key.serializeAsPEM().pemString
            return .privateKey(try NIOSSLPrivateKey(bytes: Array(pem.utf8), format: .pem))
        }
    }

    /// TLS for a client that shows this certificate and accepts every certificate of the server.
    func clientContext(maximum: TLSVersion? = nil) throws -> NIOSSLContext {
        try TestIdentity.clientContext(self, maximum: maximum)
    }

    static func clientContext(_ identity: TestIdentity?, maximum: TLSVersion? = nil) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .noHostnameVerification
        configuration.maximumTLSVersion = maximum
        if let identity {
            configuration.certificateChain = [try identity.source]
            configuration.privateKey = try identity.keySource
        }
        return try NIOSSLContext(configuration: configuration)
    }
}

/// A clinic's authority, which issues right and wrong certificates.
struct TestClinic: Sendable {
    /// The default clinic of the tests.
    static let shared = Result { try TestClinic() }

    let authority: TestIdentity

    init() throws {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let name = try DistinguishedName { CommonName("clinic authority") }
        let certificate = try Certificate(
            version: .v3,
            serialNumber: .init(bytes: [1]),
            publicKey: key.publicKey,
            notValidBefore: Date() - 86_400,
            notValidAfter: Date() + 86_400,
            issuer: name,
            subject: name,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try .init { Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 1)) },
            issuerPrivateKey: key
        )
        self.authority = TestIdentity(key: key, certificate: certificate, node: try TestClinic.node(of: key.publicKey))
    }

    /// A node's certificate with a life of `days` around now, and with the faults that a test wants.
    func issue(
        days: ClosedRange<Double> = -2...30,
        usage: ExtendedKeyUsage? = nil,
        named: NodeID? = nil
    ) throws -> TestIdentity {
        try TestClinic.certificate(days: days, usage: usage, named: named, signer: self.authority)
    }

    /// The certificate of a PC that is not a member yet.
    static func selfSigned() throws -> TestIdentity {
        try TestClinic.certificate(days: -2...30, usage: nil, named: nil, signer: nil)
    }

    private static func certificate(
        days: ClosedRange<Double>,
        usage: ExtendedKeyUsage?,
        named: NodeID?,
        signer: TestIdentity?
    ) throws -> TestIdentity {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let node = try TestClinic.node(of: key.publicKey)
        let subject = try DistinguishedName { CommonName(node.description) }
        let certificate = try Certificate(
            version: .v3,
            serialNumber: .init(bytes: [2]),
            publicKey: key.publicKey,
            notValidBefore: Date() + days.lowerBound * 86_400,
            notValidAfter: Date() + days.upperBound * 86_400,
            issuer: signer?.certificate.subject ?? subject,
            subject: subject,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try .init {
                Critical(KeyUsage(digitalSignature: true))
                try usage ?? ExtendedKeyUsage([.serverAuth, .clientAuth])
                SubjectAlternativeNames([.uniformResourceIdentifier(TestClinic.prefix + "\(named ?? node)")])
            },
            issuerPrivateKey: signer?.key ?? key
        )
        return TestIdentity(key: key, certificate: certificate, node: node)
    }

    static let prefix = "urn:clinicsync:node:"

    static func node(of key: Certificate.PublicKey) throws -> NodeID {
        let digest = Array(SHA256.hash(data: try key.serializeAsPEM().derBytes))
        let halves = [digest[0..<8], digest[8..<16]].map { $0.reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
        return NodeID(high: halves[0], low: halves[1])
    }
}

/// A simple judge of one clinic's certificates.
///
/// A test can revoke nodes and advance the time.
final class TestAuthenticator: PeerAuthenticator {
    private struct State {
        var revoked: [NodeID: [UInt8]] = [:]
        var timePassed: TimeInterval = 0
    }

    let serverContext: NIOSSLContext
    let clientContext: NIOSSLContext
    private let authority: Certificate
    private let state = NIOLockedValueBox(State())

    init(_ identity: TestIdentity, of clinic: TestClinic) throws {
        self.authority = clinic.authority.certificate
        var server = TLSConfiguration.makeServerConfigurationWithMTLS(
            certificateChain: [try identity.source, try clinic.authority.source],
            privateKey: try identity.keySource,
            trustRoots: .certificates([])
        )
        server.minimumTLSVersion = .tlsv13
        server.certificateVerification = .noHostnameVerification
        self.serverContext = try NIOSSLContext(configuration: server)
        var client = TLSConfiguration.makeClientConfiguration()
        client.minimumTLSVersion = .tlsv13
        client.certificateVerification = .noHostnameVerification
        client.certificateChain = [try identity.source]
        client.privateKey = try identity.keySource
        self.clientContext = try NIOSSLContext(configuration: client)
    }

    func revoke(_ node: NodeID, notice: [UInt8]) { self.state.withLockedValue { $0.revoked[node] = notice } }

    func passTime(days: Double) { self.state.withLockedValue { $0.timePassed += days * 86_400 } }

    func judge(_ chain: [NIOSSLCertificate]) async -> PeerStanding {
        do {
            guard let first = chain.first else { return .refused(.malformed) }
            return try self.judge(try Certificate(derEncoded: first.toDERBytes()))
        } catch {
            return .refused(.malformed)
        }
    }

    func review(_ credential: PeerCredential) -> PeerStanding {
        let state = self.state.withLockedValue { $0 }
        if let notice = state.revoked[credential.node] { return .revoked(credential, notice: notice) }
        let now = Date().timeIntervalSince1970 + state.timePassed
        return Int64(now * 1_000) > credential.expiresAt ? .expired(credential) : .member(credential)
    }

    private func judge(_ leaf: Certificate) throws -> PeerStanding {
        let node = try TestClinic.node(of: leaf.publicKey)
        let isSelfSigned = leaf.publicKey.isValidSignature(leaf.signature, for: leaf)
        guard isSelfSigned || self.authority.publicKey.isValidSignature(leaf.signature, for: leaf) else {
            return .refused(.foreign)
        }
        let names = try leaf.extensions.subjectAlternativeNames
        guard names?.first == .uniformResourceIdentifier(TestClinic.prefix + node.description) else {
            return .refused(.identityMismatch)
        }
        if isSelfSigned { return .applicant(node) }
        guard let usage = try leaf.extensions.extendedKeyUsage, usage.contains(.clientAuth), usage.contains(.serverAuth)
        else { return .refused(.wrongUsage) }
        if leaf.notValidBefore > Date() { return .refused(.notYetValid) }
        return self.review(
            PeerCredential(
                node: node,
                signers: [],
                expiresAt: Int64(leaf.notValidAfter.timeIntervalSince1970 * 1_000)
            )
        )
    }
}
