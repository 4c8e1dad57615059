/// Something that a peer sent and that counts only if it is signed.
package enum SignedEntry: Sendable, Hashable {
    /// A revocation.
    case revocation([UInt8])
    /// The certificates that prove a membership, in DER, the member's own first.
    case member(chain: [[UInt8]])
    /// The statement of an epoch greater than this node's, by a peer that has its state.
    case epoch([UInt8])
}
