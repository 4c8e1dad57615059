package import ClinicSyncModel

/// Work for the store.
///
/// The store has two queues: requests that write run one after the other in the order given; requests that
/// read (see ``isRead``) run one after the other beside them. Every request is answered by exactly one
/// ``StorageReply`` of the same name, or by ``StorageReply/failed(_:_:)``.
package enum StorageRequest: Sendable, Hashable {
    /// Turn what programs committed into batches of this node, at most 50 ms of it.
    case collect(clockOffsetMilliseconds: Int64)
    /// Log these chunks of one peer and apply what is complete and small.
    case store(from: ConnectionID, [BatchChunk])
    /// Apply batches that are complete in the log but were too large for `store`.
    case applyStored
    /// Read. Find the place in the log from which somebody with `vector` must be served.
    case locate(for: ConnectionID, vector: VersionVector)
    /// Read. Read chunks after `position`, at most about `maxBytes` of payload, at least one chunk.
    case readLog(for: ConnectionID, after: UInt64, maxBytes: Int)
    /// Read. Counts and digests as the node knows them, with the vector they belong to.
    case digests(DigestPurpose)
    /// Compare the real tables with what the node knows; differences are collected as local edits.
    case sweep(table: String?, SweepPurpose)
    /// Read. The page of row hashes of `table` after `after`.
    case rowHashes(round: UInt64, table: String, after: SQLiteValue?)
    /// Read. Compare a peer's page with our rows: what it lacks, and what we want of it.
    case compare(from: ConnectionID, RowHashPage)
    /// Merge a peer's rows into ours.
    case mergeRows(from: ConnectionID, RowStatePage)
    /// Read. The states of the rows named, in pages.
    case rowStates(for: ConnectionID, round: UInt64, table: String, keys: [SQLiteValue])
    /// Record how far members are, for pruning and `status`.
    case recordAcknowledged([MemberProgress])
    /// Remove what nobody needs from the log, and go on with the slow sweep.
    case prune
    /// Record the highest term claimed or followed, on the disk before the reply; a lower one than is recorded changes nothing.
    case recordTerm(UInt64)
    /// What is to be added to this PC's time became known on meeting others again: stamp anew what nobody else has, and count
    /// whatever is made from now on as shared.
    ///
    /// To be given after a connection came up while there was none, before anything of this node's log or rows is sent and
    /// before anything of a peer is stored or merged. See `docs/design/0006-clocks-and-clones.md`.
    case restamp(offsetMilliseconds: Int64)
    /// The last connection is gone: what is made from now on nobody else has, until the next ``restamp(offsetMilliseconds:)``.
    ///
    /// So it is when a store was opened; it need not be said then.
    case beginIsolation
    /// Decide on a login and write what follows from it, in one transaction.
    case decideLogin(LoginDecision)
    /// End sessions that the rule of one session a user does not allow, and those that have expired.
    case keepSessions(hearing: Int, correctedMilliseconds: Int64)
    /// Write down an event that goes with no change of a row, and give it its position.
    case recordEvent(NamedEvent)

    /// Whether the request only reads, and so may run beside a long write.
    package var isRead: Bool {
        switch self {
        case .locate, .readLog, .digests, .rowHashes, .compare, .rowStates: true
        case .collect, .store, .applyStored, .sweep, .mergeRows, .recordAcknowledged, .prune, .recordTerm, .restamp,
            .beginIsolation, .decideLogin, .keepSessions, .recordEvent:
            false
        }
    }
}

/// What digests are wanted for; comes back with them.
package enum DigestPurpose: Sendable, Hashable {
    /// To open, or to end, round `round` of our reconciliation with the host.
    case question(round: UInt64)
    /// To answer a client's question.
    case answer(to: ConnectionID, question: DigestReport)
}

/// What a sweep is wanted for; comes back with its result.
package enum SweepPurpose: Sendable, Hashable {
    /// The manual sync with this id.
    case sync(id: UInt64)
}

/// Who waits for a decision on a login.
package enum LoginAsker: Sendable, Hashable {
    /// A program of this PC.
    case command(RequestID)
    /// A client, which numbers its requests.
    case peer(ConnectionID, number: UInt64)
}

/// A login to be decided.
package struct LoginDecision: Sendable, Hashable {
    /// Who waits.
    package var asker: LoginAsker
    /// What is wished.
    package var request: LoginRequest
    /// Of how many of the clinic's nodes the deciding one knows everything, itself included; 0 without a host.
    package var hearing: Int
    /// Whether to write nothing when these are not most.
    package var mayWait: Bool
    /// The clinic's time.
    package var correctedMilliseconds: Int64

    /// Makes a decision's terms.
    package init(
        asker: LoginAsker,
        request: LoginRequest,
        hearing: Int,
        mayWait: Bool,
        correctedMilliseconds: Int64
    ) {
        self.asker = asker
        self.request = request
        self.hearing = hearing
        self.mayWait = mayWait
        self.correctedMilliseconds = correctedMilliseconds
    }
}

/// What the store says to a login.
package enum LoginVerdict: Sendable, Hashable {
    /// So many nodes there are in the clinic, and this was decided.
    case decided(LoginOutcome, members: Int)
    /// Nothing was written: most nodes are not heard, and the decision may wait for them.
    case tooEarly
}

/// How far a member is.
package struct MemberProgress: Sendable, Hashable {
    /// The member.
    package var node: NodeID
    /// What it has applied.
    package var vector: VersionVector
    /// When it was last heard of, corrected milliseconds since 1970.
    package var seenMilliseconds: Int64

    /// Makes a progress.
    package init(node: NodeID, vector: VersionVector, seenMilliseconds: Int64) {
        self.node = node
        self.vector = vector
        self.seenMilliseconds = seenMilliseconds
    }
}

