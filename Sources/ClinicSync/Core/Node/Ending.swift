import ClinicSyncModel

/// Why the node ends, and how early a fork may end it.
///
/// A node that hears of batches under its own numbers that it did not make cannot take them, and whoever has applied them
/// takes none of the node's own. Its store has recorded that the next start begins a new incarnation, so the node must start again.
/// But any member can send such a batch. Until the node has run for a while it only closes the connection that the batch came
/// from. The while doubles with each incarnation ([0012](../../../../docs/design/0012-poison.md)).
struct Ending: Sendable, Equatable {
    /// Why the node ends.
    private(set) var reason = StopReason.requested
    private var forksFrom = Duration.zero

    /// The node starts, and has gone on under new numbers so often.
    mutating func started(formerIncarnations: Int, at time: Duration) {
        var patience = CoreLimits.forkPatience
        for _ in 0..<min(max(formerIncarnations, 0), 32) { patience = min(patience * 2, CoreLimits.forkPatienceMax) }
        self.forksFrom = time + patience
    }

    /// The store failed: whether the node, whose author is `origin`, ends because of it.
    mutating func isEnded(by failure: StorageFailure, _ origin: Origin, at time: Duration) -> Bool {
        guard case .forked(let batch) = failure, batch.origin == origin, time >= self.forksFrom else { return false }
        self.reason = .forked
        return true
    }
}
