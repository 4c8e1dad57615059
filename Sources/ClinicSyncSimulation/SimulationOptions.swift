/// A fault in a simulated run.
package enum FaultKind: String, Sendable, Hashable, CaseIterable {
    /// A connection breaks; each direction loses a part of its messages in transit.
    case connectionCut
    /// A connection loses every message without breaking; only silence shows it.
    case halfOpen
    /// Some PCs and the others do not reach each other for a while.
    case partition
    /// One of two PCs does not reach the other for a while.
    case oneWayPartition
    /// A PC's messages are slow, in both directions.
    case delaySpike
    /// A node and its programs do nothing for a while, like a suspended PC.
    case pause
    /// A node's process is killed and started again.
    case crash
    /// A PC loses its power. Everything that was not on its disk is lost, and its peers are not informed.
    case powerCut
    /// A node stops in order and is started again.
    case restart
    /// A PC's clock jumps.
    case clockStep
    /// A node's store refuses some writes.
    case diskFull
    /// A row is lost with all the node's bookkeeping about it, while the node does not run.
    case lostRow
    /// A row is written past the triggers.
    case escapedWrite
    /// A program on a PC keeps its write transaction open, and commits nothing.
    case storeLock
}

/// A kind of work in a simulated clinic.
package enum WorkloadKind: String, Sendable, Hashable, CaseIterable {
    /// Patients are registered and edited.
    case registration
    /// The queue moves, and services are counted.
    case queue
    /// Bills with items and payments.
    case billing
    /// All nodes edit, delete and rename the same rows.
    case sameRow
    /// Some hundred rows in one transaction.
    case bulk
    /// The day's queue is reported and deleted.
    case endOfDay
    /// Rows that violate a UNIQUE constraint on the other nodes.
    case uniqueClash
    /// Users log in and out on all PCs, through the node and by rows of programs.
    case sessions
}

