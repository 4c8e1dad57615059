import ClinicSyncModel
import ClinicSyncSimulation
import GRDB
import Testing

/// Clinics that are brought back to a backup, in virtual time.
@Suite("Bringing the whole clinic back to a backup, in virtual time") struct WholeClinicRunTests {
    private static func clinic(_ nodes: Int, seed: UInt64) throws -> SimulatedWorld {
        var options = SimulationOptions.random(seed: seed)
        options.nodes = nodes
        options.skews = Array(repeating: 0, count: nodes)
        options.priorities = Array(repeating: 100, count: nodes)
        options.faults = [.connectionCut, .delaySpike]
        options.workloads = [.registration]
        options.writeInterval = .milliseconds(400)
        options.hasFewTables = true
        options.areStrangers = false
        return try SimulatedWorld(options)
    }

    private static func add(_ id: String, at node: SimulatedNode, in world: SimulatedWorld) throws {
        try world.program(at: node.index).transaction("adds \(id)") { db in
            try db.execute(sql: "INSERT INTO patients(id, fullName) VALUES(?1, ?1)", arguments: [id])
        }
    }

    private static func count(_ id: String, _ node: SimulatedNode) throws -> Int? {
        try node.disk.read { db in
            try Int.fetchOne(db, sql: "SELECT count(*) FROM patients WHERE id = ?1", arguments: [id])
        }
    }

    @Test(
        "two administrators decide at once, a PC is off, processes are killed: all end with one and the same backup",
        arguments: [(2, 1), (3, 2), (5, 3)] as [(Int, UInt64)]
    )
    func follows(_ nodes: Int, _ seed: UInt64) throws {
        let world = try WholeClinicRunTests.clinic(nodes, seed: seed)
        let (first, second, last) = (world.nodes[0], world.nodes[1], world.nodes[nodes - 1])
        try world.run(until: .seconds(2))
        try WholeClinicRunTests.add("kept", at: first, in: world)
        // Faults happen all the while, so how long it takes is theirs.
        while try !world.nodes.allSatisfy({ try WholeClinicRunTests.count("kept", $0) == 1 }), world.now < .seconds(10)
        {
            try world.run(until: world.now + .milliseconds(500))
        }
        try #require(try world.nodes.allSatisfy { try WholeClinicRunTests.count("kept", $0) == 1 })
        let begun = world.now
        let backups = try [first, second].map { try SimulatedEpochs(world).backUp($0) }
        try WholeClinicRunTests.add("lost", at: second, in: world)
        try world.run(until: begun + .seconds(1))
        world.kill(last, for: .seconds(5))
        try WholeClinicRunTests.add("offline", at: last, in: world)
        try world.run(until: begun + .seconds(2))
        try SimulatedEpochs(world).bringBack(to: backups[0], at: first, number: 1)
        // The other one does not know of it. Of a clinic of two PCs it is the one that is off.
        try SimulatedEpochs(world).bringBack(to: backups[1], at: second, number: 1)
        try world.run(until: begun + .seconds(4))
        world.kill(second, for: .milliseconds(500))
        try world.run(until: begun + .seconds(9))
        world.rest()
        let winner = try #require([first, second].compactMap(\.epoch).max())
        try world.run(until: begun + .seconds(17))
        #expect(world.violation == nil, "\(world.violation ?? "")")
        for node in world.nodes { #expect(node.epoch == winner, "\(node.name)") }
        for node in world.nodes { try WholeClinicRunTests.add("new of \(node.name)", at: node, in: world) }
        try world.run(until: begun + .seconds(24))
        let tables = try world.nodes.map { try $0.disk.dump() }
        for (node, dump) in zip(world.nodes, tables) { #expect(dump == tables[0], "\(node.name)") }
        for node in world.nodes {
            for id in ["kept"] + world.nodes.map({ "new of \($0.name)" }) {
                #expect(try WholeClinicRunTests.count(id, node) == 1, "\(id) at \(node.name)")
            }
            for id in ["lost", "offline"] {
                #expect(try WholeClinicRunTests.count(id, node) == 0, "\(id) at \(node.name)")
            }
        }
        #expect(world.hostTrouble() == nil)
    }
}
