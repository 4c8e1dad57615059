import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import GRDB
import Testing

/// Logins of one user on several PCs, in virtual time.
@Suite("One session for each user") struct SessionTests {
    private static func options(_ seed: UInt64, nodes: Int = 3) -> SimulationOptions {
        var options = SimulationOptions.random(seed: seed)
        options.nodes = nodes
        options.skews = (0..<nodes).map { [0, 86_400_000, -86_400_000][$0 % 3] }
        options.priorities = Array(repeating: 100, count: nodes)
        options.faults = []
        options.workloads = [.registration]
        options.areStrangers = false
        options.latencyMax = .milliseconds(2)
        options.storeTimeMax = .milliseconds(2)
        return options
    }

    /// A clinic whose nodes are connected and have the users.
    private static func clinic(_ options: SimulationOptions, users: Int) throws -> SimulatedWorld {
        let world = try SimulatedWorld(options)
        try world.run(until: .seconds(5))
        world.rest()
        try #require(world.hostTrouble() == nil)
        let program = world.program(at: 0)
        try program.transaction("adds \(users) users") { db in
            for user in 0..<users {
                try db.execute(sql: "INSERT INTO users(id, username) VALUES(?1, ?1)", arguments: ["u\(user)"])
            }
        }
        try world.run(until: world.now + .seconds(3))
        return world
    }

    private static func active(_ node: SimulatedNode) throws -> [String] {
        try node.disk.read { db in
            try String.fetchAll(db, sql: "SELECT id FROM user_sessions WHERE isActive = 1 ORDER BY id")
        }
    }

    @Test("of two logins in the same instant exactly one wins, three hundred times, and all nodes know which")
    func sameInstant() throws {
        let world = try SessionTests.clinic(SessionTests.options(11), users: 50)
        var winners: [String] = []
        for round in 0..<300 {
            if round.isMultiple(of: 50) { try SessionTests.compare(world, &winners) }
            let first = world.random.below(3)
            let second = (first + 1 + world.random.below(2)) % 3
            let requests = try [first, second].map { node in
                let session = "s\(round)-\(node)"
                return (session, try world.requestLogin(at: node, session: session, user: "u\(round % 50)"))
            }
            try world.run(until: world.now + .milliseconds(60))
            let outcomes = requests.map { world.logins[$0.1] }
            let granted = outcomes.filter { $0 == .granted(isProvisional: false) }
            try #require(granted.count == 1, "\(outcomes)")
            let winner = try #require(outcomes.firstIndex(of: .granted(isProvisional: false)))
            guard case .conflict(let holders)? = outcomes[1 - winner] else {
                Issue.record("\(outcomes)")
                return
            }
            #expect(holders.map(\.sessionID) == [requests[winner].0])
            winners.append(requests[winner].0)
        }
        try SessionTests.compare(world, &winners)
    }

    /// All nodes show exactly these sessions.
    ///
    /// Then all users log out.
    private static func compare(_ world: SimulatedWorld, _ winners: inout [String]) throws {
        try world.run(until: world.now + .seconds(1))
        #expect(world.violation == nil, "\(world.violation ?? "")")
        for node in world.nodes { #expect(try SessionTests.active(node) == winners.sorted()) }
        winners = []
        try world.program(at: world.random.below(3)).transaction("logs all out") { db in
            try db.execute(sql: "UPDATE user_sessions SET isActive = 0, endReason = 'logout' WHERE isActive = 1")
        }
        try world.run(until: world.now + .seconds(1))
    }

    @Test("a forced login ends the other session everywhere, and logs in where it was asked")
    func forced() throws {
        let world = try SessionTests.clinic(SessionTests.options(12), users: 1)
        _ = try world.requestLogin(at: 0, session: "s1", user: "u0")
        try world.run(until: world.now + .milliseconds(300))
        let request = try world.requestLogin(at: 1, session: "s2", user: "u0", isForced: true)
        try world.run(until: world.now + .milliseconds(300))
        #expect(world.logins[request] == .granted(isProvisional: false))
        for node in world.nodes {
            #expect(try SessionTests.active(node) == ["s2"])
            let reason = try node.disk.read { db in
                try String.fetchOne(db, sql: "SELECT endReason FROM user_sessions WHERE id = 's1'")
            }
            #expect(reason == "forced_login")
        }
    }

    @Test("logins on both sides of a partition are provisional on one at least; when it heals, the later one stays")
    func partition() throws {
        let world = try SessionTests.clinic(SessionTests.options(13), users: 1)
        world.partition([[0], [1, 2]], for: .seconds(12))
        try world.run(until: world.now + .seconds(6))
        let early = try world.requestLogin(at: 0, session: "early", user: "u0")
        try world.run(until: world.now + .seconds(1))
        let late = try world.requestLogin(at: 1, session: "late", user: "u0")
        try world.run(until: world.now + .seconds(1))
        #expect(world.logins[early] == .granted(isProvisional: true))
        #expect(world.logins[late] == .granted(isProvisional: false))
        #expect(try SessionTests.active(world.nodes[0]) == ["early"])
        #expect(try SessionTests.active(world.nodes[2]) == ["late"])
        try world.run(until: world.now + .seconds(12))
        for node in world.nodes {
            #expect(try SessionTests.active(node) == ["late"])
            let reason = try node.disk.read { db in
                try String.fetchOne(db, sql: "SELECT endReason FROM user_sessions WHERE id = 'early'")
            }
            #expect(reason == "superseded")
        }
        #expect(world.violation == nil, "\(world.violation ?? "")")
    }

    @Test("a host that dies in the middle of a login leaves one session or none, and an answer")
    func hostDies() throws {
        let world = try SessionTests.clinic(SessionTests.options(14), users: 20)
        var answers = 0
        for round in 0..<20 {
            let host = try #require(world.nodes.first { $0.isHost })
            let asking = world.nodes.filter { $0.index != host.index }
            let requests = try asking.map {
                try world.requestLogin(at: $0.index, session: "s\(round)-\($0.name)", user: "u\(round)")
            }
            try world.run(until: world.now + world.random.duration(.zero, .milliseconds(12)))
            world.kill(host, for: .milliseconds(400))
            try world.run(until: world.now + .seconds(9))
            try #require(world.violation == nil, "\(world.violation ?? "")")
            for request in requests where world.logins[request] != nil { answers += 1 }
            let granted = requests.filter { if case .some(.granted) = world.logins[$0] { true } else { false } }
            #expect(granted.count <= 1, "round \(round): \(requests.map { world.logins[$0] })")
            let shown = try world.nodes.map(SessionTests.active)
            #expect(shown.allSatisfy { $0 == shown[0] })
            #expect(shown[0].count { $0.hasPrefix("s\(round)-") } <= 1)
        }
        #expect(answers == 40)
        #expect(world.violation == nil, "\(world.violation ?? "")")
    }
}
