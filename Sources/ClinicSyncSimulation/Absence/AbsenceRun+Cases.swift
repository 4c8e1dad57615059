import ClinicSyncCore
import ClinicSyncModel
import GRDB

// The cases.
extension AbsenceRun {
    func away(_ node: SimulatedNode) throws {
        guard self.world.random.chance(50) else { return try self.isolate(node) }
        try self.turnOff(node)
        try self.work(at: [node])
        try self.pruneBeyond(node.committedVector(), at: self.running)
        try self.work(at: [node])
        try self.comeBack(node)
    }

    /// The cable of a PC is out, and programs and node go on.
    ///
    /// The node is host of itself then: it has the others lapse, and prunes what nobody else has from its own log.
    private func isolate(_ node: SimulatedNode) throws {
        let others = self.others(than: node)
        let vector = try node.committedVector()
        self.world.partition([[node.index], others.map(\.index)], for: .seconds(86_400))
        try self.work(at: [node])
        try self.pruneBeyond(vector, at: others)
        try self.work(at: [node])
        try self.wait("a node that is alone does not prune its log") { try !vector.covers(node.disk.floors()) }
        self.pcs.reconnect()
    }

    /// A number that no copy of files had.
    private var nextCopy: UInt8 { UInt8(clamping: 2 + self.watch.counts.replaced) }

    func restore(_ node: SimulatedNode) throws {
        let backup = try node.disk.files()
        let vector = try node.committedVector()
        try self.pruneBeyond(vector, at: self.running)
        // What only this PC has would be gone with its file.
        try self.settle("before a backup is put back")
        try self.turnOff(node)
        try self.replace(node, by: backup, isCopy: true)
        try self.work(at: [node])
        try self.comeBack(node)
    }

    /// Other files take the place of a node's; the witness of its numbers is a file of its own and stays.
    private func replace(_ node: SimulatedNode, by files: MemoryDisk, isCopy: Bool) throws {
        let witness = node.disk.memory.read(SimulatedDisk.witness, count: 64)
        if let witness { _ = files.write(witness, to: SimulatedDisk.witness) }
        try self.pcs.replaceFiles(of: node, by: files, copy: self.nextCopy, isCopy: isCopy)
    }

    func clone(_ node: SimulatedNode) throws {
        try self.turnOff(node, inOrder: true)
        let (copied, place) = (try node.disk.files(), node.disk.copy)
        let vector = try node.committedVector()
        try self.turnOn(node)
        try self.pruneBeyond(vector, at: self.running)
        try self.settle("before the copy is used")
        try self.turnOff(node)
        let original = try node.disk.files()
        // The copy is another PC's directory, with its own witness.
        try self.pcs.replaceFiles(of: node, by: copied, copy: self.nextCopy, isCopy: true)
        try self.work(at: [node])
        try self.comeBack(node)
        try self.work()
        try self.settle("with the copy")
        try self.turnOff(node)
        try self.pcs.replaceFiles(of: node, by: original, copy: place, isCopy: false)
        try self.work(at: [node])
        try self.turnOn(node)
    }

    func wipe(_ node: SimulatedNode) throws {
        try self.work()
        try self.settle("before a file is lost")
        try self.turnOff(node)
        let empty = try self.templates.disk(of: node.index, self.world.options).afterPowerCut(losing: .nothing)
        try self.pcs.replaceFiles(of: node, by: empty, copy: self.nextCopy, isCopy: true)
        try self.pruneBeyond(VersionVector(), at: self.running)
        try self.comeBack(node)
    }

    func die(_ node: SimulatedNode) throws {
        let vector = try node.committedVector()
        try self.turnOff(node, inOrder: false)
        try self.pruneBeyond(vector, at: self.running)
        let id = node.origin.node.description
        try self.wait("a dead member does not lapse") {
            try self.running.allSatisfy { other in
                try other.disk.read { db in
                    try db.tableExists("clinicsync_lapse")
                        && Row.fetchOne(db, sql: "SELECT 1 FROM clinicsync_lapse WHERE node = ?", arguments: [id])
                            != nil
                }
            }
        }
        self.watch.noteLapse()
    }

    // MARK: - Joins that are broken off

    /// What ends a transfer in its middle.
    private enum Break: CaseIterable {
        case receiverKilled, giverKilled, linksCut, receiverLosesPower
    }

