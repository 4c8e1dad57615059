import ClinicSyncModel

/// Finds batches above the floor (``LogFloor``) that are applied and are missing in the log, or of which a chunk is missing.
///
/// A peer that lacks such a batch could never be served.
enum LogHoles {
    /// At most so many batches are replaced at one opening.
    static let batchesMax = 4_096

    private struct Chunk {
        var origin: Int64
        var sequence: Int64
        var index: Int64
    }

    /// Puts a chunk that nobody can read in the place of each such batch.
    ///
    /// Then the log treats the batch as it treats a damaged one: a peer's copy takes its place, or it is served without changes.
    ///
    /// - Returns: The number of batches.
    /// - Throws: what SQLite reports.
    static func fill(storedAt now: Int64, in transaction: borrowing WriteTransaction) throws -> Int {
        var authors: [(id: Int64, floor: Int64, sequence: Int64)] = []
        try transaction.connection.query("SELECT id, floor, sequence FROM clinicsync_origin WHERE sequence > floor")
            .forEach { authors.append((id: $0.int64(0), floor: $0.int64(1), sequence: $0.int64(2))) }
        var broken: [Chunk] = []
        for author in authors where broken.count < LogHoles.batchesMax {
            var last = Chunk(origin: author.id, sequence: author.floor, index: 0)
            try transaction.connection
                .query(
                    """
                    SELECT sequence, chunk FROM clinicsync_log
                    WHERE origin = ?1 AND sequence > ?2 AND sequence <= ?3 AND chunk BETWEEN 0 AND ?4
                    ORDER BY sequence, chunk
                    """
                )
                .bind(1, author.id)
                .bind(2, author.floor)
                .bind(3, author.sequence)
                .bind(4, Bounds.chunkIndexMax)
                .forEach { row in
                    let chunk = Chunk(origin: author.id, sequence: row.int64(0), index: row.int64(1))
                    if broken.count < LogHoles.batchesMax { broken += LogHoles.broken(between: last, and: chunk) }
                    last = chunk
                }
            broken += LogHoles.broken(
                between: last,
                and: Chunk(origin: author.id, sequence: author.sequence &+ 1, index: 0)
            )
        }
        for batch in broken.prefix(LogHoles.batchesMax) {
            try self.replace(batch.sequence, of: batch.origin, storedAt: now, in: transaction)
        }
        return min(broken.count, LogHoles.batchesMax)
    }

    /// Puts a chunk that nobody can read in the place of a batch.
    static func replace(
        _ sequence: Int64,
        of origin: Int64,
        storedAt now: Int64,
        in transaction: borrowing WriteTransaction
    ) throws {
        try transaction.statement("DELETE FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2")
            .bind(1, origin)
            .bind(2, sequence)
            .run()
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_log (origin, sequence, chunk, isLast, checksum, storedAt, payload)
                VALUES (?1, ?2, 0, 1, 0, ?3, x'')
                """
            )
            .bind(1, origin)
            .bind(2, sequence)
            .bind(3, now)
            .run()
    }

    /// The batches that are missing between two neighbours in the log, and that of the second one when a chunk before it is missing.
    private static func broken(between last: Chunk, and next: Chunk) -> [Chunk] {
        guard last.sequence < next.sequence else { return next.index > last.index &+ 1 ? [next] : [] }
        let lost = (last.sequence &+ 1..<min(next.sequence, last.sequence &+ 1 &+ Int64(LogHoles.batchesMax))).map {
            Chunk(origin: last.origin, sequence: $0, index: 0)
        }
        return lost + (next.index > 0 ? [next] : [])
    }
}
