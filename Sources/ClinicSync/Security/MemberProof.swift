package import ClinicSyncModel
import X509

/// A certificate that proves that a node is or was a member of the clinic.
///
/// The proof depends on no clock: an expired certificate proves a membership as well as a fresh one. Whether the node is
/// still a member depends on revocations; ask ``TrustStore/review(_:)`` about ``credential``.
package struct MemberProof: Sendable, Hashable {
    /// The member.
    package let node: NodeID
    /// The member's certificate in DER.
    package let certificate: [UInt8]
    /// The grant with which the certificate was signed; `nil` when the authority signed it.
    package let grant: SigningGrant?
    /// The end of the certificate's life, milliseconds since 1970.
    package let expiresAt: Int64

    /// What the certificate proves about the node.
    package var credential: PeerCredential {
        PeerCredential(node: self.node, signers: self.grant.map { [$0.node] } ?? [], expiresAt: self.expiresAt)
    }

    /// The certificate in DER, then the grant.
    package var chain: [[UInt8]] { [self.certificate] + (self.grant.map { [$0.bytes] } ?? []) }

    /// Reads a member's certificate and checks that the clinic signed it for the node that it names.
    ///
    /// - Parameters:
    ///   - certificate: the certificate in DER.
    ///   - grants: grants of the clinic, one of which may have signed the certificate.
    ///   - authority: the clinic's authority.
    /// - Throws: ``ClinicSyncError`` of code `refused`.
    package init(
        verifying certificate: [UInt8],
        grants: some Sequence<SigningGrant>,
        authority: ClinicAuthority
    ) throws {
        do {
            let leaf = try Certificate(der: certificate)
            guard leaf.isForConnections, !leaf.hasUnknownDemands, let node = leaf.keyID, leaf.namedNode(.node) == node
            else { throw StatementReader.Malformed() }
            var grant: SigningGrant?
            if leaf.issuer == authority.certificate.subject {
                guard MemberProof.signed(leaf, authority.certificate) else { throw StatementReader.Malformed() }
            } else {
                let signers = grants.filter { $0.certificate.subject == leaf.issuer }
                grant = signers.first { MemberProof.signed(leaf, $0.certificate) }
                guard grant != nil else { throw StatementReader.Malformed() }
            }
            self.node = node
            self.certificate = certificate
            self.grant = grant
            self.expiresAt = leaf.endsAt
        } catch {
            throw ClinicSyncError(
                .refused,
                "The certificate is not one that this clinic signed for a node: let the PC connect or join again.",
                cause: error
            )
        }
    }

    private static func signed(_ leaf: Certificate, _ signer: Certificate) -> Bool {
        signer.publicKey.isValidSignature(leaf.signature, for: leaf)
    }
}