/// What came of a request to the store.
package enum StorageReply: Sendable, Hashable {
    /// `collect` took something, or nothing.
    case collected(CollectOutcome)
    /// Chunks are in the log, and what was small and ready is applied.
    case stored(from: ConnectionID, StoreOutcome)
    /// Large batches were applied.
    case storedApplied(StoreOutcome)
    /// Serving starts after `position`; `nil`: what is lacking was pruned from the log.
    case located(for: ConnectionID, position: UInt64?)
    /// Chunks in the order of the log, and the log's newest place.
    case logRead(for: ConnectionID, chunks: [LoggedChunk], head: UInt64)
    /// Counts and digests.
    case digests(DigestPurpose, vector: VersionVector, tables: [TableDigest])
    /// A sweep ended; `escaped` rows had been written unnoticed and are collected now.
    case swept(SweepPurpose, escaped: Int, CollectOutcome)
    /// A page of our row hashes.
    case rowHashes(RowHashPage)
    /// The answer to a peer's page.
    case compared(for: ConnectionID, [RowStatePage])
    /// A peer's rows were merged; `pushes` are rows of which we know more than it does.
    case rowsMerged(from: ConnectionID, RowStatePage, MergeOutcome)
    /// Rows a peer asked for.
    case rowStates(for: ConnectionID, [RowStatePage])
    /// Progress is recorded.
    case acknowledgedRecorded
    /// The log is pruned; `escaped` rows had been written unnoticed and are marked for the collector.
    case pruned(chunks: Int, escaped: Int)
    /// The term that is on the disk now: at least the one that was to be recorded.
    case termRecorded(UInt64)
    /// So many changes nobody else has carry other stamps now; the outcome is of marks collected on the way.
    case restamped(changes: Int, CollectOutcome)
    /// The store counts what is made from now on as nobody else's.
    case isolationBegun
    /// A login is decided; when it is granted its rows are written and marked for the collector.
    case loginDecided(LoginDecision, LoginVerdict)
    /// The rule of one session a user holds again; so many rows were written and marked for it.
    case sessionsKept(changes: Int)
    /// The event is in the log of events.
    case eventRecorded(LoggedEvent)
    /// The request came to nothing and left no trace; the store is as before.
    case failed(StorageRequest, StorageFailure)
}

/// Why the store could not do something.
package enum StorageFailure: Sendable, Hashable {
    /// No space, no permission, an I/O error: may pass; try again later.
    case unavailable(String)
    /// A peer's bytes make no sense; nothing of them was kept.
    case malformed(String)
    /// Two different batches carry the same name.
    case forked(BatchID)
}

/// What `collect` did.
package struct CollectOutcome: Sendable, Hashable {
    /// Chunks that were added to the log.
    package var logged: [LoggedChunk]
    /// What is applied now.
    package var vector: VersionVector
    /// Changes programs are to be told of.
    package var events: [LoggedEvent]
    /// Whether there is more to collect at once.
    package var hasMore: Bool
    /// Tables whose triggers were missing and are there again.
    package var repairedTables: [String]
    /// Rows of the tables that were swept and are too large to be sent; no other node can have them.
    package var unsentRows = 0

    /// Makes an outcome.
    package init(
        logged: [LoggedChunk],
        vector: VersionVector,
        events: [LoggedEvent],
        hasMore: Bool,
        repairedTables: [String]
    ) {
        self.logged = logged
        self.vector = vector
        self.events = events
        self.hasMore = hasMore
        self.repairedTables = repairedTables
    }
}

/// What `store` or `applyStored` did.
package struct StoreOutcome: Sendable, Hashable {
    /// Chunks that were added to the log: the peer's that were new, and own ones collected on the way.
    package var logged: [LoggedChunk]
    /// Payload bytes of the peer that are stored now, duplicates included; they need not be on the disk.
    package var storedBytes: Int
    /// What is applied now.
    package var vector: VersionVector
    /// Changes programs are to be told of.
    package var events: [LoggedEvent]
    /// Values that lost to concurrent ones and were written to the journal.
    package var conflicts: Int
    /// Whether complete batches wait for `applyStored`.
    package var isApplyPending: Bool
    /// The largest stamp applied; for the clock.
    package var largestTimestamp: HybridTimestamp

    /// Makes an outcome.
    package init(
        logged: [LoggedChunk],
        storedBytes: Int,
        vector: VersionVector,
        events: [LoggedEvent],
        conflicts: Int,
        isApplyPending: Bool,
        largestTimestamp: HybridTimestamp
    ) {
        self.logged = logged
        self.storedBytes = storedBytes
        self.vector = vector
        self.events = events
        self.conflicts = conflicts
        self.isApplyPending = isApplyPending
        self.largestTimestamp = largestTimestamp
    }
}

/// What merging a peer's rows did.
package struct MergeOutcome: Sendable, Hashable {
    /// Rows of ours that changed.
    package var changedRows: Int
    /// Changes programs are to be told of.
    package var events: [LoggedEvent]
    /// Own chunks collected on the way.
    package var logged: [LoggedChunk]
    /// What is applied now.
    package var vector: VersionVector
    /// Keys of rows of which we know more than the peer sent.
    package var aheadKeys: [SQLiteValue]

    /// Makes an outcome.
    package init(
        changedRows: Int,
        events: [LoggedEvent],
        logged: [LoggedChunk],
        vector: VersionVector,
        aheadKeys: [SQLiteValue]
    ) {
        self.changedRows = changedRows
        self.events = events
        self.logged = logged
        self.vector = vector
        self.aheadKeys = aheadKeys
    }
}
