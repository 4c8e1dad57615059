import ClinicSyncCore

// Programs that keep a write transaction open.
extension SimulatedWorld {
    /// Lets a program keep its write transaction open on a PC for a while: neither the node nor programs write there.
    package func lockStore(of node: SimulatedNode, for time: Duration) {
        node.lockedUntil = self.now + time
        self.note(node.name, "locked for \(time)")
        self.disturb(until: node.lockedUntil)
    }

    /// Whether the writing store of a process waits for a program's transaction; if so, it looks again soon.
    func waitsForLock(_ index: Int, _ number: Int) throws -> Bool {
        guard let process = self.process(index, number) else { return false }
        let node = self.nodes[index]
        guard node.lockedUntil > self.now else {
            guard process.lockedSince != nil else { return false }
            process.lockedSince = nil
            guard process.isLockKnown else { return false }
            process.isLockKnown = false
            try self.give(.storeUnlocked, to: index, process: number)
            return false
        }
        if process.lockedSince == nil {
            process.lockedSince = self.now
            self.schedule(
                .storeLocked(node: index, process: number, since: self.now),
                after: CoreLimits.storeLockLimit
            )
        }
        self.schedule(.storeExecutes(node: index, process: number, isRead: false), after: .milliseconds(100))
        return true
    }

    /// The store of a process has waited for long, unless the transaction that it waited for has ended.
    func storeLocked(_ index: Int, _ number: Int, _ since: Duration) throws {
        guard let process = self.process(index, number), process.lockedSince == since else { return }
        process.isLockKnown = true
        let lock = StoreLock(waited: self.now - since, holder: nil)
        try self.give(.storeLocked(lock), to: index, process: number)
    }
}
