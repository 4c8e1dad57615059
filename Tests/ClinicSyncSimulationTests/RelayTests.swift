import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import Testing

/// A host that dies between passing a batch on and storing it.
@Suite("A batch that is passed on before it is stored") struct RelayTests {
    /// Finds a batch that the host passes on before its store has it.
    private final class Observer: SimulationChecker {
        var isWatching = false
        var relayed: (chunk: BatchChunk, host: SimulatedNode)?

        func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
            guard self.isWatching, self.relayed == nil, node.isHost else { return }
            for case .send(_, .chunk(let chunk)) in effects where try !node.disk.hasChunk(chunk) {
                self.relayed = (chunk, node)
            }
        }
    }

    @Test("a host that dies before it has stored such a batch gets it again", arguments: [1, 2, 3] as [UInt64])
    func dies(_ seed: UInt64) throws {
        var options = SimulationOptions.random(seed: seed)
        options.nodes = 3
        options.skews = [0, 0, 0]
        options.priorities = [100, 100, 100]
        options.faults = []
        options.workloads = [.registration]
        options.storeTimeMax = .milliseconds(20)
        options.writeInterval = .milliseconds(50)
        let world = try SimulatedWorld(options)
        let observer = Observer()
        world.checkers.append(observer)
        try world.run(until: .seconds(5))
        observer.isWatching = true
        while observer.relayed == nil, world.now < .seconds(15), world.violation == nil {
            try world.run(until: world.now + .microseconds(50))
        }
        let (chunk, host) = try #require(observer.relayed)
        try #require(try !host.disk.hasChunk(chunk))
        world.kill(host, for: .seconds(2))
        world.rest()
        try world.run(until: world.now + .seconds(10))
        #expect(world.violation == nil, "\(world.violation ?? "")")
        for node in world.nodes { #expect(try node.disk.hasChunk(chunk), "\(node.name)") }
    }
}
