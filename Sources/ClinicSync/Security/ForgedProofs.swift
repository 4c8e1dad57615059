import ClinicSyncModel

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

    private var proofs: Set<Proof> = []
    /// The same proofs; when there are very many, the oldest is at ``next``.
    private var order: [Proof] = []
    private var next = 0

    /// Whether a proof was found forged.
    func contains(_ proof: Proof) -> Bool { self.proofs.contains(proof) }

    /// Remembers a proof.
    mutating func insert(_ proof: Proof) {
        guard self.proofs.insert(proof).inserted else { return }
        guard self.order.count == ForgedProofs.proofsMax else { return self.order.append(proof) }
        self.proofs.remove(self.order[self.next])
        self.order[self.next] = proof
        self.next = (self.next &+ 1) % ForgedProofs.proofsMax
    }

    /// Forgets everything: what was not valid may be valid now.
    mutating func removeAll() { self = ForgedProofs() }
}
