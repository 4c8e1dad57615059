import ClinicSyncCore

// Programs that keep a write transaction open.
extension SimulatedNode {
    /// Lets a program keep its write transaction open for a while: neither the node nor programs write on this PC.
    package func lockStore(for time: Duration, in world: SimulatedWorld) {
        self.obstacle.lockedUntil = world.now + time
        world.note(self.name, "locked for \(time)")
        world.disturb(until: self.obstacle.lockedUntil)
    }

    /// Whether the writing store of a process waits for a program's transaction; if so, it looks again soon.
    func waitsForLock(_ number: Int, in world: SimulatedWorld) throws -> Bool {
        guard let process = world.process(self.index, number) else { return false }
        guard self.obstacle.lockedUntil > world.now else {
            guard process.lockedSince != nil else { return false }
            process.lockedSince = nil
            guard process.isLockKnown else { return false }
            process.isLockKnown = false
            try world.give(.storeUnlocked, to: self.index, process: number)
            return false
        }
        if process.lockedSince == nil {
            process.lockedSince = world.now
            world.schedule(
                .storeLocked(node: self.index, process: number, since: world.now),
                after: CoreLimits.storeLockLimit
            )
        }
        world.schedule(.storeExecutes(node: self.index, process: number, isRead: false), after: .milliseconds(100))
        return true
    }

    /// The store of a process has waited for long, unless the transaction that it waited for has ended.
    func storeLocked(_ number: Int, since: Duration, in world: SimulatedWorld) throws {
        guard let process = world.process(self.index, number), process.lockedSince == since else { return }
        process.isLockKnown = true
        let lock = StoreLock(waited: world.now - since, holder: nil)
        try world.give(.storeLocked(lock), to: self.index, process: number)
    }
}
