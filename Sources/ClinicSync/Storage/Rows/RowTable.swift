import ClinicSyncCore
import ClinicSyncModel

/// What the node knows of the rows that tables show: `clinicsync_row`, with each table's count and digest in `clinicsync_digest`.
final class RowTable: TransactionPart {
    /// Count and digest of a table's rows.
    struct Total: Equatable {
        var rows: Int64 = 0
        var digest = Digest.zero
    }

    private let origins: Origins
    private let existing: (Origin) -> UInt64
    /// By the table's number.
    private var totals: [Int: Total]
    /// The tables whose totals are not written yet.
    private var changed: Set<Int> = []
    /// `PRAGMA schema_version` when the table of totals last said what this node knows; `nil` before the first transaction.
    private var schemaVersion: Int64?
    /// The buffer in which hashes of columns are encoded.
    private var encoded = ByteWriter()

    /// Reads the totals.
    ///
    /// - Throws: what SQLite reports.
    init(origins: Origins, plans: TablePlans, on connection: Connection) throws {
        self.origins = origins
        self.existing = { origins.sequence(of: $0) }
        var totals: [Int: Total] = [:]
        for plan in plans.all { totals[plan.definition.number] = Total() }
        try connection.query("SELECT tableId, rows, high, low FROM clinicsync_digest").forEach { row in
            let digest = Digest(high: row.unsigned(2), low: row.unsigned(3))
            // What a program or a disk made of the number is corrected with the next comparison of total and rows.
            totals[row.int(0)] = Total(rows: min(max(row.int64(1), 0), Int64(Bounds.rowsMax)), digest: digest)
        }
        self.totals = totals
    }

    func memory() -> () -> Void {
        let (totals, changed) = (self.totals, self.changed)
        return { (self.totals, self.changed) = (totals, changed) }
    }

    /// Makes sure that no other state of the file, with the same progress of all authors, was copied into it: SQLite's backup
    /// always raises the version of the schema, and what reconciliations brought is in no progress.
    ///
    /// - Throws: ``StoreError/overwritten``; what SQLite reports.
    func didBegin(_ transaction: borrowing WriteTransaction) throws {
        let version = try Transactions.schemaVersion(on: transaction.connection)
        if let known = self.schemaVersion, known != version {
            guard try self.areTotalsAsWritten(on: transaction.connection) else { throw StoreError.overwritten }
        }
        self.schemaVersion = version
    }

    func willCommit(_ transaction: borrowing WriteTransaction) throws {
        guard !self.changed.isEmpty else { return }
        for number in self.changed.sorted() {
            try RowTable.write(self.totals[number] ?? Total(), of: number, in: transaction)
        }
        self.changed.removeAll()
    }

