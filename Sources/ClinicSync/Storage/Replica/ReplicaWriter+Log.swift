import ClinicSyncModel

/// The change log's writing side.
extension ReplicaWriter {
    /// Appends a chunk to the log.
    func log(_ chunk: BatchChunk) throws -> LoggedChunk {
        let statement = try self.connection.statement(
            """
            INSERT INTO clinicsync_log (origin, sequence, chunk, isLast, header, checksum, storedAt, payload)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING position
            """
        )
        statement.bind(1, try self.id(of: chunk.batch.origin)).bind(2, chunk.batch.sequence)
        statement.bind(3, chunk.index).bind(4, chunk.isLast ? 1 : 0)
        if let header = chunk.header {
            statement.bind(5, blob: VectorCoding.encode(header))
        } else {
            statement.bindNull(5)
        }
        statement.bind(6, chunk.checksum).bind(7, self.wallClock())
        let position = try chunk.payload.withUnsafeBytes { payload -> UInt64 in
            statement.bind(8, .blob(payload))
            // RETURNING yields its row before the insertion is final: step to the end.
            guard try statement.step() else { return 0 }
            let position = statement.unsigned(0)
            try statement.run()
            return position
        }
        if chunk.batch.origin == self.origin { self.highestLogged = max(self.highestLogged, chunk.batch.sequence) }
        return LoggedChunk(position: position, chunk: chunk)
    }

    /// The batches that have arrived in part, own ones excluded.
    func partials() throws -> [PartialBatch] {
        var partials: [PartialBatch] = []
        try self.connection
            .statement(
                """
                SELECT l.origin, l.sequence, max(l.chunk), max(l.isLast) FROM clinicsync_origin o
                JOIN clinicsync_log l ON l.origin = o.id AND l.sequence > o.sequence
                WHERE o.id <> ?1 GROUP BY l.origin, l.sequence
                """
            )
            .bind(1, self.ownID)
            .forEach { row in
                let batch = BatchID(origin: self.ledger.origins[row.int(0)].origin, sequence: row.unsigned(1))
                partials.append(PartialBatch(batch: batch, nextChunk: UInt32(row.int64(2)) + 1))
            }
        return partials
    }

    /// The header of a batch in the log; `nil` when its first chunk is not there.
    func header(originID: Int, sequence: UInt64) throws -> BatchHeader? {
        let header = try self.connection
            .statement("SELECT header FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = 0")
            .bind(1, originID)
            .bind(2, sequence)
            .first { row in try VectorCoding.decodeHeader(row.blob(0)) }
        return header
    }
}
