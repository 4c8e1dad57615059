package import ClinicSyncModel

/// A request to the store.
///
/// The store has two queues. Requests that write run one after the other, in the order in which they were given.
/// Requests that read (``isRead``) run one after the other beside them. Every request has exactly one ``StorageReply``:
/// the one of the same name, or ``StorageReply/failed(_:_:)``.
package enum StorageRequest: Sendable, Hashable {
    /// Turn what programs committed into batches of this node, for at most 50 ms.
    case collect(clockOffsetMilliseconds: Int64)
    /// Write these chunks of one peer to the log, and apply the batches that are complete and small.
    ///
    /// Nothing is written when one of them cannot be read in full.
    case store(from: ConnectionID, ChunkSender, [BatchChunk])
    /// Apply the batches that are complete in the log and were too large for `store`.
    case applyStored
    /// Remove from the log what former members alone made and nobody can apply: incomplete batches, and batches that wait
    /// for somebody who was never a member.
    ///
    /// Also remove those of `waiting` that linked peers have applied and that did not become whole for long, so that they are
    /// fetched again.
    case discard(KnownMembers, waiting: [WaitingBatch])
    /// Read. Find the place in the log from which a peer with `vector` must be served; `takesState`: whether the peer can
    /// take the state in place of history.
    case locate(for: ConnectionID, vector: VersionVector, takesState: Bool = false)
    /// Read. Read chunks behind a place in the log: about `maxBytes` of payload at most, and at least one chunk.
    case readLog(for: ConnectionID, after: UInt64, maxBytes: Int)
    /// Read. Return counts and digests of the tables, with the vector that they belong to.
    case digests(DigestPurpose)
    /// Compare the real tables with the node's bookkeeping, and collect the differences as local edits.
    case sweep(table: String?, SweepPurpose)
    /// Read. Return the page of row hashes of `table` that begins behind the key `after`.
    case rowHashes(round: UInt64, table: String, after: SQLiteValue?, hasHidden: Bool = false)
    /// Read. Compare a peer's page with this node's rows: which rows the peer lacks, and which rows this node lacks.
    case compare(from: ConnectionID, RowHashPage)
    /// Read. Compare ranges of a table's states: begin, go on with the host's answer, or answer a client.
    case compareRanges(RangesPurpose, StateRangePage)
    /// Read. Return the states that a client asks for, in pages.
    case wantedStates(from: ConnectionID, StateWants)
    /// Merge a peer's rows into this node's rows. A row outside the range that was asked for makes the page malformed.
    case mergeRows(from: ConnectionID, RowStatePage, within: KeyRange)
    /// Read. Return the states of these rows, in pages: as many rows as one answer may have.
    case rowStates(for: ConnectionID, round: UInt64, table: String, keys: [SQLiteValue])
    /// Record what members have applied, for pruning and `status`.
    case recordAcknowledged([MemberProgress])
    /// Remove from the log what no member needs, and continue the slow sweep.
    case prune(MemberPresence)
    /// Record the highest term that this node claimed or followed. It is on the disk before the reply. A term lower
    /// than the recorded one changes nothing.
    case recordTerm(UInt64)
    /// The clinic's time became known: stamp again the changes that no other node has, and count every later change as
    /// shared.
    ///
    /// Comes after the first connection opened, before this node sends any of its log or rows and before it stores or
    /// merges anything of a peer. See `docs/design/0006-clocks-and-clones.md`.
    case restamp(offsetMilliseconds: Int64)
    /// The last connection is gone: no other node has the changes of this node from now on, until the next
    /// ``restamp(offsetMilliseconds:)``.
    ///
    /// A store that was just opened is in this state already.
    case beginIsolation
    /// Decide on a login and write its rows, in one transaction.
    case decideLogin(LoginDecision)
    /// End the sessions that break the rule of one session a user, and those that have expired.
    case keepSessions(hearing: Int, members: Int, correctedMilliseconds: Int64)
    /// Write an event that is not a change of a row to the log of events, and give it its position.
    case recordEvent(NamedEvent)
    /// Repair a part of the node's own bookkeeping that a request found damaged.
    case mend(OwnDamage)
    /// Read. From now on serve the batch without its damaged chunks: no other node has it. Its rows reach a peer by
    /// reconciliation.
    case leaveOut(BatchID)
    /// Read. Read chunks of a batch that a peer has lost, from one chunk on and up to so many bytes of payload.
    case readBatch(for: ConnectionID, from: LostChunk, maxBytes: Int)
    /// Read. Read the next pages of this node's state for a peer.
    case readState(for: ConnectionID, StateRequest)
    /// Keep the log beyond this vector for a day: a peer is being given the state. Unless it `isNew`, only a day more when
    /// the log is kept for it already.
    case pinState(NodeID, VersionVector, isNew: Bool)
    /// Store an answer of a peer that gives its state; `behind`: the place behind which the peer was asked for it, `nil`: the
    /// beginning.
    case stageState(from: ConnectionID, StateAnswer, behind: StateCursor?)
    /// Merge the stored state and show it, in one transaction; `isForced`: although the log lacks batches that the state's
    /// pages have a part of.
    case installState(isForced: Bool)
    /// Write 64 KiB to the disk and remove them, to find out whether the disk works again.
    case probeDisk

    /// Whether the request only reads, and so may run beside a long write.
    package var isRead: Bool {
        switch self {
        case .locate, .readLog, .digests, .rowHashes, .compare, .rowStates, .leaveOut, .readBatch, .readState,
            .compareRanges, .wantedStates:
            true
        case .collect, .store, .applyStored, .discard, .sweep, .mergeRows, .recordAcknowledged, .prune, .recordTerm,
            .restamp, .beginIsolation, .decideLogin, .keepSessions, .recordEvent, .mend, .pinState, .stageState,
            .installState, .probeDisk:
            false
        }
    }

    /// How long after it was given the request may still be carried out; `nil`: as late as it may be.
    ///
    /// The store waits as long as another program's transaction lasts. Whoever asked for a login has another answer by
    /// then, perhaps of another host. A late decision would end the session that the other host began.
    package var patience: Duration? {
        switch self {
        case .decideLogin, .keepSessions: CoreLimits.loginLimit * 2
        case .collect, .store, .applyStored, .discard, .locate, .readLog, .digests, .sweep, .rowHashes, .compare,
            .mergeRows, .rowStates, .recordAcknowledged, .prune, .recordTerm, .restamp, .beginIsolation, .recordEvent,
            .mend, .leaveOut, .readBatch, .readState, .pinState, .stageState, .installState, .probeDisk,
            .compareRanges, .wantedStates:
            nil
        }
    }
}

