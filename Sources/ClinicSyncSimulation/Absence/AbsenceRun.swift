import ClinicSyncModel
import GRDB

/// The result of a run of the absence torture.
package struct AbsenceResult: Sendable {
    /// The plan.
    package var plan: AbsencePlan
    /// The violation; `nil` when there was none.
    package var violation: String?
    /// The hash of all steps.
    package var hash: UInt64
    /// The last steps.
    package var transcript: [String]
    /// The number of steps of the simulator.
    package var steps: Int
    /// What happened.
    package var counts: AbsenceCounts
    /// Virtual time that passed.
    package var time: Duration

    /// The command that repeats the run.
    package var reproduction: String {
        "CLINICSYNC_ABSENCE=\(self.plan.number) swift test --filter AbsenceTests"
    }
}

/// A run of the absence torture: PCs are away, come back from backups, lose their files, and join in pieces, while the others
/// write and prune their logs.
///
/// After each step all nodes that run must be equal, and nothing that a program committed may be missing (``AbsenceLedger``).
/// Times are short: logs are kept for half a second, and members lapse after a second and a half.
package final class AbsenceRun {
    let world: SimulatedWorld
    var pcs: PCControls { PCControls(world: self.world) }
    let plan: AbsencePlan
    let ledger: AbsenceLedger
    let others: [any SimulationWorkload]
    let watch: AbsenceWatch
    let templates: DiskTemplates
    /// The nodes that are off until the run starts them.
    private var off: Set<Int> = []

    /// Carries out the run of a number, which decides everything.
    ///
    /// - Parameters:
    ///   - number: the number, see ``AbsencePlan``.
    ///   - isRecording: whether the result has the steps; a run without them is faster.
    ///   - templates: disks to begin with, which all runs share.
    /// - Returns: What happened.
    /// - Throws: What SQLite refuses, when the simulator itself cannot go on.
    package static func result(
        number: UInt64,
        isRecording: Bool = true,
        templates: DiskTemplates = DiskTemplates()
    ) throws -> AbsenceResult {
        let run = try AbsenceRun(AbsencePlan(number: number), isRecording: isRecording, templates: templates)
        try run.carryOut()
        let world = run.world
        for node in world.nodes { node.close() }
        return AbsenceResult(
            plan: run.plan,
            violation: world.violation,
            hash: world.transcript.hash ^ world.random.next(),
            transcript: world.transcript.lines,
            steps: world.transcript.count,
            counts: run.watch.counts,
            time: world.now
        )
    }

    private init(_ plan: AbsencePlan, isRecording: Bool, templates: DiskTemplates) throws {
        self.plan = plan
        self.templates = templates
        self.ledger = AbsenceLedger()
        self.others = [QueueWorkload(), BillingWorkload()]
        self.watch = AbsenceWatch()
        self.world = try SimulatedWorld(
            AbsenceRun.options(plan),
            workloads: [self.ledger] + self.others,
            isRecording: isRecording,
            templates: templates
        )
        self.world.checkers.append(self.watch)
    }

    private static func options(_ plan: AbsencePlan) -> SimulationOptions {
        var random = SimulationRandom(seed: plan.number ^ 0x0_0710_0034)
        var options = SimulationOptions.random(seed: plan.number)
        options.nodes = plan.nodes
        options.skews = (0..<plan.nodes).map { _ in Int64(random.number(in: -2_000...2_000)) }
        options.priorities = Array(repeating: 100, count: plan.nodes)
        // None of them happens by itself: they say what a checker must expect.
        options.faults = [.crash, .powerCut, .connectionCut]
        options.workloads = []
        options.areStrangers = false
        options.reconcileInterval = .seconds(3)
        options.latencyMax = .milliseconds(2)
        options.storeTimeMax = .milliseconds(2)
        // A page of one row, and answers of two pages, as in production.
        options.chunkBytes = plan.steps.contains { $0.kind == .large } ? 100 : 1_000
        options.creditBytes = 60_000
        options.retentionMilliseconds = 500
        options.silenceMilliseconds = 1_500
        return options
    }

    // MARK: - The run

    private func carryOut() throws {
        self.world.rest()
        try self.settle("at the beginning")
        guard let first = self.world.nodes.first else { return }
        try self.ledger.addShared(self.world.program(at: first.index))
        try self.ledger.add(60, self.world.program(at: first.index))
        try self.work()
        try self.settle("before the first case")
        for step in self.plan.steps {
            if self.running.count < 2 { try self.revive() }
            guard self.world.violation == nil, let node = self.target(step) else { break }
            self.world.note(node.name, "CASE \(step)")
            try self.carryOut(step.kind, at: node)
            try self.work()
            try self.settle("after \(step)")
        }
        try self.revive()
        try self.work()
        try self.settle("in the end")
        if self.world.violation == nil { try SimulationRun(world: self.world).prove() }
    }

    private func carryOut(_ kind: AbsenceCase, at node: SimulatedNode) throws {
        switch kind {
        case .away: try self.away(node)
        case .backup: try self.restore(node)
        case .clone: try self.clone(node)
        case .wiped: try self.wipe(node)
        case .killedJoin: try self.killJoin(node)
        case .prunedJoin: try self.pruneDuringJoin(node)
        case .dead: try self.die(node)
        case .large: try self.joinLarge(node)
        }
    }

    var running: [SimulatedNode] { self.world.nodes.filter(\.isRunning) }

    func others(than node: SimulatedNode) -> [SimulatedNode] {
        self.running.filter { $0.index != node.index }
    }

    private func target(_ step: AbsenceStep) -> SimulatedNode? {
        let fitting = self.running.filter { $0.isHost == step.isHost }
        guard !fitting.isEmpty else {
            self.world.fail("no node is \(step.isHost ? "host" : "client")")
            return nil
        }
        return fitting[self.world.random.below(fitting.count)]
    }

    // MARK: - Programs

    /// Programs write on the PCs; by default on all that run.
    func work(at nodes: [SimulatedNode]? = nil) throws {
        for node in nodes ?? self.running where self.world.violation == nil {
            let program = SimulatedProgram(world: self.world, node: node)
            for _ in 0..<8 { try self.ledger.step(program) }
            for workload in self.others { for _ in 0..<2 { try workload.step(program) } }
            try self.world.run(until: self.world.now + .milliseconds(5))
        }
    }

    // MARK: - Waiting

    /// Waits until all nodes that run are equal, and compares them with what programs entered.
    func settle(_ when: String) throws {
        let run = SimulationRun(world: self.world)
        var difference: String? = "nobody looked"
        try self.wait("the nodes are not equal \(when)", detail: { difference ?? "" }) {
            difference = try run.difference(of: self.world.nodes.filter { !self.off.contains($0.index) })
            return difference == nil
        }
        guard self.world.violation == nil else { return }
        for node in self.running {
            if let problem = try self.ledger.check(node, absent: self.off.sorted()) {
                self.world.fail("\(when), \(problem)")
            }
        }
    }

    /// Runs until `condition` holds; for 90 s at most.
    func wait(
        _ complaint: String,
        every interval: Duration = .milliseconds(250),
        detail: () -> String = { "" },
        until condition: () throws -> Bool
    ) throws {
        let limit = self.world.now + .seconds(90)
        while self.world.violation == nil {
            if try condition() { return }
            guard self.world.now < limit else {
                let words = detail()
                return self.world.fail(words.isEmpty ? complaint : "\(complaint): \(words)")
            }
            try self.world.run(until: self.world.now + interval)
        }
    }

    /// The others write and prune until no log has what a node with `vector` lacks.
    func pruneBeyond(_ vector: VersionVector, at nodes: [SimulatedNode]) throws {
        // A log is held for a day for a peer that began to take the state and got it elsewhere.
        let isHeld = try nodes.contains { node in
            try node.disk.read { try Row.fetchOne($0, sql: "SELECT 1 FROM clinicsync_pin") != nil }
        }
        if isHeld { for node in self.world.nodes { node.clock.skew += 90_000_000 } }
        try self.work(at: nodes)
        try self.wait("the log is not pruned") {
            try nodes.allSatisfy { node in try !vector.covers(node.disk.floors()) }
        }
    }

    /// Starts a node that must get a state, unless it had nothing to get.
    func comeBack(_ node: SimulatedNode) throws {
        let before = self.watch.installed[node.index] ?? 0
        try self.turnOn(node)
        try self.settle("after \(node.name) came back")
        if self.world.violation == nil, self.watch.installed[node.index] ?? 0 == before {
            self.world.fail("\(node.name) came back without a state, from logs that were pruned")
        }
    }

    // MARK: - Power

    /// Stops a node in order or kills it; it stays off.
    func turnOff(_ node: SimulatedNode, inOrder: Bool? = nil) throws {
        self.off.insert(node.index)
        if inOrder ?? self.world.random.chance(50) { try self.pcs.stop(node) } else { self.pcs.crash(node) }
    }

    /// Starts a node that was turned off.
    func turnOn(_ node: SimulatedNode) throws {
        self.off.remove(node.index)
        self.pcs.start(node)
        try self.wait("\(node.name) does not start", every: .milliseconds(20)) { node.isRunning }
    }

    /// Starts what is off, when a case needs it or the run ends.
    private func revive() throws {
        let off = self.world.nodes.filter { self.off.contains($0.index) }
        guard !off.isEmpty else { return }
        for node in off {
            // Somebody uses the PC before it is connected again.
            try self.work(at: [node])
            try self.turnOn(node)
        }
        try self.settle("after \(off.map(\.name).joined(separator: ", ")) came back")
    }
}
