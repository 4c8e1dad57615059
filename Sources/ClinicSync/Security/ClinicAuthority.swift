package import ClinicSyncModel
import Crypto
import Foundation
package import X509

/// The root of a clinic's trust.
///
/// Every certificate chain of the clinic ends at this certificate. The id of its key is the clinic's id and the pin in
/// join codes.
package struct ClinicAuthority: Sendable, Hashable {
    /// The authority's certificate.
    package let certificate: Certificate
    /// Its DER form.
    package let der: [UInt8]
    /// The id of its key: the clinic's id, and the pin.
    package let id: NodeID

    /// Reads an authority's certificate.
    ///
    /// - Parameters:
    ///   - der: the certificate.
    ///   - pin: the id that the key must have; `nil` accepts any id.
    /// - Throws: ``ClinicSyncError`` of code `refused` for anything other than the certificate of an authority.
    package init(der: [UInt8], pin: NodeID? = nil) throws {
        let certificate: Certificate
        do { certificate = try Certificate(der: der) } catch { throw ClinicAuthority.unusable(error) }
        guard let id = certificate.keyID, pin == nil || pin == id, certificate.isSelfSigned,
            certificate.isForSigning(depth: 1), !certificate.hasUnknownDemands
        else { throw ClinicAuthority.unusable(nil) }
        self.certificate = certificate
        self.der = der
        self.id = id
    }

    /// Makes the authority of a new clinic; `key` is its private key.
    package init(making key: SigningKey, at now: Int64) throws {
        let name = try CertificateProfile.name(CertificateProfile.authorityName)
        let certificate = try Certificate(
            version: .v3,
            serialNumber: CertificateProfile.makeSerialNumber(),
            publicKey: key.publicKey,
            notValidBefore: CertificateProfile.date(now - CertificateProfile.authorityBackdating),
            notValidAfter: CertificateProfile.date(now + CertificateProfile.authorityLife),
            issuer: name,
            subject: name,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 1))
                Critical(KeyUsage(keyCertSign: true))
                SubjectKeyIdentifier(hash: key.publicKey)
            },
            issuerPrivateKey: key.certificateKey
        )
        self.certificate = certificate
        self.der = try certificate.der()
        self.id = key.id
    }

    private static func unusable(_ cause: (any Error)?) -> ClinicSyncError {
        ClinicSyncError(
            .refused,
            "The certificate is not the one of the clinic's authority: check the join code, or restore the file.",
            cause: cause
        )
    }
}
