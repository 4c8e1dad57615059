import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB

/// What overloads the clinic for a moment.
package enum StormKind: String, Sendable, Hashable, CaseIterable {
    /// All nodes start at once.
    case start
    /// Programs write on all PCs at once.
    case writes
    /// People log in on all PCs at once, several times each.
    case logins
    /// The host stops for five seconds.
    case hostStops
    /// All processors are taken away for half a minute: everything takes a hundred times as long.
    case processors
    /// The host's process is killed, and starts again.
    case hostKilled
}

/// One storm: a load that overloads the clinic and ends.
///
/// After it one node is host, all others are its clients, within ``limit``, and there were at most ``termsMax`` more terms.
package struct StormRun {
    /// The time after the end of the load within which the clinic is well.
    package static let limit: Duration = .seconds(10)
    /// How many more terms a storm may cost.
    package static let termsMax: UInt64 = 2

    /// What the run showed.
    package struct Outcome: Sendable, Hashable {
        /// When the clinic was well, counted from the end of the load; `nil`: not while it was watched.
        package var recovery: Duration?
        /// How many more terms there are.
        package var terms: UInt64
        /// Dials since the load began.
        package var dials: Int
        /// Handshakes among them.
        package var handshakes: Int
        /// What broke a rule of every run.
        package var violation: String?

        /// Whether the storm ended as it must.
        package var holds: Bool {
            guard self.violation == nil, let recovery = self.recovery else { return false }
            return recovery <= StormRun.limit && self.terms <= StormRun.termsMax
        }
    }

    /// Counts dials and handshakes.
    private final class Counter: SimulationChecker {
        var dials = 0
        var handshakes = 0
        var startedAt: Duration = .zero

        func started(_ node: SimulatedNode, _ state: StoreState, in world: SimulatedWorld) throws {
            self.startedAt = world.now
        }

        func handled(_ input: Input, _ effects: [Effect], by node: SimulatedNode, in world: SimulatedWorld) throws {
            if case .connectionOpened = input { self.handshakes += 1 }
            for case .dial in effects { self.dials += 1 }
        }
    }

    private let world: SimulatedWorld
    private let counter = Counter()

    /// Carries out storms in one clinic, one after the other, until one does not end as it must.
    ///
    /// - Parameters:
    ///   - kinds: The loads; ``StormKind/start`` may only be the first.
    ///   - nodes: The number of PCs.
    ///   - cost: What a PC needs for its events.
    ///   - seed: The seed.
    ///   - patience: How long the clinic is watched after the load.
    ///   - isRecording: Whether the steps are recorded.
    ///   - templates: The disks.
    /// - Returns: What each storm showed, and the last steps of the run if they were recorded.
    /// - Throws: What SQLite refuses, when the simulator itself cannot go on.
    package static func outcomes(
        _ kinds: [StormKind],
        nodes: Int,
        cost: ProcessingCost,
        seed: UInt64,
        patience: Duration = StormRun.limit,
        isRecording: Bool = false,
        templates: DiskTemplates? = nil
    ) throws -> (outcomes: [Outcome], transcript: [String]) {
        let world = try SimulatedWorld(self.options(nodes, cost, seed), isRecording: isRecording, templates: templates)
        defer { for node in world.nodes { node.close() } }
        let run = StormRun(world: world)
        var outcomes: [Outcome] = []
        for kind in kinds {
            outcomes.append(try run.outcome(kind, patience: patience))
            if outcomes.last?.holds != true { break }
        }
        return (outcomes, world.transcript.lines)
    }

    private static func options(_ nodes: Int, _ cost: ProcessingCost, _ seed: UInt64) -> SimulationOptions {
        var options = SimulationOptions.random(seed: seed)
        options.nodes = nodes
        options.skews = Array(repeating: 0, count: nodes)
        options.priorities = Array(repeating: 100, count: nodes)
        options.faults = []
        options.workloads = [.registration]
        options.areStrangers = false
        options.hasFewTables = true
        options.latencyMax = .milliseconds(1)
        options.storeTimeMax = .milliseconds(2)
        options.reconcileInterval = .seconds(30)
        options.creditBytes = 8 << 20
        options.chunkBytes = 4_000
        options.processing = cost
        return options
    }

    private init(world: SimulatedWorld) {
        self.world = world
        world.rest()
        // What other runs check costs more than these runs may.
        world.checkers = [self.counter]
        // How soon the clinic is well is what these runs measure.
        world.disturb(until: .seconds(86_400))
    }

    private func outcome(_ kind: StormKind, patience: Duration) throws -> Outcome {
        var before: UInt64 = 0
        if kind != .start {
            _ = try self.recovery(within: .seconds(120))
            try self.world.run(until: self.world.now + .seconds(5))
            guard self.isWell else {
                return Outcome(recovery: nil, terms: self.term, dials: 0, handshakes: 0, violation: "it never was well")
            }
            before = self.term
            (self.counter.dials, self.counter.handshakes) = (0, 0)
        }
        try self.load(kind)
        let recovery = try self.recovery(within: patience)
        return Outcome(
            recovery: recovery,
            terms: self.term - before,
            dials: self.counter.dials,
            handshakes: self.counter.handshakes,
            violation: self.world.violation
        )
    }

    private func load(_ kind: StormKind) throws {
        let world = self.world
        switch kind {
        case .start:
            while world.nodes.contains(where: { !$0.isRunning }) { try world.run(until: world.now + .milliseconds(50)) }
        case .writes:
            for _ in 0..<2 {
                for node in world.nodes {
                    try world.program(at: node.index).transaction("writes") { db in
                        let id = "s-\(node.index)-\(world.now)"
                        try db.execute(
                            sql: "INSERT INTO patients(id, fullName, birthDate, createdAt) VALUES(?, 'x', 'x', 't')",
                            arguments: [id]
                        )
                    }
                }
                try world.run(until: world.now + .milliseconds(200))
            }
        case .logins:
            for number in 0..<3 {
                for node in world.nodes {
                    let (session, user) = ("s\(number)-\(node.index)", "u\(number)-\(node.index)")
                    _ = try world.requestLogin(at: node.index, session: session, user: user)
                }
                try world.run(until: world.now + .milliseconds(300))
            }
        case .hostStops:
            if let host = world.nodes.first(where: \.isHost) { host.pausedUntil = world.now + .seconds(5) }
            try world.run(until: world.now + .seconds(5))
        case .processors:
            world.timeline.processors?.slowdown = 100
            try world.run(until: world.now + .seconds(30))
            world.timeline.processors?.slowdown = 1
        case .hostKilled:
            if let host = world.nodes.first(where: \.isHost) { world.kill(host, for: .seconds(1)) }
        }
    }

    private var isWell: Bool { self.world.nodes.allSatisfy(\.isRunning) && self.world.hostTrouble() == nil }

    private var term: UInt64 { self.world.nodes.compactMap { $0.process?.machine.term }.max() ?? 0 }

    /// The time until the clinic is well; `nil` when it is not well within `limit`.
    private func recovery(within limit: Duration) throws -> Duration? {
        let start = self.world.now
        while self.world.violation == nil, self.world.now - start <= limit {
            if self.isWell { return self.world.now - start }
            try self.world.run(until: self.world.now + .milliseconds(100))
        }
        return nil
    }
}
