import ClinicSyncModel

/// Finds chunks that are missing in the log between others, although their batches are applied.
///
/// Pruning removes an author's first chunks first. So a chunk that is missing behind another one of its author is damage, and so
/// is a batch without an end. A peer that lacks it could never be served.
enum LogHoles {
    /// At most so many chunks are replaced at one opening.
    static let chunksMax = 4_096

    private struct Chunk {
        var origin: Int64
        var sequence: Int64
        var index: Int64
        var isLast: Bool
    }

    /// Puts a chunk that nobody can read in the place of each missing one.
    ///
    /// Then the log treats it as it treats a damaged chunk: a peer's copy takes its place, or it is served without changes.
    ///
    /// - Returns: The number of chunks that were missing.
    /// - Throws: what SQLite reports.
    static func fill(storedAt now: Int64, in transaction: borrowing WriteTransaction) throws -> Int {
        var missing: [Chunk] = []
        var last: Chunk?
        try transaction.connection
            .query(
                """
                SELECT l.origin, l.sequence, l.chunk, l.isLast FROM clinicsync_origin o
                JOIN clinicsync_log l ON l.origin = o.id AND l.sequence <= o.sequence
                WHERE l.sequence BETWEEN 1 AND ?1 AND l.chunk BETWEEN 0 AND ?2
                ORDER BY l.origin, l.sequence, l.chunk
                """
            )
            .bind(1, Bounds.sequenceMax)
            .bind(2, Bounds.chunkIndexMax)
            .forEach { row in
                let chunk = Chunk(
                    origin: row.int64(0),
                    sequence: row.int64(1),
                    index: row.int64(2),
                    isLast: row.int64(3) != 0
                )
                defer { last = chunk }
                guard let last, last.origin == chunk.origin, missing.count < LogHoles.chunksMax else { return }
                missing += LogHoles.missing(between: last, and: chunk)
            }
        for chunk in missing.prefix(LogHoles.chunksMax) {
            try transaction
                .statement(
                    """
                    INSERT INTO clinicsync_log (origin, sequence, chunk, isLast, checksum, storedAt, payload)
                    VALUES (?1, ?2, ?3, ?4, 0, ?5, x'')
                    """
                )
                .bind(1, chunk.origin)
                .bind(2, chunk.sequence)
                .bind(3, chunk.index)
                .bind(4, chunk.isLast ? 1 : 0)
                .bind(5, now)
                .run()
        }
        return min(missing.count, LogHoles.chunksMax)
    }

    /// What is missing between two neighbours in the log.
    private static func missing(between last: Chunk, and next: Chunk) -> [Chunk] {
        func chunks(of sequence: Int64, from first: Int64, to end: Int64) -> [Chunk] {
            guard first < end else { return [] }
            return (first..<min(end, first &+ Int64(LogHoles.chunksMax))).map {
                Chunk(origin: last.origin, sequence: sequence, index: $0, isLast: false)
            }
        }
        guard last.sequence < next.sequence else {
            return chunks(of: next.sequence, from: last.index &+ 1, to: next.index)
        }
        let lost = (last.sequence &+ 1..<min(next.sequence, last.sequence &+ 1 &+ Int64(LogHoles.chunksMax))).map {
            Chunk(origin: last.origin, sequence: $0, index: 0, isLast: true)
        }
        return lost + chunks(of: next.sequence, from: 0, to: next.index)
    }
}
