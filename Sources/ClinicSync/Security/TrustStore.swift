package import ClinicSyncModel
import Foundation
import NIOConcurrencyHelpers
package import NIOSSL
import X509

/// The node's knowledge of the members of its clinic, kept in its identity directory.
///
/// Trust never depends on the database, because any program of the PC may write it. A row counts only as far as its
/// signature proves it.
///
/// Methods that judge or read hold a lock only briefly, so they may run on an event loop. Methods that change something
/// write files, so they may block. They run one after another.
package final class TrustStore: Sendable {
    /// This node's certificate.
    package struct Credential: Sendable, Hashable {
        /// When the certificate was made, in milliseconds since 1970.
        package var issuedAt: Int64
        /// When the certificate ends, in milliseconds since 1970.
        package var expiresAt: Int64
    }

    /// The largest number of revocations that a node keeps, which is more PCs than a clinic ever has.
    package static let revocationsMax = 4_096

    struct State: Sendable {
        var certificates: [[UInt8]]
        var credential: Credential
        var contexts: TLSContexts
        /// The certificate before the current certificate, because a connection may have begun with it.
        var previousCertificate: [UInt8]?
        var grant: SigningGrant?
        var revocations: [NodeID: Revocation]
        /// The greatest known epoch.
        var epoch: Epoch?
        /// Whether the file contains all of ``revocations``.
        var isSaved = true

        /// The revocation of a node; `nil` while the node is a member.
        ///
        /// A revocation signed with a grant is void when the authority has revoked the signer and vouches for the
        /// revoked node. So a thief of a PC that may sign cannot revoke the whole clinic.
        func revocation(of node: NodeID) -> Revocation? {
            self.revocations[node].flatMap { self.isVoid($0) ? nil : $0 }
        }

        /// Returns whether `revocation` must replace the known revocation of its node.
        ///
        /// A valid revocation replaces a void one. Otherwise a signer that has lost the right could keep a node from being revoked
        /// by signers that have it.
        func isNews(_ revocation: Revocation) -> Bool {
            guard let known = self.revocations[revocation.node], known != revocation else {
                return self.revocations[revocation.node] == nil
            }
            let (isVoid, wasVoid) = (self.isVoid(revocation), self.isVoid(known))
            return isVoid == wasVoid ? revocation.precedes(known) : wasVoid
        }

        private func isVoid(_ revocation: Revocation) -> Bool {
            guard let signer = revocation.signer, let other = self.revocations[signer] else { return false }
            return other.signer == nil && other.vouches(for: revocation.node)
        }
    }

    /// This node.
    package let nodeID: NodeID
    /// The clinic's authority.
    package let authority: ClinicAuthority
    let key: SigningKey
    let authorityKey: SigningKey?
    let directory: NodeDirectory
    let wallClock: @Sendable () -> Int64
    let state: NIOLockedValueBox<State>
    /// Held while files are written, so that the files and ``state`` change in the same order; reading never takes this
    /// lock.
    let writing = NIOLock()

    /// Reads the node's files.
    ///
    /// - Parameters:
    ///   - directory: the node's files.
    ///   - wallClock: milliseconds since 1970.
    /// - Returns: The store.
    /// - Throws: ``ClinicSyncError``: `permission` when other accounts may read the keys, with the command that repairs
    ///   it; `notANode`; `corrupt` for files that cannot be read or do not belong together.
    package static func load(
        directory: NodeDirectory,
        wallClock: @escaping @Sendable () -> Int64
    ) throws -> TrustStore {
        let files = try IdentityFiles.read(from: directory)
        do {
            return try TrustStore(files: files, directory: directory, wallClock: wallClock)
        } catch {
            throw ClinicSyncError(
                .corrupt,
                "The files in \(directory.identityDirectoryURL.path) do not belong together: restore them from a backup.",
                cause: error
            )
        }
    }

    /// Makes a store from files that were read.
    init(files: IdentityFiles, directory: NodeDirectory, wallClock: @escaping @Sendable () -> Int64) throws {
        let id = files.key.id
        guard let bytes = files.certificates.first, try Certificate(der: bytes).keyID == id,
            files.authorityKey.map({ $0.id == files.authority.id }) != false
        else { throw ClinicSyncError(.corrupt, "A certificate is not that of the key.") }
        var revocations = [NodeID: Revocation]()
        for bytes in files.revocations {
            let revocation = try Revocation(verifying: bytes, authority: files.authority)
            revocations[revocation.node] = revocation
        }
        let grant = try files.grant.map { try SigningGrant(verifying: $0, authority: files.authority) }
        self.nodeID = id
        self.authority = files.authority
        self.key = files.key
        self.authorityKey = files.authorityKey
        self.directory = directory
        self.wallClock = wallClock
        self.state = NIOLockedValueBox(
            State(
                certificates: files.certificates,
                credential: try TrustStore.credential(of: bytes),
                contexts: try TLSContexts(
                    key: files.key,
                    certificates: files.certificates,
                    authority: files.authority.der
                ),
                grant: grant?.node == id ? grant : nil,
                revocations: revocations,
                epoch: try files.epoch.map { try EpochProof(verifying: $0, authority: files.authority).epoch }
            )
        )
    }

    // MARK: - Reading

    /// The clinic's id, which is the id of its authority's key.
    package var clinicID: NodeID { self.authority.id }

    /// TLS for accepted connections, with this node's present certificate.
    package var serverContext: NIOSSLContext { self.state.withLockedValue { $0.contexts.server } }

    /// TLS for dialled connections.
    package var clientContext: NIOSSLContext { self.state.withLockedValue { $0.contexts.client } }

    /// This node's certificate.
    package var ownCredential: Credential { self.state.withLockedValue { $0.credential } }

    /// This node's certificate in DER, then its signers' certificates without the authority's.
    package var certificates: [[UInt8]] { self.state.withLockedValue { $0.certificates } }

    /// Whether this node has the authority's key, so that it can grant the right to sign.
    package var holdsAuthority: Bool { self.authorityKey != nil }

    /// Whether this node may sign certificates and revocations.
    package var maySign: Bool { self.issuer != nil }

    /// The revocations of all revoked nodes, in wire form.
    package var revocations: [NodeID: [UInt8]] { self.state.withLockedValue { $0.revocations.mapValues(\.bytes) } }

    /// Returns the `count` revocations with the largest numbers, in descending order.
    func newestRevocations(_ count: Int) -> [[UInt8]] {
        let all = self.state.withLockedValue { Array($0.revocations.values) }
        return all.sorted { $1.precedes($0) }.prefix(count).map(\.bytes)
    }

    /// Whether a node is revoked.
    package func isRevoked(_ node: NodeID) -> Bool { self.state.withLockedValue { $0.revocation(of: node) != nil } }

    /// The revocation of this node.
    ///
    /// A node with a revocation must stop.
    package var ownRevocation: [UInt8]? { self.state.withLockedValue { $0.revocation(of: self.nodeID)?.bytes } }

    /// Judges the certificates of a TLS handshake, the peer's own first.
    package func judge(_ chain: [NIOSSLCertificate]) async -> PeerStanding { await self.judgeOfPeers.judge(chain) }

    /// Judges certificates in DER, the peer's own first.
    func judge(der chain: [[UInt8]]) async -> PeerStanding { await self.judgeOfPeers.judge(der: chain) }

    /// Judges an established peer again.
    package func review(_ credential: PeerCredential) -> PeerStanding { self.judgeOfPeers.review(credential) }

    /// This node's certificates that an open connection may have begun with.
    var shownCertificates: [[UInt8]] {
        self.state.withLockedValue { state in
            state.certificates.prefix(1) + (state.previousCertificate.map { [$0] } ?? [])
        }
    }

    /// The issuer with which this node signs; `nil` without the right.
    var issuer: LeafIssuer? {
        let (grant, isOut) = self.state.withLockedValue { ($0.grant, $0.revocation(of: self.nodeID) != nil) }
        if isOut { return nil }
        if let key = self.authorityKey { return LeafIssuer(authority: self.authority, key: key) }
        return grant.map { LeafIssuer(authority: self.authority, grant: $0, key: self.key) }
    }

    private var judgeOfPeers: PeerJudge {
        PeerJudge(authority: self.authority, wallClock: self.wallClock) { node in
            self.state.withLockedValue { $0.revocation(of: node) }
        }
    }

    // MARK: - Own certificate

    /// Returns whether this node needs a new certificate: two thirds of its life are over, or the clock is before its
    /// beginning.
    package func isRenewalDue(at now: Int64) -> Bool {
        let credential = self.ownCredential
        return now < credential.issuedAt - CertificateProfile.backdating
            || now >= credential.issuedAt + (credential.expiresAt - credential.issuedAt) / 3 * 2
    }

    /// Signs a new certificate for this node.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused` without the right to sign; those of writing files.
    package func renewOwn() throws {
        let issuer = try self.requireIssuer()
        let certificates = try issuer.issue(for: self.key.publicKey, at: self.wallClock())
        try self.replaceCertificates(certificates)
    }

    /// The request to another node for a new certificate.
    package func makeRenewalRequest() throws -> EnrollmentRequest {
        .renew(certificateRequest: try CertificateRequest.make(self.key))
    }

    /// Installs the certificates that another node signed for this node; later connections use them.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused` when they are not this node's, not this clinic's, or not valid
    ///   at this PC's time; those of writing files.
    package func install(certificates: [[UInt8]]) async throws {
        guard case .member(let credential) = await self.judgeOfPeers.judge(der: certificates),
            credential.node == self.nodeID
        else {
            throw ClinicSyncError(
                .refused,
                "The renewed certificate is not valid for this PC now: compare the clocks of this PC and of the host."
            )
        }
        try self.replaceCertificates(certificates)
    }

    private func replaceCertificates(_ certificates: [[UInt8]]) throws {
        guard let leaf = certificates.first else { return }
        let credential = try TrustStore.credential(of: leaf)
        let contexts = try TLSContexts(key: self.key, certificates: certificates, authority: self.authority.der)
        try self.writing.withLock {
            try IdentityFiles.write(certificates: certificates, to: self.directory)
            self.state.withLockedValue { state in
                state.previousCertificate = state.certificates.first
                state.certificates = certificates
                state.credential = credential
                state.contexts = contexts
            }
        }
    }

    private static func credential(of leaf: [UInt8]) throws -> Credential {
        let certificate = try Certificate(der: leaf)
        return Credential(
            issuedAt: certificate.beginsAt + CertificateProfile.backdating,
            expiresAt: certificate.endsAt
        )
    }
}
