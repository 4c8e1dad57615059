import ClinicSyncCore
import ClinicSyncModel

/// The pages of a state that this node is being given, until all are there: `clinicsync_stage` and `clinicsync_transfer`.
struct StateStage {
    /// A part of a state without progress for so long is forgotten: a day.
    static let lifeMilliseconds: Int64 = 86_400_000

    /// A page as it is kept.
    struct Page {
        /// The table; empty for the authors.
        var table: String
        /// The encoded rows or authors.
        var payload: [UInt8]
        /// The last key that the page covers; `nil`: it covers the rest of the table.
        var through: SQLiteValue?
        /// Whether the sender left out rows of the page's range.
        var lacksRows: Bool
    }

    // MARK: - Reading

    /// What is stored; `nil` when there is nothing.
    ///
    /// A description that makes no sense counts as nothing, and the next page removes it.
    static func read(on connection: Connection) throws -> StagedState? {
        do {
            return
                try connection
                .query(
                    "SELECT vector, through, tableName, pk, rows, bytes, forgotten FROM clinicsync_transfer WHERE id = 1"
                )
                .first { row in
                    var staged = StagedState(
                        vector: try VectorCoding.decode(row.blob(0)),
                        cursor: StateCursor(table: row.string(2), key: row.isNull(3) ? nil : row.ref(3).value),
                        rows: UInt64(clamping: row.int64(4)),
                        bytes: UInt64(clamping: row.int64(5))
                    )
                    if !row.isNull(1) { staged.through = try VectorCoding.decode(row.blob(1)) }
                    if !row.isNull(6) { staged.forgotten = try VectorCoding.decode(row.blob(6)) }
                    return staged
                }
        } catch is MalformedRecord {
            return nil
        }
    }

    /// The number of the first page after `number`; `nil` when there is none.
    static func next(after number: Int64, on connection: Connection) throws -> Int64? {
        try connection.query("SELECT min(number) FROM clinicsync_stage WHERE number > ?1")
            .bind(1, number)
            .first { $0.isNull(0) ? nil : $0.int64(0) } ?? nil
    }

    /// Takes a page out.
    ///
    /// - Throws: ``MalformedRecord`` when the file does not have what was stored.
    static func take(_ number: Int64, in transaction: borrowing WriteTransaction) throws -> Page? {
        try transaction
            .statement(
                """
                DELETE FROM clinicsync_stage WHERE number = ?1 RETURNING tableName, checksum, payload, pk, lacksRows
                """
            )
            .bind(1, number)
            .first { row in
                let payload = row.blob(2)
                guard SipHash.hash64(payload) == row.unsigned(1) else {
                    throw MalformedRecord(reason: "the checksum of a page is wrong")
                }
                return Page(
                    table: row.string(0),
                    payload: Array(payload),
                    through: row.isNull(3) ? nil : row.ref(3).value,
                    lacksRows: row.int(4) != 0
                )
            }
    }

    // MARK: - Writing

    /// Stores a page behind those that are stored.
    static func append(_ page: StatePage, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                "INSERT INTO clinicsync_stage (tableName, checksum, payload, pk, lacksRows) VALUES (?1, ?2, ?3, ?4, ?5)"
            )
            .bind(1, text: page.table)
            .bind(2, page.checksum)
            .bind(3, blob: page.payload)
            .bind(4, page.through ?? .null)
            .bind(5, page.lacksRows ? 1 : 0)
            .run()
    }

    /// Writes down how far the state is.
    static func write(_ staged: StagedState, at milliseconds: Int64, in transaction: borrowing WriteTransaction) throws
    {
        let statement =
            try transaction
            .statement(
                """
                INSERT INTO clinicsync_transfer (id, vector, through, tableName, pk, rows, bytes, progressAt, forgotten)
                VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET vector = ?1, through = ?2,
                tableName = ?3, pk = ?4, rows = ?5, bytes = ?6, progressAt = ?7, forgotten = ?8
                """
            )
            .bind(1, blob: VectorCoding.encode(staged.vector))
            .bind(3, text: staged.cursor.table)
            .bind(4, staged.cursor.key ?? .null)
            .bind(5, Int64(clamping: staged.rows))
            .bind(6, Int64(clamping: staged.bytes))
            .bind(7, milliseconds)
            .bind(8, blob: VectorCoding.encode(staged.forgotten))
        if let through = staged.through {
            statement.bind(2, blob: VectorCoding.encode(through))
        } else {
            statement.bindNull(2)
        }
        try statement.run()
    }

    /// Forgets the state.
    static func clear(in transaction: borrowing WriteTransaction) throws {
        try transaction.execute("DELETE FROM clinicsync_stage")
        try transaction.execute("DELETE FROM clinicsync_transfer")
    }

    /// Whether there is a part of a state that has made no progress for too long.
    static func isExpired(at milliseconds: Int64, on connection: Connection) throws -> Bool {
        try connection.query("SELECT progressAt FROM clinicsync_transfer")
            .first { !(0...lifeMilliseconds).contains(milliseconds &- $0.milliseconds(0)) } ?? false
    }
}
