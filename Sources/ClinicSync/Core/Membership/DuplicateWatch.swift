package import ClinicSyncModel

/// Finds two processes that carry one identity, and reports them.
///
/// A peer's second process shows by its run id (``RunWatch``). This node's second process shows in what peers say.
/// See `docs/design/0006-clocks-and-clones.md`.
package struct DuplicateWatch: Sendable, Hashable {
    private let own: NodeID
    /// This process's run id.
    package let runID: UInt64
    private var runs = RunWatch()
    /// When a peer last said that another process carries this node's identity.
    private var ownNoticedAt: Duration?

    /// Starts without a notice; `seed` is new for each process.
    package init(own: NodeID, seed: UInt64) {
        self.own = own
        self.runID = RunWatch.runID(seed: seed)
    }

    /// Judges the run id in a peer's hello.
    package mutating func heard(_ run: UInt64, of peer: NodeID, at time: Duration) -> RunWatch.Verdict {
        self.runs.heard(run, of: peer, at: time)
    }

    /// A hello came with this node's own identity: from this process, which dialled itself, or from another one.
    package mutating func metOwnIdentity(_ run: UInt64, at time: Duration) -> [Effect] {
        run != 0 && run != self.runID ? self.noteOwnDuplicate(at: time) : []
    }

    /// A peer ended the connection with this reason.
    package mutating func heed(_ reason: CloseReason, from peer: NodeID, at time: Duration) -> [Effect] {
        // A node that dialled itself refuses itself. Only the accepting end knows whether that was another process.
        reason == .duplicateIdentity && peer != self.own ? self.noteOwnDuplicate(at: time) : []
    }

    /// The nodes whose identity two processes carry, this node first.
    package func duplicates(at time: Duration) -> [NodeID] {
        let isDouble = self.ownNoticedAt.map { time - $0 < RunWatch.memory } ?? false
        return (isDouble ? [self.own] : []) + self.runs.doubles(at: time)
    }

    private mutating func noteOwnDuplicate(at time: Duration) -> [Effect] {
        let last = self.ownNoticedAt
        self.ownNoticedAt = time
        if let last, time - last < RunWatch.tellInterval { return [] }
        return [.notify(.duplicateIdentity(self.own, isSelf: true))]
    }
}
