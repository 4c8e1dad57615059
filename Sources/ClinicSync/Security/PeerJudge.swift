package import ClinicSyncModel
import Foundation
package import NIOSSL
import SwiftASN1
@_spi(FixedExpiryValidationTime) import X509

/// Decides what a peer may do, from the peer's certificates.
///
/// The swift-certificates library checks signatures, names, path lengths and validity against the clinic's authority
/// only. This type checks what the library's policy leaves out: usage, the name of the node, and revocation.
package struct PeerJudge: Sendable {
    private let authority: ClinicAuthority
    private let wallClock: @Sendable () -> Int64
    private let revocation: @Sendable (NodeID) -> Revocation?

    /// Makes a judge.
    ///
    /// - Parameters:
    ///   - authority: the clinic's authority, the only root of trust.
    ///   - wallClock: milliseconds since 1970.
    ///   - revocation: returns the revocation of a node; `nil` when the node has none.
    package init(
        authority: ClinicAuthority,
        wallClock: @escaping @Sendable () -> Int64,
        revocation: @escaping @Sendable (NodeID) -> Revocation? = { _ in nil }
    ) {
        self.authority = authority
        self.wallClock = wallClock
        self.revocation = revocation
    }

    /// Judges the certificates of a TLS handshake, the peer's own first.
    package func judge(_ chain: [NIOSSLCertificate]) async -> PeerStanding {
        guard (1...CertificateProfile.chainMax).contains(chain.count) else { return .refused(.malformed) }
        do {
            return await self.judge(certificates: try chain.map { try Certificate(der: $0.toDERBytes()) })
        } catch {
            return .refused(.malformed)
        }
    }

    /// Judges certificates in DER, the peer's own first.
    package func judge(der chain: [[UInt8]]) async -> PeerStanding {
        guard (1...CertificateProfile.chainMax).contains(chain.count) else { return .refused(.malformed) }
        do {
            return await self.judge(certificates: try chain.map { try Certificate(der: $0) })
        } catch {
            return .refused(.malformed)
        }
    }

    /// Judges an established peer again, because the time and the set of revoked nodes may have changed.
    package func review(_ credential: PeerCredential) -> PeerStanding {
        self.standing(of: credential, from: .min)
    }

    private func judge(certificates: [Certificate]) async -> PeerStanding {
        let leaf = certificates[0]
        if leaf.issuer == leaf.subject { return PeerJudge.applicant(certificates) }
        // The moment in the leaf's validity that is nearest to now. Code below checks separately whether the leaf has
        // expired, because a peer with an expired certificate may still renew it.
        let moment = min(max(self.wallClock(), leaf.beginsAt), leaf.endsAt)
        var verifier = Verifier(rootCertificates: CertificateStore([self.authority.certificate])) {
            RFC5280Policy(fixedExpiryValidationTime: CertificateProfile.date(moment))
        }
        let result = await verifier.validate(
            leaf: leaf,
            intermediates: CertificateStore(certificates.dropFirst())
        )
        guard case .validCertificate(let chain) = result else { return .refused(.foreign) }
        // The library's path length check ignores self-issued certificates, so this line also checks the length.
        guard chain.count <= CertificateProfile.chainMax else { return .refused(.wrongUsage) }
        var signers = [NodeID]()
        for certificate in chain.dropFirst().dropLast() {
            guard let signer = SigningGrant.grantee(of: certificate) else { return .refused(.wrongUsage) }
            signers.append(signer)
        }
        guard leaf.isForConnections else { return .refused(.wrongUsage) }
        guard let named = leaf.namedNode(.node), let node = leaf.keyID else { return .refused(.malformed) }
        guard named == node else { return .refused(.identityMismatch) }
        return self.standing(
            of: PeerCredential(node: node, signers: signers, expiresAt: leaf.endsAt),
            from: leaf.beginsAt
        )
    }

    private func standing(of credential: PeerCredential, from beginsAt: Int64) -> PeerStanding {
        // Check this first, independent of the clock: a revoked node must learn of its revocation.
        if let revocation = self.revocation(credential.node) {
            return .revoked(credential, notice: revocation.bytes)
        }
        for signer in credential.signers {
            if let revocation = self.revocation(signer), !revocation.vouches(for: credential.node) {
                return .refused(.signerRevoked)
            }
        }
        let now = self.wallClock()
        if now < beginsAt { return .refused(.notYetValid) }
        return now > credential.expiresAt ? .expired(credential) : .member(credential)
    }

    /// Judges a peer with a self-signed certificate.
    ///
    /// The method ignores the validity period. The certificate only proves that the PC holds the key, and a PC with a
    /// wrong clock may join.
    private static func applicant(_ certificates: [Certificate]) -> PeerStanding {
        let leaf = certificates[0]
        guard certificates.count == 1, leaf.isSelfSigned, !leaf.hasUnknownDemands,
            let named = leaf.namedNode(.node), let node = leaf.keyID
        else { return .refused(.malformed) }
        guard leaf.isForConnections else { return .refused(.wrongUsage) }
        return named == node ? .applicant(node) : .refused(.identityMismatch)
    }
}
