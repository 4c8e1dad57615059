// What a run's phases and tests do to the clinic.
extension SimulatedWorld {
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

    /// Kills the process of a node, which starts again after `pause`.
    package func kill(_ node: SimulatedNode, for pause: Duration) {
        self.note(node.name, "killed")
        self.disturb(until: self.now + pause)
        self.endProcess(of: node)
        self.schedule(.start(node: node.index), after: pause)
    }

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
