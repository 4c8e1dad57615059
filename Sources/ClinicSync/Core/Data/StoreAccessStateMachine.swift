package import ClinicSyncModel

/// What keeps the store from writing: another program's write transaction, or the disk.
///
/// Either makes the node unfit to be host. The election hears of it once, and again when both are over.
package struct StoreAccessStateMachine: Sendable, Hashable {
    private var lock = StoreLockStateMachine()
    private var disk = DiskStateMachine()

    /// Starts free.
    package init() {}

    /// Whether another program's write transaction keeps the store from writing.
    package var isLocked: Bool { self.lock.isLocked }

    private var isBlocked: Bool { self.lock.isLocked || self.disk.isRefusing }

    /// Describes the lock for people; `nil` when the store is not locked.
    package func lock(at time: Duration, _ clinicMilliseconds: Int64) -> CoreStatus.StoreLock? {
        self.lock.status(at: time, clinicMilliseconds: clinicMilliseconds)
    }

    /// Describes the disk's faults for people; none when all is well.
    package func diskFaults(at time: Duration, _ clinicMilliseconds: Int64) -> [CoreStatus.DiskFault] {
        self.disk.status(at: time, clinicMilliseconds: clinicMilliseconds)
    }

    /// Another program's write transaction keeps the store from writing.
    package mutating func locked(_ lock: StoreLock, at time: Duration) -> [Directive] {
        self.change { $0.lock.locked(lock, at: time) }
    }

    /// The lock has ended, the time that syncs take has changed, or room is short; any other input is nothing new.
    package mutating func heard(_ input: Input, _ context: NodeContext) -> [Directive] {
        let time = context.time.monotonic
        if case .syncsTakeLong(let reason) = input { return self.syncsTakeLong(reason, at: time) }
        if input == .roomIsShort { return self.disk.probe(at: time) }
        return input == .storeUnlocked ? self.change { $0.lock.unlocked(at: time) } : []
    }

    /// Notes the clients that are kept from writing; returns whether they are others than before.
    package mutating func peersChanged(to peers: [HostReport.LockedPeer]) -> Bool { self.lock.peersChanged(to: peers) }

    /// The store could not carry out a request; see ``DiskStateMachine/failed(_:_:at:)``.
    package mutating func failed(
        _ request: StorageRequest,
        _ failure: StorageFailure,
        at time: Duration
    ) -> [Directive] {
        let before = self.disk.isRefusing
        let directives = self.change { $0.disk.failed(request, failure, at: time) }
        return before == self.disk.isRefusing ? directives : directives + [.unfit]
    }

    /// The disk took a probe.
    package mutating func probed(at time: Duration) -> [Directive] { self.change { $0.disk.probed(at: time) } }

    private mutating func syncsTakeLong(_ reason: String?, at time: Duration) -> [Directive] {
        reason.map { self.disk.slow($0, at: time) } ?? self.disk.quick(at: time)
    }

    /// A heartbeat; `isWaiting`: whether a request waits for the store.
    package mutating func review(isWaiting: Bool, at time: Duration) -> [Directive] {
        self.lock.review(isWaiting: isWaiting) + self.disk.review(at: time)
    }

    private mutating func change(_ body: (inout StoreAccessStateMachine) -> [Directive]) -> [Directive] {
        let before = self.isBlocked
        let directives = body(&self)
        return before == self.isBlocked ? directives : directives + [.storeBlocked(self.isBlocked)]
    }
}
