package import ClinicSyncModel

/// The change log: the table `clinicsync_log`, with the batches of all authors in chunks.
///
/// The number of an own batch must never be used twice. So an own batch in the log is durable before the node sends it
/// to any other node: appending a chunk of an own batch makes the transaction durable.
final class BatchLog: TransactionPart {
    private let origins: Origins
    private let clock: StoreClock
    /// Keeps the highest own number outside the database; `nil` for a store without a place.
    private let witness: NumberWitness?
    /// The highest number of an own batch with a chunk in the log; the batch can be incomplete.
    private var highestOwn: UInt64

    /// Opens the log.
    ///
    /// - Throws: what SQLite reports.
    init(origins: Origins, clock: StoreClock, witness: NumberWitness?, in transaction: borrowing WriteTransaction)
        throws
    {
        self.origins = origins
        self.clock = clock
        self.witness = witness
        self.highestOwn = try BatchLog.highestNumber(of: origins.own, on: transaction.connection)
    }

    func memory() -> () -> Void {
        let saved = self.highestOwn
        return { self.highestOwn = saved }
    }

    func didCommit() { self.noteNumber() }

    /// Whether the store has a place, and therefore a witness file beside the database.
    var hasPlace: Bool { self.witness != nil }

    /// The highest number of an own batch; the batch can be incomplete.
    var highestNumber: UInt64 { max(self.origins.sequence(of: self.origins.ownID), self.highestOwn) }

    /// Writes the highest own number into the witness file.
    func noteNumber() {
        guard let witness else { return }
        let incarnation = self.origins.own.incarnation
        witness.note(NumberWitness.Entry(incarnation: incarnation, number: self.highestNumber))
    }

    // MARK: - Own numbers

    /// The highest number of a batch of `origin` in the file; the batch can be incomplete.
    static func highestNumber(of origin: Origin, on connection: Connection) throws -> UInt64 {
        try connection
            .query(
                """
                SELECT max(o.sequence, coalesce((SELECT max(l.sequence) FROM clinicsync_log l WHERE l.origin = o.id), 0))
                FROM clinicsync_origin o WHERE o.node = ?1 AND o.incarnation = ?2
                """
            )
            .bind(1, blob: origin.node.storedBytes)
            .bind(2, origin.incarnation)
            .first { $0.unsigned(0) } ?? 0
    }

    /// Whether a batch has this node as its origin and a number above the highest own number in the file.
    ///
    /// Only an earlier state of this node can have made such a batch. This file has lost that state's later batches.
    func isOfFormerSelf(_ batch: BatchID, on connection: Connection) throws -> Bool {
        guard batch.origin == self.origins.own else { return false }
        return try batch.sequence > BatchLog.highestNumber(of: batch.origin, on: connection)
    }

    // MARK: - Appending

    /// Appends a chunk to the log.
    func append(_ chunk: BatchChunk, in transaction: borrowing WriteTransaction) throws -> LoggedChunk {
        if chunk.batch.origin == self.origins.own { try transaction.requireDurability() }
        let statement = try transaction.statement(
            """
            INSERT INTO clinicsync_log (origin, sequence, chunk, isLast, header, checksum, storedAt, payload)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING position
            """
        )
        statement.bind(1, try self.origins.id(of: chunk.batch.origin, in: transaction)).bind(2, chunk.batch.sequence)
        statement.bind(3, chunk.index).bind(4, chunk.isLast ? 1 : 0)
        if let header = chunk.header {
            statement.bind(5, blob: VectorCoding.encode(header))
        } else {
            statement.bindNull(5)
        }
        statement.bind(6, chunk.checksum).bind(7, self.clock.wallMilliseconds)
        let position = try chunk.payload.withUnsafeBytes { payload -> UInt64 in
            statement.bind(8, .blob(payload))
            // RETURNING returns its row before the insertion is final: step the statement to its end.
            guard try statement.step() else { return 0 }
            let position = statement.unsigned(0)
            try statement.run()
            return position
        }
        if chunk.batch.origin == self.origins.own { self.highestOwn = max(self.highestOwn, chunk.batch.sequence) }
        return LoggedChunk(position: position, chunk: chunk)
    }

