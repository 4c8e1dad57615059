import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// What came of a run.
package struct SimulationResult: Sendable {
    /// What the run depended on.
    package var options: SimulationOptions
    /// What was wrong; `nil` when everything held.
    package var violation: String?
    /// The hash of the whole transcript and of one last random number.
    package var hash: UInt64
    /// The last steps.
    package var transcript: [String]
    /// Steps in all.
    package var steps: Int
    /// How often each fault happened.
    package var fired: [FaultKind: Int]
    /// Transactions that programs committed.
    package var transactions: Int
    /// How long after the last fault everything was equal.
    package var convergence: Duration?

    /// How to repeat the run.
    package var reproduction: String {
        "CLINICSYNC_SEED=\(self.options.seed) swift test --filter ClinicSyncSimulationTests"
    }
}

extension SimulatedWorld {
    /// Carries out the run of `options`: faults first, then nothing but the nodes' own work, which must end in equality.
    package static func run(_ options: SimulationOptions) throws -> SimulationResult {
        let world = try SimulatedWorld(options)
        try world.run(until: options.safety)
        world.heal()
        let convergence = try world.converge(within: options.reconcileInterval * 2)
        if convergence != nil { try world.prove() }
        return SimulationResult(
            options: options,
            violation: world.violation,
            hash: world.transcript.hash ^ world.random.next(),
            transcript: world.transcript.lines,
            steps: world.transcript.count,
            fired: world.fired,
            transactions: world.transactions,
            convergence: convergence
        )
    }

    /// Runs until all nodes have the same and know it.
    ///
    /// - Returns: How long that took; `nil`, and the run has failed, when it took longer than `limit`.
    private func converge(within limit: Duration) throws -> Duration? {
        let start = self.now
        // Until then a node may believe in a peer that is gone.
        try self.run(until: start + .seconds(3))
        while self.violation == nil {
            if try self.isConverged() { return self.now - start }
            guard self.now - start < limit else {
                let difference = try self.difference() ?? "now they are"
                self.fail("the nodes are not equal \(limit) after the last fault: \(difference)")
                return nil
            }
            try self.run(until: min(self.now + .milliseconds(250), start + limit))
        }
        return nil
    }

    /// Asks for a manual sync, whose answer must be equality, and hands the clinic to the checkers.
    private func prove() throws {
        let asking = self.nodes[self.random.below(self.nodes.count)]
        let request = try self.requestSync(at: asking.index)
        let limit = self.now + .seconds(8)
        while !self.openSyncs.isEmpty, self.now < limit, self.violation == nil {
            try self.run(until: self.now + .milliseconds(100))
        }
        guard self.violation == nil else { return }
        if !self.openSyncs.isEmpty { return self.fail("a sync was not answered") }
        let result = self.syncReports[request]?.result
        let isProven = result == .equal || result == .repaired
        if !isProven, !self.options.workloads.contains(.uniqueClash) {
            return self.fail("the sync's answer is \(result.map { "\($0)" } ?? "missing")")
        }
        for checker in self.checkers where self.violation == nil { try checker.finished(self) }
    }

    private func isConverged() throws -> Bool { try self.difference() == nil }

    /// What keeps the clinic from being equal; `nil` when nothing does.
    private func difference() throws -> String? {
        let hides = self.options.workloads.contains(.uniqueClash)
        guard let host = self.nodes.first?.process else { return "A does not run" }
        if let trouble = self.hostTrouble(in: Array(self.nodes.indices)) { return trouble }
        let (vector, tables) = try host.reading.reader.digests()
        for node in self.nodes {
            guard let process = node.process else { return "\(node.name) does not run" }
            let theirs = try process.reading.reader.digests()
            if theirs.vector != vector {
                return "\(node.name) has\(Summary.of(theirs.vector)), A has\(Summary.of(vector))"
            }
            for (table, other) in zip(tables, theirs.tables) where table != other {
                if !(hides && table.name == "users") { return "\(node.name) has another \(table.name) than A" }
            }
            if try node.disk.hasMarks() { return "\(node.name) has not collected everything" }
            let status = process.machine.status(at: Now(monotonic: self.now, wallMilliseconds: 0))
            if status.pendingChanges > 0 { return "\(node.name) waits for the host's acknowledgement" }
            if let behind = status.peers.first(where: { $0.isConnected && $0.lagBatches > 0 }) {
                return "\(node.name) believes that \(behind.name) lacks \(behind.lagBatches) batches"
            }
        }
        return nil
    }
}
