package import ClinicSyncModel

/// A snapshot of the node for people.
package struct CoreStatus: Sendable, Hashable {
    /// What the node is to its clinic.
    package enum Role: String, Sendable, Hashable {
        /// This node is host.
        case host
        /// The node is connected with the host.
        case client
        /// The node has no host and looks for one.
        case searching
        /// The node has not started, or stops.
        case stopped
    }

    /// The host as far as this node knows it.
    package struct Host: Sendable, Hashable {
        /// Its id.
        package var id: NodeID
        /// Its name; `nil` before the host's first message.
        package var name: String?
        /// Where it listens, `address:port`; `nil` when no address is known.
        package var address: String?

        /// Makes a host.
        package init(id: NodeID, name: String?, address: String?) {
            self.id = id
            self.name = name
            self.address = address
        }
    }

    /// A peer, connected or not.
    package struct Peer: Sendable, Hashable {
        /// Its id.
        package var id: NodeID
        /// Its name.
        package var name: String
        /// Where it listens, `address:port`.
        package var address: String
        /// The peer's role, as the peer said last.
        package var role: Role
        /// Whether there is a connection.
        package var isConnected: Bool
        /// Batches that this node has applied and the peer has not, as far as the peer has said.
        package var lagBatches: UInt64
        /// Whether the peer has joined and has nothing of the other nodes yet, as far as it has said.
        package var isJoining: Bool
        /// When its last message arrived.
        package var lastSeen: Now
        /// The round trip of the last ping; `nil` before the first answer.
        package var roundTripMilliseconds: Double?
    }

    /// A peer whose connections end for a reason that a new connection does not change.
    package struct BackOff: Sendable, Hashable {
        /// The peer.
        package var id: NodeID
        /// Why the last connection ended.
        package var reason: CloseReason
        /// Whether the peer gave the reason, and not this node.
        package var isPeersWord: Bool
        /// How many connections ended in a row.
        package var failures: Int
        /// How long it has lasted.
        package var lasted: Duration
        /// When the next connection may be tried; zero when a try is in progress or due.
        package var retryIn: Duration

        /// Makes a description.
        package init(
            id: NodeID,
            reason: CloseReason,
            isPeersWord: Bool,
            failures: Int,
            lasted: Duration,
            retryIn: Duration
        ) {
            self.id = id
            self.reason = reason
            self.isPeersWord = isPeersWord
            self.failures = failures
            self.lasted = lasted
            self.retryIn = retryIn
        }
    }

    /// An address that was dialled, with the newest answer.
    package struct Dial: Sendable, Hashable {
        /// What was dialled, `address:port`.
        package var address: String
        /// The node that is said to be there, or that was there last; `nil` when that is not known.
        package var node: NodeID?
        /// Where the address comes from.
        package var source: PeerHint.Source
        /// What came of it.
        package var answer: DialAnswer
        /// When the answer came: the clinic's time, milliseconds since 1970.
        package var atMilliseconds: Int64
        /// When this answer came for the first time in a row: the clinic's time, milliseconds since 1970.
        package var sinceMilliseconds: Int64
        /// How often this answer came in a row.
        package var tries: Int

        /// Makes a description.
        package init(
            address: String,
            node: NodeID?,
            source: PeerHint.Source,
            answer: DialAnswer,
            atMilliseconds: Int64,
            sinceMilliseconds: Int64,
            tries: Int
        ) {
            self.address = address
            self.node = node
            self.source = source
            self.answer = answer
            self.atMilliseconds = atMilliseconds
            self.sinceMilliseconds = sinceMilliseconds
            self.tries = tries
        }
    }

    /// The end of a reconciliation.
    package struct Reconciliation: Sendable, Hashable {
        /// When it ended: the clinic's time, milliseconds since 1970.
        package var wallMilliseconds: Int64
        /// Its result.
        package var result: ReconciliationResult
        /// How long it took.
        package var took: Duration
        /// Rows repaired on both sides.
        package var repairedRows: UInt64
    }

    /// Damage in one table of the node's own bookkeeping since the start.
    package struct Damage: Sendable, Hashable {
        /// The table and what was wrong, what was done last, and how many entries were damaged so far.
        package var repair: DamageRepair
        /// When damage was found last: the clinic's time, milliseconds since 1970.
        package var wallMilliseconds: Int64
    }

    /// A store that waits for another program's write transaction.
    package struct StoreLock: Sendable, Hashable {
        /// When the store began to wait: the clinic's time, milliseconds since 1970.
        package var sinceMilliseconds: Int64
        /// The process that has the transaction open; `nil` when the system does not tell.
        package var holder: ClinicSyncCore.StoreLock.Holder?
    }

    /// A fault of the disk under the store that lasts.
    package struct DiskFault: Sendable, Hashable {
        /// What is wrong.
        package var kind: ClinicSyncCore.DiskFault
        /// What SQLite said last, in words; never a value of a row.
        package var reason: String
        /// When it began: the clinic's time, milliseconds since 1970.
        package var sinceMilliseconds: Int64

        /// Makes a description.
        package init(kind: ClinicSyncCore.DiskFault, reason: String, sinceMilliseconds: Int64) {
            self.kind = kind
            self.reason = reason
            self.sinceMilliseconds = sinceMilliseconds
        }
    }

    /// The state that this node gets in place of history.
    package struct StateTransfer: Sendable, Hashable {
        /// The node that sends it; `nil` when it is not connected.
        package var from: NodeID?
        /// Rows that are stored.
        package var rows: UInt64
        /// Rows that the state has, as the sender said.
        package var rowsTotal: UInt64
        /// Payload bytes that are stored.
        package var bytes: UInt64
        /// Payload bytes a second; 0 when nothing can be said yet.
        package var bytesPerSecond: UInt64
        /// The time that the rest takes; `nil` when nothing can be said yet.
        package var timeLeft: Duration?
        /// Whether all of it is stored, and is shown next.
        package var isWhole: Bool
        /// Why it is not shown although it is whole; `nil` when the store has not failed.
        package var failure: Failure?

        /// The store's failures to show it.
        package struct Failure: Sendable, Hashable {
            /// How many there were, one after the other.
            package var count: Int
            /// Why the last try failed.
            package var reason: String
            /// When the next try is due; zero when it is due now.
            package var retryIn: Duration
        }
    }

    /// The node's role.
    package var role: Role
    /// The host's term.
    package var term: UInt64
    /// The host.
    package var host: Host?
    /// All peers that have said hello since the start, in the order of their first hello.
    package var peers: [Peer]
    /// This node's batches that the host has not acknowledged; 0 on the host.
    ///
    /// At least 1 while the store is locked or the disk refuses to write, because the node cannot collect then.
    package var pendingChanges: UInt64
    /// Batches that a peer has applied and this node has not.
    package var missingBatches: UInt64
    /// Batches of other authors of which this node has some chunks and that it has not applied.
    package var partialBatches: Int
    /// The offset that is added to this PC's wall time to get the clinic's time.
    package var clockOffsetMilliseconds: Int64
    /// The newest reconciliation that came to a result.
    ///
    /// Its result is `unreachable` while the store cannot write, because the tables lack what waits.
    package var lastReconciliation: Reconciliation?
    /// What this node has applied.
    package var vector: VersionVector
    /// The state that this node gets in place of history; `nil` when it gets none.
    package var stateTransfer: StateTransfer?
    /// What is wrong, as far as the node knows.
    var troubles: Troubles

    /// What a person must look after.
    struct Troubles: Sendable, Hashable {
        /// See ``CoreStatus/duplicates``.
        var duplicates: [NodeID]
        /// See ``CoreStatus/damage``.
        var damage: [Damage]
        /// See ``CoreStatus/backOffs``.
        var backOffs: [BackOff]
        /// See ``CoreStatus/storeLock``.
        var storeLock: StoreLock?
        /// See ``CoreStatus/diskFaults``.
        var diskFaults: [DiskFault]
        /// See ``CoreStatus/lockedPeers``.
        var lockedPeers: [HostReport.LockedPeer]
        /// See ``CoreStatus/failedTriggers``.
        var failedTriggers: Int
        /// See ``CoreStatus/dials``.
        var dials: [Dial]
        /// See ``CoreStatus/members``.
        var members: [MemberReport]
        /// See ``CoreStatus/isPendingLate``.
        var isPendingLate: Bool
    }

    /// Nodes whose identity two processes carry, this node first.
    package var duplicates: [NodeID] { self.troubles.duplicates }
    /// Damage in the node's own bookkeeping since the start, one entry for each table and outcome.
    package var damage: [Damage] { self.troubles.damage }
    /// Peers that wait, connected or not, in the order of their first failure.
    package var backOffs: [BackOff] { self.troubles.backOffs }
    /// The lock for which this node's store waits.
    package var storeLock: StoreLock? { self.troubles.storeLock }
    /// Faults of the disk under this node's store that last.
    package var diskFaults: [DiskFault] { self.troubles.diskFaults }
    /// Other nodes that a program's write transaction keeps from writing, as far as this node or its host is connected
    /// with them.
    package var lockedPeers: [HostReport.LockedPeer] { self.troubles.lockedPeers }
    /// Rows of other nodes for which a program's trigger failed since the start.
    package var failedTriggers: Int { self.troubles.failedTriggers }
    /// The addresses that were dialled since the start, each with its newest answer, in the order in which they became known.
    package var dials: [Dial] { self.troubles.dials }
    /// What this node knows of the other members; a client knows only its host, and asks it for the rest.
    package var members: [MemberReport] { self.troubles.members }
    /// Whether the host lacks batches of this node that are ten seconds old, so that they are not only on their way.
    package var isPendingLate: Bool { self.troubles.isPendingLate }
}
