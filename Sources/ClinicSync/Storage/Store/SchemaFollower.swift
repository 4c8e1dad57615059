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
    private let bookkeeping: BookkeepingRepair
    private let adoption: FileAdoption
    private let programTriggers: ProgramTriggers
    private let columns: ColumnFollower
    /// The plans for the reading half of the store.
    let published: PublishedPlans
    /// Whether rows may have to be shown.
    private var isPending = true

    /// Follows the schema of `opened`.
    init(
        _ opened: StoreOpening.Opened,
        collecting: Collecting,
        adoption: FileAdoption,
        columns: ColumnFollower
    ) {
        self.transactions = opened.transactions
        self.rows = opened.saver.rows
        self.tables = MissingTables(rows: opened.saver.rows, notes: opened.notes)
        self.reading = opened.reading
        self.collector = collecting.collector
        self.repair = collecting.repair
        self.bookkeeping = collecting.bookkeeping
        self.adoption = adoption
        self.programTriggers = ProgramTriggers(opened.transactions)
        opened.transactions.add(self.programTriggers)
        self.published = PublishedPlans(opened.saver.rows.plans)
        self.columns = columns
    }

    /// Has write transactions fail from now on when a program changed the schema since `opened` read it.
    ///
    /// Call it when opening is done. The next reply says what opening found.
    ///
    /// - Throws: ``StoreError``.
    func begin(_ opened: StoreOpening.Opened) throws {
        try self.columns.begin()
        try self.repair.noteChecked(opened.schema)
        var collected = Collector.Collected()
        collected.tables = opened.tables.notices
        self.collector.keep(collected)
    }

    /// How often a request is carried out again because programs changed the schema meanwhile.
    private static let attemptsMax = 8

    /// Runs `body` by plans that hold: again, when a program changes the schema before a transaction of `body` has the lock.
    ///
    /// A schema that cannot be read stops only collections: everything else goes on by the earlier plans.
    ///
    /// - Parameters:
    ///   - isInTransactions: whether `body` goes by the plans only in write transactions, which check the schema themselves. Then
    ///     the schema's version is not asked for before.
    ///   - body: the request.
    /// - Returns: The result of `body`.
    /// - Throws: what ``follow()`` and `body` throw.
    func following<Result>(isInTransactions: Bool = false, _ body: () throws -> Result) throws -> Result {
        var attempts = 0
        while true {
            do {
                if !isInTransactions || attempts > 0 || self.repair.isKnownDue { try self.follow() }
            } catch is SchemaError {
                try self.transactions.expectSchema(self.transactions.read { try Transactions.schemaVersion(on: $0) })
            }
            do {
                let result = try body()
                self.takeUpColumns()
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
            let (outcome, version, restored) = try self.transactions.changeSchema { db, transaction in
                let restored = try TableNames.restore(in: transaction)
                let tables = try self.reading.tables(in: db)
                try TableNames.save(in: transaction)
                if tables != before.tables { self.rows.use(TablePlans(tables)) }
                let outcome = try self.tables.settle(tables, isMigrated: false, in: db, transaction)
                return .durable((outcome, try Transactions.schemaVersion(on: transaction.connection), restored))
            }
            if let restored { self.bookkeeping.note(restored) }
            try self.repair.noteChecked(version)
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
        var collected = Collector.Collected()
        collected.tables = try self.columns.announceChanges()
        self.collector.keep(collected)
    }

    /// Takes up columns of which values came that this file lacks, and shows what waited for them.
    ///
    /// The request that brought the values has succeeded. So a failure is none of it: the next request reads the schema again.
    private func takeUpColumns() {
        do {
            guard try self.columns.hasNewColumns() else { return }
            self.repair.forgetCheck()
            try self.follow()
            guard try self.columns.hasNoMarks() else { return }
            self.collector.keep(try self.showRows())
        } catch {
            self.repair.forgetCheck()
        }
    }

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
