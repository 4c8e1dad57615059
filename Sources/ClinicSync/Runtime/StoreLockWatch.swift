import ClinicSyncCore
import ClinicSyncStorage
import NIOConcurrencyHelpers

/// Waits for other programs' write transactions, and reports a long wait to the core.
///
/// The node waits as long as it takes: a request that fails would only be given again, and a failed request of a peer
/// costs its connection. Requests that nobody waits for any more are given up, and so is everything soon after the node
/// was asked to stop.
final class StoreLockWatch: LockWait {
    private struct State {
        /// When the present wait began; `nil` when the store does not wait.
        var since: ContinuousClock.Instant?
        /// Whether the core knows of the wait.
        var isReported = false
        /// When the request in progress is given up.
        var deadline: ContinuousClock.Instant?
        /// When everything is given up, because the node stops.
        var end: ContinuousClock.Instant?
        /// Tells the core; `nil` before the node runs.
        var report: (@Sendable (Input) -> Void)?
    }

    /// How long a node that stops goes on waiting.
    private static let stoppingLimit: Duration = .seconds(2)

    private let state = NIOLockedValueBox(State())
    /// How long a store waits that does not run yet.
    let openingLimit: Duration
    private let findHolder: @Sendable () -> StoreLock.Holder?

    /// Makes a watch.
    ///
    /// - Parameters:
    ///   - openingLimit: how long an attempt to open the store waits.
    ///   - findHolder: finds the process that holds the lock; called on the store's writing thread.
    init(
        openingLimit: Duration = CoreLimits.storeLockLimit,
        findHolder: @escaping @Sendable () -> StoreLock.Holder?
    ) {
        self.openingLimit = openingLimit
        self.findHolder = findHolder
    }

    /// The process that holds the lock now; `nil` when the system does not tell.
    var holder: StoreLock.Holder? { self.findHolder() }

    /// Whether a wait is long enough to be known to the core.
    var isLocked: Bool { self.state.withLockedValue { $0.isReported } }

    /// Tells the core of long waits from now on; from any thread.
    func begin(report: @escaping @Sendable (Input) -> Void) { self.state.withLockedValue { $0.report = report } }

    /// Gives up all waiting soon; from any thread.
    func stop() { self.giveUp(after: StoreLockWatch.stoppingLimit) }

    /// Gives up all waiting at once; from any thread.
    func abandon() { self.giveUp(after: .zero) }

    private func giveUp(after limit: Duration) {
        let end = ContinuousClock.now + limit
        self.state.withLockedValue { $0.end = min($0.end ?? end, end) }
    }

    /// Runs `body`, which gives up its wait at `deadline`.
    ///
    /// - Returns: The result of `body`; `nil` when the deadline has passed already.
    func run<Result>(until deadline: ContinuousClock.Instant?, _ body: () throws -> Result) rethrows -> Result? {
        if let deadline, deadline < .now { return nil }
        self.state.withLockedValue { $0.deadline = deadline }
        defer { self.state.withLockedValue { $0.deadline = nil } }
        return try body()
    }

    // MARK: - LockWait

    func goesOn() -> Bool {
        let now = ContinuousClock.now
        let (goesOn, report, waited) = self.state.withLockedValue { state in
            let since = state.since ?? now - .milliseconds(LockWaiting.sliceMilliseconds)
            state.since = since
            let waited = since.duration(to: now)
            let isDue = waited >= CoreLimits.storeLockLimit && !state.isReported && state.report != nil
            if isDue { state.isReported = true }
            let isOver = [state.deadline, state.end].contains { $0.map { $0 <= now } ?? false }
            let isOpening = state.report == nil
            return (
                !isOver && (!isOpening || waited < self.openingLimit), isDue ? state.report : nil, waited
            )
        }
        report?(.storeLocked(StoreLock(waited: waited, holder: self.findHolder())))
        return goesOn
    }

    func ended() {
        let report = self.state.withLockedValue { state in
            defer {
                state.since = nil
                state.isReported = false
            }
            return state.isReported ? state.report : nil
        }
        report?(.storeUnlocked)
    }
}