    private func breakOff(_ node: SimulatedNode, _ kind: Break) throws {
        let pause = self.world.random.duration(.milliseconds(20), .milliseconds(800))
        switch kind {
        case .receiverKilled: self.world.kill(node, for: pause)
        case .giverKilled:
            for other in self.others(than: node) where other.isHost { self.world.kill(other, for: pause) }
        case .linksCut: self.pcs.cutLinks(of: node)
        case .receiverLosesPower:
            let remains = try node.disk.remains(losing: .tail, seed: self.world.random.next())
            try self.world.faults.powerGoes(at: node, leaving: remains, in: self.world)
        }
    }

    private func states(of node: SimulatedNode) -> Int { self.watch.installed[node.index] ?? 0 }

    /// Waits until a node has stored a further part of a state, or has shown one after the `shown` ones.
    ///
    /// - Returns: Whether the state is still on its way.
    private func waitForPages(_ node: SimulatedNode, more: Int, after shown: Int) throws -> Bool {
        let staged = self.watch.staged[node.index] ?? 0
        var isShown = false
        try self.wait("no state reaches \(node.name)", every: .milliseconds(1)) {
            isShown = self.states(of: node) > shown
            return isShown || self.watch.staged[node.index] ?? 0 >= staged + more
        }
        return !isShown
    }

    func killJoin(_ node: SimulatedNode) throws {
        try self.turnOff(node)
        try self.work(at: [node])
        try self.pruneBeyond(node.committedVector(), at: self.running)
        let shown = self.states(of: node)
        try self.turnOn(node)
        let first = self.world.random.below(Break.allCases.count)
        var broken = 0
        for count in 0..<4 where self.world.violation == nil {
            guard try self.waitForPages(node, more: 1 + count % 2, after: shown) else { break }
            try self.breakOff(node, Break.allCases[(first + count) % Break.allCases.count])
            self.watch.noteBreak(of: node)
            broken += 1
            try self.wait("a node does not start") { self.isUp(node) }
        }
        if broken == 0 { self.world.fail("\(node.name) had the whole state before it could be broken off") }
    }

    /// Whether all nodes run that are not off for long.
    private func isUp(_ node: SimulatedNode) -> Bool {
        node.isRunning && self.running.contains { $0.index != node.index }
    }

    func pruneDuringJoin(_ node: SimulatedNode) throws {
        try self.turnOff(node)
        try self.work(at: [node])
        try self.pruneBeyond(node.committedVector(), at: self.running)
        let shown = self.states(of: node)
        try self.turnOn(node)
        guard try self.waitForPages(node, more: 2, after: shown) else {
            return self.world.fail("\(node.name) had the whole state before it could be cut off")
        }
        self.watch.noteBreak(of: node)
        let others = self.others(than: node)
        let pruned = self.watch.counts.pruned
        self.world.partition([[node.index], others.map(\.index)], for: .seconds(86_400))
        for _ in 0..<3 {
            try self.work(at: others)
            try self.world.run(until: self.world.now + .seconds(1))
        }
        try self.wait("the others do not prune their logs") { self.watch.counts.pruned > pruned }
        try self.work(at: [node])
        self.pcs.reconnect()
    }

    /// A state of 1 GB has so many pages of 256 KiB; here a page has one row.
    static let largePages = 4_096
    /// So many answers of two pages arrive between two breaks.
    private static let answersBetweenBreaks = 100

    func joinLarge(_ node: SimulatedNode) throws {
        let giver = self.others(than: node)[0]
        for _ in 0..<(AbsenceRun.largePages / 256) {
            try self.ledger.add(256, self.world.program(at: giver.index))
            try self.world.run(until: self.world.now + .seconds(1))
        }
        try self.settle("before a file is lost")
        try self.turnOff(node)
        let empty = try self.templates.disk(of: node.index, self.world.options).afterPowerCut(losing: .nothing)
        try self.pcs.replaceFiles(of: node, by: empty, copy: self.nextCopy, isCopy: true)
        try self.pruneBeyond(VersionVector(), at: self.running)
        let shown = self.states(of: node)
        try self.turnOn(node)
        var count = 0
        while self.world.violation == nil,
            try self.waitForPages(node, more: AbsenceRun.answersBetweenBreaks, after: shown)
        {
            try self.breakOff(node, Break.allCases[count % Break.allCases.count])
            self.watch.noteBreak(of: node)
            count += 1
            try self.work(at: self.others(than: node))
            try self.wait("a node does not start") { self.isUp(node) }
        }
    }
}
