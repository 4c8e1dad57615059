import ClinicSyncModel

/// Builds the parts of a store above its lower tables, and connects them.
struct StoreBuilding {
    /// The parts that requests are routed to.
    struct Parts {
        let programRows: ProgramRows
        let journal: ConflictJournal
        let events: EventLog
        let collecting: Collecting
        let merging: Merging
        let upkeep: Upkeep
        let follower: SchemaFollower
    }

    let opened: StoreOpening.Opened
    let limits: StoreLimits
    let storeExtension: (any StoreExtension)?

    private var rows: RowStates { self.opened.saver.rows }

    /// Builds the parts.
    func parts() -> Parts {
        let programRows = ProgramRows(rows: self.rows, clock: self.opened.clock)
        let journal = self.journal()
        let lost = LostValues(journal: journal, rows: self.rows)
        let events = EventLog(
            origins: self.rows.origins,
            rows: programRows,
            source: self.storeExtension,
            position: self.opened.eventPosition,
            keptMax: self.limits.eventsKept
        )
        let projection = Projection(
            saver: self.opened.saver,
            transactions: self.opened.transactions,
            journal: journal,
            notes: self.opened.notes,
            events: events,
            common: CommonRules(self.opened.reading)
        )
        self.register(projection: projection, events: events)
        let repair = BookkeepingRepair(self.opened)
        self.opened.transactions.onDamage { [weak repair] in repair?.mends($0) ?? false }
        let collecting = self.collecting(lost: lost, projection: projection, events: events, repair: repair)
        let (saver, collector) = (self.opened.saver, collecting.collector)
        let merger = Merger(saver: saver, journal: journal, lost: lost, collector: collector, events: events)
        let merging = self.merging(
            merger,
            collecting: collecting,
            projection: projection,
            events: events,
            unreadable: UnreadableBatches(log: self.opened.log, origins: self.rows.origins, journal: journal)
        )
        let adoption = self.adoption(
            merger,
            journal: journal,
            programRows: programRows,
            projection: projection,
            events: events
        )
        let follower = SchemaFollower(
            self.opened,
            collecting: collecting,
            adoption: adoption,
            columns: ColumnFollower(self.opened, programRows: programRows)
        )
        collecting.follow(with: follower)
        let upkeep = Upkeep(
            self.opened,
            horizon: Horizon(
                members: Members(origins: self.rows.origins, clock: self.opened.clock),
                programRows: programRows,
                clock: self.opened.clock,
                silenceMilliseconds: self.limits.silenceMilliseconds
            ),
            events: events,
            projection: projection,
            collecting: collecting,
            merging: merging,
            adoption: adoption
        )
        return Parts(
            programRows: programRows,
            journal: journal,
            events: events,
            collecting: collecting,
            merging: merging,
            upkeep: upkeep,
            follower: follower
        )
    }

    private func journal() -> ConflictJournal {
        ConflictJournal(
            saver: self.opened.saver,
            clock: self.opened.clock,
            notes: self.opened.notes,
            valueBytesMax: self.limits.changeBytesMax
        )
    }

    /// Registers the parts with something in memory, in the order in which they write before a commit.
    private func register(projection: Projection, events: EventLog) {
        let transactions = self.opened.transactions
        // The projection comes first: it changes what the others write.
        transactions.add(projection)
        transactions.add(self.opened.saver)
        transactions.add(self.rows.shadows)
        transactions.add(self.rows.tombstones)
        transactions.add(self.rows.sums)
        transactions.add(self.rows.table)
        transactions.add(events)
        transactions.add(self.opened.notes)
        transactions.add(self.rows.origins)
        transactions.add(self.opened.unshared)
        transactions.add(self.opened.log)
        transactions.add(self.opened.clock)
    }

    private func collecting(
        lost: LostValues,
        projection: Projection,
        events: EventLog,
        repair: BookkeepingRepair
    ) -> Collecting {
        let batches = OwnBatches(
            origins: self.rows.origins,
            log: self.opened.log,
            unshared: self.opened.unshared,
            clock: self.opened.clock,
            schemaVersion: self.opened.report.schemaVersion,
            chunkBytes: self.limits.chunkBytes
        )
        let large = LargeRows(
            notes: self.opened.notes,
            changeBytesMax: self.limits.changeBytesMax,
            keyBytesMax: self.limits.keyBytesMax
        )
        let unmarked = UnmarkedRows(saver: self.opened.saver, lost: lost, log: self.opened.log, limits: self.limits)
        self.opened.transactions.add(unmarked)
        let rowCollector = RowCollector(
            saver: self.opened.saver,
            counters: self.opened.counters,
            lost: lost,
            large: large,
            unmarked: unmarked,
            batches: batches,
            unshared: self.opened.unshared,
            clock: self.opened.clock
        )
        let collector = Collector(
            transactions: self.opened.transactions,
            rows: self.rows,
            rowCollector: rowCollector,
            unmarked: unmarked,
            unsent: UnsentRows(rows: self.rows, lost: lost, notes: self.opened.notes, unmarked: unmarked),
            batches: batches,
            projection: projection,
            events: events,
            limits: self.limits
        )
        return Collecting(
            collector: collector,
            transactions: self.opened.transactions,
            rows: self.rows,
            large: large,
            clock: self.opened.clock,
            schema: self.opened.schema,
            bookkeeping: repair
        )
    }

    private func merging(
        _ merger: Merger,
        collecting: Collecting,
        projection: Projection,
        events: EventLog,
        unreadable: UnreadableBatches
    ) -> Merging {
        let applier = BatchApplier(
            rows: self.rows,
            log: self.opened.log,
            unshared: self.opened.unshared,
            collector: collecting.collector,
            merger: merger,
            projection: projection,
            events: events,
            notes: self.opened.notes,
            clock: self.opened.clock,
            unreadable: unreadable
        )
        let rowMerger = RowMerger(
            rows: self.rows,
            unshared: self.opened.unshared,
            merger: merger,
            projection: projection,
            events: events,
            notes: self.opened.notes
        )
        let stateMerger = StateMerger(
            rows: self.rows,
            log: self.opened.log,
            unshared: self.opened.unshared,
            saver: self.opened.saver,
            merger: merger,
            applier: applier,
            projection: projection,
            events: events,
            notes: self.opened.notes,
            clock: self.opened.clock
        )
        return Merging(
            transactions: self.opened.transactions,
            rows: self.rows,
            applier: applier,
            rowMerger: rowMerger,
            stateMerger: stateMerger,
            collecting: collecting,
            limits: self.limits
        )
    }

    private func adoption(
        _ merger: Merger,
        journal: ConflictJournal,
        programRows: ProgramRows,
        projection: Projection,
        events: EventLog
    ) -> FileAdoption {
        let unread = UnreadReader(
            rows: self.rows,
            log: self.opened.log,
            merger: merger,
            notes: self.opened.notes,
            clock: self.opened.clock
        )
        return FileAdoption(
            self.opened,
            oldJournal: OldJournal(journal: journal, programRows: programRows),
            unread: unread,
            rebuild: TableRebuild(
                rows: self.rows,
                log: self.opened.log,
                merger: merger,
                clock: self.opened.clock
            ),
            projection: projection,
            events: events
        )
    }
}
