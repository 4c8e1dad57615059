import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import Testing

/// Tests how a large clinic behaves when its host is lost.
@Suite("Fifty PCs lose their host") struct StormTests {
    /// Counts opened connections and sent chunks from a moment on.
    private final class Observer: SimulationChecker {
        var since: Duration?
        var opened: [Int: [Duration]] = [:]
        var chunks = 0

        func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
            guard let since = self.since else { return }
            if case .connectionOpened = input { self.opened[node.index, default: []].append(world.now - since) }
            for case .send(let receivers, .chunk) in effects { self.chunks += receivers.count }
        }
    }

    private static func options(_ seed: UInt64) -> SimulationOptions {
        var options = SimulationOptions.random(seed: seed)
        options.nodes = 50
        options.skews = Array(repeating: 0, count: 50)
        options.priorities = Array(repeating: 100, count: 50)
        options.faults = []
        options.workloads = [.registration]
        options.latencyMax = .milliseconds(2)
        options.storeTimeMax = .milliseconds(2)
        options.writeInterval = .milliseconds(200)
        return options
    }

    @Test(
        "they spread their return over a second or so, and nobody is sent what it has",
        arguments: [7] as [UInt64]
    )
    func storm(_ seed: UInt64) throws {
        let world = try SimulatedWorld(StormTests.options(seed))
        let observer = Observer()
        world.checkers.append(observer)
        try world.run(until: .seconds(8))
        world.rest()
        try world.run(until: .seconds(14))
        let problem = world.hostTrouble()
        #expect(problem == nil, "\(problem ?? "")")
        let host = try #require(world.nodes.first { $0.isHost })
        observer.since = world.now
        world.kill(host, for: .milliseconds(300))
        try world.run(until: world.now + .seconds(5))
        #expect(world.violation == nil, "\(world.violation ?? "")")
        #expect(world.hostTrouble() == nil)
        let next = try #require(world.nodes.first { $0.isHost })
        #expect(next.index != host.index)
        let returns = observer.opened[next.index] ?? []
        #expect(observer.chunks == 0)
        // No tenth of a second has more than a third of the new connections.
        let tenths = Dictionary(grouping: returns) { Int($0 / .milliseconds(100)) }
        #expect(returns.count >= 45)
        #expect(tenths.values.allSatisfy { $0.count <= 17 }, "\(tenths.mapValues(\.count))")
        #expect(returns.allSatisfy { $0 < .seconds(3) })
    }
}
