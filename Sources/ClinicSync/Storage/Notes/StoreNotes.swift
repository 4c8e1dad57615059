import ClinicSyncCore
import ClinicSyncModel

/// The notes on data that waits or is set aside: the table `clinicsync_waiting`, with details in `clinicsync_unread`.
final class StoreNotes: TransactionPart {
    private let clock: StoreClock
    /// The number of notes.
    private var count = 0
    /// The number of notes on rows that are too large to be sent.
    private var largeCount = 0
    /// The names of the tables that are noted as missing.
    private var missing: Set<String> = []
    /// Whether values of unknown columns came since ``takeUnknownColumns()``.
    private var hasUnknownColumns = false

    /// Counts the notes.
    ///
    /// - Throws: what SQLite reports.
    init(clock: StoreClock, on connection: Connection) throws {
        self.clock = clock
        self.count = try connection.query("SELECT count(*) FROM clinicsync_waiting").first { $0.int(0) } ?? 0
        try connection.query("SELECT pk FROM clinicsync_waiting WHERE tableId = 0").forEach { row in
            switch StoreNote(key: row.ref(0).value) {
            case .large: self.largeCount += 1
            case .missing(let table): self.missing.insert(table)
            case .batch, .row, .migration, nil: break
            }
        }
    }

    func memory() -> () -> Void {
        let (count, largeCount, missing) = (self.count, self.largeCount, self.missing)
        return { (self.count, self.largeCount, self.missing) = (count, largeCount, missing) }
    }

    /// Whether there is no note.
    var isEmpty: Bool { self.count == 0 }

    // MARK: - Rows

