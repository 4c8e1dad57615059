import ClinicSyncCore
import ClinicSyncModel

/// The states of deleted rows: the table `clinicsync_tombstone`.
final class Tombstones: TransactionPart {
    private let contexts: DeletionContexts
    private let sums: StateSums
    /// The number of tombstones by the table's number.
    ///
    /// It may be too high after overwriting; it only says whether looking for a tombstone is worth while.
    private var counts: [Int: Int] = [:]
    /// How far the tombstones were looked at that may be forgotten.
    var search = Search()

    /// A search for tombstones that may go, a part of them in each transaction.
    struct Search {
        /// What may be forgotten.
        var limit = VersionVector()
        /// The last row that was looked at.
        var last: RowName?
        /// Whether all were looked at.
        var isDone = true
        /// Whether tombstones were removed.
        var hasRemoved = false
    }

    /// Counts the tombstones.
    ///
    /// - Throws: what SQLite reports.
    init(contexts: DeletionContexts, sums: StateSums, on connection: Connection) throws {
        self.contexts = contexts
        self.sums = sums
        try connection.query("SELECT tableId, count(*) FROM clinicsync_tombstone GROUP BY tableId").forEach { row in
            self.counts[row.int(0)] = row.int(1)
        }
    }

    func memory() -> () -> Void {
        let saved = (self.counts, self.search)
        return { (self.counts, self.search) = saved }
    }

    /// Whether a table may have tombstones.
    func mayExist(in table: Int) -> Bool { self.counts[table] ?? 0 > 0 }

    /// Whether a row has a tombstone.
    func contains(_ table: Int, key: ValueRef, on connection: Connection) throws -> Bool {
        guard self.mayExist(in: table) else { return false }
        return try connection.query("SELECT 1 FROM clinicsync_tombstone WHERE tableId = ?1 AND pk = ?2")
            .bind(1, table)
            .bind(2, key)
            .first { _ in true } ?? false
    }

    /// Writes the tombstone of a row that its table does not show; a row without a deletion gets none.
    func bury(_ plan: TablePlan, _ state: RowState, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        guard let deletion = state.deletion else { return }
        var kept = state.withoutCounters(plan)
        let old = try self.stored(plan, key: key, on: transaction.connection)
        self.sums.replace(old, by: kept, .deleted, plan)
        kept.deletion = RowState.Deletion(seen: VersionVector(), version: deletion.version)
        // The column `timestamp` is of earlier versions of the program; nothing reads it.
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_tombstone (tableId, pk, timestamp, state, context) VALUES (?1, ?2, 0, ?3, ?4)
                ON CONFLICT (tableId, pk) DO UPDATE SET timestamp = 0, state = ?3, context = ?4
                """
            )
            .bind(1, plan.definition.number)
            .bind(2, key)
            .bind(3, blob: StoredState.encode(kept))
            .bind(4, try self.contexts.number(of: deletion, in: transaction))
            .run()
        self.counts[plan.definition.number, default: 0] += 1
    }

    /// Removes the tombstone of a row that is shown again.
    func remove(_ plan: TablePlan, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        let old = try self.stored(plan, key: key, on: transaction.connection)
        guard old != .absent else { return }
        self.sums.replace(old, by: nil, .deleted, plan)
        try transaction.statement("DELETE FROM clinicsync_tombstone WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .run()
    }

    private func stored(_ plan: TablePlan, key: ValueRef, on connection: Connection) throws -> StateSums.Stored {
        guard self.mayExist(in: plan.definition.number) else { return .absent }
        return try self.sums.stored(.deleted, plan, key: key, on: connection)
    }
}

/// What deleters had seen: the table `clinicsync_context`.
///
/// A vector is kept once for all deletions of a batch.
struct DeletionContexts {
    let sums: StateSums

    /// The stored form of a deletion: its version, then what the deleters had seen.
    static func encoded(_ deletion: RowState.Deletion) -> [UInt8] {
        var writer = ByteWriter()
        writer.fixed64(deletion.version.timestamp.rawValue)
        writer.origin(deletion.version.origin)
        writer.unsigned(deletion.version.sequence)
        writer.raw(VectorCoding.encode(deletion.seen))
        return writer.bytes
    }

    /// The deletion of a stored form.
    ///
    /// - Throws: ``MalformedRecord``.
    static func decoded(_ bytes: UnsafeRawBufferPointer) throws(MalformedRecord) -> RowState.Deletion {
        var reader = ByteReader(bytes)
        let timestamp = try reader.timestamp()
        let origin = try reader.origin()
        let sequence = try reader.sequence()
        let seen = try VectorCoding.decode(try reader.raw(UInt64(reader.remaining)))
        return RowState.Deletion(
            seen: seen,
            version: Version(timestamp: timestamp, origin: origin, sequence: sequence)
        )
    }

    /// The number under which a deletion's vector is kept.
    func number(of deletion: RowState.Deletion, in transaction: borrowing WriteTransaction) throws -> Int {
        let bytes = DeletionContexts.encoded(deletion)
        let hash = Int64(bitPattern: bytes.withUnsafeBytes { SipHash.hash64($0) })
        var id: Int?
        var isIntact = true
        _ = try transaction.statement("SELECT id, vector FROM clinicsync_context WHERE hash = ?1").bind(1, hash).first {
            row in
            id = row.int(0)
            isIntact = row.blob(1).elementsEqual(bytes)
        }
        if let id, !isIntact {
            // The file was damaged there: the hash is of what is written now. Other rows have the same context.
            self.sums.markAllStale()
            try transaction.statement("UPDATE clinicsync_context SET vector = ?2 WHERE id = ?1")
                .bind(1, id)
                .bind(2, blob: bytes)
                .run()
        }
        if let id { return id }
        try transaction.statement("INSERT INTO clinicsync_context (hash, vector) VALUES (?1, ?2)")
            .bind(1, hash)
            .bind(2, blob: bytes)
            .run()
        return try transaction.statement("SELECT last_insert_rowid()").first { $0.int(0) } ?? 0
    }
}
