package import ClinicSyncModel

/// Names one connection for as long as the node runs; never used twice.
package struct ConnectionID: Sendable, Hashable, Comparable {
    /// The number.
    package let rawValue: UInt64

    /// Makes an id.
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Orders by age.
    package static func < (left: ConnectionID, right: ConnectionID) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// Names one command of a person or program until it is answered.
package struct RequestID: Sendable, Hashable, Comparable {
    /// The number.
    package let rawValue: UInt64

    /// Makes an id.
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Orders by age.
    package static func < (left: RequestID, right: RequestID) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// Something that happened outside the core.
package enum Input: Sendable, Hashable {
    /// The node starts; `state` is what its store holds. Always the first input.
    case started(StoreState)
    /// A WebSocket was opened: by us to `dialled`, or, when that is `nil`, by the peer. `peer`: whom its certificate names.
    case connectionOpened(ConnectionID, dialled: String?, peer: NodeID)
    /// Addresses at which members may be reached, from discovery, the list of members or the configuration.
    case peersFound([PeerHint])
    /// This node is reached elsewhere from now on.
    case addressesChanged([String])
    /// A dial came to nothing.
    case dialFailed(address: String)
    /// A decoded message arrived, with the term of the host that its sender followed.
    case messageReceived(ConnectionID, Message, term: UInt64)
    /// The peer sent bytes that are no message, or broke a limit.
    case malformedMessageReceived(ConnectionID)
    /// The connection is gone, whoever closed it.
    case connectionClosed(ConnectionID)
    /// A timer that was set and not cancelled ran out.
    case timerFired(TimerID)
    /// Another process may have committed something.
    case localCommitNoticed
    /// The store carried out a request.
    case storageReplied(StorageReply)
    /// Something is to be told to programs that is no change of a row.
    case eventOccurred(NamedEvent)
    /// A person or program asks for something.
    case commandReceived(RequestID, Command)
    /// The node shall stop in order.
    case shutdownRequested
}

/// What a person or program asks of the node and the core has to decide.
package enum Command: Sendable, Hashable {
    /// Prove that all reachable nodes are equal, repairing what is not; one table or all.
    case sync(table: String?)
    /// Let that node be host in the present host's place.
    case transferHost(NodeID)
    /// Log somebody in whose password has been checked; the host decides.
    case login(LoginRequest)
}

/// The core's answer to a command.
package enum CommandReply: Sendable, Hashable {
    /// The outcome of `sync`.
    case synced(SyncReport)
    /// The outcome of `transferHost`.
    case hostTransferred(HostTransfer)
    /// The outcome of `login`.
    case loginDecided(LoginOutcome)
}

/// What came of a wish to hand over.
package enum HostTransfer: Sendable, Hashable {
    /// The node is host now.
    case done(term: UInt64)
    /// No such node is connected with the host.
    case unknownNode
    /// The node's priority says that it is never host.
    case neverHost
    /// There is no host that could hand over.
    case noHost
    /// The node was not host in time; the clinic has a host all the same.
    case timedOut
}

/// What the core must know of the store when the node starts.
package struct StoreState: Sendable, Hashable {
    /// What is applied.
    package var vector: VersionVector
    /// Batches that have arrived in part.
    package var partials: [PartialBatch]
    /// The place of the newest chunk in the log; 0 when it is empty.
    package var logHead: UInt64
    /// The number of the newest migration.
    package var schemaVersion: UInt32
    /// What the host had acknowledged of this node's own batches when that was last recorded.
    package var acknowledgedByHost: UInt64
    /// The highest term that was recorded; 0 when none was.
    package var term: UInt64

    /// Makes a state.
    package init(
        vector: VersionVector,
        partials: [PartialBatch],
        logHead: UInt64,
        schemaVersion: UInt32,
        acknowledgedByHost: UInt64,
        term: UInt64
    ) {
        self.vector = vector
        self.partials = partials
        self.logHead = logHead
        self.schemaVersion = schemaVersion
        self.acknowledgedByHost = acknowledgedByHost
        self.term = term
    }
}
