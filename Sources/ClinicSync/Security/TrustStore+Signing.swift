package import ClinicSyncModel
import Crypto
import Foundation
import NIOConcurrencyHelpers
import X509

/// Accepts revocations and grants, and makes them when the node has the right.
extension TrustStore {
    /// Accepts a revocation from a peer or from a row of the database.
    ///
    /// The revocation takes effect at once, even when the write to the file fails. The next call then writes the file.
    ///
    /// - Returns: Whether the revocation is new; `false` for a known or invalid revocation.
    /// - Throws: ``ClinicSyncError`` when a file cannot be written.
    @discardableResult
    package func learn(revocation bytes: [UInt8]) throws -> Bool { try self.learn(revocations: [bytes]) }

    /// Accepts many revocations, and writes the file once.
    ///
    /// Revocations that are known already are not verified again: peers and rows repeat them.
    ///
    /// - Returns: Whether one of them is new.
    /// - Throws: ``ClinicSyncError`` when a file cannot be written.
    @discardableResult
    package func learn(revocations entries: [[UInt8]]) throws -> Bool {
        let known = Set(self.state.withLockedValue { $0.revocations.values.map(\.bytes) })
        let verified = Set(entries).subtracting(known).compactMap { bytes -> Revocation? in
            do {
                return try Revocation(verifying: bytes, authority: self.authority)
            } catch {
                return nil
            }
        }
        return try self.writing.withLock { try self.add(verified.sorted { $0.precedes($1) }) }
    }

    /// Accepts a grant from a row of the database.
    ///
    /// - Returns: Whether the grant gives this node a new right; `false` for other nodes' grants and for invalid
    ///   grants.
    /// - Throws: ``ClinicSyncError`` when a file cannot be written.
    @discardableResult
    package func learn(grant bytes: [UInt8]) throws -> Bool {
        let grant: SigningGrant
        do {
            grant = try SigningGrant(verifying: bytes, authority: self.authority)
        } catch {
            return false
        }
        guard grant.node == self.nodeID, !self.holdsAuthority else { return false }
        return try self.writing.withLock {
            guard self.state.withLockedValue({ $0.grant }) == nil else { return false }
            try IdentityFiles.write(grant: bytes, to: self.directory)
            self.state.withLockedValue { $0.grant = grant }
            return true
        }
    }

    /// Revokes a node.
    ///
    /// - Parameters:
    ///   - node: the node to revoke.
    ///   - vouching: when `node` may sign, the members whose certificates stay valid although `node` may have signed
    ///     them: all that are known and trusted.
    /// - Returns: The signed revocation, for the other nodes. When the node is already revoked, the existing
    ///   revocation.
    /// - Throws: ``ClinicSyncError`` of code `refused` without the right to sign, and for this node itself; those of
    ///   writing files.
    package func revoke(_ node: NodeID, vouching: [NodeID] = []) throws -> [UInt8] {
        guard node != self.nodeID else {
            throw ClinicSyncError(
                .refused,
                "A PC cannot revoke itself: run clinic-node nodes revoke on another PC that has the right to sign."
            )
        }
        let issuer = try self.requireIssuer()
        return try self.writing.withLock {
            let (known, present) = self.state.withLockedValue { ($0.revocations, $0.revocation(of: node)) }
            if let present { return present.bytes }
            let revocation = try Revocation(
                of: node,
                // The number only decides which of two revocations of a node counts, so a saturated number does no
                // harm.
                number: min(known.values.map(\.number).max() ?? 0, Revocation.numberMax - 1) + 1,
                at: self.wallClock(),
                vouching: vouching.filter { !self.isRevoked($0) },
                authority: self.authority,
                issuer: issuer
            )
            _ = try self.add([revocation])
            return revocation.bytes
        }
    }

    /// Gives a member the right to sign.
    ///
    /// - Parameter certificate: the member's certificate in DER. The method uses only its key, which the member's id
    ///   identifies, so the certificate may come from any source.
    /// - Returns: The grant, which the caller must send to the member.
    /// - Throws: ``ClinicSyncError`` of code `refused` without the authority's key, for a revoked node, and for bytes
    ///   that are not a node's certificate.
    package func grant(to certificate: [UInt8]) throws -> [UInt8] {
        guard let key = self.authorityKey, self.maySign else {
            throw ClinicSyncError(
                .refused,
                "Only the PC on which the clinic was made can give the right to sign: run the command there."
            )
        }
        guard let (node, publicKey) = TrustStore.owner(of: certificate) else {
            throw ClinicSyncError(
                .refused,
                "The certificate of that PC is unknown: wait until that PC has connected once."
            )
        }
        guard !self.isRevoked(node) else {
            throw ClinicSyncError(.refused, "That PC is revoked: let it join again first.")
        }
        return try SigningGrant(to: publicKey, authority: self.authority, key: key).bytes
    }

    /// The issuer with which this node signs.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused` without the right.
    func requireIssuer() throws -> LeafIssuer {
        guard let issuer = self.issuer else {
            throw ClinicSyncError(
                .refused,
                "This PC has no right to sign for the clinic: use one that has, or give it with clinic-node nodes grant."
            )
        }
        return issuer
    }

    private static func owner(of certificate: [UInt8]) -> (NodeID, P256.Signing.PublicKey)? {
        do {
            let certificate = try Certificate(der: certificate)
            guard let key = P256.Signing.PublicKey(certificate.publicKey),
                certificate.isForConnections, certificate.namedNode(.node) == NodeID(publicKey: key)
            else { return nil }
            return (NodeID(publicKey: key), key)
        } catch {
            return nil
        }
    }

    /// The caller must hold ``writing``.
    private func add(_ revocations: [Revocation]) throws -> Bool {
        var (isNew, isFull) = (false, false)
        let unsaved = self.state.withLockedValue { state -> [Revocation]? in
            for revocation in revocations where state.isNews(revocation) {
                let isKnown = state.revocations[revocation.node] != nil
                guard isKnown || state.revocations.count < TrustStore.revocationsMax else {
                    isFull = true
                    continue
                }
                state.revocations[revocation.node] = revocation
                state.isSaved = false
                isNew = true
            }
            return state.isSaved ? nil : Array(state.revocations.values)
        }
        if let unsaved {
            let sorted = unsaved.sorted { $0.precedes($1) }
            try IdentityFiles.write(revocations: sorted.map(\.bytes), to: self.directory)
            self.state.withLockedValue { $0.isSaved = true }
        }
        guard !isFull else {
            throw ClinicSyncError(
                .refused,
                "The clinic has revoked \(TrustStore.revocationsMax) PCs, which is the limit: make a new clinic."
            )
        }
        return isNew
    }
}
