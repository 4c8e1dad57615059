import ClinicSyncCore
import ClinicSyncModel

/// Follows the changes that programs make to the schema while the store is open.
///
/// Every such change counts up `PRAGMA schema_version`. The follower then reads the tables again, puts the triggers in order, and has
/// all parts work by the new plans. Rows that can be shown now are shown as soon as no marks are left.
final class SchemaFollower {
    private let transactions: Transactions
    private let rows: RowStates
    private let tables: MissingTables
    private let reading: SchemaReading
    private let collector: Collector
    private let repair: CaptureRepair
    private let adoption: FileAdoption
    private let notes: StoreNotes
    private let announcement: ColumnAnnouncement
    /// The columns of which people know that some PCs lack them.
    private var told: Set<AddedColumnReport.Column> = []
    /// What became of tables before the store was opened.
    private let noticed: [TableNotice]
    /// The plans for the reading half of the store.
    let published: PublishedPlans
    /// Whether rows may have to be shown.
    private var isPending = true

    /// Follows the schema of `opened`.
    init(
        _ opened: StoreOpening.Opened,
        collecting: Collecting,
        adoption: FileAdoption,
        announcement: ColumnAnnouncement
    ) {
        self.notes = opened.notes
        self.announcement = announcement
        self.transactions = opened.transactions
        self.rows = opened.saver.rows
        self.tables = MissingTables(rows: opened.saver.rows, notes: opened.notes)
        self.reading = opened.reading
        self.collector = collecting.collector
        self.repair = collecting.repair
        self.adoption = adoption
        self.published = PublishedPlans(opened.saver.rows.plans)
        self.noticed = opened.tables.notices
    }

    /// Has write transactions fail from now on when a program changed the schema since it was read in `version`.
    ///
    /// Call it when opening is done. The next reply says what opening found.
    ///
    /// - Throws: ``StoreError``.
    func begin(schema version: Int64) throws {
        try self.announce()
        self.told = Set(try self.waitingColumns().map(\.column))
        self.transactions.expectSchema(version)
        var collected = Collector.Collected()
        collected.tables = self.noticed
        self.collector.keep(collected)
    }

    /// How often a request is carried out again because programs changed the schema meanwhile.
    private static let attemptsMax = 8

    /// Runs `body` by plans that hold: again, when a program changes the schema before a transaction of `body` has the lock.
    ///
    /// A schema that cannot be read stops only collections: everything else goes on by the earlier plans.
    ///
    /// - Throws: what ``follow()`` and `body` throw.
    func following<Result>(_ body: () throws -> Result) throws -> Result {
        var attempts = 0
        while true {
            do {
                try self.follow()
            } catch is SchemaError {
                try self.transactions.expectSchema(self.transactions.read { try Transactions.schemaVersion(on: $0) })
            }
            do {
                let result = try body()
                try self.takeUpColumns()
                return result
            } catch let changed as SchemaChanged {
                attempts += 1
                guard attempts < SchemaFollower.attemptsMax else { throw changed }
            }
        }
    }

    /// Reads the schema again if a program changed it.
    ///
    /// - Throws: ``StoreError``, ``SchemaError``; the store works by the earlier plans then.
    func follow() throws {
        guard try self.repair.isCheckDue() else { return }
        let before = self.rows.plans
        do {
            let (outcome, version) = try self.transactions.changeSchema { db, transaction in
                let tables = try self.reading.tables(in: db)
                if tables != before.tables { self.rows.use(TablePlans(tables)) }
                let outcome = try self.tables.settle(tables, isMigrated: false, in: db, transaction)
                return .durable((outcome, try Transactions.schemaVersion(on: transaction.connection)))
            }
            self.repair.noteChecked(version)
            var collected = Collector.Collected(repairedTables: outcome.repaired)
            collected.tables = outcome.notices
            self.collector.keep(collected)
        } catch {
            self.rows.use(before)
            throw error
        }
        self.isPending = true
        guard self.rows.plans.tables != before.tables else { return }
        self.published.publish(self.rows.plans)
        // Its snapshot has the earlier schema.
        self.collector.abandonBulk()
        try self.adoption.rehash()
        try self.announce()
        try self.tellColumns()
    }

    // MARK: - Added columns

    /// Announces the columns that programs added in this file, before their first values leave it.
    private func announce() throws {
        guard try self.transactions.read({ try self.announcement.isDue(on: $0) }) else { return }
        try self.transactions.write(.durable) { transaction in
            try self.announcement.renew(in: transaction)
            return .durable
        }
    }

    /// Reads the schema again when values came of unknown columns that other nodes announce, so that the values need not wait in
    /// the log.
    private func takeUpColumns() throws {
        guard self.notes.takeUnknownColumns(),
            try self.transactions.read({ connection in
                let report = AddedColumnReport(plans: self.rows.plans, connection: connection)
                return try report.announcesAny(of: self.notes.unread(on: connection).map(\.detail))
            })
        else { return }
        self.repair.forgetCheck()
        try self.follow()
        guard try self.transactions.read({ try self.rows.marks.count(limit: 1, on: $0) == 0 }) else { return }
        self.collector.keep(try self.showRows())
    }

    /// Has the next reply say which columns some PCs lack, as far as it was not said.
    private func tellColumns() throws {
        let entries = try self.waitingColumns()
        var collected = Collector.Collected()
        for entry in entries where !self.told.contains(entry.column) {
            collected.tables.append(
                .columnWaits(table: entry.column.table, column: entry.column.name, reason: entry.reason)
            )
        }
        self.told = Set(entries.map(\.column))
        self.collector.keep(collected)
    }

    private func waitingColumns() throws -> [AddedColumnReport.Entry] {
        try self.transactions.read { try AddedColumnReport(plans: self.rows.plans, connection: $0).entries() }
    }

    // MARK: - Rows

    /// Shows the rows that can be shown since the schema was read; call it when no marks are left.
    ///
    /// - Returns: What was committed.
    func showRows() throws -> Collector.Collected {
        guard self.isPending else { return Collector.Collected() }
        let collected = try self.adoption.showRows()
        self.isPending = false
        return collected
    }
}
