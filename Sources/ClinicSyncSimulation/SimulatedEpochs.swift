import ClinicSyncCore
package import ClinicSyncModel
import ClinicSyncStorage
import GRDB

/// Brings a simulated clinic back to a backup; statements of epochs have no signatures.
package struct SimulatedEpochs {
    private let world: SimulatedWorld

    /// Of this clinic.
    package init(_ world: SimulatedWorld) { self.world = world }

    /// Makes a backup of what a PC's disk has now.
    package func backUp(_ node: SimulatedNode) throws -> MemoryDisk {
        try node.disk.memory.afterPowerCut(losing: .nothing)
    }

    /// Brings the clinic back to a backup, as an administrator does on one PC.
    ///
    /// What was promised for the former data ends, so nothing is checked from then on.
    ///
    /// - Returns: The epoch that begins.
    @discardableResult
    package func bringBack(to backup: MemoryDisk, at node: SimulatedNode, number: UInt64) throws -> Epoch? {
        self.world.checkers = []
        self.world.note(node.name, "brings the clinic back")
        self.world.endProcess(of: node)
        try node.disk.restart(with: try backup.afterPowerCut(losing: .nothing))
        try node.disk.forgetPlace()
        let epoch = Epoch(
            statement: Epoch.body(
                clinic: NodeID(high: 0, low: 0),
                number: number,
                node: node.origin.node,
                decidedAt: 0,
                batches: try node.committedVector().total
            )
        )
        node.configuration.epoch = epoch
        node.disk.following = nil
        self.world.schedule(.start(node: node.index), after: .seconds(1))
        return epoch
    }

    /// A peer told a node of an epoch: its process ends, and follows at its next start.
    func learn(epoch statement: [UInt8], at node: SimulatedNode) {
        let known = node.disk.following ?? node.configuration.epoch
        guard let epoch = Epoch(statement: statement), Optional(epoch).exceeds(known) else { return }
        node.disk.following = epoch
        self.world.schedule(.start(node: node.index), after: .milliseconds(10))
    }

    /// Sets aside what a node has, before its next process starts.
    func follow(_ epoch: Epoch, at node: SimulatedNode) throws {
        self.world.note(node.name, "follows")
        if node.process != nil { self.world.endProcess(of: node) }
        try node.disk.restart(with: MemoryDisk())
        // The tables are made, and what this file knows of its place is taken out, so that its numbers are new.
        _ = try node.start()
        node.process?.reading.reader.close()
        try node.process?.writing.writer.close()
        node.process = nil
        try node.disk.forgetPlace()
        node.configuration.epoch = epoch
        node.disk.following = nil
    }
}

extension SimulatedDisk {
    /// The node that opens the file next begins a new incarnation.
    fileprivate func forgetPlace() throws {
        try self.database.write { db in
            try db.execute(sql: "UPDATE clinicsync_setting SET value = x'' WHERE name = 'place'")
        }
    }
}
