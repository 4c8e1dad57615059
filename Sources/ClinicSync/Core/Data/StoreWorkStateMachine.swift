import ClinicSyncModel

/// The node's own work for the store: collecting, applying, sweeping, housekeeping; and who must wait for whom.
///
/// Replication and reconciliation make their own requests. A request that may not run between two slices of a
/// collection passes ``submit(_:)``.
package struct StoreWorkStateMachine: Sendable, Hashable {
    private let retryDelay: Duration
    private let housekeepingInterval: Duration
    private var gate = WriteGate()
    private var isApplyPending = false
    private var isApplying = false
    /// Whether a round of housekeeping is in progress.
    package private(set) var isKeepingHouse = false
    /// A sweep whose rows are still being collected.
    private var sweep: FinishedSweep?
    /// The number of the newest migration of the store.
    package private(set) var schemaVersion: UInt32 = 0

    /// Makes a machine without work.
    package init(retryDelay: Duration, housekeepingInterval: Duration) {
        self.retryDelay = retryDelay
        self.housekeepingInterval = housekeepingInterval
    }

    /// The node starts.
    package mutating func start(schemaVersion: UInt32) {
        self.schemaVersion = schemaVersion
        // Large batches of the last run may be complete and not applied.
        self.isApplyPending = true
    }

    /// Whether writes of others may go to the store.
    package var isOpen: Bool { self.gate.isOpen }

    // MARK: - Collecting

    /// Collects what programs committed, at once or after the work in progress.
    ///
    /// - Parameter offsetMilliseconds: The offset of the clinic's time, for the stamps.
    /// - Returns: The request, if it can be given now.
    package mutating func collect(offsetMilliseconds: Int64) -> [Effect] {
        guard self.gate.requestCollect() else { return [] }
        return [.storage(.collect(clockOffsetMilliseconds: offsetMilliseconds))]
    }

    /// Returns the request to the store, unless the request must wait until a collection is complete.
    package mutating func submit(_ request: StorageRequest) -> [Effect] {
        self.gate.pass(request) ? [.storage(request)] : []
    }

    /// Forgets decisions on logins that the store has not got yet; see ``WriteGate/withdrawLogins(of:)``.
    package mutating func withdrawLogins(of connection: ConnectionID? = nil) {
        self.gate.withdrawLogins(of: connection)
    }

    /// A slice of a collection is done.
    ///
    /// - Parameters:
    ///   - hasMore: Whether another slice must follow.
    ///   - offsetMilliseconds: As in ``collect(offsetMilliseconds:)``.
    /// - Returns: What is to be done.
    package mutating func collected(hasMore: Bool, offsetMilliseconds: Int64) -> [Directive] {
        self.proceed(self.gate.finished(hasMore: hasMore), offsetMilliseconds)
    }

    /// A sweep is done; the rows that it found are collected before the sweep counts as finished.
    package mutating func swept(_ sweep: FinishedSweep, hasMore: Bool, offsetMilliseconds: Int64) -> [Directive] {
        self.sweep = sweep
        return self.proceed(self.gate.finished(hasMore: hasMore), offsetMilliseconds)
    }

    private mutating func proceed(_ next: WriteGate.Next, _ offsetMilliseconds: Int64) -> [Directive] {
        switch next {
        case .collect: return [.effect(.storage(.collect(clockOffsetMilliseconds: offsetMilliseconds)))]
        case .release(let collectAgain):
            defer { self.sweep = nil }
            return (self.sweep.map { [.swept($0)] } ?? []) + [.opened(collectAgain: collectAgain)]
        }
    }

    /// Takes the requests that waited for the gate, up to one that closes it again.
    package mutating func release() -> [Effect] {
        var effects: [Effect] = []
        while let request = self.gate.nextWaiting() { effects.append(.storage(request)) }
        return effects
    }

    // MARK: - Applying

    /// Batches are complete in the log and were too large to be applied at once.
    package mutating func applyLater() { self.isApplyPending = true }

    /// Returns the request to apply what is pending, if it can be given now.
    package mutating func applyPending() -> [Effect] {
        guard self.isApplyPending, !self.isApplying, self.gate.isOpen else { return [] }
        self.isApplyPending = false
        self.isApplying = true
        return [.storage(.applyStored)]
    }

    /// The store has applied batches.
    package mutating func applied() { self.isApplying = false }

    // MARK: - Housekeeping

    /// Begins a round of housekeeping; none may be in progress.
    ///
    /// - Parameters:
    ///   - progress: What the store does not know yet of the members' progress.
    ///   - presence: The members, and who is connected.
    /// - Returns: The requests.
    package mutating func keepHouse(progress: [MemberProgress], presence: MemberPresence) -> [Effect] {
        self.isKeepingHouse = true
        return StoreWorkStateMachine.record(progress) + [.storage(.prune(presence))]
    }

    /// The timer of the next round of housekeeping.
    package var housekeepingTimer: Effect { .setTimer(.housekeeping, after: self.housekeepingInterval) }

    /// The request to write down the members' progress.
    package static func record(_ progress: [MemberProgress]) -> [Effect] {
        progress.isEmpty ? [] : [.storage(.recordAcknowledged(progress))]
    }

    /// The log is pruned, or could not be pruned.
    package mutating func housekeepingEnded() { self.isKeepingHouse = false }

    // MARK: - Failures

    /// Tries again what failed.
    package mutating func retry(offsetMilliseconds: Int64) -> [Effect] {
        let collect: [Effect] =
            self.gate.retryCollect() ? [.storage(.collect(clockOffsetMilliseconds: offsetMilliseconds))] : []
        return collect + self.applyPending()
    }

    /// The effects of a failure after which the store's work is tried again.
    package func retryLater(_ failure: StorageFailure) -> [Effect] {
        [.notify(.storageFailed(failure)), .setTimer(.retryStorage, after: self.retryDelay)]
    }

    /// A collection or a sweep failed.
    ///
    /// - Returns: Whether to collect again, now that the gate is open; `nil` when a batch is open, so that only a new
    ///   attempt may follow.
    package mutating func exclusiveWorkFailed() -> Bool? {
        guard case .release(let collectAgain) = self.gate.failed() else { return nil }
        return collectAgain
    }

    /// Applying failed.
    package mutating func applyFailed() {
        self.isApplying = false
        self.isApplyPending = true
    }
}
