import ClinicSyncModel

/// Removes batches from the front of the change log, and raises the floor (``LogFloor``).
///
/// Each call is one short transaction, because programs wait for it: it removes at most ``chunksMax`` chunks and about
/// ``bytesMax`` bytes. A batch is below the floor from the moment on when its first chunk is removed.
struct LogPruner {
    /// The most chunks that one call removes.
    static let chunksMax = 256
    /// After so many bytes of payload a call removes no further chunk.
    static let bytesMax = 8 << 20
    /// A chunk that seems to come from further in the future than this was logged while the PC's clock was wrong.
    static let clockErrorMax: Int64 = 3_600_000

    let origins: Origins
    let clock: StoreClock

    /// Removes batches that `limit` covers, if they were logged before the retention.
    ///
    /// - Parameters:
    ///   - limit: the batches that nobody needs from this log.
    ///   - retentionMilliseconds: how long a batch stays in the log at least.
    ///   - transaction: the transaction.
    /// - Returns: The number of chunks that were removed.
    /// - Throws: what SQLite reports.
    func prune(
        upTo limit: VersionVector,
        retentionMilliseconds: Int64,
        in transaction: borrowing WriteTransaction
    ) throws -> Int {
        guard let period = try self.retained(retentionMilliseconds, on: transaction.connection) else { return 0 }
        var chunks = 0
        var bytes = 0
        for id in self.origins.ids where chunks < LogPruner.chunksMax && bytes < LogPruner.bytesMax {
            try self.raiseFloor(of: id, upTo: limit[try self.origins.origin(id)], keeping: period, in: transaction)
            try self.removeGone(of: id, chunks: &chunks, bytes: &bytes, in: transaction)
        }
        return chunks
    }

    /// The times at which chunks were logged that stay; `nil` when this PC's clock is behind the newest chunk, so that nothing
    /// can be told.
    ///
    /// What was logged with a clock that was far ahead must not stay for ever, so it counts as old.
    private func retained(_ milliseconds: Int64, on connection: Connection) throws -> ClosedRange<Int64>? {
        let newest = try connection.query("SELECT storedAt FROM clinicsync_log ORDER BY position DESC LIMIT 1")
            .first { $0.int64(0) }
        let latest = self.clock.wallMilliseconds &+ LogPruner.clockErrorMax
        guard let newest, newest <= latest else { return nil }
        return min(self.clock.wallMilliseconds &- max(0, milliseconds), latest)...latest
    }

    private func raiseFloor(
        of id: Int,
        upTo limit: UInt64,
        keeping period: ClosedRange<Int64>,
        in transaction: borrowing WriteTransaction
    ) throws {
        let floor = self.origins.floor(of: id)
        let last = min(limit, self.origins.sequence(of: id))
        guard floor < last else { return }
        var gone = floor
        var isYoung = false
        try transaction
            .statement(
                """
                SELECT sequence, max(CASE WHEN storedAt BETWEEN ?4 AND ?5 THEN 1 ELSE 0 END) FROM clinicsync_log
                WHERE origin = ?1 AND sequence > ?2 AND sequence <= ?3 GROUP BY sequence ORDER BY sequence LIMIT ?6
                """
            )
            .bind(1, id)
            .bind(2, floor)
            .bind(3, last)
            .bind(4, period.lowerBound)
            .bind(5, period.upperBound)
            .bind(6, LogPruner.chunksMax)
            .forEach { row in
                isYoung = isYoung || row.int64(1) != 0
                if !isYoung { gone = try row.sequence(0) }
            }
        self.origins.raiseFloor(of: id, to: gone)
    }

    private func removeGone(
        of id: Int,
        chunks: inout Int,
        bytes: inout Int,
        in transaction: borrowing WriteTransaction
    ) throws {
        var positions: [Int64] = []
        try transaction
            .statement(
                """
                SELECT position, length(payload) FROM clinicsync_log WHERE origin = ?1 AND sequence <= ?2
                ORDER BY sequence, chunk LIMIT ?3
                """
            )
            .bind(1, id)
            .bind(2, self.origins.floor(of: id))
            .bind(3, LogPruner.chunksMax - chunks)
            .forEach { row in
                guard bytes < LogPruner.bytesMax else { return }
                positions.append(row.int64(0))
                bytes += row.int(1)
            }
        chunks += positions.count
        for position in positions {
            try transaction.statement("DELETE FROM clinicsync_log WHERE position = ?1").bind(1, position).run()
        }
    }
}
