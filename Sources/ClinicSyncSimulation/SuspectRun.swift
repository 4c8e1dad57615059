import ClinicSyncCore
import ClinicSyncModel
import GRDB

/// The result of a run with a node that nobody trusts.
package struct SuspectResult: Sendable {
    /// The violation; `nil` when there was none.
    package var violation: String?
    /// What the suspect did, and the run's options.
    package var words: String
    /// The last steps.
    package var transcript: [String]
    /// The hash of all steps.
    package var hash: UInt64
    /// The number of steps.
    package var steps: Int
    /// How often each mutation happened.
    package var mutations: [MutationKind: Int]
    /// What the suspect said that is wrong.
    package var complaints: [String]
    /// Whether the suspect differed from the others and said nothing.
    package var isSilent: Bool
}

/// What runs with a hostile member and runs with a damaged one have in common.
struct SuspectRun {
    let world: SimulatedWorld
    let entered: EnteredWorkload

    /// Small clinics and short times, because such runs are many.
    static func options(seed: UInt64) -> SimulationOptions {
        var random = SimulationRandom(seed: seed ^ 0x0_0710_0027)
        var options = SimulationOptions.random(seed: seed)
        options.nodes = random.chance(6) ? 4 : 3
        options.safety = random.duration(.milliseconds(2_500), .seconds(5))
        options.reconcileInterval = random.duration(.seconds(3), .seconds(4))
        options.writeInterval = random.duration(.milliseconds(40), .milliseconds(200))
        options.faultInterval = random.duration(.milliseconds(600), .milliseconds(2_000))
        options.latencyMax = random.duration(.microseconds(300), .milliseconds(5))
        options.storeTimeMax = random.duration(.microseconds(500), .milliseconds(4))
        options.skews = Array(repeating: 0, count: options.nodes)
        options.priorities = (0..<options.nodes).map { _ in random.chance(20) ? 200 : 100 }
        options.faults = random.chance(50) ? [.crash, .restart, .connectionCut, .partition] : []
        options.workloads = []
        options.hasFewTables = true
        options.areStrangers = false
        return options
    }

    /// All nodes stop in the evening and start some days later.
    func pass(days: Int) throws {
        let world = self.world
        for node in world.nodes where node.isRunning && !node.isStopping {
            node.isStopping = true
            try world.give(.shutdownRequested, to: node.index, process: node.processNumber)
        }
        try world.run(until: world.now + .milliseconds(500))
        for node in world.nodes { node.clock.skew += Int64(days) * 86_400_000 }
        try world.run(until: world.now + .milliseconds(1_500))
    }

    /// The others must become equal while the suspect is there, which either becomes equal too or says what is wrong.
    ///
    /// A node that has not joined yet joins now, and must become equal as well.
    func goOnWithSuspect() throws {
        self.world.rest()
        self.world.phase.joiner = nil
        self.world.heal()
        guard try self.converge() else { return }
        let run = SimulationRun(world: self.world)
        let limit = self.world.now + .seconds(70)
        while self.world.violation == nil, self.world.phase.suspect?.complaints.isEmpty == true {
            // A file that cannot be read differs.
            if (try? run.difference(of: self.world.nodes) == nil) ?? false { return }
            guard self.world.now < limit else {
                self.world.phase.suspect?.isSilent = true
                return
            }
            try self.world.run(until: self.world.now + .seconds(2))
        }
    }

    /// The suspect is revoked.
    ///
    /// All others go on, in half of the runs after a start, and must become equal; what they enter then must stand.
    func goOnWithoutSuspect() throws {
        let world = self.world
        guard world.violation == nil else { return }
        world.rest()
        try self.castOut()
        if world.random.chance(50) { for node in world.members { world.kill(node, for: .milliseconds(20)) } }
        world.heal()
        guard try self.converge() else { return }
        try self.entered.writeLast(in: world)
        guard try self.converge() else { return }
        try SimulationRun(world: world).prove()
    }

