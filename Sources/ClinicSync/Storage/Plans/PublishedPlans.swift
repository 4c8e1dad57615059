import Synchronization

/// The newest plans of a store, which its writing thread replaces and its reading thread uses.
final class PublishedPlans: Sendable {
    private let current: Mutex<TablePlans>

    /// Begins with `plans`.
    init(_ plans: TablePlans) { self.current = Mutex(plans) }

    /// The newest plans; from any thread.
    var plans: TablePlans { self.current.withLock { $0 } }

    /// Replaces the plans, after the transaction that read the schema was committed.
    func publish(_ plans: TablePlans) { self.current.withLock { $0 = plans } }
}
