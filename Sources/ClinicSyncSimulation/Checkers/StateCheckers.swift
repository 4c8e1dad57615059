import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// Checks the workloads' rules after each commit of a store, and in the end.
final class WorkloadChecker: SimulationChecker {
    private let workloads: [any SimulationWorkload]

    init(_ workloads: [any SimulationWorkload]) { self.workloads = workloads }

    func storeAnswered(
        _ request: StorageRequest,
        _ reply: StorageReply,
        on node: SimulatedNode,
        in world: SimulatedWorld
    ) throws {
        switch reply {
        case .stored, .storedApplied, .discarded, .rowsMerged, .stateInstalled: break
        default: return
        }
        for workload in self.workloads {
            if let problem = try workload.checkCommitted(node) { world.fail(problem) }
        }
    }

    func finished(_ world: SimulatedWorld) throws {
        for node in world.members {
            for workload in self.workloads {
                if let problem = try workload.checkCommitted(node) ?? workload.checkFinally(node) {
                    world.fail(problem)
                }
            }
        }
    }
}

/// No own batch that a core knows is ever lost: in the end every node has it.
final class DurabilityChecker: SimulationChecker {
    private var own = VersionVector()

    func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
        guard case .storageReplied(let reply) = input else { return }
        let vector: VersionVector
        switch reply {
        case .collected(let outcome), .swept(_, _, let outcome), .loginDecided(_, _, let outcome),
            .sessionsKept(_, let outcome):
            vector = outcome.vector
        case .stored(_, let outcome), .storedApplied(let outcome), .discarded(let outcome): vector = outcome.vector
        case .rowsMerged(_, _, let outcome): vector = outcome.vector
        default: return
        }
        self.own.advance(node.origin, to: max(self.own[node.origin], vector[node.origin]))
    }

    func finished(_ world: SimulatedWorld) throws {
        for author in world.members {
            // Also those under the numbers that it had before its file was replaced.
            let own = self.own.entries.filter { $0.origin.node == author.origin.node }
            for node in world.members where try !node.committedVector().covers(VersionVector(own)) {
                world.fail("\(node.name) lacks batches of \(author.name)")
            }
        }
    }
}

/// In the end all nodes show the same, their digests say so, and no write escaped capture.
final class ConvergenceChecker: SimulationChecker {
    private let excluded: [String]

    init(_ options: SimulationOptions) {
        self.excluded = options.uncompared
    }

    func finished(_ world: SimulatedWorld) throws {
        guard let host = world.members.first, let hostProcess = host.process else { return }
        let dump = try host.disk.dump(without: self.excluded)
        let vector = try host.committedVector()
        let digests = try hostProcess.reading.reader.digests().tables.filter { !self.excluded.contains($0.name) }
        for node in world.members {
            guard let process = node.process else { return world.fail("\(node.name) does not run") }
            if try node.committedVector() != vector { world.fail("\(node.name) has another vector than the host") }
            let theirs = try node.disk.dump(without: self.excluded)
            for table in dump.keys.sorted() where theirs[table] != dump[table] {
                world.fail("\(node.name) shows other rows of \(table) than the host")
            }
            let reader = process.reading.reader
            let before = try reader.digests().tables
            if before.filter({ !self.excluded.contains($0.name) }) != digests {
                world.fail("\(node.name) has other digests than the host")
            }
            let (escaped, _) = try process.writing.writer.sweep(table: nil, clockOffsetMilliseconds: 0)
            if escaped > 0 { world.fail("\(escaped) writes escaped capture on \(node.name)") }
            if try reader.digests().tables != before { world.fail("\(node.name)'s digests had drifted") }
        }
    }
}