    /// Notes that a row is set aside, with the reason; the reason names columns, never values.
    func add(_ row: RowName, reason: String, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_waiting (tableId, pk, reason, since) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (tableId, pk) DO NOTHING
                """
            )
            .bind(1, row.table)
            .bind(2, row.key)
            .bind(3, text: reason)
            .bind(4, self.clock.wallMilliseconds)
            .run()
        self.count += transaction.changes
    }

    /// Removes the note on a row.
    func remove(_ row: RowName, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("DELETE FROM clinicsync_waiting WHERE tableId = ?1 AND pk = ?2")
            .bind(1, row.table)
            .bind(2, row.key)
            .run()
        self.count -= transaction.changes
    }

    // MARK: - Other notes

    /// Writes a note, unless it exists already.
    func add(
        _ note: StoreNote,
        reason: String,
        detail: UnreadDetail? = nil,
        in transaction: borrowing WriteTransaction
    ) throws {
        let key = note.key
        try self.add(RowName(table: 0, key: key), reason: reason, in: transaction)
        guard let detail else { return }
        try transaction
            .statement("INSERT INTO clinicsync_unread (pk, detail) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(1, key)
            .bind(2, blob: detail.encoded)
            .run()
    }

    /// Removes a note with its detail.
    func remove(key: SQLiteValue, in transaction: borrowing WriteTransaction) throws {
        try self.remove(RowName(table: 0, key: key), in: transaction)
        try transaction.statement("DELETE FROM clinicsync_unread WHERE pk = ?1").bind(1, key).run()
    }

    // MARK: - What this version does not understand

    /// Whether values of unknown columns came since the last call: a node may have announced the columns.
    func takeUnknownColumns() -> Bool {
        defer { self.hasUnknownColumns = false }
        return self.hasUnknownColumns
    }

    /// Notes that a batch has rows for which this node has no table or column.
    ///
    /// The batch stays in the log until the node has read these rows.
    func addUnread(
        _ batch: BatchID,
        seen: VersionVector,
        table: String,
        columns: [String],
        in transaction: borrowing WriteTransaction
    ) throws {
        let what = columns.isEmpty ? "table" : "column"
        if !columns.isEmpty { self.hasUnknownColumns = true }
        try self.add(
            .batch(batch, table: table, columns: columns),
            reason: self.isMissing(table)
                ? "changes that wait for the table"
                : "this version knows no such \(what) in \(table): update the program",
            detail: UnreadDetail(batch: batch, table: table, columns: columns, seen: seen),
            in: transaction
        )
    }

    /// Notes that a row of a reconciliation has values for which this node has no column.
    func addUnread(
        _ plan: TablePlan,
        key: SQLiteValue,
        columns: [String],
        in transaction: borrowing WriteTransaction
    ) throws {
        let table = plan.definition.name
        self.hasUnknownColumns = true
        try self.add(
            .row(table: table, key: key),
            reason: "this version knows no such column in \(table): update the program",
            detail: UnreadDetail(batch: nil, table: table, columns: columns, seen: VersionVector()),
            in: transaction
        )
    }

    /// The details of the batches and rows that were not understood, with the keys of their notes.
    func unread(on connection: Connection) throws -> [(key: SQLiteValue, detail: UnreadDetail)] {
        guard try connection.hasTable("clinicsync_unread") else { return [] }
        var notes: [(key: SQLiteValue, detail: UnreadDetail)] = []
        try connection.query("SELECT pk, detail FROM clinicsync_unread ORDER BY pk").forEach { row in
            let detail = try OwnDamage.reading(.unread) { try UnreadDetail(row.blob(1)) }
            notes.append((row.ref(0).value, detail))
        }
        return notes
    }

    /// Removes details that cannot be read, with their notes.
    ///
    /// - Returns: The number of notes.
    func removeMalformed(in transaction: borrowing WriteTransaction) throws -> Int {
        var malformed: [SQLiteValue] = []
        try transaction.connection.query("SELECT pk, detail FROM clinicsync_unread").forEach { row in
            do { _ = try UnreadDetail(row.blob(1)) } catch { malformed.append(row.ref(0).value) }
        }
        for key in malformed { try self.remove(key: key, in: transaction) }
        return malformed.count
    }

    /// The batches in the log that have tables or columns that this version does not understand.
    ///
    /// - Parameters:
    ///   - oldest: the time, milliseconds since 1970; batches that were noted earlier are left out.
    ///   - connection: the connection that reads.
    /// - Returns: Their names.
    /// - Throws: ``OwnDamage`` when a detail cannot be read; what SQLite reports.
    func unreadBatches(notedAfter oldest: Int64, on connection: Connection) throws -> [BatchID] {
        var batches: [BatchID] = []
        try connection
            .query(
                """
                SELECT u.detail FROM clinicsync_unread u JOIN clinicsync_waiting w ON w.tableId = 0 AND w.pk = u.pk
                WHERE typeof(u.pk) = 'text' AND w.since > ?1
                """
            )
            .bind(1, oldest)
            .forEach { row in
                let detail = try OwnDamage.reading(.unread) { try UnreadDetail(row.blob(0)) }
                if let batch = detail.batch { batches.append(batch) }
            }
        return batches
    }

    // MARK: - Tables that are missing

    /// Whether a table is noted as missing.
    func isMissing(_ table: String) -> Bool { self.missing.contains(table) }

    /// Notes that a table is missing or does not fit, with the reason; a later reason replaces an earlier one.
    func addMissing(_ table: String, reason: String, in transaction: borrowing WriteTransaction) throws {
        let key = StoreNote.missing(table: table).key
        try self.remove(RowName(table: 0, key: key), in: transaction)
        try self.add(RowName(table: 0, key: key), reason: reason, in: transaction)
        self.missing.insert(table)
    }

    /// Removes the note that a table is missing.
    func removeMissing(_ table: String, in transaction: borrowing WriteTransaction) throws {
        try self.remove(RowName(table: 0, key: StoreNote.missing(table: table).key), in: transaction)
        self.missing.remove(table)
    }

    // MARK: - Rows that are too large

    /// Whether any row is noted as too large to be sent.
    var mayHaveLarge: Bool { self.largeCount > 0 }

    /// Notes that a row is too large to be sent.
    func addLarge(_ plan: TablePlan, key: SQLiteValue, reason: String, in transaction: borrowing WriteTransaction)
        throws
    {
        let before = self.count
        try self.add(.large(table: plan.definition.name, key: key), reason: reason, in: transaction)
        self.largeCount += self.count - before
    }

    /// Removes the note that a row is too large.
    func removeLarge(_ plan: TablePlan, key: SQLiteValue, in transaction: borrowing WriteTransaction) throws {
        guard self.mayHaveLarge else { return }
        let before = self.count
        let note = StoreNote.large(table: plan.definition.name, key: key)
        try self.remove(RowName(table: 0, key: note.key), in: transaction)
        self.largeCount -= before - self.count
    }

    /// Whether a row is noted as too large.
    func isLarge(_ plan: TablePlan, key: SQLiteValue, on connection: Connection) throws -> Bool {
        guard self.mayHaveLarge else { return false }
        let note = StoreNote.large(table: plan.definition.name, key: key)
        return try connection.query("SELECT 1 FROM clinicsync_waiting WHERE tableId = 0 AND pk = ?1")
            .bind(1, note.key)
            .first { _ in true } ?? false
    }

    /// The number of rows of the clinic's tables, or of one table, that are noted as too large.
    func countLarge(table: String?, on connection: Connection) throws -> Int {
        guard self.mayHaveLarge else { return 0 }
        var count = 0
        try connection.query("SELECT pk FROM clinicsync_waiting WHERE tableId = 0 AND typeof(pk) = 'blob'")
            .forEach { row in
                if case .large(let name, _) = StoreNote(key: row.ref(0).value), table == nil || table == name {
                    count += 1
                }
            }
        return count
    }
}
