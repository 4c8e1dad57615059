import ClinicSyncModel
import Foundation
import NIOSSL
import SwiftASN1
import X509

/// The form of the clinic's certificates, for the code that makes them and the code that judges them.
///
/// TLS shows a certificate to every peer that connects. So no certificate carries the name of a clinic, a PC or a
/// person: subjects are ids. Profiles follow RFC 5280.
enum CertificateProfile {
    /// The purpose of a certificate.
    ///
    /// Its subject alternative name states the purpose and the node.
    enum Role: String {
        /// A node speaks with it.
        case node = "urn:clinicsync:node:"
        /// A node that is not the authority signs others with it.
        case signer = "urn:clinicsync:signer:"
    }

    /// A node's certificate lives 30 days.
    static let leafLife: Int64 = 30 * 86_400_000
    /// Certificates begin two days before they are made, for PCs whose clocks are slow.
    static let backdating: Int64 = 48 * 3_600_000
    /// The authority lives ten years.
    static let authorityLife: Int64 = 10 * 365 * 86_400_000
    /// The authority begins well before the first certificate it signs does.
    static let authorityBackdating: Int64 = 30 * 86_400_000
    /// Certificates a peer may show: a node's, its signer's, the authority's.
    static let chainMax = 3
    /// Bytes of a certificate at most; ours have about 600.
    static let bytesMax = 4_096
    /// The authority's name, the same in every clinic.
    static let authorityName = "clinic authority"

    /// A subject or issuer of one common name.
    static func name(_ text: String) throws -> DistinguishedName {
        try DistinguishedName { CommonName(text) }
    }

    /// The name under which a node signs.
    static func signerName(_ node: NodeID) throws -> DistinguishedName {
        try CertificateProfile.name("signer \(node)")
    }

    /// 16 random bytes without the top bit, which would make it a negative number or a longer one (RFC 5280, 4.1.2.2).
    static func makeSerialNumber() -> Certificate.SerialNumber {
        var generator = SystemRandomNumberGenerator()
        var bytes = [UInt8](count: 16, using: &generator)
        bytes[0] = bytes[0] & 0x7f | 0x40
        return Certificate.SerialNumber(bytes: bytes)
    }

    /// The extensions of every certificate that a node uses for connections.
    ///
    /// `signer` is the key that signs it, which RFC 5280 (4.2.1.1) wants named unless it is the certificate's own.
    static func leafExtensions(_ node: NodeID, signer: Certificate.PublicKey?) throws -> Certificate.Extensions {
        try Certificate.Extensions {
            Critical(BasicConstraints.notCertificateAuthority)
            Critical(KeyUsage(digitalSignature: true))
            try ExtendedKeyUsage([.serverAuth, .clientAuth])
            SubjectAlternativeNames([.uniformResourceIdentifier(Role.node.rawValue + node.description)])
            if let signer { CertificateProfile.keyIdentifier(ofSigner: signer) }
        }
    }

    /// Names the key that signs a certificate.
    static func keyIdentifier(ofSigner key: Certificate.PublicKey) -> AuthorityKeyIdentifier {
        AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: key).keyIdentifier)
    }

    /// The moment, whole seconds down, as certificates have it.
    static func date(_ milliseconds: Int64) -> Date {
        Date(timeIntervalSince1970: (Double(milliseconds) / 1_000).rounded(.down))
    }
}

extension Certificate {
    /// Reads DER.
    ///
    /// - Throws: What the parser says, or that there are more bytes than a certificate of ours can have.
    init(der: [UInt8]) throws {
        guard der.count <= CertificateProfile.bytesMax else {
            throw ClinicSyncError(
                .corrupt,
                "The certificate is larger than 4 096 bytes, which no certificate of a clinic is: make a new join code."
            )
        }
        try self.init(derEncoded: der)
    }

    /// The DER form.
    func der() throws -> [UInt8] {
        var serializer = DER.Serializer()
        try serializer.serialize(self)
        return serializer.serializedBytes
    }

    /// The id that follows from its public key; `nil` for any but a P-256 key.
    var keyID: NodeID? { NodeID(publicKey: self.publicKey) }

    /// The beginning of its life, milliseconds since 1970.
    var beginsAt: Int64 { Int64(self.notValidBefore.timeIntervalSince1970 * 1_000) }

    /// The end of its life, milliseconds since 1970.
    var endsAt: Int64 { Int64(self.notValidAfter.timeIntervalSince1970 * 1_000) }

    /// The node that the certificate names in `role`; `nil` unless that is its only name.
    func namedNode(_ role: CertificateProfile.Role) -> NodeID? {
        let names = Certificate.reading { try self.extensions.subjectAlternativeNames }.map(Array.init) ?? []
        guard names.count == 1, case .uniformResourceIdentifier(let name) = names[0], name.hasPrefix(role.rawValue)
        else { return nil }
        return NodeID(name.dropFirst(role.rawValue.count))
    }

    /// Whether it is for connections between nodes and nothing else.
    var isForConnections: Bool {
        guard let usage = Certificate.reading({ try self.extensions.extendedKeyUsage }) else { return false }
        return Certificate.reading { try self.extensions.basicConstraints } == .notCertificateAuthority
            && Certificate.reading { try self.extensions.keyUsage } == KeyUsage(digitalSignature: true)
            && usage.contains(.serverAuth) && usage.contains(.clientAuth)
    }

    /// Whether it is for signing certificates, at most `depth` further signers below it.
    func isForSigning(depth: Int) -> Bool {
        Certificate.reading { try self.extensions.basicConstraints }
            == .isCertificateAuthority(maxPathLength: depth)
            && Certificate.reading { try self.extensions.keyUsage } == KeyUsage(keyCertSign: true)
    }

    /// Whether it is signed with the private key of its own public key, under its own name.
    var isSelfSigned: Bool {
        self.issuer == self.subject && self.publicKey.isValidSignature(self.signature, for: self)
    }

    /// Whether it has a critical extension that this program does not know.
    var hasUnknownDemands: Bool {
        self.extensions.contains { extension_ in
            extension_.critical && extension_.oid != .X509ExtensionID.basicConstraints
                && extension_.oid != .X509ExtensionID.keyUsage
        }
    }

    /// An extension that cannot be read is as good as none: nothing is granted for it.
    private static func reading<Value>(_ body: () throws -> Value?) -> Value? {
        do { return try body() } catch { return nil }
    }
}