    /// Revokes the suspect: its process ends for good, and the others learn that it is no member any more.
    private func castOut() throws {
        let world = self.world
        guard let index = world.phase.suspect?.index else { return }
        world.phase.suspect?.isOut = true
        world.note(world.nodes[index].name, "is out")
        world.disturb(until: world.now)
        world.endProcess(of: world.nodes[index])
        let present = world.members.map(\.origin.node)
        let members = KnownMembers(present: present, past: [world.nodes[index].origin.node])
        for node in world.members {
            node.configuration.members = members
            try world.give(.membersChanged(members), to: node.index, process: node.processNumber)
        }
    }

    /// Whether the nodes that are trusted become equal.
    ///
    /// They give up a batch that never becomes whole after 10 s, and one that waits for others too long after 60 s.
    func converge() throws -> Bool {
        let limit = self.world.options.reconcileInterval * 2 + .seconds(62)
        return try SimulationRun(world: self.world).converge(within: limit) != nil
    }

    /// Adds the batches that a node has and has not applied to the transcript.
    private func noteWaiting(at node: SimulatedNode) {
        let sql = """
            SELECT hex(o.node), o.incarnation, l.sequence, l.chunk, l.isLast, hex(l.header), length(l.payload)
            FROM clinicsync_log l JOIN clinicsync_origin o ON o.id = l.origin WHERE l.sequence > o.sequence
            """
        guard let rows = try? node.disk.read({ try Row.fetchAll($0, sql: sql) }) else { return }
        for row in rows { self.world.note(node.name, "waits \(row.databaseValues.map(\.description))") }
    }

    /// Adds the rows of the table that a violation names, where they are not on all nodes, to the transcript.
    private func noteDifferences(_ violation: String) {
        guard let dumps = try? self.world.members.map({ ($0.name, try $0.disk.dump()) }) else { return }
        for table in dumps.first?.1.keys.sorted() ?? [] where violation.contains(" \(table) ") {
            let all = dumps.map { Set($0.1[table] ?? []) }
            let common = all.dropFirst().reduce(all.first ?? []) { $0.intersection($1) }
            for (name, dump) in dumps {
                for row in dump[table] ?? [] where !common.contains(row) {
                    self.world.note(name, "shows \(row.prefix(600))")
                }
            }
        }
    }

    /// The result of the run, which ends here: all files are closed.
    func result(words: String) -> SuspectResult {
        if let violation = self.world.violation {
            for node in self.world.members { self.noteWaiting(at: node) }
            self.noteDifferences(violation)
        }
        for node in self.world.nodes { node.close() }
        return SuspectResult(
            violation: self.world.violation,
            words: "\(words) \(self.world.options)",
            transcript: self.world.transcript.lines,
            hash: self.world.transcript.hash,
            steps: self.world.transcript.count,
            mutations: self.world.phase.suspect?.mutator?.counts ?? [:],
            complaints: self.world.phase.suspect?.complaints ?? [],
            isSilent: self.world.phase.suspect?.isSilent ?? false
        )
    }
}

/// The kinds of runs with a node that nobody trusts.
package enum SuspectKind: String, Sendable, CaseIterable {
    /// One member is hostile.
    case hostile
    /// One member's bookkeeping is damaged.
    case damaged

    /// Carries out the run of a seed, which decides everything random.
    ///
    /// - Parameters:
    ///   - seed: the seed.
    ///   - isRecording: whether the result has the steps; a run without them is faster.
    ///   - templates: disks to begin with, which all runs share.
    /// - Returns: What happened.
    /// - Throws: What SQLite refuses, when the simulator itself cannot go on.
    package func result(
        seed: UInt64,
        isRecording: Bool = true,
        templates: DiskTemplates = DiskTemplates()
    ) throws -> SuspectResult {
        switch self {
        case .hostile: try HostileRun.result(seed: seed, isRecording: isRecording, templates: templates)
        case .damaged: try DamagedRun.result(seed: seed, isRecording: isRecording, templates: templates)
        }
    }
}