/// The options of a run, which its seed decides.
package struct SimulationOptions: Sendable, Hashable, CustomStringConvertible {
    /// The seed.
    package var seed: UInt64
    /// The number of nodes.
    package var nodes: Int
    /// The time for which faults happen and programs write.
    package var safety: Duration
    /// The nodes' reconciliation interval; after the faults all nodes must be equal within two intervals.
    package var reconcileInterval: Duration
    /// The mean time between two transactions of programs.
    package var writeInterval: Duration
    /// The mean time between two faults.
    package var faultInterval: Duration
    /// The longest time of a message on the network, without faults.
    package var latencyMax: Duration
    /// The longest time of the store for one request.
    package var storeTimeMax: Duration
    /// The size at which a chunk of a batch is closed.
    package var chunkBytes: Int
    /// The credit of a peer.
    package var creditBytes: Int
    /// The wall clocks' distances from true time, in milliseconds, by node.
    package var skews: [Int64]
    /// The priority of each node as host.
    package var priorities: [UInt32]
    /// The faults of the run.
    package var faults: [FaultKind]
    /// The workloads of the run.
    package var workloads: [WorkloadKind]
    /// Whether a member may have told two nodes different things of one batch, so that the journal may differ in the end.
    package var hasTwoTongues = false
    /// Whether only the patients and the users are replicated, so that a store opens faster.
    package var hasFewTables = false
    /// Whether each node knows only itself as a member at the start, and learns of others by connections and proofs.
    package var areStrangers = false
    /// How long the log is kept at least, in milliseconds: usually longer than a run.
    package var retentionMilliseconds: Int64 = 7 * 86_400_000
    /// A member that was silent for so long lapses, in milliseconds.
    package var silenceMilliseconds: Int64 = 30 * 86_400_000
    /// When the last node joins; `nil`: at the beginning, like the others.
    package var joinAt: Duration?
    /// The time that PCs need for their events; `nil`: none.
    package var processing: ProcessingCost?
    /// The sync that nodes leave out; `nil` but in runs that must find that out.
    package var missingSync: MissingSync?

    /// The tables that need not be equal in the end.
    var uncompared: [String] {
        (self.workloads.contains(.uniqueClash) ? ["users"] : []) + (self.hasTwoTongues ? ["clinicsync_conflict"] : [])
    }

    /// Draws the options of a run.
    package static func random(seed: UInt64) -> SimulationOptions {
        // This is not the sequence of the run itself, so that a change of the options does not change the whole run.
        var random = SimulationRandom(seed: seed ^ 0x0_0710_0025)
        let nodes = [2, 3, 3, 3, 4, 5][random.below(6)]
        var faults = FaultKind.allCases.filter { $0 != .storeLock && random.chance(55) }
        // Drawn apart, because the other options of older seeds must stay as they are.
        var lockRandom = SimulationRandom(seed: seed ^ 0x0_0710_0020)
        if lockRandom.chance(30) { faults.append(.storeLock) }
        // A run whose rows may be set aside ends with unequal tables, so it is the exception.
        let workloads = WorkloadKind.allCases.filter { $0 == .uniqueClash ? random.chance(15) : random.chance(70) }
        var options = SimulationOptions(
            seed: seed,
            nodes: nodes,
            safety: random.duration(.seconds(6), .seconds(14)),
            reconcileInterval: random.duration(.seconds(5), .seconds(8)),
            writeInterval: random.duration(.milliseconds(100), .milliseconds(600)),
            faultInterval: random.duration(.milliseconds(400), .milliseconds(3_000)),
            latencyMax: random.duration(.microseconds(300), .milliseconds(40)),
            storeTimeMax: random.duration(.microseconds(500), .milliseconds(30)),
            chunkBytes: random.chance(50) ? 1_000 : 4_000,
            creditBytes: random.chance(50) ? 6_000 : 60_000,
            skews: (0..<nodes).map { _ in SimulationOptions.skew(&random) },
            priorities: SimulationOptions.priorities(nodes, &random),
            faults: faults,
            workloads: workloads.isEmpty ? [.registration] : workloads
        )
        // A node that does not know the members decides on logins as if it were alone.
        options.areStrangers = seed % 3 == 0 && !options.workloads.contains(.sessions)
        return options
    }

    /// A run in which PCs lose power all the time, and stop, meet and part in between.
    package static func powerCuts(seed: UInt64) -> SimulationOptions {
        var options = SimulationOptions.random(seed: seed)
        options.faults = [.powerCut, .powerCut, .powerCut, .restart, .partition, .clockStep]
        options.faultInterval = .milliseconds(400)
        // Often enough that marks are found on the way of storing a peer's batch.
        options.writeInterval = .milliseconds(Int64(20 + seed % 5 * 60))
        options.workloads.removeAll { $0 == .uniqueClash }
        if options.workloads.isEmpty { options.workloads = [.registration] }
        options.areStrangers = false
        return options
    }

    /// A run in which logs are pruned all the time, and PCs are off for so long that they lapse and come back by a state.
    package static func pruning(seed: UInt64) -> SimulationOptions {
        var options = SimulationOptions.random(seed: seed)
        options.retentionMilliseconds = 500 + Int64(seed % 4) * 500
        options.silenceMilliseconds = 1_000 + Int64(seed % 3) * 2_000
        options.faults += [.restart, .partition, .crash]
        options.areStrangers = false
        return options
    }

    /// A run of `pruning` in which programs also delete rows that all PCs write, and the day's queue.
    package static func deleting(seed: UInt64) -> SimulationOptions {
        var options = SimulationOptions.pruning(seed: seed)
        let deleting: [WorkloadKind] = [.sameRow, .endOfDay]
        options.workloads = deleting + options.workloads.filter { !deleting.contains($0) }
        return options
    }

    /// A run in which a PC joins late, when the others' logs no longer begin at the beginning, among faults.
    package static func joining(seed: UInt64) -> SimulationOptions {
        var options = SimulationOptions.random(seed: seed)
        options.nodes = max(options.nodes, 3)
        while options.skews.count < options.nodes { options.skews.append(0) }
        while options.priorities.count < options.nodes { options.priorities.append(100) }
        options.safety = .seconds(12)
        options.joinAt = .milliseconds(Int64(5_000 + seed % 5 * 1_000))
        options.retentionMilliseconds = 200
        // The others do not wait for the PC that has not come yet.
        options.silenceMilliseconds = 500
        options.faults = [.crash, .powerCut, .connectionCut, .restart]
        options.faultInterval = .milliseconds(Int64(300 + seed % 3 * 300))
        options.writeInterval = .milliseconds(150)
        options.latencyMax = .milliseconds(20)
        options.workloads.removeAll { $0 == .uniqueClash }
        if options.workloads.isEmpty { options.workloads = [.registration] }
        options.areStrangers = seed % 3 == 0 && !options.workloads.contains(.sessions)
        return options
    }

    /// Usually no node is preferred.
    ///
    /// If one node is never host, the others still can be.
    private static func priorities(_ nodes: Int, _ random: inout SimulationRandom) -> [UInt32] {
        var priorities = Array(repeating: UInt32(100), count: nodes)
        if random.chance(20) { priorities[random.below(nodes)] = 200 }
        if random.chance(20) { priorities[random.below(nodes)] = 0 }
        return priorities
    }

    private static func skew(_ random: inout SimulationRandom) -> Int64 {
        switch random.below(10) {
        case 0: Int64(random.number(in: -30_000_000...30_000_000))
        case 1...4: Int64(random.number(in: -3_000...3_000))
        default: 0
        }
    }

    /// All options in one line.
    package var description: String {
        let faults = self.faults.map(\.rawValue).joined(separator: ",")
        let workloads = self.workloads.map(\.rawValue).joined(separator: ",")
        return "seed=\(self.seed) nodes=\(self.nodes) safety=\(self.safety) reconcile=\(self.reconcileInterval) "
            + "writes=\(self.writeInterval) faults=\(self.faultInterval) latency=\(self.latencyMax) "
            + "store=\(self.storeTimeMax) chunk=\(self.chunkBytes) credit=\(self.creditBytes) skews=\(self.skews) "
            + "priorities=\(self.priorities) "
            + "faults=[\(faults)] workloads=[\(workloads)]"
            + (self.missingSync.map { " missingSync=\($0.rawValue)" } ?? "")
    }
}
