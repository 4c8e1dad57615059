package import ClinicSyncModel
import NIOConcurrencyHelpers
import X509

/// Facts that the runtime shows to people and writes into the replicated tables.
extension TrustStore {
    /// The end of this node's certificate, milliseconds since 1970.
    package var certificateExpiresAt: Int64 { self.ownCredential.expiresAt }

    /// This node's certificate in DER.
    package var ownCertificate: [UInt8] { self.certificates.first ?? [] }

    /// All revocations this node keeps, by their numbers.
    package var knownRevocations: [Revocation] {
        self.state.withLockedValue { Array($0.revocations.values) }.sorted { $0.precedes($1) }
    }

    /// Why this node must stop; `nil` as long as it is a member.
    package var refusal: ClinicSyncError? { self.isRevoked(self.nodeID) ? .removedFromClinic() : nil }

    /// Whether `entry` is a valid revocation of `node`, though perhaps not the one this node keeps.
    package func accepts(revocation entry: [UInt8], of node: NodeID) -> Bool {
        if self.state.withLockedValue({ $0.revocations[node]?.bytes == entry }) { return true }
        do {
            return try Revocation(verifying: entry, authority: self.authority).node == node
        } catch {
            return false
        }
    }

    /// When a certificate ends, milliseconds since 1970; `nil` for what is no certificate.
    ///
    /// For people only: nothing of it is verified.
    package func certificateExpiry(of certificate: [UInt8]) -> Int64? {
        do {
            return try Certificate(der: certificate).endsAt
        } catch {
            return nil
        }
    }

    /// Whether `certificate` is one of `node` that the clinic signed, run out or not.
    ///
    /// - Parameters:
    ///   - certificate: the node's own, in DER.
    ///   - node: whom it must name.
    ///   - grants: signers' certificates in DER, one of which may have signed it; they need not be genuine.
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
