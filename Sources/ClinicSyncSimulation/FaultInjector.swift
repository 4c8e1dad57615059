import ClinicSyncCore
import ClinicSyncModel
import Foundation
import GRDB

/// Injects the faults that the run's options allow.
final class FaultInjector {
    /// The answer of a store that the injector made fail.
    static let storeFailure = "the simulated disk is full"
    /// The answer of a store to a request that waited for a program's transaction for too long.
    static let storeLocked = "a simulated program keeps the file locked"
    /// Both answers.
    static let storeFailures: [StorageFailure] = [
        .disk(.full, FaultInjector.storeFailure), .unavailable(FaultInjector.storeLocked),
    ]

    /// The number of times that each fault happened.
    private(set) var fired: [FaultKind: Int] = [:]
    /// The PC whose disk has lost rows; at most one PC in a run.
    private var faultyDisk: Int?

    /// Makes one fault happen, and schedules the next.
    func breakSomething(in world: SimulatedWorld) throws {
        guard world.isDisturbed else { return }
        let interval = world.options.faultInterval
        world.schedule(.fault, after: world.random.duration(interval / 4, interval * 7 / 4))
        guard let kind = world.random.element(of: world.options.faults),
            let node = world.random.element(of: world.nodes)
        else { return }
        if try self.inject(kind, at: node, in: world) {
            world.disturb(until: world.now)
            self.fired[kind, default: 0] += 1
            world.note(node.name, "FAULT \(kind.rawValue)")
        }
    }

    /// Makes `kind` happen; `false` when it cannot happen now.
    private func inject(_ kind: FaultKind, at node: SimulatedNode, in world: SimulatedWorld) throws -> Bool {
        switch kind {
        case .connectionCut, .halfOpen: return self.breakConnection(kind, in: world)
        case .partition, .oneWayPartition, .delaySpike: return self.disturbPath(kind, in: world)
        case .pause:
            node.pausedUntil = world.now + world.random.duration(.milliseconds(100), .seconds(4))
            world.disturb(until: node.pausedUntil)
            return true
        case .clockStep:
            node.clock.skew += Int64(world.random.number(in: -3_600_000...3_600_000))
            return true
        case .diskFull:
            guard node.isRunning else { return false }
            node.obstacle.failingWrites += world.random.number(in: 1...4)
            return true
        case .storeLock:
            guard node.isRunning, !node.isStopping else { return false }
            node.lockStore(for: world.random.duration(.milliseconds(500), .seconds(9)), in: world)
            return true
        case .escapedWrite: return try self.writePastTriggers(at: node, in: world)
        case .crash, .powerCut, .restart, .lostRow: return try self.stopProcess(kind, of: node, in: world)
        }
    }

    private func breakConnection(_ kind: FaultKind, in world: SimulatedWorld) -> Bool {
        guard let link = world.random.element(of: world.network.living()) else { return false }
        if kind == .connectionCut {
            world.cut(link)
        } else {
            let pipes = [[0], [1], [0, 1]][world.random.below(3)]
            for pipe in pipes { world.network.links[link].pipes[pipe].isSwallowing = true }
        }
        return true
    }

    private func disturbPath(_ kind: FaultKind, in world: SimulatedWorld) -> Bool {
        let one = world.random.below(world.nodes.count)
        let end = world.now + world.random.duration(.milliseconds(200), .seconds(kind == .partition ? 9 : 5))
        // A clinic in two halves settles, and each half has a host. Any other fault is trouble while it lasts.
        if kind == .partition { world.schedule(.change, at: end) } else { world.disturb(until: end) }
        switch kind {
        case .delaySpike:
            for other in world.nodes.indices {
                world.network.paths[one][other].slowUntil = end
                world.network.paths[other][one].slowUntil = end
            }
        case .partition:
            let side = world.nodes.indices.filter { $0 == one || world.random.chance(40) }
            for inside in side {
                for outside in world.nodes.indices where !side.contains(outside) {
                    world.network.paths[inside][outside].blockedUntil = end
                    world.network.paths[outside][inside].blockedUntil = end
                }
            }
        default:
            let other = (one + 1 + world.random.below(world.nodes.count - 1)) % world.nodes.count
            world.network.paths[one][other].blockedUntil = end
        }
        return true
    }

    private func stopProcess(_ kind: FaultKind, of node: SimulatedNode, in world: SimulatedWorld) throws -> Bool {
        if kind == .powerCut { return try self.cutPower(of: node, in: world) }
        guard node.isRunning, !node.isStopping else { return false }
        // If two PCs lose the same row or its batch before they exchange changes, the row is lost.
        if kind == .lostRow, self.faultyDisk.map({ $0 != node.index }) == true { return false }
        if kind == .restart {
            node.isStopping = true
            try world.give(.shutdownRequested, to: node.index, process: node.processNumber)
            return true
        }
        world.disturb(until: world.now)
        world.endProcess(of: node)
        world.schedule(.start(node: node.index), after: world.random.duration(.milliseconds(50), .seconds(3)))
        guard kind == .lostRow else { return true }
        self.faultyDisk = node.index
        return try self.loseRow(at: node, in: world)
    }

    /// Cuts a PC's power, now or in the middle of what its store does next.
    private func cutPower(of node: SimulatedNode, in world: SimulatedWorld) throws -> Bool {
        guard node.processNumber > 0, !node.isRunning || !node.isStopping else { return false }
        let losses = MemoryDisk.Loss.allCases.filter { $0 != .nothing }
        let loss = losses[world.random.below(losses.count)]
        let seed = world.random.next()
        if node.isRunning, world.random.chance(50) {
            node.disk.planCut(after: world.random.number(in: 1...40), losing: loss, seed: seed)
        } else {
            try self.powerGoes(at: node, leaving: node.disk.remains(losing: loss, seed: seed), in: world)
        }
        return true
    }

    /// A PC's power goes, and comes back a little later.
    func powerGoes(at node: SimulatedNode, leaving remains: MemoryDisk, in world: SimulatedWorld) throws {
        world.disturb(until: world.now)
        world.endProcess(of: node, silently: true)
        try node.disk.restart(with: remains)
        for checker in world.checkers where world.violation == nil { try checker.powerLost(node, in: world) }
        world.schedule(.start(node: node.index), after: world.random.duration(.milliseconds(50), .seconds(3)))
    }

    /// Removes a patient's row from the table and from the node's bookkeeping, like the repair of a damaged page.
    private func loseRow(at node: SimulatedNode, in world: SimulatedWorld) throws -> Bool {
        let choice = world.random.next()
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
            try FaultInjector.subtract(row[2], table: table, db)
            isLost = true
            return .commit
        }
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

    /// Changes a row like a program that has dropped the triggers.
    private func writePastTriggers(at node: SimulatedNode, in world: SimulatedWorld) throws -> Bool {
        let text = "escaped \(world.random.below(1_000))"
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
        return isWritten
    }
}
