package import ClinicSyncModel

/// What the core wants done, in the order of the list.
///
/// The interpreter executes effects left to right. The core sends nothing that reveals a change of the
/// store before the store's reply says that the change is committed: persist, then send.
package enum Effect: Sendable, Hashable {
    /// Send a message over each of these connections; it is encoded once.
    case send([ConnectionID], Message)
    /// Open a WebSocket to `address`; answered by `connectionOpened` or `dialFailed`.
    case dial(address: String)
    /// Say goodbye with this reason and close. Answered by `connectionClosed`.
    case close(ConnectionID, CloseReason)
    /// (Re)start the timer.
    case setTimer(TimerID, after: Duration)
    /// Stop the timer if it runs.
    case cancelTimer(TimerID)
    /// Give the store work.
    case storage(StorageRequest)
    /// Tell programs of committed changes, in this order.
    case publish([LoggedEvent])
    /// Give this signed revocation to whoever knows the clinic's certificates; it may be false.
    case learn(revocation: [UInt8])
    /// Answer a command.
    case reply(RequestID, CommandReply)
    /// Tell operators something (log, metric, system event).
    case notify(Notification)
    /// Everything is handed over; the node may end.
    case stopped
}

/// A timer of the core.
///
/// Setting one that runs restarts it.
package enum TimerID: Sendable, Hashable {
    /// Time to send pings and to look for silent peers.
    case heartbeat
    /// A connection has not said hello in time.
    case handshake(ConnectionID)
    /// Time to dial an address again.
    case dial
    /// Time for the election to think again.
    case election
    /// A host that hands over has waited long enough.
    case handOver
    /// A client's wish for another host has waited long enough.
    case transfer
    /// A login was not decided in time.
    case login(UInt64)
    /// Most nodes have not confirmed a login, or have not come, in time.
    case grants
    /// Time to look for expired sessions.
    case sessions
    /// Time for the periodic reconciliation.
    case reconcile
    /// Time to try the reconciliation round again because changes were on their way.
    case retryRound
    /// A reconciliation round takes too long.
    case roundTimeout
    /// A manual sync takes too long.
    case syncTimeout(UInt64)
    /// Time to try storage work again after a failure.
    case retryStorage
    /// Time to record members' progress and prune.
    case housekeeping
}

/// Something operators may want to know.
///
/// Never carries a value of a row.
package enum Notification: Sendable, Hashable {
    /// A peer said hello and was accepted.
    case peerConnected(NodeID, name: String, isHost: Bool)
    /// A peer's connection ended.
    case peerLost(NodeID, CloseReason)
    /// A connection was refused.
    case connectionRefused(CloseReason)
    /// Another node is host, or none; `term` is the highest known.
    case hostChanged(NodeID?, name: String?, term: UInt64)
    /// Two hosts met, of which one stepped down; the other is named.
    case splitHealed(NodeID)
    /// A dial failed; the next try follows after the delay.
    case dialFailed(address: String, nextTry: Duration)
    /// A reconciliation ended.
    case reconciled(ReconciliationResult, repairedRows: UInt64, took: Duration)
    /// Values lost to concurrent ones; they are in the journal.
    case conflictsRecorded(Int)
    /// Triggers were missing in these tables and have been put back.
    case captureRepaired(tables: [String])
    /// Rows had been written without a mark and have been taken as local edits.
    case escapedWrites(Int)
    /// Stamps from this far in the future arrived; the clock did not follow.
    case clockSkew(milliseconds: Int64)
    /// Two processes carry the identity of a node, of this one or another: a cloned disk.
    case duplicateIdentity(NodeID, isSelf: Bool)
    /// The store could not do something; it is tried again.
    case storageFailed(StorageFailure)
    /// A peer needs batches that were pruned here.
    case logTooShort(for: NodeID)
}
