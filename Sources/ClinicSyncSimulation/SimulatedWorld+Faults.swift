import ClinicSyncCore
import ClinicSyncModel
import Foundation
import GRDB

// What goes wrong, and what programs do.
extension SimulatedWorld {
    func breakSomething() throws {
        guard self.isDisturbed else { return }
        let interval = self.options.faultInterval
        self.schedule(.fault, after: self.random.duration(interval / 4, interval * 7 / 4))
        guard let kind = self.random.element(of: self.options.faults),
            let node = self.random.element(of: self.nodes)
        else { return }
        if try self.inject(kind, at: node) {
            self.disturb(until: self.now)
            self.fired[kind, default: 0] += 1
            self.note(node.name, "FAULT \(kind.rawValue)")
        }
    }

    /// Makes `kind` happen; `false` when it cannot happen now.
    private func inject(_ kind: FaultKind, at node: SimulatedNode) throws -> Bool {
        switch kind {
        case .connectionCut, .halfOpen: return self.breakConnection(kind)
        case .partition, .oneWayPartition, .delaySpike: return self.disturbPath(kind)
        case .pause:
            node.pausedUntil = self.now + self.random.duration(.milliseconds(100), .seconds(4))
            self.disturb(until: node.pausedUntil)
            return true
        case .clockStep:
            node.skew += Int64(self.random.number(in: -3_600_000...3_600_000))
            return true
        case .diskFull:
            guard node.isRunning else { return false }
            node.failingWrites += self.random.number(in: 1...4)
            return true
        case .escapedWrite: return try self.writePastTriggers(at: node)
        case .crash, .powerCut, .restart, .lostRow: return try self.stopProcess(kind, of: node)
        }
    }

    private func breakConnection(_ kind: FaultKind) -> Bool {
        guard let link = self.random.element(of: self.network.living()) else { return false }
        if kind == .connectionCut {
            self.cut(link)
        } else {
            let pipes = [[0], [1], [0, 1]][self.random.below(3)]
            for pipe in pipes { self.network.links[link].pipes[pipe].isSwallowing = true }
        }
        return true
    }

    private func disturbPath(_ kind: FaultKind) -> Bool {
        let one = self.random.below(self.nodes.count)
        let end = self.now + self.random.duration(.milliseconds(200), .seconds(kind == .partition ? 9 : 5))
        // Two halves of a clinic are at rest, each with its host; anything else is trouble as long as it lasts.
        if kind == .partition { self.schedule(.change, at: end) } else { self.disturb(until: end) }
        switch kind {
        case .delaySpike:
            for other in self.nodes.indices {
                self.network.paths[one][other].slowUntil = end
                self.network.paths[other][one].slowUntil = end
            }
        case .partition:
            let side = self.nodes.indices.filter { $0 == one || self.random.chance(40) }
            for inside in side {
                for outside in self.nodes.indices where !side.contains(outside) {
                    self.network.paths[inside][outside].blockedUntil = end
                    self.network.paths[outside][inside].blockedUntil = end
                }
            }
        default:
            let other = (one + 1 + self.random.below(self.nodes.count - 1)) % self.nodes.count
            self.network.paths[one][other].blockedUntil = end
        }
        return true
    }

    private func stopProcess(_ kind: FaultKind, of node: SimulatedNode) throws -> Bool {
        guard node.isRunning, !node.isStopping else { return false }
        // Two PCs that both lose a row, or its batch, before they hear of each other have lost it.
        if kind == .lostRow, self.faultyDisk.map({ $0 != node.index }) == true { return false }
        if kind == .restart {
            node.isStopping = true
            try self.give(.shutdownRequested, to: node.index, process: node.processNumber)
            return true
        }
        self.disturb(until: self.now)
        self.endProcess(of: node, silently: kind == .powerCut)
        if kind == .powerCut {
            try node.disk.losePower()
            for checker in self.checkers { try checker.powerLost(node, in: self) }
        }
        self.schedule(.start(node: node.index), after: self.random.duration(.milliseconds(50), .seconds(3)))
        guard kind == .lostRow else { return true }
        self.faultyDisk = node.index
        return try self.loseRow(at: node)
    }

