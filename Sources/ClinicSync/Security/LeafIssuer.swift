package import ClinicSyncModel
import Crypto
import Foundation
import SwiftASN1
package import X509

/// Signs certificates for nodes, as the authority or as a node with a grant of the signing right.
package struct LeafIssuer: Sendable {
    private let authority: ClinicAuthority
    private let key: SigningKey
    private let grant: SigningGrant?

    /// Makes the issuer of the authority.
    package init(authority: ClinicAuthority, key: SigningKey) {
        self.authority = authority
        self.key = key
        self.grant = nil
    }

    /// Makes the issuer of a node with the signing right; `key` is the node's own key.
    package init(authority: ClinicAuthority, grant: SigningGrant, key: SigningKey) {
        self.authority = authority
        self.key = key
        self.grant = grant
    }

    /// The certificates that prove the signing right, without the authority's certificate.
    package var chain: [[UInt8]] { self.grant.map { [$0.bytes] } ?? [] }

    /// The private key that signs.
    var signingKey: SigningKey { self.key }

    /// Signs a certificate for the node whose key is `publicKey`.
    ///
    /// The certificate begins two days before `now` and ends `life` after `now`, but not after the authority's
    /// certificate.
    ///
    /// - Returns: The certificate in DER, then the certificates that prove the signer's right, without the authority's.
    /// - Throws: ``ClinicSyncError`` of code `refused` for a key other than P-256; the library's error.
    package func issue(
        for publicKey: Certificate.PublicKey,
        at now: Int64,
        life: Int64 = CertificateProfile.leafLife
    ) throws -> [[UInt8]] {
        guard let node = NodeID(publicKey: publicKey) else {
            throw ClinicSyncError(.refused, "A node's key is a P-256 key: make a new one by joining again.")
        }
        let end = min(CertificateProfile.date(now + life), self.authority.certificate.notValidAfter)
        let certificate = try Certificate(
            version: .v3,
            serialNumber: CertificateProfile.makeSerialNumber(),
            publicKey: publicKey,
            notValidBefore: CertificateProfile.date(now - CertificateProfile.backdating),
            notValidAfter: end,
            issuer: self.grant.map(\.certificate.subject) ?? self.authority.certificate.subject,
            subject: try CertificateProfile.name(node.description),
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try CertificateProfile.leafExtensions(node, signer: self.key.publicKey),
            issuerPrivateKey: self.key.certificateKey
        )
        return [try certificate.der()] + self.chain
    }
}

/// The certificate and the request of a node that has no certificate of the clinic yet.
package enum CertificateRequest {
    /// Makes the certificate of a PC that is not yet a member.
    ///
    /// The certificate proves only that the PC holds its key.
    package static func selfSigned(_ key: SigningKey, at now: Int64) throws -> [UInt8] {
        let name = try CertificateProfile.name(key.id.description)
        return try Certificate(
            version: .v3,
            serialNumber: CertificateProfile.makeSerialNumber(),
            publicKey: key.publicKey,
            notValidBefore: CertificateProfile.date(now - CertificateProfile.backdating),
            notValidAfter: CertificateProfile.date(now + CertificateProfile.backdating),
            issuer: name,
            subject: name,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try CertificateProfile.leafExtensions(key.id, signer: nil),
            issuerPrivateKey: key.certificateKey
        ).der()
    }

    /// Makes a PKCS #10 request (RFC 2986) in DER, signed with the key to be certified.
    package static func make(_ key: SigningKey) throws -> [UInt8] {
        let request = try CertificateSigningRequest(
            version: .v1,
            subject: try CertificateProfile.name(key.id.description),
            privateKey: key.certificateKey,
            attributes: CertificateSigningRequest.Attributes()
        )
        var serializer = DER.Serializer()
        try serializer.serialize(request)
        return serializer.serializedBytes
    }

    /// Returns the public key of a request by `node`.
    ///
    /// The caller must trust nothing else in a request.
    ///
    /// - Returns: The key; `nil` when the bytes are not a request, the signature does not match the named key, or the
    ///   key is not the key of `node`.
    package static func publicKey(in request: [UInt8], of node: NodeID) -> Certificate.PublicKey? {
        guard request.count <= CertificateProfile.bytesMax else { return nil }
        do {
            let request = try CertificateSigningRequest(derEncoded: request)
            guard NodeID(publicKey: request.publicKey) == node,
                request.publicKey.isValidSignature(request.signature, for: request)
            else { return nil }
            return request.publicKey
        } catch {
            return nil
        }
    }
}
