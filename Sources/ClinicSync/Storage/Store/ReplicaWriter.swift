package import ClinicSyncCore
package import ClinicSyncModel

/// The writing half of a node's store: routes each request to the parts that carry it out.
///
/// Not `Sendable`: it belongs to one thread (or to the simulator), which carries out one request after the other. Every
/// method is one or more transactions of its own; one that throws has rolled back.
package final class ReplicaWriter {
    let transactions: Transactions
    let rows: RowStates
    let clock: StoreClock
    let limits: StoreLimits
    private let parts: StoreBuilding.Parts
    var journal: ConflictJournal { self.parts.journal }
    var events: EventLog { self.parts.events }
    var collecting: Collecting { self.parts.collecting }
    private var programRows: ProgramRows { self.parts.programRows }
    private var merging: Merging { self.parts.merging }
    private var upkeep: Upkeep { self.parts.upkeep }
    private var follower: SchemaFollower { self.parts.follower }
    private var repair: BookkeepingRepair { self.collecting.bookkeeping }
    private let report: StoreOpening.Report
    private let storeExtension: (any StoreExtension)?

    /// Opens the store of `origin`, applies migrations, and puts the capture triggers in order.
    ///
    /// - Parameters:
    ///   - database: the connections.
    ///   - origin: the node; with a `place`, the incarnation is the one in which the file continues.
    ///   - place: where the file is; `nil` in memory and for tools, which continue in the incarnation given.
    ///   - schema: the migrations and the manifest.
    ///   - limits: sizes of chunks and pages.
    ///   - isJoining: whether the file is new and the clinic is not, so that other nodes may have older programs.
    ///   - judge: tells which members' signatures prove them; `nil` takes the rows as they are.
    ///   - storeExtension: what a target above the store adds.
    ///   - wallClock: this PC's time, milliseconds since 1970.
    /// - Throws: ``StoreError``.
    package init(
        database: StoreDatabase,
        origin: Origin,
        place: StorePlace? = nil,
        schema: StoreSchema = .clinic,
        limits: StoreLimits = .standard,
        isJoining: Bool = false,
        judge: MemberListing.Judge? = nil,
        storeExtension: (any StoreExtension)? = nil,
        wallClock: @escaping @Sendable () -> Int64
    ) throws {
        let opened = try StoreOpening(
            database: database,
            origin: origin,
            place: place,
            schema: schema,
            isJoining: isJoining,
            judge: judge,
            clock: StoreClock(wallClock: wallClock)
        ).open()
        let built = StoreBuilding(opened: opened, limits: limits, storeExtension: storeExtension)
        let parts = built.parts()
        self.transactions = opened.transactions
        self.rows = opened.saver.rows
        self.clock = opened.clock
        self.report = opened.report
        self.limits = limits
        self.storeExtension = storeExtension
        self.parts = parts
        try self.adoptFile()
        try self.follower.begin(opened)
    }

    /// Does what an opened file needs, again after each repair of damage that it found.
    private func adoptFile() throws {
        var attempts = 0
        while true {
            do {
                return try self.upkeep.adoptFile(isMigrated: self.report.isMigrated)
            } catch let damage as OwnDamage {
                guard attempts < BookkeepingRepair.attemptsMax, self.repair.mends(damage) else { throw damage }
                attempts += 1
            }
        }
    }

    /// Closes the connections.
    ///
    /// The writer must not be used afterwards.
    ///
    /// - Parameter isFileGone: whether nothing may be written any more, because the file is not at its path.
    /// - Throws: ``StoreError``.
    package func close(isFileGone: Bool = false) throws {
        self.collecting.collector.abandonBulk()
        if !isFileGone { self.upkeep.noteClosed() }
        try self.transactions.close()
    }

    /// Copies the whole database into a new file, readable by its owner alone.
    ///
    /// - Returns: Whether the copy was made; a file that is there already is left alone.
    package func rescue(to path: String) -> Bool {
        self.collecting.collector.abandonBulk()
        return self.transactions.database.copy(to: path)
    }

    /// Makes the file ready to be copied by a backup: counts every own batch as shared, so that it gets no other stamps.
    ///
    /// - Returns: Whether the file is ready; `false` while programs' rows wait to be collected.
    /// - Throws: ``StoreError``.
    package func prepareCopy() throws -> Bool {
        try self.follower.following { try self.upkeep.prepareCopy() }
    }

    /// Whether another database was copied into the open file, for example by `.restore` of the `sqlite3` shell.
    ///
    /// The store then refuses every write, and must be closed and opened again.
    ///
    /// - Throws: ``StoreError``.
    package func isFileOverwritten() throws -> Bool {
        try self.transactions.read { try self.rows.origins.isOverwritten(on: $0) }
    }

    /// Whether a program dropped one of the node's own tables since the file was opened; the next opening makes it again.
    ///
    /// - Throws: ``StoreError``.
    package func lacksOwnTables() throws -> Bool { try self.transactions.read { try OwnTables.areIncomplete(on: $0) } }

    // MARK: - What the store is

    /// The node as an author: the origin that opening was given, in the incarnation that the file's place decided.
    package var origin: Origin { self.rows.origins.own }
    /// Why the node continues in a new incarnation since this opening; `nil` when it does not.
    package var rebirth: Rebirth? { self.report.rebirth }
    /// The number of the newest migration that is applied.
    package var schemaVersion: UInt32 { self.report.schemaVersion }
    /// The number of the newest migration that the program has; it may wait for other nodes.
    package var programSchemaVersion: UInt32 { self.report.programSchemaVersion }
    /// The newest position given to an event.
    package var lastEventPosition: UInt64 { self.events.position }
    /// The tables' plans.
    var plans: TablePlans { self.rows.plans }
    /// The tables' plans, for the reading half.
    var published: PublishedPlans { self.follower.published }

    /// What the core must know at the start.
    ///
    /// - Throws: ``StoreError``.
    package func state() throws -> StoreState {
        try self.upkeep.state(schemaVersion: self.schemaVersion)
    }

    // MARK: - Programs' changes

    /// Collects marks for at most 50 ms; see ``CollectOutcome/hasMore``.
    ///
    /// - Parameter offset: what to add to this PC's time to get the clinic's.
    /// - Returns: What was collected.
    /// - Throws: ``StoreError``; the store is as before then.
    package func collect(clockOffsetMilliseconds offset: Int64) throws -> CollectOutcome {
        try self.follower.following { try self.collecting.collect(offset: offset) }
    }

    /// Compares the real tables with what the node knows and collects the differences as local edits.
    ///
    /// - Parameters:
    ///   - table: the table; `nil` for all.
    ///   - offset: what to add to this PC's time to get the clinic's.
    /// - Returns: The number of rows that had been written without a mark, and what was collected.
    /// - Throws: ``StoreError``; what was collected until then stays.
    package func sweep(
        table: String?,
        clockOffsetMilliseconds offset: Int64
    ) throws -> (escaped: Int, CollectOutcome) {
        try self.follower.following { try self.collecting.sweep(table: table, offset: offset) }
    }

    // MARK: - Peers' changes

    /// Logs chunks of a peer and applies what is complete and small; see ``StoreOutcome/isApplyPending``.
    ///
    /// - Parameters:
    ///   - chunks: the chunks, in the order in which they came.
    ///   - sender: who sent them; `nil` for a sender that may not replace other content of the same name.
    ///   - offset: what to add to this PC's time to get the clinic's.
    /// - Returns: What was logged and applied.
    /// - Throws: ``MalformedChunk`` when a chunk cannot be read in full or is not what it says; ``ForkedBatch`` when another batch
    ///   has its name, or has a name that only this node may give: then the next opening begins a new incarnation;
    ///   ``StoreError``. The store is as before then.
    package func store(
        _ chunks: [BatchChunk],
        from sender: ChunkSender? = nil,
        clockOffsetMilliseconds offset: Int64
    ) throws -> StoreOutcome {
        try self.follower.following(isInTransactions: true) {
            try self.merging.store(chunks, from: sender, offset: offset)
        }
    }

    /// Logs chunks of several peers in one transaction, as ``store(_:from:clockOffsetMilliseconds:)`` does for one peer.
    ///
    /// - Parameters:
    ///   - deliveries: what the peers sent, in the order in which it came; no batch may be in two of them.
    ///   - offset: what to add to this PC's time to get the clinic's.
    /// - Returns: The outcome of each delivery.
    /// - Throws: As the other method, when one delivery is at fault. The store is as before then. It stores those that are not at
    ///   fault when each is given alone.
    package func store(
        _ deliveries: [ChunkDelivery],
        clockOffsetMilliseconds offset: Int64
    ) throws -> [StoreOutcome] {
        try self.follower.following(isInTransactions: true) { try self.merging.store(deliveries, offset: offset) }
    }

    /// Applies what can be applied, and removes from the log what former members alone made and nobody can apply; see
    /// ``StorageRequest/discard(_:waiting:)``.
    ///
    /// - Throws: ``StoreError``; the store is as before then.
    package func discard(
        _ members: KnownMembers,
        waiting: [WaitingBatch] = [],
        clockOffsetMilliseconds offset: Int64
    ) throws -> StoreOutcome {
        try self.follower.following { try self.merging.discard(members, waiting: waiting, offset: offset) }
    }

    /// Applies batches that are complete in the log but were too large for ``store(_:clockOffsetMilliseconds:)``.
    package func applyStored(clockOffsetMilliseconds offset: Int64) throws -> StoreOutcome {
        try self.follower.following { try self.merging.applyStored(offset: offset) }
    }

    /// Merges a peer's rows into ours, by the rules for changes.
    ///
    /// - Parameters:
    ///   - page: the rows.
    ///   - range: the keys that the peer was asked for.
    ///   - offset: what to add to this PC's time to get the clinic's.
    /// - Returns: What changed.
    /// - Throws: ``MalformedChunk`` when the page is no page or has another row; ``StoreError``. The store is as before then.
    package func merge(
        _ page: RowStatePage,
        within range: KeyRange = .all,
        clockOffsetMilliseconds offset: Int64
    ) throws -> MergeOutcome {
        try self.follower.following { try self.merging.merge(page, within: range, offset: offset) }
    }

    /// What the store does in a state transfer.
    package var transfers: StateTransfers {
        StateTransfers(follower: self.follower, merging: self.merging, upkeep: self.upkeep)
    }

    // MARK: - Own damage

    /// Repairs a part of the node's own bookkeeping; see ``StorageRequest/mend(_:)``.
    ///
    /// - Throws: ``StoreError``; nothing is changed then.
    package func repair(_ damage: OwnDamage) throws -> DamageRepair {
        try self.follower.following { try self.repair.repair(damage) }
    }

    /// Repairs damage that a request found.
    ///
    /// - Returns: Whether the request may be carried out again; ``takeNotice()`` reports the repair.
    package func repairs(_ damage: OwnDamage) -> Bool { self.repair.mends(damage) }

    /// Takes what the store has to say besides the reply to the last request.
    package func takeNotice() -> StoreNotice {
        StoreNotice(repairs: self.repair.takeUnreported(), committed: self.collecting.takeUntold())
    }

    // MARK: - Isolation

    /// From now on no other node can have the batches that are made; see ``StorageRequest/beginIsolation``.
    package func beginIsolation() { self.upkeep.beginIsolation() }

    /// Ends the isolation: corrects the stamps that were made in it, if the clock was wrong by more than half a second, and counts
    /// every own batch as shared from then on, also after a power cut.
    ///
    /// - Parameter offset: what to add to this PC's time to get the clinic's.
    /// - Returns: The number of changes that have other stamps now, and what was collected on the way.
    /// - Throws: ``StoreError``; the stamps are as before then, and stay so.
    package func restamp(
        clockOffsetMilliseconds offset: Int64
    ) throws -> (changes: Int, outcome: CollectOutcome) {
        self.clock.offsetMilliseconds = offset
        return try self.follower.following { try self.upkeep.endIsolation(offset: offset) }
    }

    // MARK: - Upkeep

    /// Records a term so that it survives a power cut; a term that is not higher than the recorded one changes nothing.
    ///
    /// A node that forgot a term could claim it, or follow another host in it, a second time.
    ///
    /// - Returns: The term that is recorded now.
    /// - Throws: ``StoreError``; the recorded term is as before then.
    package func recordTerm(_ term: UInt64) throws -> UInt64 {
        try self.follower.following { try self.upkeep.recordTerm(term) }
    }

    /// Records how far members are.
    ///
    /// - Throws: ``StoreError``.
    package func recordAcknowledged(_ members: [MemberProgress]) throws {
        try self.follower.following { try self.upkeep.recordAcknowledged(members) }
    }

    /// Writes 64 KiB to the disk and removes them; throws ``StoreError`` when the disk does not work.
    package func probeDisk() throws { try self.follower.following { try self.upkeep.probeDisk() } }

    /// Does what has to be done now and then: prunes the log, continues the slow sweep, and moves the write-ahead log into the
    /// file, so that programs need not.
    ///
    /// A host also decides who has lapsed, and what every active member has.
    ///
    /// - Parameters:
    ///   - retentionMilliseconds: how long the log is kept at least.
    ///   - presence: the members, and who is connected.
    /// - Returns: What was done.
    /// - Throws: ``StoreError``.
    package func maintain(
        retentionMilliseconds: Int64,
        presence: MemberPresence = MemberPresence(isHost: false)
    ) throws -> UpkeepOutcome {
        try self.follower.following {
            try self.upkeep.maintain(retentionMilliseconds: retentionMilliseconds, presence: presence)
        }
    }

    /// Writes down an event that belongs to no change of a row.
    ///
    /// - Returns: The event with its position.
    /// - Throws: ``StoreError``; nothing is written then.
    package func recordEvent(_ event: NamedEvent) throws -> LoggedEvent {
        try self.follower.following {
            try self.transactions.write { transaction in .relaxed(try self.events.record(event, in: transaction)) }
        }
    }

    // MARK: - The extension

    /// Has the extension carry out a request that the engine does not know.
    ///
    /// - Returns: The reply; `nil` when the extension does not know the request either.
    /// - Throws: ``StoreError``; nothing is written then.
    func replyFromExtension(to request: StorageRequest) throws -> StorageReply? {
        try self.storeExtension?.reply(to: request, in: self)
    }

    // MARK: - Writing as a program

    /// Whether a table of the clinic is in the file; a program may have dropped or renamed it.
    package func hasTable(_ name: String) -> Bool { self.plans[name] != nil }

    /// Runs `body` in one write transaction, for targets above the store.
    ///
    /// - Parameters:
    ///   - durability: how the transaction begins.
    ///   - body: what to do; it returns its results and changes nothing outside, because it may run twice.
    /// - Returns: The result of `body`.
    /// - Throws: ``StoreError``, and what `body` throws; nothing is written then.
    package func write<Result>(
        _ durability: Durability = .relaxed,
        _ body: (ProgramRows, borrowing WriteTransaction) throws -> Ending<Result>
    ) throws -> Result {
        try self.follower.following {
            try self.transactions.write(durability) { transaction in try body(self.programRows, transaction) }
        }
    }

    /// Runs `body` in one write transaction that also makes a batch of what it wrote, for targets above the store.
    ///
    /// The transaction writes the rows, their states and the batch in the log, and it is on the disk when this returns. So the
    /// chunks may leave at once, and a crash leaves all of it or nothing. What programs wrote before goes into the same batch.
    ///
    /// - Parameter body: what to do; it marks the rows that it writes.
    /// - Returns: The result of `body`, and what was collected.
    /// - Throws: ``StoreError``, and what `body` throws; nothing of `body` is written then.
    package func writeOwnBatch<Result>(
        _ body: (ProgramRows, borrowing WriteTransaction) throws -> Result
    ) throws -> (Result, CollectOutcome) {
        try self.follower.following {
            try self.collecting.write(offset: self.clock.offsetMilliseconds) { transaction in
                try body(self.programRows, transaction)
            }
        }
    }

    /// The outcome of a request that had nothing to collect.
    package var nothingCollected: CollectOutcome { self.collecting.nothing }

    /// Runs `body` with the writing connection, outside of a transaction, for targets above the store.
    ///
    /// - Throws: ``StoreError``, and what `body` throws.
    package func read<Result>(_ body: (ProgramRows, Connection) throws -> Result) throws -> Result {
        try self.transactions.read { connection in try body(self.programRows, connection) }
    }

    /// Writes the node's own row of a table that nodes fill, as a program would: the collector makes a batch of it.
    ///
    /// Columns that are not named keep their values, or get their defaults in a new row. Identical values change nothing, so
    /// that repeating it costs the other nodes nothing.
    ///
    /// - Parameters:
    ///   - table: one of the tables that nodes fill; naming another is a programming error, as is a column it does not have.
    ///   - values: values by column, the key's among them.
    /// - Returns: Whether anything changed; post `localCommitNoticed` to have it collected at once.
    /// - Throws: ``StoreError``; nothing is written then.
    @discardableResult
    package func putAgentRow(table: String, values: [String: SQLiteValue]) throws -> Bool {
        try self.write(.durable) { rows, transaction in
            .durable(try rows.put(self.agentPlan(table), values: values, in: transaction))
        }
    }

    /// Deletes rows of a table that nodes fill, as a program would.
    ///
    /// - Parameters:
    ///   - table: one of the tables that nodes fill; naming another is a programming error.
    ///   - keys: the keys of the rows; a key without a row does nothing.
    /// - Returns: The number of rows that were deleted; post `localCommitNoticed` to have that collected at once.
    /// - Throws: ``StoreError``; nothing is deleted then.
    @discardableResult
    package func deleteAgentRows(table: String, keys: [SQLiteValue]) throws -> Int {
        try self.write(.durable) { rows, transaction in
            let plan = self.agentPlan(table)
            var count = 0
            for key in keys where try rows.delete(plan, key: key, in: transaction) { count += 1 }
            return .durable(count)
        }
    }

    private func agentPlan(_ table: String) -> TablePlan {
        guard let plan = self.plans[table], !plan.definition.isClinical else {
            preconditionFailure("\(table) is no table that nodes fill")
        }
        return plan
    }
}
