import ClinicSyncCore
import ClinicSyncModel

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
    /// Batches of which peers have other content.
    private var others = OtherContent()
    /// The authors of whom a batch may be whole in the log and not applied.
    var waiting = WaitingAuthors()

    /// Opens the log.
    ///
    /// - Throws: what SQLite reports.
    init(origins: Origins, clock: StoreClock, witness: NumberWitness?, in transaction: borrowing WriteTransaction)
        throws
    {
        self.origins = origins
        self.clock = clock
        self.witness = witness
        try LogNumbers.mend(exceptOf: origins.ownID, in: transaction)
        self.highestOwn = try BatchLog.highestNumber(of: origins.own, on: transaction.connection)
    }

    func memory() -> () -> Void {
        let (highestOwn, others, waiting) = (self.highestOwn, self.others, self.waiting)
        return {
            self.highestOwn = highestOwn
            self.others = others
            self.waiting = waiting
        }
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
            .first { try $0.sequence(0) } ?? 0
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
        let id = try self.origins.id(of: chunk.batch.origin, in: transaction)
        statement.bind(1, id).bind(2, chunk.batch.sequence)
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
            let position = try statement.position(0)
            try statement.run()
            return position
        }
        if id == self.origins.ownID {
            self.highestOwn = max(self.highestOwn, chunk.batch.sequence)
        } else {
            self.waiting.add(id)
        }
        return LoggedChunk(position: position, chunk: chunk)
    }

    /// What becomes of a peer's chunk.
    enum Arrival {
        /// The chunk is in the log now.
        case logged(LoggedChunk)
        /// The chunk, or what stands in its place, was here before.
        case known
        /// The chunk is not kept: it is not the next one of its batch, or its author has too many incarnations.
        case notKept
    }

    /// Takes a peer's chunk, which was read in full.
    ///
    /// - Parameters:
    ///   - chunk: the chunk.
    ///   - sender: who sent it; `nil` for a sender that may not replace anything.
    ///   - replaced: gets the batch when other content of the same name gives way to the chunk.
    ///   - transaction: the transaction.
    /// - Returns: What became of it.
    /// - Throws: ``ForkedBatch`` for a batch of this node that it did not make, or made with other content; when an author
    ///   sends other content than what is applied of its batch; and for other content without a sender.
    func take(
        _ chunk: BatchChunk,
        from sender: ChunkSender?,
        replaced: inout [BatchID],
        in transaction: borrowing WriteTransaction
    ) throws -> Arrival {
        guard let id = self.origins.id(of: chunk.batch.origin) else {
            guard self.origins.hasRoom(for: chunk.batch.origin), chunk.index == 0 else { return .notKept }
            return .logged(try self.append(chunk, in: transaction))
        }
        let sequence = chunk.batch.sequence
        guard sequence > self.origins.floor(of: id) else { return .known }
        let isApplied = sequence <= self.origins.sequence(of: id)
        let connection = transaction.connection
        let applied = isApplied ? self.origins.vector : nil
        var extent = try LoggedExtent.read(of: id, sequence: sequence, on: connection)
        if extent != nil, let present = try LoggedContent.read(under: chunk, of: id, applied: applied, on: connection) {
            guard present.isIntact else {
                try self.heal(chunk, of: id, in: transaction)
                return .known
            }
            let isSame = present.isSame
            guard !isSame || !present.hasHeader else { return .known }
            let isOwn = chunk.batch.origin == self.origins.own
            // An author that contradicts what is applied has used a number twice. Who passes on other content than is
            // applied here may be honest: what is applied stands, and reconciliation makes the rows equal. Another header
            // alone is no fork, because honest nodes leave out dependencies that no message can hold.
            let isContradiction = isApplied && sender?.node == chunk.batch.origin.node && !present.isSetAside
            if !isSame, isOwn || sender == nil || isContradiction { throw ForkedBatch(batch: chunk.batch) }
            guard !isApplied, !isOwn, let sender, sender.mayReplace(chunk.batch) else {
                if !isApplied, let sender { self.others.note(sender.node, author: id, sequence: sequence) }
                return .known
            }
            try self.removeBatch(of: id, sequence: sequence, in: transaction)
            replaced.append(chunk.batch)
            extent = nil
        }
        if try self.isOfFormerSelf(chunk.batch, on: transaction.connection) { throw ForkedBatch(batch: chunk.batch) }
        let isNext = try chunk.index == extent?.nextChunk() ?? 0 && extent?.isComplete != true
        if isApplied {
            // A batch, or the rest of one, that is missing here through damage.
            if isNext { _ = try self.append(chunk, in: transaction) }
            return .known
        }
        guard isNext else { return .notKept }
        guard !self.others.has(sender?.node, author: id, sequence: sequence) else { return .notKept }
        return .logged(try self.append(chunk, in: transaction))
    }

    // MARK: - Removing

    /// Removes peers' chunks that cannot become part of a whole batch: those after a gap, and those after the last chunk.
    ///
    /// This version keeps no such chunk. An older version did.
    func removeStray(in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                """
                DELETE FROM clinicsync_log WHERE position IN (
                SELECT position FROM (
                    SELECT l.position, l.chunk,
                        row_number() OVER batch - 1 AS place,
                        coalesce(sum(l.isLast <> 0) OVER (batch ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS ends
                    FROM clinicsync_origin o JOIN clinicsync_log l ON l.origin = o.id AND l.sequence > o.sequence
                    WHERE o.id <> ?1
                    WINDOW batch AS (PARTITION BY l.origin, l.sequence ORDER BY l.chunk, l.position)
                ) WHERE chunk <> place OR ends > 0)
                """
            )
            .bind(1, self.origins.ownID)
            .run()
    }

    /// Removes all chunks of a batch.
    func removeBatch(of id: Int, sequence: UInt64, in transaction: borrowing WriteTransaction) throws {
        self.others.forget(author: id, sequence...sequence)
        try transaction.statement("DELETE FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2")
            .bind(1, id)
            .bind(2, sequence)
            .run()
    }

    /// Removes all chunks of a peer's batch that is not applied.
    ///
    /// - Returns: Whether there was such a batch.
    func removeWaiting(_ batch: BatchID, in transaction: borrowing WriteTransaction) throws -> Bool {
        guard batch.origin != self.origins.own, let id = self.origins.id(of: batch.origin),
            batch.sequence > self.origins.sequence(of: id)
        else { return false }
        try self.removeBatch(of: id, sequence: batch.sequence, in: transaction)
        return true
    }

    /// Puts a batch without changes in the place of a batch that no node can read.
    func empty(_ batch: CompleteBatch, of id: Int, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("DELETE FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk > 0")
            .bind(1, id)
            .bind(2, batch.id.sequence)
            .run()
        try transaction
            .statement(
                """
                UPDATE clinicsync_log SET isLast = 1, payload = ?3, checksum = ?4
                WHERE origin = ?1 AND sequence = ?2 AND chunk = 0
                """
            )
            .bind(1, id)
            .bind(2, batch.id.sequence)
            .bind(3, blob: ChunkCheck.emptyPayload)
            .bind(4, BatchChunk.checksum(of: ChunkCheck.emptyPayload))
            .run()
    }

    /// Removes the chunks of an author from a batch on.
    ///
    /// - Returns: The batches of which a chunk was removed.
    func removeBatches(of id: Int, from sequence: UInt64, in transaction: borrowing WriteTransaction) throws
        -> [BatchID]
    {
        self.others.forget(author: id, sequence...UInt64.max)
        let origin = try self.origins.origin(id)
        var removed: [BatchID] = []
        try transaction
            .statement(
                "SELECT DISTINCT sequence FROM clinicsync_log WHERE origin = ?1 AND sequence >= ?2 ORDER BY sequence"
            )
            .bind(1, id)
            .bind(2, sequence)
            .forEach { removed.append(BatchID(origin: origin, sequence: try $0.sequence(0))) }
        try transaction.statement("DELETE FROM clinicsync_log WHERE origin = ?1 AND sequence >= ?2")
            .bind(1, id)
            .bind(2, sequence)
            .run()
        return removed
    }

    /// Puts a peer's copy of a chunk in the place of a damaged one.
    private func heal(_ chunk: BatchChunk, of id: Int, in transaction: borrowing WriteTransaction) throws {
        let header = chunk.header.map { SQLiteValue.blob(VectorCoding.encode($0)) } ?? .null
        try transaction
            .statement(
                """
                UPDATE clinicsync_log SET isLast = ?4, header = ?5, checksum = ?6, payload = ?7
                WHERE origin = ?1 AND sequence = ?2 AND chunk = ?3
                """
            )
            .bind(1, id).bind(2, chunk.batch.sequence).bind(3, chunk.index)
            .bind(4, chunk.isLast ? 1 : 0).bind(5, header).bind(6, chunk.checksum).bind(7, blob: chunk.payload)
            .run()
        self.waiting.add(id)
        guard chunk.isLast else { return }
        // What stands behind the last chunk of a batch has a damaged number.
        try transaction.statement("DELETE FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk > ?3")
            .bind(1, id)
            .bind(2, chunk.batch.sequence)
            .bind(3, chunk.index)
            .run()
    }

    // MARK: - Reading

    /// Reads a part of the log; what makes no sense in it is damage of the batch.
    private func reading<Result>(
        _ id: Int,
        _ sequence: UInt64,
        chunk: Int = 0,
        _ body: () throws -> Result
    ) throws -> Result {
        let batch = BatchID(origin: try self.origins.origin(id), sequence: sequence)
        return try OwnDamage.reading(.log, .batch(batch, chunk: UInt32(clamping: chunk)), body)
    }

    /// The peers' batches of which only some chunks have arrived.
    func partials(on connection: Connection) throws -> [PartialBatch] {
        var partials: [PartialBatch] = []
        try connection
            .query(
                """
                SELECT p.origin, p.sequence, p.newest, f.checksum, f.header, n.checksum FROM (
                    SELECT l.origin, l.sequence, max(l.chunk) AS newest FROM clinicsync_origin o
                    JOIN clinicsync_log l ON l.origin = o.id AND l.sequence > o.sequence
                    WHERE o.id <> ?1 GROUP BY l.origin, l.sequence
                ) p
                LEFT JOIN clinicsync_log f ON f.origin = p.origin AND f.sequence = p.sequence AND f.chunk = 0
                LEFT JOIN clinicsync_log n ON n.origin = p.origin AND n.sequence = p.sequence AND n.chunk = p.newest
                """
            )
            .bind(1, self.origins.ownID)
            .forEach { row in
                let batch = BatchID(origin: try self.origins.origin(row.int(0)), sequence: try row.sequence(1))
                // The last chunk has no successor.
                let next = min(try row.chunkIndex(2) + 1, Bounds.chunkIndexMax)
                let content = PartialBatch.Content(
                    first: row.unsigned(3),
                    timestamp: LoggedContent.timestamp(inHeader: row.blob(4)),
                    newest: row.unsigned(5)
                )
                partials.append(PartialBatch(batch: batch, nextChunk: next, content: content))
            }
        return partials
    }

    /// The position of the newest chunk; 0 in an empty log.
    func head(on connection: Connection) throws -> UInt64 {
        try connection.query("SELECT max(position) FROM clinicsync_log").first { try $0.position(0) } ?? 0
    }

    /// The header of a batch; `nil` when its first chunk is not in the log.
    func header(of id: Int, sequence: UInt64, on connection: Connection) throws -> BatchHeader? {
        try self.reading(id, sequence) {
            try connection
                .query("SELECT header FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = 0")
                .bind(1, id)
                .bind(2, sequence)
                .first { row in try VectorCoding.decodeHeader(row.blob(0)) }
        }
    }

    /// The position of a batch's first chunk; `nil` when it is not in the log.
    func position(of id: Int, sequence: UInt64, on connection: Connection) throws -> UInt64? {
        try connection
            .query("SELECT position FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = 0")
            .bind(1, id)
            .bind(2, sequence)
            .first { try $0.position(0) }
    }

    /// The number of the next chunk of a batch; `nil` when no chunk of it is in the log.
    func nextChunk(of id: Int, sequence: UInt64, on connection: Connection) throws -> UInt32? {
        try LoggedExtent.read(of: id, sequence: sequence, on: connection)?.nextChunk()
    }

    /// The number of an author's first batch in the log that is not applied; `nil` when there is none.
    func firstWaiting(of id: Int, on connection: Connection) throws -> UInt64? {
        try connection.query("SELECT min(sequence) FROM clinicsync_log WHERE origin = ?1 AND sequence > ?2")
            .bind(1, id)
            .bind(2, self.origins.sequence(of: id))
            .first { $0.isNull(0) ? nil : try $0.sequence(0) } ?? nil
    }

    /// The batches in the log that are applied, in the order in which they came: their authors and numbers.
    func applied(on connection: Connection) throws -> [(id: Int, sequence: UInt64)] {
        var batches: [(id: Int, sequence: UInt64)] = []
        try connection.query("SELECT origin, sequence FROM clinicsync_log WHERE chunk = 0 ORDER BY position")
            .forEach { row in
                let (id, sequence) = (row.int(0), UInt64(clamping: row.int64(1)))
                guard self.origins.ids.contains(id), sequence <= self.origins.sequence(of: id) else { return }
                batches.append((id, sequence))
            }
        return batches
    }

    /// A peer's batch that is complete in the log but not yet applied.
    struct CompleteBatch {
        var id: BatchID
        var header: BatchHeader
        /// The number of its chunks.
        var chunks: Int
        /// The size of its payload in bytes.
        var bytes: Int
        /// The payloads of its chunks if they are in memory; otherwise they are read from the log.
        var payloads: [[UInt8]]?
    }

    /// The next batch of an author; `nil` until all its chunks are in the log.
    ///
    /// When there is none, the author counts as waiting for nothing until a chunk of its is logged.
    ///
    /// - Parameters:
    ///   - id: the author.
    ///   - arrived: what was logged in this transaction.
    ///   - connection: the connection.
    /// - Returns: The batch.
    /// - Throws: ``OwnDamage``, or what SQLite reports.
    func nextComplete(
        of id: Int,
        _ arrived: ArrivedBatches = ArrivedBatches(),
        on connection: Connection
    ) throws -> CompleteBatch? {
        guard id != self.origins.ownID else { return nil }
        let name = BatchID(origin: try self.origins.origin(id), sequence: self.origins.sequence(of: id) &+ 1)
        if let batch = arrived.whole(name) { return batch }
        let batch = try self.complete(of: id, sequence: name.sequence, on: connection)
        if batch == nil { self.waiting.remove(id) }
        return batch
    }

    /// A batch; `nil` until all its chunks are in the log.
    func complete(of id: Int, sequence: UInt64, on connection: Connection) throws -> CompleteBatch? {
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
        guard let found, found.isComplete, found.count - 1 == found.last,
            let header = try self.header(of: id, sequence: sequence, on: connection)
        else { return nil }
        return CompleteBatch(
            id: BatchID(origin: try self.origins.origin(id), sequence: sequence),
            header: header,
            chunks: found.count,
            bytes: found.bytes
        )
    }

    /// Calls `body` with the payload of one chunk of a batch, which is valid until `body` returns.
    ///
    /// - Throws: ``OwnDamage`` when the chunk is read and is not what was logged, and what `body` throws.
    func withPayload(
        of batch: CompleteBatch,
        _ id: Int,
        chunk: Int,
        on connection: Connection,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        guard let payloads = batch.payloads, payloads.indices.contains(chunk) else {
            return try self.withPayload(of: id, sequence: batch.id.sequence, chunk: chunk, on: connection, body)
        }
        try payloads[chunk].withUnsafeBytes(body)
    }

    /// Calls `body` with the payload of one chunk, which is valid until `body` returns.
    ///
    /// - Throws: ``OwnDamage`` when the chunk is not what was logged, and what `body` throws.
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
            .query("SELECT payload, checksum FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = ?3")
            .bind(1, id)
            .bind(2, sequence)
            .bind(3, chunk)
            .first { row in
                try self.reading(id, sequence, chunk: chunk) {
                    try BatchLog.check(row.blob(0), checksum: row.unsigned(1))
                }
                try body(row.blob(0))
            }
    }

    /// Checks that a payload in the log is what was written there.
    ///
    /// - Throws: ``MalformedRecord``.
    static func check(_ payload: UnsafeRawBufferPointer, checksum: UInt64) throws(MalformedRecord) {
        guard SipHash.hash64(payload) == checksum else {
            throw MalformedRecord(reason: "the checksum of a chunk is wrong")
        }
    }

    /// Calls `body` for each chunk of an author's batches that are not applied, in their order, with the number of the
    /// batch, the header of a first chunk, and the payload, which is valid until `body` returns.
    ///
    /// Chunks that are damaged are left out: their bytes are not what their author sent.
    func forEachUnapplied(
        of id: Int,
        on connection: Connection,
        _ body: (UInt64, BatchHeader?, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try connection
            .query(
                """
                SELECT sequence, header, checksum, payload FROM clinicsync_log
                WHERE origin = ?1 AND sequence > ?2 ORDER BY sequence, chunk
                """
            )
            .bind(1, id)
            .bind(2, self.origins.sequence(of: id))
            .forEach { row in
                let payload = row.blob(3)
                guard SipHash.hash64(payload) == row.unsigned(2) else { return }
                let header: BatchHeader?
                do throws(MalformedRecord) {
                    header = row.isNull(1) ? nil : try VectorCoding.decodeHeader(row.blob(1))
                } catch {
                    return
                }
                try body(try row.sequence(0), header, payload)
            }
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
        try self.reading(id, sequence) {
            try connection
                .query(
                    """
                    SELECT position, storedAt, payload, checksum FROM clinicsync_log
                    WHERE origin = ?1 AND sequence = ?2 ORDER BY chunk
                    """
                )
                .bind(1, id)
                .bind(2, sequence)
                .forEach { row in
                    try BatchLog.check(row.blob(2), checksum: row.unsigned(3))
                    let payload = Array(row.blob(2))
                    chunks.append(
                        StoredChunk(position: try row.position(0), storedAt: row.milliseconds(1), payload: payload)
                    )
                }
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
            .bind(3, BatchChunk.checksum(of: payload))
            .run()
        guard let header else { return }
        try transaction.statement("UPDATE clinicsync_log SET header = ?2 WHERE position = ?1")
            .bind(1, chunk.position)
            .bind(2, blob: VectorCoding.encode(header))
            .run()
    }
}
