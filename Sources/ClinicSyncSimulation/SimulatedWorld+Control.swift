// The controls of the clinic, for a run's phases and for tests.
extension SimulatedWorld {
    /// Stops the programs' writes.
    package func rest() { self.phase.isDisturbed = false }

    /// Stops faults and programs, and repairs what is broken.
    ///
    /// The nodes' own state does not change.
    func heal() {
        self.phase.isDisturbed = false
        self.disturb(until: self.now)
        self.note("world", "heals")
        for node in self.nodes {
            node.obstacle.failingWrites = 0
            node.pausedUntil = self.now
            node.obstacle.lockedUntil = self.now
            if !node.isRunning { self.schedule(.start(node: node.index), after: .milliseconds(10)) }
        }
        self.network.mend()
    }

    /// Kills the process of a node, which starts again after `pause`.
    package func kill(_ node: SimulatedNode, for pause: Duration) {
        self.note(node.name, "killed")
        self.disturb(until: self.now + pause)
        self.endProcess(of: node)
        self.schedule(.start(node: node.index), after: pause)
    }

    /// Returns a program on a PC, for the writes of a test.
    package func program(at index: Int) -> SimulatedProgram { SimulatedProgram(world: self, node: self.nodes[index]) }

    /// Partitions the PCs into groups for a while.
    package func partition(_ groups: [[Int]], for time: Duration) {
        let end = self.now + time
        self.schedule(.change, at: end)
        self.disturb(until: self.now)
        self.network.sever(groups, until: end)
    }
}

extension SimulatedNetwork {
    /// Blocks all paths between PCs of different groups.
    fileprivate mutating func sever(_ groups: [[Int]], until end: Duration) {
        for (place, group) in groups.enumerated() {
            for (other, others) in groups.enumerated() where other != place {
                for inside in group {
                    for outside in others { self.paths[inside][outside].blockedUntil = end }
                }
            }
        }
    }
}
