import ClinicSyncModel
import OrderedCollections

/// What nobody signed, remembered by its hash, so that a look at the tables verifies it once.
///
/// A member can fill the tables with forged rows and change one of them each second. Verifying a signature costs 0.1 ms.
struct ForgedProofs: Sendable {
    /// What a proof proves.
    enum Kind: Sendable, Hashable { case grant, certificate, statement, renaming, revocation }

    /// A proof.
    struct Proof: Sendable, Hashable {
        fileprivate let hash: Int

        /// Hashes a proof, with a seed that is new in each process.
        init(kind: Kind, node: NodeID?, bytes: [UInt8]) {
            var hasher = Hasher()
            hasher.combine(kind)
            hasher.combine(node)
            hasher.combine(bytes)
            self.hash = hasher.finalize()
        }
    }

    /// The largest number of remembered proofs; the oldest is forgotten.
    static let proofsMax = 4_096

    private var proofs: OrderedSet<Proof> = []

    /// Whether a proof was found forged.
    func contains(_ proof: Proof) -> Bool { self.proofs.contains(proof) }

    /// Remembers a proof.
    mutating func insert(_ proof: Proof) {
        if self.proofs.append(proof).inserted, self.proofs.count > ForgedProofs.proofsMax { self.proofs.removeFirst() }
    }

    /// Forgets everything: what was not valid may be valid now.
    mutating func removeAll() { self.proofs = [] }
}
