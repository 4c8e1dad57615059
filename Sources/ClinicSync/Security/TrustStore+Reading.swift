package import ClinicSyncModel
import NIOConcurrencyHelpers
import X509

/// Facts that the runtime shows to people and writes into the replicated tables.
extension TrustStore {
    /// The end of this node's certificate, milliseconds since 1970.
    package var certificateExpiresAt: Int64 { self.ownCredential.expiresAt }

    /// This node's certificate in DER.
    package var ownCertificate: [UInt8] { self.certificates.first ?? [] }

    /// The right to sign that the authority gave to this node.
    var ownGrant: SigningGrant? { self.state.withLockedValue { $0.grant } }

    /// All revocations that this node keeps, ordered by number.
    package var knownRevocations: [Revocation] {
        self.state.withLockedValue { Array($0.revocations.values) }.sorted { $0.precedes($1) }
    }

    /// Why this node must stop; `nil` while the node is a member.
    package var refusal: ClinicSyncError? { self.isRevoked(self.nodeID) ? .removedFromClinic() : nil }

    /// Returns whether `entry` is a valid revocation of `node`.
    ///
    /// This node may keep a different revocation.
    package func accepts(revocation entry: [UInt8], of node: NodeID) -> Bool {
        if self.state.withLockedValue({ $0.revocations[node]?.bytes == entry }) { return true }
        do {
            return try Revocation(verifying: entry, authority: self.authority).node == node
        } catch {
            return false
        }
    }

    /// Returns when a certificate ends, in milliseconds since 1970; `nil` when the bytes are not a certificate.
    ///
    /// Show the value only to people: the method verifies nothing.
    package func certificateExpiry(of certificate: [UInt8]) -> Int64? {
        do {
            return try Certificate(der: certificate).endsAt
        } catch {
            return nil
        }
    }

    /// Returns whether `certificate` belongs to `node` and the clinic signed it, even when it has expired.
    ///
    /// - Parameters:
    ///   - certificate: the node's own, in DER.
    ///   - node: the node that the certificate must name.
    ///   - grants: signers' certificates in DER, a grant may have signed the certificate; the method accepts forged
    ///     grants as input and ignores them.
    /// - Returns: Whether the clinic signed it for that node.
    package func isMember(_ certificate: [UInt8], of node: NodeID, grants: [[UInt8]]) async -> Bool {
        for signer in [nil] + grants.map({ Optional($0) }) {
            switch await self.judge(der: [certificate] + (signer.map { [$0] } ?? [])) {
            case .member(let credential), .expired(let credential):
                if credential.node == node { return true }
            case .revoked, .applicant, .refused: continue
            }
        }
        return false
    }
}