    /// Appends a peer's chunk, unless the chunk is in the log or was applied earlier.
    ///
    /// - Returns: The logged chunk; `nil` for a duplicate.
    /// - Throws: ``ForkedBatch`` when another chunk has the same name, or for a batch of ``isOfFormerSelf(_:on:)``.
    func appendNew(_ chunk: BatchChunk, in transaction: borrowing WriteTransaction) throws -> LoggedChunk? {
        let id = try self.origins.id(of: chunk.batch.origin, in: transaction)
        let present =
            try transaction
            .statement("SELECT checksum, isLast FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = ?3")
            .bind(1, id)
            .bind(2, chunk.batch.sequence)
            .bind(3, chunk.index)
            .first { ($0.unsigned(0), $0.int64(1) != 0) }
        if let present {
            guard present == (chunk.checksum, chunk.isLast) else { throw ForkedBatch(batch: chunk.batch) }
            return nil
        }
        if try self.isOfFormerSelf(chunk.batch, on: transaction.connection) { throw ForkedBatch(batch: chunk.batch) }
        // The chunk is a late duplicate: it was applied and pruned.
        guard chunk.batch.sequence > self.origins.sequence(of: id) else { return nil }
        return try self.append(chunk, in: transaction)
    }

    // MARK: - Reading

    /// The peers' batches of which only some chunks have arrived.
    func partials(on connection: Connection) throws -> [PartialBatch] {
        var partials: [PartialBatch] = []
        try connection
            .query(
                """
                SELECT l.origin, l.sequence, max(l.chunk), max(l.isLast) FROM clinicsync_origin o
                JOIN clinicsync_log l ON l.origin = o.id AND l.sequence > o.sequence
                WHERE o.id <> ?1 GROUP BY l.origin, l.sequence
                """
            )
            .bind(1, self.origins.ownID)
            .forEach { row in
                let batch = BatchID(origin: try self.origins.origin(row.int(0)), sequence: row.unsigned(1))
                partials.append(PartialBatch(batch: batch, nextChunk: UInt32(row.int64(2)) + 1))
            }
        return partials
    }

    /// The position of the newest chunk; 0 in an empty log.
    func head(on connection: Connection) throws -> UInt64 {
        try connection.query("SELECT max(position) FROM clinicsync_log").first { $0.unsigned(0) } ?? 0
    }

    /// The header of a batch; `nil` when its first chunk is not in the log.
    func header(of id: Int, sequence: UInt64, on connection: Connection) throws -> BatchHeader? {
        try connection
            .query("SELECT header FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = 0")
            .bind(1, id)
            .bind(2, sequence)
            .first { row in try VectorCoding.decodeHeader(row.blob(0)) }
    }

    /// The position of a batch's first chunk; `nil` when it is not in the log.
    func position(of id: Int, sequence: UInt64, on connection: Connection) throws -> UInt64? {
        try connection
            .query("SELECT position FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = 0")
            .bind(1, id)
            .bind(2, sequence)
            .first { $0.unsigned(0) }
    }

    /// The number of the next chunk of a batch; `nil` when no chunk of it is in the log.
    func nextChunk(of id: Int, sequence: UInt64, on connection: Connection) throws -> UInt32? {
        let next =
            try connection
            .query("SELECT max(chunk) FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2")
            .bind(1, id)
            .bind(2, sequence)
            .first { $0.isNull(0) ? nil : UInt32($0.int64(0)) + 1 }
        return next ?? nil
    }

    /// A peer's batch that is complete in the log but not yet applied.
    struct CompleteBatch {
        var id: BatchID
        var header: BatchHeader
        /// The number of its chunks.
        var chunks: Int
        /// The size of its payload in bytes.
        var bytes: Int
    }

    /// The next batch of an author; `nil` until all its chunks are in the log.
    func nextComplete(of id: Int, on connection: Connection) throws -> CompleteBatch? {
        guard id != self.origins.ownID else { return nil }
        let sequence = self.origins.sequence(of: id) + 1
        let found =
            try connection
            .query(
                """
                SELECT count(*), max(chunk), max(isLast), sum(length(payload)) FROM clinicsync_log
                WHERE origin = ?1 AND sequence = ?2
                """
            )
            .bind(1, id)
            .bind(2, sequence)
            .first { (count: $0.int(0), last: $0.int(1), isComplete: $0.int64(2) != 0, bytes: $0.int(3)) }
        guard let found, found.isComplete, found.count == found.last + 1,
            let header = try self.header(of: id, sequence: sequence, on: connection)
        else { return nil }
        return CompleteBatch(
            id: BatchID(origin: try self.origins.origin(id), sequence: sequence),
            header: header,
            chunks: found.count,
            bytes: found.bytes
        )
    }

