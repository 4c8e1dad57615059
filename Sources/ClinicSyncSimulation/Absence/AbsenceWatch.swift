import ClinicSyncCore
import ClinicSyncModel

/// What happened in a run of the absence torture.
package struct AbsenceCounts: Sendable, Hashable {
    /// The states that were merged and shown.
    package var installed = 0
    /// The transfers that a node found in its file when it started.
    package var continued = 0
    /// The transfers that were broken off.
    package var broken = 0
    /// The files that other ones took the place of.
    package var replaced = 0
    /// The members that lapsed.
    package var lapsed = 0
    /// The chunks that were pruned.
    package var pruned = 0
    /// The chunks whose numbers were compared.
    package var numbers = 0

    /// Makes zeros.
    package init() {}

    /// The counts by their names.
    package var named: [String: Int] {
        [
            "installed": self.installed, "continued": self.continued, "broken": self.broken, "replaced": self.replaced,
            "lapsed": self.lapsed, "pruned": self.pruned, "numbers": self.numbers,
        ]
    }

    /// Adds what happened in another run.
    package mutating func add(_ other: AbsenceCounts) {
        self.installed += other.installed
        self.continued += other.continued
        self.broken += other.broken
        self.replaced += other.replaced
        self.lapsed += other.lapsed
        self.pruned += other.pruned
        self.numbers += other.numbers
    }
}

/// Observes states on their way, pruning, and the numbers of batches: no number is used for two contents.
final class AbsenceWatch: SimulationChecker {
    /// One chunk of a batch.
    private struct Name: Hashable {
        let batch: BatchID
        let index: UInt32
    }

    private(set) var counts = AbsenceCounts()
    /// How many answers of a state each node has stored since its last state was shown, by its index.
    private(set) var staged: [Int: Int] = [:]
    /// How many states each node has shown, by its index.
    private(set) var installed: [Int: Int] = [:]
    /// The checksum of each chunk that any node sent.
    private var checksums: [Name: UInt64] = [:]

    func started(_ node: SimulatedNode, _ state: StoreState, in world: SimulatedWorld) throws {
        if state.staged != nil { self.counts.continued += 1 }
    }

    func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
        for case .send(_, .chunk(let chunk)) in effects {
            let name = Name(batch: chunk.batch, index: chunk.index)
            let known = self.checksums.updateValue(chunk.checksum, forKey: name)
            self.counts.numbers += known == nil ? 1 : 0
            guard let known, known != chunk.checksum else { continue }
            world.fail("\(node.name) sends \(Summary.of(chunk)), which had another content before")
        }
    }

    func storeAnswered(
        _ request: StorageRequest,
        _ reply: StorageReply,
        on node: SimulatedNode,
        in world: SimulatedWorld
    ) throws {
        switch reply {
        case .noticed(_, let reply): try self.storeAnswered(request, reply, on: node, in: world)
        case .stateStaged(_, .some): self.staged[node.index, default: 0] += 1
        case .stateInstalled(let rows, _) where rows > 0:
            self.counts.installed += 1
            self.installed[node.index, default: 0] += 1
            self.staged[node.index] = 0
        case .pruned(let outcome): self.counts.pruned += outcome.pruned
        default: break
        }
    }

    func filesReplaced(of node: SimulatedNode, isCopy: Bool, in world: SimulatedWorld) throws {
        self.counts.replaced += 1
        self.staged[node.index] = 0
    }

    /// A transfer to the node was broken off.
    func noteBreak(of node: SimulatedNode) { self.counts.broken += 1 }

    /// A member lapsed.
    func noteLapse() { self.counts.lapsed += 1 }
}
