package import ClinicSyncModel

/// What the driver must do for the core.
///
/// The driver executes the effects of one input in their order. The core sends nothing that reveals a change before the
/// store's reply says that the change is committed: persist first, then send.
package enum Effect: Sendable, Hashable {
    /// Send a message over each of these connections; the message is encoded once.
    case send([ConnectionID], Message)
    /// Open a WebSocket to `address`. The answer is `connectionOpened` or `dialFailed`.
    case dial(address: String)
    /// Say goodbye with this reason and close. The answer is `connectionClosed`.
    case close(ConnectionID, CloseReason)
    /// As `close`, for a peer that comes during its wait: the goodbye asks it to come back after the time.
    case turnAway(ConnectionID, CloseReason, retryAfter: Duration)
    /// Start the timer, or restart it when it runs.
    case setTimer(TimerID, after: Duration)
    /// Stop the timer, if it runs.
    case cancelTimer(TimerID)
    /// Give the store a request. The answer is `storageReplied`.
    case storage(StorageRequest)
    /// Tell programs of committed changes, in their order.
    case publish([LoggedEvent])
    /// Give what a peer sent to the part that checks signatures; it may be forged.
    case learn(SignedEntry)
    /// Send the peer the proofs that these nodes are or were members, those that this node has.
    case prove([NodeID], to: ConnectionID)
    /// Give answers to this node's probe to the part that measures.
    case probeAnswered(ProbeAnswers)
    /// Write answers to another node's probe as rows, because a peer on the way is of a version that knows only rows.
    case recordAnswers(ProbeAnswers)
    /// Count a message of the peer that costs it no credit: a peer that sends many is read later.
    case meter(ConnectionID, bytes: Int)
    /// Answer a command.
    case reply(RequestID, CommandReply)
    /// Report something to operators: log, metric, system event.
    case notify(Notification)
    /// The node has stopped; no effect follows.
    case stopped(StopReason)
}

/// Why a node stopped.
package enum StopReason: Sendable, Hashable {
    /// The service manager or the embedding program asked for it.
    case requested
    /// Other nodes have other content under this node's batch numbers, and the store has recorded that. The node must start
    /// again, and then goes on in a new incarnation.
    case forked
}

/// A timer of the core.
package enum TimerID: Sendable, Hashable {
    /// Send pings and look for silent peers.
    case heartbeat
    /// A connection has not said hello in time.
    case handshake(ConnectionID)
    /// Dial an address that is due.
    case dial
    /// The election looks again whether this node claims.
    case election
    /// A host that hands over has waited long enough for its successor.
    case handOver
    /// A command for another host has waited long enough.
    case transfer
    /// A login was not answered in time.
    case login(UInt64)
    /// Most nodes have not confirmed a login in time, or have not connected with a new host in time.
    case grants
    /// Look for expired sessions.
    case sessions
    /// Begin the periodic reconciliation.
    case reconcile
    /// Try the reconciliation round again, because changes were in transit.
    case retryRound
    /// A reconciliation round has taken too long.
    case roundTimeout
    /// A manual sync has taken too long.
    case syncTimeout(UInt64)
    /// Try the store's work again after a failure.
    case retryStorage
    /// No peer has sent a batch that this node lost to damage.
    case refetch
    /// Send on the answers to probes that were gathered.
    case probes
    /// Record members' progress and prune the log.
    case housekeeping

    /// The timers that exist once, in the order in which a node that stops cancels them.
    static let single: [TimerID] = [
        .heartbeat, .housekeeping, .reconcile, .retryRound, .roundTimeout, .retryStorage, .dial, .election, .handOver,
        .transfer, .sessions, .grants, .refetch, .probes,
    ]
}

/// A report for operators; it never contains a value of a row.
package enum Notification: Sendable, Hashable {
    /// A peer said hello and was accepted.
    case peerConnected(NodeID, name: String, isHost: Bool)
    /// A peer's connection ended.
    case peerLost(NodeID, CloseReason)
    /// A peer waits from now on, because its connections end for this reason. `isPeersWord`: the peer gave the reason,
    /// otherwise this node did.
    case peerBacksOff(NodeID, CloseReason, isPeersWord: Bool)
    /// A connection was refused, for a reason for which the peer does not wait.
    case connectionRefused(CloseReason)
    /// Another node is host; `nil`: the node has no host. `term` is the highest known term.
    case hostChanged(NodeID?, name: String?, term: UInt64)
    /// Two hosts met and one of them stepped down; the id is that of the other host.
    case splitHealed(NodeID)
    /// A dial failed; the next try follows after the delay.
    case dialFailed(address: String, DialFailure, nextTry: Duration)
    /// A reconciliation ended.
    case reconciled(ReconciliationResult, repairedRows: UInt64, took: Duration)
    /// So many values lost to concurrent ones; they are in the journal.
    case conflictsRecorded(Int)
    /// Triggers were missing on these tables, and the store created them again.
    case captureRepaired(tables: [String])
    /// A program removed a table of the clinic from this PC's file, or brought it back.
    case tableNoticed(TableNotice)
    /// So many rows had been written without a mark; they count as local edits.
    case escapedWrites(Int)
    /// So many rows differed without a mark and looked like damage: other nodes' values count, and the journal keeps these.
    case unmarkedSetBack(Int)
    /// A trigger of a program on this PC failed for so many rows, which were written without it.
    case triggersFailed(Int)
    /// Stamps from this far in the future arrived; the clinic's clock did not follow them.
    case clockSkew(milliseconds: Int64)
    /// Two processes carry the identity of one node: a cloned disk. `isSelf`: the identity is this node's.
    case duplicateIdentity(NodeID, isSelf: Bool)
    /// The store could not carry out a request; the node tries again.
    case storageFailed(StorageFailure)
    /// A peer needs batches that are no longer in this node's log.
    case logTooShort(for: NodeID)
    /// A part of this node's own bookkeeping was damaged.
    case ownDamage(DamageRepair)
    /// Another program's write transaction has kept the store from writing for long; work goes on when it ends.
    case storeLocked(StoreLock)
    /// The store writes again, after so much time.
    case storeUnlocked(after: Duration)
    /// The disk under the store has a fault, with the reason in words; work goes on when it ends.
    case diskFault(DiskFault, String)
    /// The disk works again, after so much time.
    case diskRecovered(DiskFault, after: Duration)
}