    static func write(_ total: Total, of number: Int, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_digest (tableId, rows, high, low) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (tableId) DO UPDATE SET rows = ?2, high = ?3, low = ?4
                """
            )
            .bind(1, number)
            .bind(2, total.rows)
            .bind(3, total.digest.high)
            .bind(4, total.digest.low)
            .run()
    }

    // MARK: - Totals

    /// The sum of the hashes of the rows that a table shows.
    func digest(of plan: TablePlan) -> Digest { self.totals[plan.definition.number]?.digest ?? .zero }

    /// The number of rows that a table shows.
    func rows(of plan: TablePlan) -> Int64 { self.totals[plan.definition.number]?.rows ?? 0 }

    /// Whether the present transaction wrote a row of a table.
    func hasChanged(_ plan: TablePlan) -> Bool { self.changed.contains(plan.definition.number) }

    private func count(_ plan: TablePlan, rows: Int64, adding new: Digest?, removing old: Digest?) {
        let number = plan.definition.number
        if let new { self.totals[number, default: Total()].digest += new }
        if let old { self.totals[number, default: Total()].digest -= old }
        self.totals[number, default: Total()].rows += rows
        self.changed.insert(number)
    }

    /// Whether a table's total is the sum over its rows.
    func isTotalRight(_ plan: TablePlan, on connection: Connection) throws -> Bool {
        try self.totals[plan.definition.number] == self.sum(plan, on: connection)
    }

    /// Whether there are fewer rows than were counted: a program removed what the node knew of a row.
    ///
    /// A row that a program wrote without a mark is unknown too, but was never counted. Keys are texts and blobs: an entry with a
    /// number as its key had another one.
    func hasLostRows(_ plan: TablePlan, on connection: Connection) throws -> Bool {
        let rows = try connection.query("SELECT count(*) FROM clinicsync_row WHERE tableId = ?1 AND pk >= ''")
            .bind(1, plan.definition.number)
            .first { $0.int64(0) }
        return rows ?? 0 < self.rows(of: plan)
    }

    /// Removes the entries whose keys are numbers; totals stay as they are.
    func removeNumbers(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("DELETE FROM clinicsync_row WHERE tableId = ?1 AND pk < ''")
            .bind(1, plan.definition.number)
            .run()
    }

    /// Whether the table of totals says what this node knows.
    ///
    /// Only this node writes it. So another content is damage.
    func areTotalsAsWritten(on connection: Connection) throws -> Bool {
        var isSame = true
        try connection.query("SELECT tableId, rows, high, low FROM clinicsync_digest").forEach { row in
            let digest = Digest(high: row.unsigned(2), low: row.unsigned(3))
            guard let total = self.totals.first(where: { Int64(clamping: $0.key) == row.int64(0) })?.value else {
                return
            }
            if total != Total(rows: row.int64(1), digest: digest) { isSame = false }
        }
        return isSame
    }

    /// Whether a table has less than half of the rows that the node knows.
    func hasLostMostRows(_ plan: TablePlan, on connection: Connection) throws -> Bool {
        func count(_ condition: String) throws -> Int64 {
            try connection.query("SELECT count(*) FROM clinicsync_row WHERE tableId = ?1 \(condition)")
                .bind(1, plan.definition.number)
                .first { $0.int64(0) } ?? 0
        }
        return try count("AND \(plan.sql.exists)") < count("") / 2 + count("") % 2
    }

    /// Forgets the rows that are not in their table and that no program deleted, without tombstones; totals stay as they are.
    ///
    /// - Returns: The number of rows.
    func forgetMissing(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws -> Int {
        try transaction
            .statement(
                """
                DELETE FROM clinicsync_row WHERE tableId = ?1 AND NOT \(plan.sql.exists) AND NOT EXISTS (
                    SELECT 1 FROM clinicsync_dirty AS d
                    WHERE d.tableId = ?1 AND d.pk = clinicsync_row.pk AND CAST(d.n AS INTEGER) > 0
                )
                """
            )
            .bind(1, plan.definition.number)
            .run()
        return transaction.changes
    }

    /// Forgets the values of columns that a program dropped from the table: who wrote them, and what they were.
    ///
    /// Rows that had such a value get the unknown hash, so that the next comparison brings the values from another node.
    ///
    /// - Returns: The number of rows.
    func forget(_ slots: UInt64, of plan: TablePlan, in transaction: borrowing WriteTransaction) throws -> Int {
        let connection = transaction.connection
        var keys: [SQLiteValue] = []
        try connection.query("SELECT pk FROM clinicsync_row WHERE tableId = ?1")
            .bind(1, plan.definition.number)
            .forEach { keys.append($0.ref(0).value) }
        var count = 0
        for key in keys {
            try ValueRef.with(key) { key in
                guard var meta = try self.meta(plan, key: key, on: connection),
                    slots.setBits.contains(where: { $0 < meta.columns.count && meta.columns[$0] != 0 })
                else { return }
                count += 1
                meta.assign(slots, to: LocalVersion(timestamp: 0, origin: 0, sequence: 0))
                var hashes = RowHashes()
                for slot in meta.columns.indices where slots & (1 << UInt64(slot)) == 0 {
                    hashes.columns[slot] = UInt64(truncatingIfNeeded: meta.columns[slot])
                }
                hashes.row = RowMeta.unknownHash
                try self.write(
                    plan,
                    key: key,
                    Versions(birth: meta.birth, groups: meta.encodedGroups, context: meta.context),
                    hashes: hashes,
                    replacing: meta.hash,
                    in: transaction
                )
            }
        }
        return count
    }

    /// Makes a table's total the sum over its rows.
    func correctTotal(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws {
        self.totals[plan.definition.number] = try self.sum(plan, on: transaction.connection)
        self.changed.insert(plan.definition.number)
    }

    private func sum(_ plan: TablePlan, on connection: Connection) throws -> Total {
        var total = Total()
        try connection.query("SELECT hash FROM clinicsync_row WHERE tableId = ?1")
            .bind(1, plan.definition.number)
            .forEach { row in
                total.rows += 1
                total.digest += try OwnDamage.reading(.row) { try Digest(storedBytes: row.blob(0)) }
            }
        return total
    }

    // MARK: - Metadata of one row

    /// The metadata of a row that its table shows.
    func meta(_ plan: TablePlan, key: ValueRef, on connection: Connection) throws -> RowMeta? {
        try RowStateLoader(connection: connection, origins: self.origins.names, existing: self.existing)
            .meta(plan, key: key)
    }

    /// What is written of a row beside its hashes.
    struct Versions {
        /// The version of the row's birth.
        var birth: LocalVersion
        /// The columns with another version, as ``RowMeta/encodedGroups``.
        var groups: [UInt8] = []
        /// The number of the row's deletions in ``DeletionContexts``.
        var context: Int?
    }

    /// Writes the metadata of a row.
    ///
    /// - Parameters:
    ///   - plan: the row's table.
    ///   - key: the row's key.
    ///   - versions: the versions of the row and of its columns.
    ///   - hashes: the hashes of what the table shows.
    ///   - old: the hash that the row had before; `nil` for a row that was not there.
    ///   - transaction: the transaction.
    /// - Throws: what SQLite reports.
    func write(
        _ plan: TablePlan,
        key: ValueRef,
        _ versions: Versions,
        hashes: RowHashes,
        replacing old: Digest?,
        in transaction: borrowing WriteTransaction
    ) throws {
        let statement = try transaction.statement(
            """
            INSERT INTO clinicsync_row (tableId, pk, timestamp, origin, sequence, hash, columns, registers, context)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
            ON CONFLICT (tableId, pk) DO UPDATE SET timestamp = ?3, origin = ?4, sequence = ?5, hash = ?6, columns = ?7,
            registers = ?8, context = ?9
            """
        )
        statement.bind(1, plan.definition.number).bind(2, key)
        statement.bind(3, versions.birth.timestamp).bind(4, versions.birth.origin).bind(5, versions.birth.sequence)
        if versions.groups.isEmpty { statement.bindNull(8) } else { statement.bind(8, blob: versions.groups) }
        if let context = versions.context { statement.bind(9, context) } else { statement.bindNull(9) }
        try self.run(statement, hashes, plan: plan)
        self.count(plan, rows: old == nil ? 1 : 0, adding: hashes.row, removing: old)
    }

    /// Binds the hashes as ?6 and ?7 and runs.
    private func run(_ statement: Statement, _ hashes: RowHashes, plan: TablePlan) throws {
        RowMeta.writeColumns(hashes, plan: plan, to: &self.encoded)
        try hashes.row.withStoredBytes { hash in
            statement.bind(6, .blob(hash))
            try self.encoded.bytes.withUnsafeBytes { columns in
                statement.bind(7, .blob(columns))
                try statement.run()
            }
        }
    }

    /// Writes the metadata of a new row unless the row has some; the totals do not count the row yet.
    ///
    /// - Returns: Whether the metadata was written.
    func insert(
        _ plan: TablePlan,
        key: ValueRef,
        birth: LocalVersion,
        hashes: RowHashes,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        let statement = try transaction.statement(
            """
            INSERT INTO clinicsync_row (tableId, pk, timestamp, origin, sequence, hash, columns)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING
            """
        )
        statement.bind(1, plan.definition.number).bind(2, key)
        statement.bind(3, birth.timestamp).bind(4, birth.origin).bind(5, birth.sequence)
        try self.run(statement, hashes, plan: plan)
        return transaction.changes == 1
    }

    /// Counts a row of ``insert(_:key:birth:hashes:in:)`` in its table's total.
    func countInserted(_ plan: TablePlan, hash: Digest) { self.count(plan, rows: 1, adding: hash, removing: nil) }

    /// Takes back ``insert(_:key:birth:hashes:in:)``.
    func takeBack(_ plan: TablePlan, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("DELETE FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .run()
    }

    /// Removes the metadata of a row that its table no longer shows; `hash` is the row's hash until now.
    func remove(_ plan: TablePlan, key: ValueRef, hash: Digest, in transaction: borrowing WriteTransaction) throws {
        try self.takeBack(plan, key: key, in: transaction)
        self.count(plan, rows: -1, adding: nil, removing: hash)
    }

    /// Replaces the hashes of a row, which had the hash `old`.
    func replaceHashes(
        _ plan: TablePlan,
        key: ValueRef,
        hashes: RowHashes,
        old: Digest,
        in transaction: borrowing WriteTransaction
    ) throws {
        let statement = try transaction.statement(
            "UPDATE clinicsync_row SET hash = ?6, columns = ?7 WHERE tableId = ?1 AND pk = ?2"
        )
        try self.run(statement.bind(1, plan.definition.number).bind(2, key), hashes, plan: plan)
        self.count(plan, rows: 0, adding: hashes.row, removing: old)
    }

    /// Replaces the versions of a row's columns by those of `meta`.
    func replaceVersions(
        _ plan: TablePlan,
        key: SQLiteValue,
        by meta: RowMeta,
        in transaction: borrowing WriteTransaction
    ) throws {
        let statement = try transaction.statement(
            """
            UPDATE clinicsync_row SET timestamp = ?3, registers = ?4, context = ?5 WHERE tableId = ?1 AND pk = ?2
            """
        )
        let groups = meta.encodedGroups
        statement.bind(1, plan.definition.number).bind(2, key).bind(3, meta.birth.timestamp)
        if groups.isEmpty { statement.bindNull(4) } else { statement.bind(4, blob: groups) }
        if let context = meta.context { statement.bind(5, context) } else { statement.bindNull(5) }
        try statement.run()
    }
}
