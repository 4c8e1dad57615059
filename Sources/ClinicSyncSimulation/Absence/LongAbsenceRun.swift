import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB

/// Half a year without one of three PCs, with the retention and the silence of production, and with every table of the clinic.
///
/// Programs write on both sides: rows that are edited, deleted, added, counted and referred to, so that every policy of the manifest
/// decides something (``LongAbsenceRows``). Days pass while the nodes are off at night: their clocks leap.
package final class LongAbsenceRun {
    /// What happened, beside the violation.
    package struct Result: Sendable {
        /// The violation; `nil` when there was none.
        package var violation: String?
        /// The last steps.
        package var transcript: [String]
        /// Whether the member lapsed, and the others pruned what it lacked.
        package var hasLapsed = false
        /// Whether the others had all that the PC had entered as soon as it showed the state, before any comparison.
        package var isOwnSent = false
        /// How many states were merged and shown.
        package var installed = 0
        /// How many entries of the journal brought back a row that was deleted meanwhile.
        package var restored = 0
        /// How many days passed.
        package var days = 0
    }

    private let world: SimulatedWorld
    private var pcs: PCControls { PCControls(world: self.world) }
    private let rows: LongAbsenceRows
    private let watch = AbsenceWatch()
    /// Whether the PC's node runs, without a network.
    private let isAlone: Bool
    private var result = Result(transcript: [])
    /// The PC that is away.
    private var away: SimulatedNode { self.world.nodes[2] }
    private var others: [SimulatedNode] { Array(self.world.nodes.prefix(2)) }

    /// Carries out the run.
    ///
    /// - Parameter isAlone: whether the PC's node runs all the time and only its cable is out; otherwise it is off.
    /// - Returns: What happened.
    /// - Throws: What SQLite refuses, when the simulator itself cannot go on.
    package static func result(isAlone: Bool) throws -> Result {
        let run = try LongAbsenceRun(isAlone: isAlone)
        try run.carryOut()
        run.result.violation = run.world.violation
        run.result.transcript = run.world.transcript.lines
        run.result.installed = run.watch.counts.installed
        for node in run.world.nodes { node.close() }
        return run.result
    }

    private init(isAlone: Bool) throws {
        var options = SimulationOptions.random(seed: isAlone ? 2 : 1)
        options.nodes = 3
        options.skews = [0, 1_500, -1_500]
        options.priorities = [200, 100, 100]
        options.faults = [.crash, .powerCut, .connectionCut]
        options.workloads = []
        options.areStrangers = false
        options.reconcileInterval = .seconds(3)
        options.latencyMax = .milliseconds(2)
        options.storeTimeMax = .milliseconds(2)
        options.chunkBytes = 4_000
        options.creditBytes = 60_000
        self.isAlone = isAlone
        self.world = try SimulatedWorld(options, workloads: [])
        self.world.checkers.append(self.watch)
        self.world.rest()
        try self.world.run(until: .seconds(3))
        self.rows = try self.world.nodes[0].disk.read { try LongAbsenceRows($0) }
    }

    // MARK: - The run

    private func carryOut() throws {
        try self.write(self.rows.start, at: 0)
        try self.settle(self.world.nodes, "before the PC leaves")
        try self.pcs.stop(self.away)
        let vector = try self.away.committedVector()
        if self.isAlone {
            self.world.partition([[0, 1], [2]], for: .seconds(1_000_000))
            self.pcs.start(self.away)
        }
        for month in 1...6 where self.world.violation == nil {
            try self.pass(days: month.isMultiple(of: 2) ? 31 : 30)
            for (node, sql) in self.rows.work(in: month) { try self.write(sql, at: node) }
            try self.world.run(until: self.world.now + .seconds(3))
            try self.settle(self.others, "after \(month) months")
        }
        self.result.hasLapsed = try self.others.allSatisfy { node in
            let lapsed = try node.disk.read { db in
                try Row.fetchOne(
                    db,
                    sql: "SELECT 1 FROM clinicsync_lapse WHERE node = ?",
                    arguments: [self.away.origin.node.description]
                )
            }
            return try lapsed != nil && !vector.covers(node.disk.floors())
        }
        try self.comeBack()
        guard self.world.violation == nil else { return }
        for node in self.world.nodes {
            if let problem = try self.rows.problem(on: node) { self.world.fail("\(node.name) \(problem)") }
        }
        try self.restoreDeleted()
        if self.world.violation == nil { try SimulationRun(world: self.world).prove() }
    }

    /// All nodes that run stop, and start some days later.
    private func pass(days: Int) throws {
        let running = self.world.nodes.filter(\.isRunning)
        for node in running { try self.pcs.stop(node) }
        for node in self.world.nodes { node.clock.skew += Int64(days) * 86_400_000 }
        for node in running { self.pcs.start(node) }
        self.result.days += days
        try self.world.run(until: self.world.now + .seconds(2))
    }

    private func write(_ sql: String, at index: Int) throws {
        let isCommitted = try self.world.program(at: index).transaction("writes") { try $0.execute(sql: sql) }
        if !isCommitted { self.world.fail("a constraint refused what a program wrote") }
    }

    private func comeBack() throws {
        let shown = self.watch.installed[self.away.index] ?? 0
        if self.isAlone { self.pcs.reconnect() } else { self.pcs.start(self.away) }
        // What the PC had entered has its number as soon as the node has started.
        let limit = self.world.now + .seconds(60)
        var own: UInt64 = 0
        while self.watch.installed[self.away.index] ?? 0 == shown, self.world.now < limit, self.world.violation == nil {
            try self.world.run(until: self.world.now + .milliseconds(1))
            own = try self.away.committedVector()[self.away.origin]
        }
        // The last of it may still be on its way.
        try self.world.run(until: self.world.now + .milliseconds(50))
        self.result.isOwnSent = try self.others.contains { try $0.committedVector()[self.away.origin] >= own }
        try self.settle(self.world.nodes, "after the PC came back")
    }

    private func settle(_ nodes: [SimulatedNode], _ when: String) throws {
        let run = SimulationRun(world: self.world)
        let limit = self.world.now + .seconds(60)
        while self.world.violation == nil {
            // While a PC is alone, it is host of itself.
            let isWhole = nodes.count == self.world.nodes.count
            guard let difference = try run.difference(of: nodes, withHost: isWhole || !self.isAlone) else { return }
            guard self.world.now < limit else {
                return self.world.fail("the nodes are not equal \(when): \(difference)")
            }
            try self.world.run(until: self.world.now + .milliseconds(250))
        }
    }

    /// A person restores each row that was deleted meanwhile and that the away PC had edited.
    private func restoreDeleted() throws {
        guard let writer = self.world.nodes[0].process?.writing.writer,
            let reader = self.world.nodes[0].process?.reading.reader
        else { return }
        for (table, key) in try self.rows.deletedAndEdited(on: self.world.nodes[0]) {
            let entry = try reader.journal(openOnly: true)
                .first { $0.row.table == table && $0.row.key == .string(key) }
            guard let entry else { return self.world.fail("the edit of \(table)/\(key) is not in the journal") }
            _ = try writer.journalDecisions.restore([entry.id])
            self.result.restored += 1
            try self.world.give(.localCommitNoticed, to: 0, process: self.world.nodes[0].processNumber)
            try self.world.run(until: self.world.now + .seconds(1))
        }
        try self.settle(self.world.nodes, "after rows were restored")
        guard self.world.violation == nil else { return }
        for node in self.world.nodes {
            if let (table, key) = try self.rows.deletedAndEdited(on: node).first {
                self.world.fail("\(table)/\(key) was not restored on \(node.name)")
            }
        }
    }
}