    /// Calls `body` with the payload of one chunk, which is valid until `body` returns.
    func withPayload(
        of id: Int,
        sequence: UInt64,
        chunk: Int,
        on connection: Connection,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        // Use a separate statement: `body` uses other statements while this statement holds the payload.
        _ =
            try connection
            .query("SELECT payload FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = ?3")
            .bind(1, id)
            .bind(2, sequence)
            .bind(3, chunk)
            .first { row in try body(row.blob(0)) }
    }

    /// A chunk of a batch in the log.
    struct StoredChunk {
        var position: UInt64
        /// The time when the chunk was logged, by this PC's clock.
        var storedAt: Int64
        var payload: [UInt8]
    }

    /// The bytes of all payloads of a batch; `nil` when the log does not have it.
    func payloadBytes(of id: Int, sequence: UInt64, on connection: Connection) throws -> Int? {
        try connection
            .query("SELECT sum(length(payload)) FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2")
            .bind(1, id)
            .bind(2, sequence)
            .first { $0.isNull(0) ? nil : $0.int(0) } ?? nil
    }

    /// The chunks of a batch in their order.
    func chunks(of id: Int, sequence: UInt64, on connection: Connection) throws -> [StoredChunk] {
        var chunks: [StoredChunk] = []
        try connection
            .query(
                "SELECT position, storedAt, payload FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 ORDER BY chunk"
            )
            .bind(1, id)
            .bind(2, sequence)
            .forEach { row in
                let payload = Array(row.blob(2))
                chunks.append(StoredChunk(position: row.unsigned(0), storedAt: row.int64(1), payload: payload))
            }
        return chunks
    }

    // MARK: - Changing

    /// Replaces the payload of a chunk, and also the header of its batch when `header` is given.
    func rewrite(
        _ chunk: StoredChunk,
        payload: [UInt8],
        header: BatchHeader?,
        in transaction: borrowing WriteTransaction
    ) throws {
        try transaction
            .statement("UPDATE clinicsync_log SET payload = ?2, checksum = ?3 WHERE position = ?1")
            .bind(1, chunk.position)
            .bind(2, blob: payload)
            .bind(3, payload.withUnsafeBytes { SipHash.hash64($0) })
            .run()
        guard let header else { return }
        try transaction.statement("UPDATE clinicsync_log SET header = ?2 WHERE position = ?1")
            .bind(1, chunk.position)
            .bind(2, blob: VectorCoding.encode(header))
            .run()
    }

    /// The largest number of an author's chunks that one call of ``prune(upTo:storedBefore:in:)`` removes.
    ///
    /// The limit keeps the transaction short.
    static let pruneChunksMax = 256

    /// Removes chunks of batches that `floor` covers, if they were logged before `horizon`.
    ///
    /// - Returns: The number of removed chunks.
    func prune(upTo floor: VersionVector, storedBefore horizon: Int64, in transaction: borrowing WriteTransaction)
        throws
        -> Int
    {
        var removed = 0
        for entry in floor.entries {
            guard let id = self.origins.id(of: entry.origin) else { continue }
            try transaction
                .statement(
                    """
                    DELETE FROM clinicsync_log WHERE position IN (
                    SELECT position FROM clinicsync_log WHERE origin = ?1 AND sequence <= ?2 AND storedAt < ?3 LIMIT ?4)
                    """
                )
                .bind(1, id)
                .bind(2, min(entry.sequence, self.origins.sequence(of: id)))
                .bind(3, horizon)
                .bind(4, BatchLog.pruneChunksMax)
                .run()
            removed += transaction.changes
        }
        return removed
    }
}

/// The error for two different batches with the same name: an author's number was used twice.
package struct ForkedBatch: Error, Hashable {
    /// The name of both batches.
    package var batch: BatchID
}