    /// Takes a patient's row out of the table and out of the node's books, as a damaged page that was repaired would.
    private func loseRow(at node: SimulatedNode) throws -> Bool {
        let choice = self.random.next()
        var isLost = false
        try node.disk.database.inTransaction(.immediate) { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT r.tableId, r.pk, r.hash FROM clinicsync_row r JOIN clinicsync_table t ON t.id = r.tableId
                    WHERE t.name = 'patients' AND r.pk LIKE 'p-%' AND NOT EXISTS
                    (SELECT 1 FROM clinicsync_dirty d WHERE d.tableId = r.tableId AND d.pk = r.pk) ORDER BY r.pk
                    """
            )
            guard !rows.isEmpty else { return .rollback }
            let row = rows[Int(choice % UInt64(rows.count))]
            let (table, key): (Int64, String) = (row[0], row[1])
            try db.execute(sql: "UPDATE clinicsync_guard SET applying = 1")
            try db.execute(sql: "DELETE FROM patients WHERE id = ?", arguments: [key])
            try db.execute(sql: "DELETE FROM clinicsync_row WHERE tableId = ? AND pk = ?", arguments: [table, key])
            try db.execute(sql: "UPDATE clinicsync_guard SET applying = 0")
            try SimulatedWorld.subtract(row[2], table: table, db)
            isLost = true
            return .commit
        }
        try node.disk.flush()
        return isLost
    }

    private static func subtract(_ hash: Data, table: Int64, _ db: Database) throws {
        let halves = [hash.prefix(8), hash.suffix(8)].map { $0.reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
        let known = try Row.fetchOne(
            db,
            sql: "SELECT high, low FROM clinicsync_digest WHERE tableId = ?",
            arguments: [table]
        )
        guard let known else { return }
        var digest = Digest(
            high: UInt64(bitPattern: known[0] as Int64),
            low: UInt64(bitPattern: known[1] as Int64)
        )
        digest -= Digest(high: halves[0], low: halves[1])
        try db.execute(
            sql: "UPDATE clinicsync_digest SET rows = rows - 1, high = ?, low = ? WHERE tableId = ?",
            arguments: [Int64(bitPattern: digest.high), Int64(bitPattern: digest.low), table]
        )
    }

    /// Changes a row as a program does that has dropped the triggers.
    private func writePastTriggers(at node: SimulatedNode) throws -> Bool {
        let text = "escaped \(self.random.below(1_000))"
        var isWritten = false
        try node.disk.database.inTransaction(.immediate) { db in
            guard try db.tableExists("clinicsync_guard") else { return .rollback }
            try db.execute(sql: "UPDATE clinicsync_guard SET applying = 1")
            try db.execute(
                sql: """
                    UPDATE patients SET address = ? WHERE id = (SELECT id FROM patients WHERE id LIKE 'p-%' ORDER BY id LIMIT 1)
                    """,
                arguments: [text]
            )
            isWritten = db.changesCount > 0
            try db.execute(sql: "UPDATE clinicsync_guard SET applying = 0")
            return .commit
        }
        try node.disk.flush()
        return isWritten
    }

    /// Programs write nothing more.
    package func rest() { self.isDisturbed = false }

    /// Faults and programs stop, what is broken is mended; what nodes believe stays as it is.
    func heal() {
        self.isDisturbed = false
        self.disturb(until: self.now)
        self.note("world", "heals")
        for node in self.nodes {
            node.failingWrites = 0
            node.pausedUntil = self.now
            if !node.isRunning { self.schedule(.start(node: node.index), after: .milliseconds(10)) }
        }
        self.network.mend()
    }

    // MARK: - Programs

    func runProgram() throws {
        guard self.isDisturbed else { return }
        let interval = self.options.writeInterval
        self.schedule(.program, after: self.random.duration(interval / 8, interval * 15 / 8))
        guard let node = self.random.element(of: self.nodes), let workload = self.random.element(of: self.workloads)
        else { return }
        // Before its first start a PC has no tables; a suspended one runs no programs.
        guard node.processNumber > 0, node.pausedUntil <= self.now else { return }
        if self.random.chance(4), node.isRunning, !node.isStopping {
            _ = try self.requestSync(at: node.index)
            return
        }
        let program = SimulatedProgram(world: self, node: node)
        try workload.step(program)
    }

    /// Takes note that a program committed; the node hears of it sooner, later, or at its next look.
    func committed(_ node: SimulatedNode, _ what: String) {
        self.transactions += 1
        self.note(node.name, "program \(what)")
        guard node.isRunning else { return }
        node.hasUnnoticedCommit = true
        guard self.random.chance(90) else { return }
        let delay = self.random.duration(.microseconds(100), .milliseconds(self.random.chance(80) ? 5 : 250))
        self.schedule(.notice(node: node.index, process: node.processNumber), after: delay)
    }
}

extension SimulatedWorld {
    /// A program on a PC, for what a test wants written.
    package func program(at index: Int) -> SimulatedProgram { SimulatedProgram(world: self, node: self.nodes[index]) }

    /// For a while, PCs of different groups do not reach each other.
    package func partition(_ groups: [[Int]], for time: Duration) {
        let end = self.now + time
        self.schedule(.change, at: end)
        self.disturb(until: self.now)
        for (place, group) in groups.enumerated() {
            for (other, others) in groups.enumerated() where other != place {
                for inside in group {
                    for outside in others { self.network.paths[inside][outside].blockedUntil = end }
                }
            }
        }
    }
}
