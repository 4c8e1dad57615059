package import ClinicSyncModel

/// Something that happened outside the core.
package enum Input: Sendable, Hashable {
    /// The node starts; `StoreState` is what its store holds. Always the first input.
    case started(StoreState)
    /// A WebSocket was opened. `dialled`: the address that this node dialled; `nil`: the peer dialled. `peer`: the node
    /// in the peer's certificate.
    case connectionOpened(ConnectionID, dialled: String?, peer: NodeID)
    /// Addresses at which members may be reached, from discovery, the list of members or the configuration.
    case peersFound([PeerHint])
    /// The verified members are these from now on.
    case membersChanged(KnownMembers)
    /// Other nodes reach this node at these addresses from now on.
    case addressesChanged([String])
    /// The PC at a dialled address has accepted the socket; the handshake follows.
    ///
    /// Its system did that, so it is not known yet whether the node there is alive. Comes at most once for a dial, before
    /// its outcome.
    case dialAnswered(address: String)
    /// A dial opened no connection.
    case dialFailed(address: String, DialFailure)
    /// A decoded message arrived, with the term in its frame.
    case messageReceived(ConnectionID, Message, term: UInt64)
    /// The peer sent bytes that cannot be decoded, or exceeded a limit.
    case malformedMessageReceived(ConnectionID)
    /// The connection is gone; either end may have closed it.
    case connectionClosed(ConnectionID)
    /// A timer fired.
    case timerFired(TimerID)
    /// Another process may have committed something.
    case localCommitNoticed
    /// The store carried out a request, or failed to.
    case storageReplied(StorageReply)
    /// The store has waited for a write transaction of another program for ``CoreLimits/storeLockLimit`` or longer.
    ///
    /// ``storeUnlocked`` follows before the input comes again.
    case storeLocked(StoreLock)
    /// The store writes again.
    case storeUnlocked
    /// Every sync of the store's disk takes long, as these words say; `nil`: no longer.
    case syncsTakeLong(String?)
    /// The disk has so little room that a write may fail.
    case roomIsShort
    /// Programs must hear of an event that is not a change of a row.
    case eventOccurred(NamedEvent)
    /// This node has applied a probe of another node: its answer must reach the node that measures.
    case answerProbe(ProbeAnswers)
    /// A person or program asks for something.
    case commandReceived(RequestID, Command)
    /// The node must stop in order.
    case shutdownRequested
}

/// What a person or program asks of the node, when the core must decide.
package enum Command: Sendable, Hashable {
    /// Prove that all reachable nodes have equal tables, and repair differences; `nil`: all tables.
    case sync(table: String?)
    /// Say what the host knows of the members; a client asks its host.
    case members
    /// Make that node host in place of the present host.
    case transferHost(NodeID)
    /// Log a person in; the password has been checked, and the host decides.
    case login(LoginRequest)
}

/// The core's answer to a command.
package enum CommandReply: Sendable, Hashable {
    /// The outcome of `sync`, or the answer to `members`: a report without nodes, `unreachable` when no host answers.
    case synced(SyncReport)
    /// The outcome of `transferHost`.
    case hostTransferred(HostTransfer)
    /// The outcome of `login`.
    case loginDecided(LoginOutcome)
}

/// The outcome of a command for another host.
package enum HostTransfer: Sendable, Hashable {
    /// The wished node is host.
    case done(term: UInt64)
    /// The wished node is not connected with the host.
    case unknownNode
    /// The wished node's priority is 0, so it is never host.
    case neverHost
    /// The clinic has no host that could hand over.
    case noHost
    /// The wished node did not become host in time; the present host stays.
    case timedOut
}

/// What the store holds when the node starts.
package struct StoreState: Sendable, Hashable {
    /// What this node has applied.
    package var vector: VersionVector
    /// Batches of which only some chunks have arrived.
    package var partials: [PartialBatch]
    /// The place of the newest chunk in the log; 0 when it is empty.
    package var logHead: UInt64
    /// The number of the newest migration.
    package var schemaVersion: UInt32
    /// The number of this node's newest batch that the host had acknowledged, as last recorded.
    package var acknowledgedByHost: UInt64
    /// The highest recorded term; 0 when there is none.
    package var term: UInt64
    /// The part of a state that this node was being given; `nil` when there is none.
    package var staged: StagedState?
    /// How often this node has gone on under new numbers.
    package var formerIncarnations: Int

    /// Makes a state.
    package init(
        vector: VersionVector,
        partials: [PartialBatch],
        logHead: UInt64,
        schemaVersion: UInt32,
        acknowledgedByHost: UInt64,
        term: UInt64,
        staged: StagedState? = nil,
        formerIncarnations: Int = 0
    ) {
        self.vector = vector
        self.partials = partials
        self.logHead = logHead
        self.schemaVersion = schemaVersion
        self.acknowledgedByHost = acknowledgedByHost
        self.term = term
        self.staged = staged
        self.formerIncarnations = formerIncarnations
    }
}
