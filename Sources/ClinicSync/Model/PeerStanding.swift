/// What a verified certificate proves of the node at the other end of a connection.
package struct PeerCredential: Sendable, Hashable {
    /// The node: derived from the certificate's public key.
    package var node: NodeID
    /// The nodes whose signing right the certificate rests on; empty when the clinic's authority itself signed it.
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
/// A value with its reason, so that the decision and what follows from it can be tested apart.
package enum PeerStanding: Sendable, Hashable {
    /// A member in good standing: everything.
    case member(PeerCredential)
    /// A member whose certificate ran out: may renew it and nothing else.
    case expired(PeerCredential)
    /// A former member: is told so by this signed revocation and gets nothing else.
    case revoked(PeerCredential, notice: [UInt8])
    /// A PC that holds the key of the certificate it signed itself: may ask to join and nothing else.
    case applicant(NodeID)
    /// Nobody we know: gets nothing, not even an answer.
    case refused(PeerRefusal)
}

/// Why a certificate, or its absence, got nothing.
package enum PeerRefusal: String, Sendable, Hashable, CaseIterable {
    /// No certificate, one that cannot be read, or one without what ours must have.
    case malformed
    /// Not of this clinic's authority.
    case foreign
    /// Its life begins in the future.
    case notYetValid
    /// Its public key is not that of the node it names.
    case identityMismatch
    /// It was not made for connections between nodes.
    case wrongUsage
    /// The node that signed it has lost the right.
    case signerRevoked
}
