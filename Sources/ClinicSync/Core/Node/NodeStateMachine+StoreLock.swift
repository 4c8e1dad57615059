import ClinicSyncModel

/// The lock for which a node's store waits.
struct LockedStore: Sendable, Hashable {
    /// When the store began to wait, by the node's monotonic clock.
    var since: Duration
    /// The process that has the transaction open; `nil` when the system does not tell.
    var holder: StoreLock.Holder?
}

// A store that another program's write transaction keeps from writing: docs/design/0020-locked-store.md.
extension NodeStateMachine {
    /// The store has waited long: a host hands over, and a sync of the clinic ends.
    mutating func storeLocked(_ lock: StoreLock) {
        self.storeLock = LockedStore(since: self.now.monotonic - lock.waited, holder: lock.holder)
        self.emit(.notify(.storeLocked(lock)))
        self.carryOut(self.election.storeLocked())
        self.carryOut(self.data.storeLocked())
        self.handOverAsUnfit()
    }

    /// The store writes again: the node may be host again.
    mutating func storeUnlocked() {
        guard let lock = self.storeLock else { return }
        self.storeLock = nil
        self.emit(.notify(.storeUnlocked(after: self.now.monotonic - lock.since)))
        self.carryOut(self.election.storeUnlocked(at: self.now.monotonic))
    }

    /// At each heartbeat while the store is locked: hands over if the node is host still, and finds out whether the store
    /// writes again.
    mutating func reviewStoreLock() {
        guard self.storeLock != nil else { return }
        if self.handOver.state == .idle { self.handOverAsUnfit() }
        // The requests that waited may have been given up. Then nothing else would notice the end of the lock.
        if self.turn.unansweredRequests == 0 { self.emit(.storage(.recordAcknowledged([]))) }
    }

    /// Describes the lock for people.
    func storeLock(at now: Now) -> CoreStatus.StoreLock? {
        self.storeLock.map { lock in
            let waited = Int64((now.monotonic - lock.since) / .milliseconds(1))
            let since = self.clock.milliseconds(at: now.wallMilliseconds) &- waited
            return CoreStatus.StoreLock(sinceMilliseconds: Bounds.milliseconds(clamping: since), holder: lock.holder)
        }
    }
}
