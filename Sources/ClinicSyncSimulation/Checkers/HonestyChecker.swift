import ClinicSyncCore
import ClinicSyncModel

/// Persist, then send: no message reveals a change that is not committed in the sender's store.
final class HonestyChecker: SimulationChecker {
    func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
        for case .send(_, let message) in effects {
            switch message {
            case .chunk(let chunk):
                // What a suspect's batch holds may change until it is applied.
                if world.isSuspect(chunk.batch.origin.node) { continue }
                guard try !node.disk.hasChunk(chunk) else { continue }
                world.fail("\(node.name) sends \(Summary.of(chunk)), which its store has not")
            case .hello(let hello): try self.check(hello.vector, of: node, in: world)
            case .acknowledge(let ack): try self.check(VersionVector(ack.applied), of: node, in: world)
            case .digests(let report):
                // While a large import is collected, its batch is named before it is complete, so that nobody repairs a part.
                let begun = try node.disk.newestLogged(of: node.origin)
                try self.check(report.vector, of: node, in: world, begun: begun)
            case .state(.page(let page)): try self.check(page.vector, of: node, in: world)
            case .state(.end(let end)):
                let own = node.origin
                let newest = max(try node.disk.newestLogged(of: own), try node.committedVector()[own])
                // The receiver waits for what a program has committed and is not collected yet, which gets the next number.
                let isNextPromised = try node.disk.hasMarks()
                try self.check(end.through, of: node, in: world, begun: isNextPromised ? newest &+ 1 : newest)
            case .goodbye, .ping, .pong, .rowHashes, .rowStates, .syncRequest, .verifyRequest, .verifyReport,
                .syncReport, .revocation, .memberProof, .hostReport, .handOver, .transferRequest, .loginRequest,
                .loginReply, .state, .stateRanges, .stateWants:
                break
            }
        }
    }

    private func check(
        _ vector: VersionVector,
        of node: SimulatedNode,
        in world: SimulatedWorld,
        begun: UInt64 = 0
    ) throws {
        var known = try node.committedVector()
        known.advance(node.origin, to: max(begun, known[node.origin]))
        guard !known.covers(vector) else { return }
        world.fail("\(node.name) says that it has\(Summary.of(vector)), which its store has not")
    }
}

/// A node's vector never goes back, except by a power cut that takes batches of others from a node that was not closed.
final class VectorChecker: SimulationChecker {
    private var vectors: [Int: VersionVector] = [:]

    func started(_ node: SimulatedNode, _ state: StoreState, in world: SimulatedWorld) throws {
        self.see(state.vector, on: node, in: world)
    }

    func storeAnswered(
        _ request: StorageRequest,
        _ reply: StorageReply,
        on node: SimulatedNode,
        in world: SimulatedWorld
    ) throws {
        guard !request.isRead else { return }
        try self.see(node.committedVector(), on: node, in: world)
    }

    func powerLost(_ node: SimulatedNode, in world: SimulatedWorld) throws {
        let vector = try node.committedVector()
        guard let before = self.vectors[node.index] else { return }
        // An own batch that a core knows was on the disk before.
        if vector[node.origin] < before[node.origin] { world.fail("\(node.name) lost own batches by a power cut") }
        if node.isClosed, !vector.covers(before) {
            world.fail("\(node.name) was closed and lost batches by a power cut")
        }
        self.vectors[node.index] = vector
    }

    func filesReplaced(of node: SimulatedNode, isCopy: Bool, in world: SimulatedWorld) throws {
        self.vectors[node.index] = nil
    }

    private func see(_ vector: VersionVector, on node: SimulatedNode, in world: SimulatedWorld) {
        // What nobody could apply of a revoked node is forgotten.
        let before = self.vectors[node.index].map { world.isSuspectOut ? world.withoutSuspect($0) : $0 }
        if let before, !vector.covers(before) {
            world.fail("\(node.name) goes back from\(Summary.of(before)) to\(Summary.of(vector))")
        }
        self.vectors[node.index] = vector
    }
}
