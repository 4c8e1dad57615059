/// What a verified certificate proves about the peer of a connection.
package struct PeerCredential: Sendable, Hashable {
    /// The peer's id, derived from the certificate's public key.
    package var node: NodeID
    /// The nodes whose signing right made the certificate valid; empty when the clinic's authority itself signed it.
    package var signers: [NodeID]
    /// The end of the certificate's life, milliseconds since 1970.
    package var expiresAt: Int64

    /// Makes a credential.
    package init(node: NodeID, signers: [NodeID], expiresAt: Int64) {
        self.node = node
        self.signers = signers
        self.expiresAt = expiresAt
    }
}

/// What a peer may do, as its certificate shows; the outcome of every handshake.
///
/// It is a value with its reason, so tests can check the decision and its consequences separately.
package enum PeerStanding: Sendable, Hashable {
    /// A member with a valid certificate; may do everything.
    case member(PeerCredential)
    /// A member whose certificate expired; may only renew it.
    case expired(PeerCredential)
    /// A revoked member; gets this signed revocation and nothing else.
    case revoked(PeerCredential, notice: [UInt8])
    /// A PC with a certificate that it signed itself; may only ask to join.
    case applicant(NodeID)
    /// An unknown peer; gets no answer.
    case refused(PeerRefusal)
}

/// Why a peer was refused.
package enum PeerRefusal: String, Sendable, Hashable, CaseIterable {
    /// There is no certificate, it cannot be read, or it lacks a required part.
    case malformed
    /// The certificate is not from this clinic's authority.
    case foreign
    /// The certificate is not valid yet.
    case notYetValid
    /// The certificate names a node with another public key.
    case identityMismatch
    /// The certificate was not made for connections between nodes.
    case wrongUsage
    /// The node that signed the certificate was revoked.
    case signerRevoked
}
