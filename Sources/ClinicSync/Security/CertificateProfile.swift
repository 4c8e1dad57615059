import ClinicSyncModel
import Foundation
import NIOSSL
import SwiftASN1
import X509

/// The form of the clinic's certificates, for the code that makes them and the code that judges them.
///
/// TLS shows a certificate to every peer that connects. So no certificate contains the name of a clinic, a PC or a
/// person. Subjects are ids. Profiles follow RFC 5280.
enum CertificateProfile {
    /// The purpose of a certificate.
    ///
    /// Its subject alternative name states the purpose and the node.
    enum Role: String {
        /// A node uses the certificate for connections.
        case node = "urn:clinicsync:node:"
        /// A node other than the authority signs other certificates with it.
        case signer = "urn:clinicsync:signer:"
    }

    /// A node's certificate lives 30 days.
    static let leafLife: Int64 = 30 * 86_400_000
    /// Certificates begin two days before they are made, for PCs whose clocks are slow.
    static let backdating: Int64 = 48 * 3_600_000
    /// The authority lives ten years.
    static let authorityLife: Int64 = 10 * 365 * 86_400_000
    /// The authority begins well before the first certificate that it signs.
    static let authorityBackdating: Int64 = 30 * 86_400_000
    /// The largest number of certificates in a peer's chain: the node's, its signer's and the authority's.
    static let chainMax = 3
    /// The largest size of a certificate in bytes.
    ///
    /// This program's certificates have about 600 bytes.
    static let bytesMax = 4_096
    /// The authority's name, the same in every clinic.
    static let authorityName = "clinic authority"

    /// Returns a subject or issuer that consists of one common name.
    static func name(_ text: String) throws -> DistinguishedName {
        try DistinguishedName { CommonName(text) }
    }

    /// The name that a node uses as signer.
    static func signerName(_ node: NodeID) throws -> DistinguishedName {
        try CertificateProfile.name("signer \(node)")
    }

    /// Returns 16 random bytes with the top bit cleared.
    ///
    /// A set top bit would make the number negative or longer (RFC 5280, section 4.1.2.2).
    static func makeSerialNumber() -> Certificate.SerialNumber {
        var generator = SystemRandomNumberGenerator()
        var bytes = [UInt8](count: 16, using: &generator)
        bytes[0] = bytes[0] & 0x7f | 0x40
        return Certificate.SerialNumber(bytes: bytes)
    }

    /// The extensions of every certificate that a node uses for connections.
    ///
    /// `signer` is the key that signs the certificate. RFC 5280 (4.2.1.1) requires its identifier unless the
    /// certificate signs itself.
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

    /// Returns the moment rounded down to whole seconds, as certificates store it.
    static func date(_ milliseconds: Int64) -> Date {
        Date(timeIntervalSince1970: (Double(milliseconds) / 1_000).rounded(.down))
    }
}

extension Certificate {
    /// Reads DER.
    ///
    /// - Throws: The parser's error, or an error when there are more bytes than ``CertificateProfile`` allows.
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

    /// The id derived from the certificate's public key; `nil` for any key other than P-256.
    var keyID: NodeID? { NodeID(publicKey: self.publicKey) }

    /// The beginning of the certificate's validity, in milliseconds since 1970.
    var beginsAt: Int64 { Int64(self.notValidBefore.timeIntervalSince1970 * 1_000) }

    /// The end of the certificate's validity, in milliseconds since 1970.
    var endsAt: Int64 { Int64(self.notValidAfter.timeIntervalSince1970 * 1_000) }

    /// Returns the node that the certificate names in `role`; `nil` unless this is its only name.
    func namedNode(_ role: CertificateProfile.Role) -> NodeID? {
        let names = Certificate.reading { try self.extensions.subjectAlternativeNames }.map(Array.init) ?? []
        guard names.count == 1, case .uniformResourceIdentifier(let name) = names[0], name.hasPrefix(role.rawValue)
        else { return nil }
        return NodeID(name.dropFirst(role.rawValue.count))
    }

    /// Whether the certificate is only for connections between nodes.
    var isForConnections: Bool {
        guard let usage = Certificate.reading({ try self.extensions.extendedKeyUsage }) else { return false }
        return Certificate.reading { try self.extensions.basicConstraints } == .notCertificateAuthority
            && Certificate.reading { try self.extensions.keyUsage } == KeyUsage(digitalSignature: true)
            && usage.contains(.serverAuth) && usage.contains(.clientAuth)
    }

    /// Returns whether the certificate is for signing, with at most `depth` further signers below it.
    func isForSigning(depth: Int) -> Bool {
        Certificate.reading { try self.extensions.basicConstraints }
            == .isCertificateAuthority(maxPathLength: depth)
            && Certificate.reading { try self.extensions.keyUsage } == KeyUsage(keyCertSign: true)
    }

    /// Whether the certificate is signed with the private key of its own public key, under its own name.
    var isSelfSigned: Bool {
        self.issuer == self.subject && self.publicKey.isValidSignature(self.signature, for: self)
    }

    /// Whether the certificate has a critical extension that this program does not know.
    var hasUnknownDemands: Bool {
        self.extensions.contains { extension_ in
            extension_.critical && extension_.oid != .X509ExtensionID.basicConstraints
                && extension_.oid != .X509ExtensionID.keyUsage
        }
    }

    /// An unreadable extension counts as a missing extension and grants nothing.
    private static func reading<Value>(_ body: () throws -> Value?) -> Value? {
        do { return try body() } catch { return nil }
    }
}
