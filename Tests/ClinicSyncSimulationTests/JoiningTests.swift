import ClinicSyncCore
import ClinicSyncSimulation
import Testing

/// Runs in which a PC joins a clinic whose logs do not begin at the beginning any more, while programs write and nodes are killed.
@Suite("Joining by a state") struct JoiningTests {
    /// Counts what happened to states.
    private final class Observer: SimulationChecker {
        var installed = 0
        var waited = 0

        func storeAnswered(
            _ request: StorageRequest,
            _ reply: StorageReply,
            on node: SimulatedNode,
            in world: SimulatedWorld
        ) throws {
            switch reply {
            case .stateInstalled(let rows, _): self.installed += rows > 0 ? 1 : 0
            case .stateWaits: self.waited += 1
            case .noticed(_, let reply): try self.storeAnswered(request, reply, on: node, in: world)
            default: break
            }
        }
    }

    @Test("a PC joins during writes, among kills and power cuts of both sides, and every promise holds")
    func everyPromise() throws {
        let observer = Observer()
        // Of the first forty seeds, which all hold, some whose transfers wait. AbsenceTests breaks transfers off.
        for seed in [4, 5, 10, 29] as [UInt64] {
            let result = try SimulationRun.result(of: .joining(seed: seed), observers: [observer])
            #expect(result.violation == nil, "\(result.options)")
        }
        #expect(observer.installed > 0, "nobody joined by a state")
        #expect(observer.waited > 0, "no state waited for batches")
    }
}