/// The use of digests; the reply repeats it.
package enum DigestPurpose: Sendable, Hashable {
    /// A question of this node's reconciliation round with the host.
    case question(round: UInt64)
    /// The answer to a client's question.
    case answer(to: ConnectionID, question: DigestReport)
}

/// The use of a comparison of ranges.
package enum RangesPurpose: Sendable, Hashable {
    /// This node's round: a page without ranges begins, any other is the host's answer.
    case question
    /// A client's question.
    case answer(to: ConnectionID)
}

/// What a comparison of ranges has found so far.
package struct RangeStep: Sendable, Hashable {
    /// The round.
    package var round: UInt64
    /// The table.
    package var table: String
    /// The next message to the host; `nil` when everything is compared.
    package var next: StateRangePage?
    /// Keys of rows of whose states the host has others, or none.
    package var haveKeys: [SQLiteValue]
    /// States that only the host has.
    package var need: [UInt64]
    /// Whether the differences are too many for ranges.
    package var isTooLong: Bool

    /// Makes a step.
    package init(
        round: UInt64,
        table: String,
        next: StateRangePage? = nil,
        haveKeys: [SQLiteValue] = [],
        need: [UInt64] = [],
        isTooLong: Bool = false
    ) {
        self.round = round
        self.table = table
        self.next = next
        self.haveKeys = haveKeys
        self.need = need
        self.isTooLong = isTooLong
    }
}

/// The use of a sweep; the reply repeats it.
package enum SweepPurpose: Sendable, Hashable {
    /// The manual sync with this id.
    case sync(id: UInt64)
}

/// A login to be decided.
package struct LoginDecision: Sendable, Hashable {
    /// Who waits for the answer.
    package var requester: Requester
    /// The login.
    package var request: LoginRequest
    /// How many nodes follow the deciding node and have nothing that it lacks, itself included; 0 without a host.
    package var hearing: Int
    /// How many members the clinic has, this node included.
    package var members: Int
    /// Whether the store may answer `tooEarly` when these are not most nodes.
    package var mayWait: Bool
    /// The clinic's time, milliseconds since 1970.
    package var correctedMilliseconds: Int64

    /// Makes a decision.
    package init(
        requester: Requester,
        request: LoginRequest,
        hearing: Int,
        members: Int,
        mayWait: Bool,
        correctedMilliseconds: Int64
    ) {
        self.requester = requester
        self.request = request
        self.hearing = hearing
        self.members = members
        self.mayWait = mayWait
        self.correctedMilliseconds = correctedMilliseconds
    }
}

