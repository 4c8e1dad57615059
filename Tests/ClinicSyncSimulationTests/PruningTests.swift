import ClinicSyncCore
import ClinicSyncSimulation
import Testing

/// Runs in which logs are pruned all the time, so that PCs that come back get a state.
@Suite("Pruning") struct PruningTests {
    /// Counts what the stores did.
    private final class Observer: SimulationChecker {
        var pruned = 0
        var forgotten = 0
        var decided = 0
        var installed = 0

        func storeAnswered(
            _ request: StorageRequest,
            _ reply: StorageReply,
            on node: SimulatedNode,
            in world: SimulatedWorld
        ) throws {
            switch reply {
            case .pruned(let outcome):
                self.pruned += outcome.pruned
                self.forgotten += outcome.forgotten
                self.decided += outcome.hasDecided ? 1 : 0
            case .stateInstalled: self.installed += 1
            case .noticed(_, let reply): try self.storeAnswered(request, reply, on: node, in: world)
            default: break
            }
        }
    }

    @Test("logs are pruned among faults, members lapse and come back by a state, and every promise holds")
    func everyPromise() throws {
        let observer = Observer()
        for seed in 5...9 as ClosedRange<UInt64> {
            let result = try SimulationRun.result(of: .pruning(seed: seed), observers: [observer])
            #expect(result.violation == nil, "\(result.options)")
        }
        #expect(observer.pruned > 0)
        #expect(observer.forgotten > 0)
        #expect(observer.decided > 0)
        #expect(observer.installed > 0, "nobody came back by a state")
    }

    /// Seeds that once found a fault.
    ///
    /// 212: a PC without power for less than a second was refused by all others until they noticed its silence, and was host of
    /// itself beside the host that they had then.
    @Test("seeds that once found something hold", arguments: [212] as [UInt64])
    func tellingSeed(_ seed: UInt64) throws {
        let result = try SimulationRun.result(of: .deleting(seed: seed))
        #expect(result.violation == nil, "\(result.options)")
    }
}
