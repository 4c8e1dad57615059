import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import GRDB
import Testing

/// Programs that keep a write transaction open, in virtual time.
@Suite("A program keeps its write transaction open") struct LockedClinicTests {
    /// Notes who became host, as each PC was told.
    private final class Observer: SimulationChecker {
        var hosts: [NodeID] = []

        func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
            for case .notify(.hostChanged(let host?, _, _)) in effects where host == node.origin.node {
                self.hosts.append(host)
            }
        }
    }

    /// A clinic of three PCs, each with a patient of its own; the observer has seen nothing yet.
    private static func clinic(_ seed: UInt64) throws -> (world: SimulatedWorld, observer: Observer) {
        var options = SimulationOptions.random(seed: seed)
        options.nodes = 3
        options.skews = [0, 0, 0]
        options.priorities = [100, 100, 100]
        options.faults = []
        options.workloads = [.registration]
        options.latencyMax = .milliseconds(2)
        options.storeTimeMax = .milliseconds(2)
        let world = try SimulatedWorld(options)
        try world.run(until: .seconds(8))
        world.rest()
        try world.run(until: .seconds(12))
        try #require(world.hostTrouble() == nil)
        let observer = Observer()
        world.checkers.append(observer)
        return (world, observer)
    }

    private static func add(_ id: String, at index: Int, in world: SimulatedWorld) throws {
        try world.program(at: index).transaction("adds \(id)") { db in
            try db.execute(sql: "INSERT INTO patients(id, fullName) VALUES(?1, ?1)", arguments: [id])
        }
    }

    private static func has(_ id: String, _ node: SimulatedNode) throws -> Bool {
        try node.disk.read { db in
            try Int.fetchOne(db, sql: "SELECT count(*) FROM patients WHERE id = ?1", arguments: [id]) == 1
        }
    }

    @Test(
        "the role moves within four seconds, rows and logins pass, and the former host takes part again",
        arguments: [1, 2]
    )
    func hostLocked(_ seed: UInt64) throws {
        let (world, observer) = try LockedClinicTests.clinic(seed)
        let host = try #require(world.nodes.first { $0.isHost })
        let others = world.nodes.filter { $0.index != host.index }
        host.lockStore(for: .seconds(60), in: world)
        try LockedClinicTests.add("late", at: others[0].index, in: world)
        let login = try world.requestLogin(at: others[1].index, session: "s1", user: "nobody")
        try world.run(until: world.now + .seconds(6))
        #expect(try LockedClinicTests.has("late", others[1]))
        #expect(world.logins[login] == .refused)
        let next = try #require(others.first { $0.isHost })
        #expect(!host.isHost)
        try world.run(until: world.now + .seconds(70))
        #expect(world.violation == nil, "\(world.violation ?? "")")
        #expect(world.hostTrouble() == nil)
        #expect(observer.hosts == [next.origin.node])
        #expect(try LockedClinicTests.has("late", host))
    }

    @Test("when all PCs are locked the host stays; the first PC that works becomes host", arguments: [1, 2])
    func allLocked(_ seed: UInt64) throws {
        let (world, observer) = try LockedClinicTests.clinic(seed)
        let host = try #require(world.nodes.first { $0.isHost })
        let others = world.nodes.filter { $0.index != host.index }
        // The last but one is free first.
        others[0].lockStore(for: .seconds(40), in: world)
        for node in [host, others[1]] { node.lockStore(for: .seconds(60), in: world) }
        try world.run(until: world.now + .seconds(39))
        #expect(observer.hosts == [])
        #expect(host.isHost)
        try world.run(until: world.now + .seconds(3))
        #expect(observer.hosts == [others[0].origin.node])
        try world.run(until: world.now + .seconds(40))
        #expect(world.violation == nil, "\(world.violation ?? "")")
        #expect(world.hostTrouble() == nil)
        #expect(observer.hosts == [others[0].origin.node])
    }
}
