import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// One run of the simulator.
///
/// First faults happen while programs write (the safety phase). Then only the nodes work, and must become equal (the
/// liveness phase).
public struct SimulationRun {
    let world: SimulatedWorld

    /// Carries out the run of a seed, which decides everything random.
    ///
    /// - Throws: What SQLite refuses, when the simulator itself cannot go on.
    public static func result(seed: UInt64) throws -> SimulationResult { try self.result(of: .random(seed: seed)) }

    /// Carries out the run of `options`; `observers` see it besides the checkers of every run.
    ///
    /// - Throws: What SQLite refuses, when the simulator itself cannot go on.
    package static func result(
        of options: SimulationOptions,
        observers: [any SimulationChecker] = []
    ) throws -> SimulationResult {
        let world = try SimulatedWorld(options)
        world.checkers += observers
        let run = SimulationRun(world: world)
        if let time = options.joinAt { try run.join(at: time) }
        try world.run(until: options.safety)
        world.heal()
        let convergence = try run.converge(within: options.reconcileInterval * 2)
        if convergence != nil { try run.prove() }
        return SimulationResult(
            options: options,
            violation: world.violation,
            hash: world.transcript.hash ^ world.random.next(),
            transcript: world.transcript.lines,
            steps: world.transcript.count,
            fired: world.faults.fired,
            transactions: world.programs.transactions,
            convergence: convergence
        )
    }

    /// The last node starts only at `time`.
    private func join(at time: Duration) throws {
        let joiner = self.world.nodes.count - 1
        self.world.phase.joiner = joiner
        try self.world.run(until: time)
        self.world.phase.joiner = nil
        self.world.schedule(.start(node: joiner), after: .zero)
    }

    /// Runs until all nodes are equal and their digests show it.
    ///
    /// - Returns: The time this took. If it took longer than `limit`: `nil`, and the run has failed.
    func converge(within limit: Duration) throws -> Duration? {
        let start = self.world.now
        // Until then a node may count on a peer that is gone.
        try self.world.run(until: start + .seconds(3))
        while self.world.violation == nil {
            if try self.isConverged() { return self.world.now - start }
            guard self.world.now - start < limit else {
                let difference = try self.difference() ?? "now they are"
                self.world.fail("the nodes are not equal \(limit) after the last fault: \(difference)")
                return nil
            }
            try self.world.run(until: min(self.world.now + .milliseconds(250), start + limit))
        }
        return nil
    }

    /// Requests a manual sync, whose answer must be equality, and passes the clinic to the checkers.
    func prove() throws {
        let members = self.world.members
        let asking = members[self.world.random.below(members.count)]
        let request = try self.world.requestSync(at: asking.index)
        let limit = self.world.now + .seconds(8)
        while !self.world.requests.openSyncs.isEmpty, self.world.now < limit, self.world.violation == nil {
            try self.world.run(until: self.world.now + .milliseconds(100))
        }
        guard self.world.violation == nil else { return }
        if !self.world.requests.openSyncs.isEmpty { return self.world.fail("a sync was not answered") }
        let result = self.world.requests.syncReports[request]?.result
        let isProven = result == .equal || result == .repaired
        if !isProven, self.world.options.uncompared.isEmpty {
            return self.world.fail("the sync's answer is \(result.map { "\($0)" } ?? "missing")")
        }
        // A host's upkeep writes rows at any time. The nodes are compared when all have them.
        let settled = self.world.now + .seconds(2)
        while try self.difference() != nil, self.world.now < settled, self.world.violation == nil {
            try self.world.run(until: self.world.now + .milliseconds(20))
        }
        for checker in self.world.checkers where self.world.violation == nil { try checker.finished(self.world) }
    }

    private func isConverged() throws -> Bool { try self.difference() == nil }

    /// The difference between the nodes; `nil` when they are equal.
    private func difference() throws -> String? {
        try self.difference(of: self.world.members)
    }

    /// The difference between these nodes; `nil` when they are equal.
    ///
    /// With `withHost` all nodes that run must have one host, too.
    func difference(of members: [SimulatedNode], withHost: Bool = true) throws -> String? {
        guard let first = members.first, let host = first.process else { return "a node does not run" }
        // A suspect may be host while it is there.
        if withHost, self.world.phase.suspect?.isOut != false, let trouble = self.world.hostTrouble() { return trouble }
        let (vector, tables) = try host.reading.reader.digests()
        for node in members {
            guard let process = node.process else { return "\(node.name) does not run" }
            let theirs = try process.reading.reader.digests()
            if theirs.vector != vector {
                return "\(node.name) has\(Summary.of(theirs.vector)), \(first.name) has\(Summary.of(vector))"
            }
            let uncompared = self.world.options.uncompared
            for (table, other) in zip(tables, theirs.tables) where table != other {
                if !uncompared.contains(table.name) {
                    return try "\(node.name) has another \(table.name) than \(first.name)"
                        + self.rows(of: node, first, differingIn: table, other)
                }
            }
            if try node.disk.hasMarks() { return "\(node.name) has not collected everything" }
            let status = process.machine.status(at: Now(monotonic: self.world.now, wallMilliseconds: 0))
            if status.pendingChanges > 0 { return "\(node.name) waits for the host's acknowledgement" }
            let peers = status.peers.filter { peer in members.contains { $0.origin.node == peer.id } }
            if let behind = peers.first(where: { $0.isConnected && $0.lagBatches > 0 }) {
                return "\(node.name) believes that \(behind.name) lacks \(behind.lagBatches) batches"
            }
        }
        return nil
    }
    /// What differs between a table of two nodes: some of the rows that one of them alone shows, or the sums of hidden and deleted rows.
    private func rows(
        of node: SimulatedNode,
        _ first: SimulatedNode,
        differingIn table: TableDigest,
        _ other: TableDigest
    ) throws -> String {
        let (ours, theirs) = try (first.disk.dump(of: table.name), node.disk.dump(of: table.name))
        let alone = [(first, Set(ours).subtracting(theirs)), (node, Set(theirs).subtracting(ours))]
            .flatMap { node, rows in rows.sorted().prefix(2).map { "\(node.name) alone: \($0)" } }
        guard alone.isEmpty else { return "; " + alone.joined(separator: "; ") }
        return "; hidden \(Self.words(table.hidden)) and \(Self.words(other.hidden))"
            + ", deleted \(Self.words(table.deleted)) and \(Self.words(other.deleted))"
    }

    private static func words(_ sum: StateSum?) -> String { sum.map { "\($0.rows)" } ?? "unknown" }
}