/// The store's answer to a ``LoginDecision``.
package enum LoginVerdict: Sendable, Hashable {
    /// The store decided; the clinic has so many nodes.
    case decided(LoginOutcome, members: Int)
    /// The store wrote nothing: most nodes are not heard, and the decision may wait for them.
    case tooEarly
}

/// What a member has applied, and when it was heard of.
package struct MemberProgress: Sendable, Hashable {
    /// The member.
    package var node: NodeID
    /// What it has applied.
    package var vector: VersionVector
    /// When its last message arrived: the clinic's time, milliseconds since 1970.
    package var seenMilliseconds: Int64

    /// Makes a progress.
    package init(node: NodeID, vector: VersionVector, seenMilliseconds: Int64) {
        self.node = node
        self.vector = vector
        self.seenMilliseconds = seenMilliseconds
    }
}

/// The store's reply to a request.
package enum StorageReply: Sendable, Hashable {
    /// A slice of a collection is done; it may have found nothing.
    case collected(CollectOutcome)
    /// The chunks are in the log, and batches that were small and complete are applied.
    case stored(from: ConnectionID, StoreOutcome)
    /// Large batches were applied.
    case storedApplied(StoreOutcome)
    /// What could not be applied of former members is removed.
    case discarded(StoreOutcome)
    /// The peer is served from the place behind `position`; `nil`: the log no longer has what the peer lacks.
    case located(for: ConnectionID, position: UInt64?)
    /// The log no longer has what the peer lacks, or would cost more bytes than the state: the peer is offered the state.
    case stateNeeded(for: ConnectionID, StateOffer)
    /// The next pages of this node's state, for a peer.
    case stateRead(for: ConnectionID, StateAnswer)
    /// The log keeps what the peer needs after its state.
    case statePinned
    /// Pages of a state are stored; `nil`: what came before them was forgotten, so the state must begin again.
    case stateStaged(from: ConnectionID, StagedState?)
    /// The state waits for batches that its pages have a part of and that are not in the log yet.
    case stateWaits
    /// The state is merged and shown; it had so many rows.
    case stateInstalled(rows: UInt64, StoreOutcome)
    /// Chunks in the order of the log, and the place of the newest chunk in the log.
    case logRead(for: ConnectionID, chunks: [LoggedChunk], head: UInt64)
    /// Counts and digests.
    case digests(DigestPurpose, vector: VersionVector, tables: [TableDigest], sum: Digest? = nil)
    /// A sweep is done; `escaped` rows had been written without a mark, and the outcome is of their collection.
    case swept(SweepPurpose, escaped: Int, CollectOutcome)
    /// A page of this node's row hashes.
    case rowHashes(RowHashPage)
    /// A step of this node's comparison of ranges.
    case ranged(RangeStep)
    /// The answer to a client's ranges.
    case rangesAnswered(for: ConnectionID, StateRangePage)
    /// The answer to a peer's page, or the states that it asked for.
    case compared(for: ConnectionID, [RowStatePage])
    /// A peer's rows are merged.
    case rowsMerged(from: ConnectionID, RowStatePage, MergeOutcome)
    /// The states of rows that a peer lacks, and the keys that are left for the next request.
    case rowStates(for: ConnectionID, [RowStatePage], rest: [SQLiteValue])
    /// Progress is recorded.
    case acknowledgedRecorded
    /// The disk took the probe.
    case diskProbed
    /// A round of upkeep is done.
    case pruned(UpkeepOutcome)
    /// The term that is on the disk now: the one in the request, or a higher one.
    case termRecorded(UInt64)
    /// So many changes carry new stamps; the outcome is of marks that were collected on the way.
    case restamped(changes: Int, CollectOutcome)
    /// The store counts later changes as known to no other node.
    case isolationBegun
    /// A login is decided. The outcome is of the batch with its rows, which the same transaction wrote.
    case loginDecided(LoginDecision, LoginVerdict, CollectOutcome)
    /// The rule of one session a user holds again: `changes` sessions were ended or confirmed. The outcome is of the batch with
    /// their rows.
    case sessionsKept(changes: Int, CollectOutcome)
    /// The event is in the log of events, with its position.
    case eventRecorded(LoggedEvent)
    /// The repair is done, or was not possible.
    case mended(DamageRepair)
    /// The batch is served without its damaged chunks.
    case leftOut(BatchID)
    /// The chunks of a batch that a peer has lost; empty when this node does not have them.
    case batchRead(for: ConnectionID, [BatchChunk])
    /// The request failed; what it had committed before is in the notice around this reply.
    case failed(StorageRequest, StorageFailure)
    /// A reply, and what the store has to say besides; the notice comes first.
    indirect case noticed(StoreNotice, StorageReply)
}

