package import ClinicSyncModel
import Crypto
import Foundation
package import NIOSSL
import X509

/// One attempt of a PC to become a member with a join code.
///
/// The attempt generates a new key and trusts only a host whose certificate chain ends at the authority that the code
/// pins. It converts the answer into the files of a node. The same attempt may ask several addresses, one after the
/// other.
package final class JoinAttempt: Sendable {
    /// The id that this PC gets as a node.
    package let nodeID: NodeID
    private let code: JoinCode
    /// The PC's name for people.
    package let nodeName: String
    let key: SigningKey
    let certificate: [UInt8]
    private let wallClock: @Sendable () -> Int64
    /// TLS with a self-signed certificate of this PC.
    package let clientContext: NIOSSLContext

    /// How long ago a host's certificate may have expired by this PC's clock, which has not been corrected yet.
    private static let clockSlack: Int64 = 48 * 3_600_000

    /// Prepares an attempt.
    ///
    /// - Parameters:
    ///   - code: the code that a person typed.
    ///   - nodeName: the PC's name for people.
    ///   - key: the key of an attempt that was interrupted; otherwise a new one.
    ///   - wallClock: milliseconds since 1970.
    /// - Throws: The errors of the cryptographic libraries.
    package init(
        code: JoinCode,
        nodeName: String,
        key: SigningKey = SigningKey(),
        wallClock: @escaping @Sendable () -> Int64
    ) throws {
        self.code = code
        self.nodeName = nodeName
        self.wallClock = wallClock
        self.key = key
        self.nodeID = self.key.id
        self.certificate = try CertificateRequest.selfSigned(self.key, at: wallClock())
        let shown = try NIOSSLCertificate(bytes: self.certificate, format: .der)
        self.clientContext = try TLSContexts.makeClient(key: self.key, chain: [.certificate(shown)], roots: [])
    }

    /// Judges the certificates of the host: a member of the clinic that the code pins, or a refusal.
    package func judge(_ chain: [NIOSSLCertificate]) async -> PeerStanding {
        guard chain.count <= CertificateProfile.chainMax, let authority = self.pinned(in: chain) else {
            return .refused(.foreign)
        }
        let now = self.wallClock
        let standing = await PeerJudge(authority: authority, wallClock: now).judge(chain)
        guard case .expired(let credential) = standing else { return standing }
        return now() - credential.expiresAt <= JoinAttempt.clockSlack ? .member(credential) : standing
    }

    /// Returns the authority's certificate in a chain: the certificate whose key the code pins.
    private func pinned(in chain: [NIOSSLCertificate]) -> ClinicAuthority? {
        for certificate in chain {
            do {
                return try ClinicAuthority(der: certificate.toDERBytes(), pin: self.code.pin)
            } catch {
                continue
            }
        }
        return nil
    }

    /// Returns the request that answers the host's challenge.
    ///
    /// - Parameters:
    ///   - challenge: the host's challenge.
    ///   - hostCertificate: the certificate in DER that the host showed and ``judge(_:)`` accepted.
    /// - Returns: The request, which is valid only for this challenge and these two certificates.
    /// - Throws: The error of the cryptographic library.
    package func request(to challenge: EnrollmentChallenge, hostCertificate: [UInt8]) throws -> EnrollmentRequest {
        let certificateRequest = try CertificateRequest.make(self.key)
        return .join(
            JoinRequest(
                invitationID: JoinProof.invitationID(secret: self.code.secret),
                proof: JoinProof.make(
                    key: JoinProof.key(secret: self.code.secret),
                    host: hostCertificate,
                    asker: self.certificate,
                    nonce: challenge.nonce,
                    certificateRequest: certificateRequest
                ),
                certificateRequest: certificateRequest,
                nodeName: self.nodeName
            )
        )
    }

    /// Checks the host's answer.
    ///
    /// - Returns: The files to write into the identity directory.
    /// - Throws: ``ClinicSyncError`` of code `refused` for anything other than certificates of the pinned clinic for
    ///   this PC's key.
    package func check(_ membership: Membership) async throws -> IdentityFiles {
        let authority = try ClinicAuthority(der: membership.authority, pin: self.code.pin)
        guard membership.clinicID == authority.id.description else {
            throw ClinicSyncError(
                .refused,
                "The host's answer names another clinic than its certificate: make a new join code."
            )
        }
        for bytes in membership.revocations { _ = try Revocation(verifying: bytes, authority: authority) }
        switch await PeerJudge(authority: authority, wallClock: self.wallClock).judge(der: membership.certificates) {
        case .member(let credential) where credential.node == self.nodeID:
            return IdentityFiles(
                key: self.key,
                certificates: membership.certificates,
                authority: authority,
                revocations: membership.revocations
            )
        case .expired(let credential) where credential.node == self.nodeID:
            throw JoinAttempt.clocksDiffer()
        case .refused(.notYetValid):
            throw JoinAttempt.clocksDiffer()
        default:
            throw ClinicSyncError(
                .refused,
                "The host sent a certificate that is not for this PC: make a new join code."
            )
        }
    }

    private static func clocksDiffer() -> ClinicSyncError {
        ClinicSyncError(
            .refused,
            "The clocks of this PC and the host differ by days: correct them and join with a new code."
        )
    }
}

extension EnrollmentRefusal {
    /// The refusal as an error for people.
    package var error: ClinicSyncError {
        switch self {
        case .unknownCode:
            ClinicSyncError(
                .enrollmentRefused,
                "No open invitation has this code: compare it, or make a new one with clinic-node invite."
            )
        case .expiredCode:
            ClinicSyncError(.enrollmentRefused, "The join code has expired: make a new one with clinic-node invite.")
        case .usedCode:
            ClinicSyncError(
                .enrollmentRefused,
                "The join code was used already: make a new one with clinic-node invite."
            )
        case .lockedOut:
            ClinicSyncError(
                .enrollmentRefused,
                "Too many wrong codes came from this PC's address: wait 15 minutes and try again."
            )
        case .noSigningRight:
            ClinicSyncError(
                .enrollmentRefused,
                "This host has no right to sign: use the address of the PC that made the clinic, or of one with a grant."
            )
        case .revoked: ClinicSyncError.removedFromClinic()
        case .malformed:
            ClinicSyncError(
                .enrollmentRefused,
                "The host did not understand the request: install the same version on both PCs."
            )
        case .overloaded:
            ClinicSyncError(.enrollmentRefused, "The host is overloaded: try again in a minute.")
        case .storageFailed:
            ClinicSyncError(
                .enrollmentRefused,
                "The host could not write its files: look at its log and the free space on its disk."
            )
        case .nameTaken:
            ClinicSyncError(
                .enrollmentRefused,
                "Another PC of the clinic has this name: choose another one with --name."
            )
        }
    }
}
