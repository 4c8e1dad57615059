package import ClinicSyncModel

/// Another program's write transaction for which the store has waited long: `docs/design/0020-locked-store.md`.
package struct StoreLockStateMachine: Sendable, Hashable {
    /// Whether the store writes.
    package enum State: Sendable, Hashable {
        /// The store writes, or has not waited long. Can transition to `locked`.
        case free
        /// The store has waited since this time by the node's monotonic clock; the holder is `nil` when the system does
        /// not tell. Can transition to `free`.
        case locked(since: Duration, StoreLock.Holder?)
    }

    /// Whether the store writes.
    package private(set) var state: State = .free
    /// The clients of this host that are kept from writing, as the other clients know them.
    private var peers: [HostReport.LockedPeer] = []

    /// Starts free.
    package init() {}

    /// Whether the store is locked.
    package var isLocked: Bool { self.state != .free }

    /// The store has waited long.
    package mutating func locked(_ lock: StoreLock, at time: Duration) -> [Directive] {
        self.state = .locked(since: time - lock.waited, lock.holder)
        return [.effect(.notify(.storeLocked(lock)))]
    }

    /// The store writes again.
    package mutating func unlocked(at time: Duration) -> [Directive] {
        guard case .locked(let since, _) = self.state else { return [] }
        self.state = .free
        return [.effect(.notify(.storeUnlocked(after: time - since)))]
    }

    /// A heartbeat: a host tries again to hand over, and the node finds out whether the store writes again.
    ///
    /// - Parameter isWaiting: Whether a request waits for the store. The requests that waited may have been given up; then
    ///   nothing else would notice the end of the lock.
    /// - Returns: What is to be done.
    package func review(isWaiting: Bool) -> [Directive] {
        guard self.isLocked else { return [] }
        return [.unfit] + (isWaiting ? [] : [.effect(.storage(.recordAcknowledged([])))])
    }

    /// Notes the clients that are kept from writing.
    ///
    /// - Returns: Whether they are others than before, so that all clients must hear of them.
    package mutating func peersChanged(to peers: [HostReport.LockedPeer]) -> Bool {
        defer { self.peers = peers }
        return self.peers != peers
    }

    /// Describes the lock for people.
    ///
    /// - Parameters:
    ///   - time: The time by the node's monotonic clock.
    ///   - clinicMilliseconds: The clinic's time.
    /// - Returns: The lock; `nil` when the store writes.
    package func status(at time: Duration, clinicMilliseconds: Int64) -> CoreStatus.StoreLock? {
        guard case .locked(let since, let holder) = self.state else { return nil }
        let (seconds, attoseconds) = (time - since).components
        let waited = seconds &* 1_000 &+ attoseconds / 1_000_000_000_000_000
        let began = Bounds.milliseconds(clamping: clinicMilliseconds &- waited)
        return CoreStatus.StoreLock(sinceMilliseconds: began, holder: holder)
    }
}
