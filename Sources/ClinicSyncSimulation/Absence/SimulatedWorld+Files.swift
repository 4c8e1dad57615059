import ClinicSyncCore

// PCs that stop, and files that are exchanged.
extension SimulatedWorld {
    /// Stops a node in order; it stays off until ``start(_:)``.
    func stop(_ node: SimulatedNode) throws {
        guard node.isRunning else { return }
        try self.give(.shutdownRequested, to: node.index, process: node.processNumber)
        let limit = self.now + .seconds(5)
        while node.isRunning, self.now < limit, self.violation == nil {
            try self.run(until: self.now + .milliseconds(50))
        }
        if node.isRunning { self.fail("\(node.name) does not stop") }
    }

    /// Kills a node's process; the node stays off until ``start(_:)``.
    func crash(_ node: SimulatedNode) {
        self.note(node.name, "killed")
        self.disturb(until: self.now)
        self.endProcess(of: node)
    }

    /// Starts a node soon.
    func start(_ node: SimulatedNode) { self.schedule(.start(node: node.index), after: .milliseconds(20)) }

    /// Puts other files in the place of a PC's, whose node is off.
    ///
    /// - Parameters:
    ///   - node: the node.
    ///   - files: the files.
    ///   - copy: the number of the copy; files that were opened as another copy are at a new place.
    ///   - isCopy: whether the files were last opened as another copy.
    /// - Throws: what SQLite reports.
    func replaceFiles(of node: SimulatedNode, by files: MemoryDisk, copy: UInt8, isCopy: Bool) throws {
        self.note(node.name, "gets other files")
        try node.disk.exchange(files, copy: copy)
        node.isClosed = false
        for checker in self.checkers { try checker.filesReplaced(of: node, isCopy: isCopy, in: self) }
    }

    /// Ends all partitions.
    func reconnect() {
        self.network.mend()
        self.disturb(until: self.now)
    }

    /// Cuts all connections of a node.
    func cutLinks(of node: SimulatedNode) {
        for link in self.network.living(at: node.index) { self.cut(link) }
        self.disturb(until: self.now)
    }
}
