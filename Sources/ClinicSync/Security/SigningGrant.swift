package import ClinicSyncModel
import Crypto
import Foundation
import X509

/// The right of a node to sign for the clinic: a certificate for the node's own key, signed by the authority.
///
/// A grant is public, and its signature proves it, so it may be sent and stored anywhere. It is useless without the node's
/// private key.
package struct SigningGrant: Sendable, Hashable {
    /// The node that has the right.
    package let node: NodeID
    /// The certificate.
    let certificate: Certificate
    /// The certificate's DER form, which nodes exchange.
    package let bytes: [UInt8]

    /// Reads a grant and checks that the authority gave it.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused`.
    package init(verifying bytes: [UInt8], authority: ClinicAuthority) throws {
        do {
            let certificate = try Certificate(der: bytes)
            guard let node = SigningGrant.grantee(of: certificate),
                certificate.issuer == authority.certificate.subject,
                authority.certificate.publicKey.isValidSignature(certificate.signature, for: certificate)
            else { throw ClinicSyncError(.refused, "") }
            self.node = node
            self.certificate = certificate
            self.bytes = bytes
        } catch {
            throw ClinicSyncError(
                .refused,
                "The grant is not one that this clinic's authority gave: give the right again with clinic-node nodes grant.",
                cause: error
            )
        }
    }

    /// Gives the right to the owner of `publicKey`, for as long as the authority lives.
    init(to publicKey: P256.Signing.PublicKey, authority: ClinicAuthority, key: SigningKey) throws {
        let node = NodeID(publicKey: publicKey)
        let certificate = try Certificate(
            version: .v3,
            serialNumber: CertificateProfile.makeSerialNumber(),
            publicKey: Certificate.PublicKey(publicKey),
            notValidBefore: authority.certificate.notValidBefore,
            notValidAfter: authority.certificate.notValidAfter,
            issuer: authority.certificate.subject,
            subject: try CertificateProfile.signerName(node),
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true))
                SubjectAlternativeNames([
                    .uniformResourceIdentifier(CertificateProfile.Role.signer.rawValue + node.description)
                ])
                SubjectKeyIdentifier(hash: Certificate.PublicKey(publicKey))
                CertificateProfile.keyIdentifier(ofSigner: key.publicKey)
            },
            issuerPrivateKey: key.certificateKey
        )
        self.node = node
        self.certificate = certificate
        self.bytes = try certificate.der()
    }

    /// The node that a certificate allows to sign; `nil` unless the certificate has the form of a grant.
    ///
    /// The method does not check the signature.
    static func grantee(of certificate: Certificate) -> NodeID? {
        guard let node = certificate.keyID, certificate.namedNode(.signer) == node,
            certificate.isForSigning(depth: 0), !certificate.hasUnknownDemands
        else { return nil }
        return node
    }
}
