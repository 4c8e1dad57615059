package import ClinicSyncModel

/// A batch that is not applied, and how long nothing has come of it.
package struct WaitingBatch: Sendable, Hashable {
    /// The batch.
    package var batch: BatchID
    /// Whether a linked peer has applied it.
    package var isHeldByPeer: Bool
    /// The time without a new chunk; for a batch that a peer has applied, on a link with such a peer.
    package var waited: Duration
    /// Whether its author says that it made neither the batch nor the one before.
    package var isDenied: Bool

    /// Describes a batch.
    package init(_ batch: BatchID, isHeldByPeer: Bool = false, waited: Duration = .zero, isDenied: Bool = false) {
        self.batch = batch
        self.isHeldByPeer = isHeldByPeer
        self.waited = waited
        self.isDenied = isDenied
    }
}
