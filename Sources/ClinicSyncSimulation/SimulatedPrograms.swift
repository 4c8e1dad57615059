import GRDB

/// The programs of all PCs.
final class SimulatedPrograms {
    /// The workloads of the programs.
    let workloads: [any SimulationWorkload]
    /// The number of transactions that programs committed.
    private(set) var transactions = 0

    init(_ workloads: [any SimulationWorkload]) { self.workloads = workloads }

    /// Runs a step of a program on some PC, and schedules the next step.
    func step(in world: SimulatedWorld) throws {
        guard world.isDisturbed else { return }
        let interval = world.options.writeInterval
        world.schedule(.program, after: world.random.duration(interval / 8, interval * 15 / 8))
        guard let node = world.random.element(of: world.nodes), let workload = world.random.element(of: self.workloads)
        else { return }
        // Before its first start a PC has no tables. A suspended PC runs no programs.
        guard node.processNumber > 0, node.pausedUntil <= world.now, !world.isOut(node) else { return }
        // Programs wait for the lock like the node.
        guard node.obstacle.lockedUntil <= world.now else { return }
        if world.random.chance(4), node.isRunning, !node.isStopping {
            _ = try world.requestSync(at: node.index)
            return
        }
        let program = SimulatedProgram(world: world, node: node)
        do {
            try workload.step(program)
        } catch let error as DatabaseError where world.isSuspect(node) {
            // A program that meets damage shows an error, and that is all.
            world.note(node.name, "program fails: \(error.resultCode)")
        }
    }

    /// Records a program's commit.
    ///
    /// The node notices it soon, later, or at its next check.
    func committed(_ node: SimulatedNode, _ what: String, in world: SimulatedWorld) {
        self.transactions += 1
        world.note(node.name, "program \(what)")
        guard node.isRunning else { return }
        node.hasUnnoticedCommit = true
        guard world.random.chance(90) else { return }
        let delay = world.random.duration(.microseconds(100), .milliseconds(world.random.chance(80) ? 5 : 250))
        world.schedule(.notice(node: node.index, process: node.processNumber), after: delay)
    }
}