/// Why the store could not carry out a request.
package enum StorageFailure: Sendable, Hashable {
    /// A lock, or whatever else SQLite reports: may pass, so the node tries again.
    case unavailable(String)
    /// The disk refuses: may pass, so the node tries again, and says so while it lasts.
    case disk(DiskFault, String)
    /// A peer's bytes cannot be decoded; nothing of them was kept.
    case malformed(String)
    /// Two different batches carry the same name.
    case forked(BatchID)
    /// A part of the node's own bookkeeping makes no sense; no peer is at fault.
    case damaged(OwnDamage)
}

/// A table of the clinic that a program removed from this PC's file or brought back.
package enum TableNotice: Sendable, Hashable {
    /// The table is gone, has another name, or does not fit; its rows wait.
    case missing(table: String, reason: String)
    /// The table is there again.
    case returned(table: String)
    /// Programs added a column to the table on some PCs and not on others, where its values wait.
    case columnWaits(table: String, column: String, reason: String)
}

/// The outcome of a collection.
package struct CollectOutcome: Sendable, Hashable {
    /// Chunks that were added to the log.
    package var logged: [LoggedChunk]
    /// What this node has applied now.
    package var vector: VersionVector
    /// The changes, for programs.
    package var events: [LoggedEvent]
    /// Whether another slice must follow at once.
    package var hasMore: Bool
    /// Tables whose triggers were missing and were created again.
    package var repairedTables: [String]
    /// Tables that programs removed from the file, or brought back.
    package var tables: [TableNotice] = []
    /// Rows of the swept tables that are too large to be sent, so that no other node can have them.
    package var unsentRows = 0
    /// Rows that differed without a program's mark and looked like damage, so that other nodes' values are put back.
    package var setBackRows = 0
    /// Rows that were written without the copies of programs' triggers, because one of these failed.
    package var failedTriggers = 0

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

/// The outcome of `store` or `applyStored`.
package struct StoreOutcome: Sendable, Hashable {
    /// Chunks that were added to the log: new chunks of the peer, and this node's own chunks collected on the way.
    package var logged: [LoggedChunk]
    /// Payload bytes of the peer that are stored now, duplicates included; they need not be on the disk.
    package var storedBytes: Int
    /// What this node has applied now.
    package var vector: VersionVector
    /// The changes, for programs.
    package var events: [LoggedEvent]
    /// How many values lost to concurrent ones; they are in the journal.
    package var conflicts: Int
    /// Whether complete batches wait for `applyStored`.
    package var isApplyPending: Bool
    /// The largest stamp that was applied.
    package var largestTimestamp: HybridTimestamp
    /// Batches of which chunks are no longer in the log: peers must not count on them.
    package var forgotten: [BatchID]

    /// Makes an outcome.
    package init(
        logged: [LoggedChunk],
        storedBytes: Int,
        vector: VersionVector,
        events: [LoggedEvent],
        conflicts: Int,
        isApplyPending: Bool,
        largestTimestamp: HybridTimestamp,
        forgotten: [BatchID] = []
    ) {
        self.logged = logged
        self.storedBytes = storedBytes
        self.vector = vector
        self.events = events
        self.conflicts = conflicts
        self.isApplyPending = isApplyPending
        self.largestTimestamp = largestTimestamp
        self.forgotten = forgotten
    }
}

/// The outcome of merging a peer's rows.
package struct MergeOutcome: Sendable, Hashable {
    /// How many of this node's rows changed.
    package var changedRows: Int
    /// The changes, for programs.
    package var events: [LoggedEvent]
    /// This node's own chunks that were collected on the way.
    package var logged: [LoggedChunk]
    /// What this node has applied now.
    package var vector: VersionVector
    /// Keys of rows of which this node knows more than the peer sent.
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
