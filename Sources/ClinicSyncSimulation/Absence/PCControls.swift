import ClinicSyncCore

/// Stops and starts PCs, and exchanges their files.
struct PCControls {
    let world: SimulatedWorld

    /// Stops a node in order; it stays off until ``start(_:)``.
    func stop(_ node: SimulatedNode) throws {
        guard node.isRunning else { return }
        // For a moment a host that hands over and its successor are both hosts.
        self.world.disturb(until: self.world.now)
        try self.world.give(.shutdownRequested, to: node.index, process: node.processNumber)
        let limit = self.world.now + .seconds(5)
        while node.isRunning, self.world.now < limit, self.world.violation == nil {
            try self.world.run(until: self.world.now + .milliseconds(50))
        }
        if node.isRunning { self.world.fail("\(node.name) does not stop") }
    }

    /// Kills a node's process; the node stays off until ``start(_:)``.
    func crash(_ node: SimulatedNode) {
        self.world.note(node.name, "killed")
        self.world.disturb(until: self.world.now)
        self.world.endProcess(of: node)
    }

    /// Starts a node soon.
    func start(_ node: SimulatedNode) { self.world.schedule(.start(node: node.index), after: .milliseconds(20)) }

    /// Puts other files in the place of a PC's, whose node is off.
    ///
    /// - Parameters:
    ///   - node: the node.
    ///   - files: the files.
    ///   - copy: the number of the copy; files that were opened as another copy are at a new place.
    ///   - isCopy: whether the files were last opened as another copy.
    /// - Throws: what SQLite reports.
    func replaceFiles(of node: SimulatedNode, by files: MemoryDisk, copy: UInt8, isCopy: Bool) throws {
        self.world.note(node.name, "gets other files")
        try node.disk.exchange(files, copy: copy)
        node.isClosed = false
        for checker in self.world.checkers { try checker.filesReplaced(of: node, isCopy: isCopy, in: self.world) }
    }

    /// Ends all partitions.
    func reconnect() {
        self.world.network.mend()
        self.world.disturb(until: self.world.now)
    }

    /// Cuts all connections of a node.
    func cutLinks(of node: SimulatedNode) {
        for link in self.world.network.living(at: node.index) { self.world.cut(link) }
        self.world.disturb(until: self.world.now)
    }
}
