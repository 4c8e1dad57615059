import ClinicSyncCore
import ClinicSyncModel

/// The change log as peers are served from it.
///
/// Every chunk is checked when it is read: a damaged chunk never leaves this node. Each method runs inside a read snapshot.
final class ServedLog {
    private let connection: Connection
    /// This node's small number as an author.
    private let own: Int
    /// Batches that are served without their damaged chunks.
    private var leftOut: Set<BatchID> = []

    /// Reads with `connection` the log of the node with the small number `own`.
    init(connection: Connection, own: Int) {
        self.connection = connection
        self.own = own
    }

    /// The place in the log after which a peer with `vector` must be served; `nil` when something the peer lacks is gone
    /// (``LogFloor``), so that the peer needs the state.
    ///
    /// - Throws: ``OwnDamage`` when a batch above the floor is missing.
    func locate(_ vector: VersionVector, origins: [Origin]) throws -> UInt64? {
        guard try LogFloor.read(of: origins, on: self.connection).isReached(by: vector) else { return nil }
        // The peer would not get such a chunk, and would wait for it.
        guard try !LogNumbers.hasWrongPosition(on: self.connection) else { throw LogNumbers.positionDamage }
        let head = try self.head()
        var start = head
        try self.connection.query("SELECT id, sequence FROM clinicsync_origin").forEach { row in
            guard let author = origins.author(row.int(0)) else {
                throw OwnDamage(.origin, "the numbers of authors were changed")
            }
            let known = vector[author]
            let statement = try self.connection.query(
                "SELECT position FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = 0"
            )
            let first = try statement.bind(1, row.int(0)).bind(2, known &+ 1).first { try $0.position(0) }
            if first != nil {
                // A batch that other content gave way to stands behind the author's next ones.
                let lowest = try self.connection
                    .query("SELECT min(position) FROM clinicsync_log WHERE origin = ?1 AND sequence > ?2")
                    .bind(1, row.int(0))
                    .bind(2, known)
                    .first { try $0.position(0) }
                start = min(start, (lowest ?? head) &- 1)
            } else if try row.sequence(1) > known {
                let batch = BatchID(origin: author, sequence: known &+ 1)
                throw OwnDamage(.log, "a batch is missing", at: .batch(batch))
            }
        }
        return start
    }

    /// Chunks after `position`: at least one if there is one, and no further chunk once `maxBytes` are exceeded.
    func chunks(
        after position: UInt64,
        maxBytes: Int,
        origins: [Origin]
    ) throws -> (chunks: [LoggedChunk], head: UInt64) {
        try self.checkOwnNumbers()
        var chunks: [LoggedChunk] = []
        var bytes = 0
        let statement = try self.connection.query(
            """
            SELECT position, origin, sequence, chunk, isLast, header, checksum, payload FROM clinicsync_log
            WHERE position > ?1 AND sequence > coalesce((SELECT o.floor FROM clinicsync_origin o WHERE o.id = origin), -1)
            ORDER BY position
            """
        )
        statement.bind(1, position)
        defer { statement.reset() }
        while bytes < maxBytes, try statement.step() {
            let chunk = try self.chunk(statement, origins: origins)
            bytes += max(chunk.payload.count, 64)
            chunks.append(LoggedChunk(position: try statement.position(0), chunk: chunk))
        }
        return (chunks, try self.head())
    }

    /// The chunks of a batch from one on: no further chunk once `maxBytes` are exceeded, and none from a damaged chunk on; empty
    /// when the batch is not whole here.
    func chunks(from lost: LostChunk, maxBytes: Int, origins: [Origin]) throws -> [BatchChunk] {
        let batch = lost.batch
        guard let id = origins.firstIndex(of: batch.origin) else { return [] }
        var chunks: [BatchChunk] = []
        var bytes = 0
        let statement = try self.connection.query(
            """
            SELECT position, origin, sequence, chunk, isLast, header, checksum, payload
            FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk >= ?3 AND EXISTS
            (SELECT 1 FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND isLast <> 0)
            AND sequence > (SELECT o.floor FROM clinicsync_origin o WHERE o.id = ?1) ORDER BY chunk
            """
        )
        statement.bind(1, id).bind(2, batch.sequence).bind(3, lost.index)
        defer { statement.reset() }
        do {
            while bytes < maxBytes, try statement.step() {
                let chunk = try self.intactChunk(statement, of: batch, origins)
                bytes += chunk.payload.count
                chunks.append(chunk)
            }
        } catch is MalformedRecord {
            // The damage is found and repaired when the chunk is served in its turn.
            return chunks
        }
        return chunks
    }

    /// Makes sure that no chunk of this node with an impossible number is served.
    private func checkOwnNumbers() throws {
        let applied =
            try self.connection.query("SELECT sequence FROM clinicsync_origin WHERE id = ?1")
            .bind(1, self.own)
            .first { try $0.sequence(0) } ?? 0
        guard try !LogNumbers.hasStray(of: self.own, after: applied, on: self.connection) else {
            throw LogNumbers.damage
        }
    }

    /// The number of the batch of this node whose end is not in the log yet.
    func openBatch() throws -> UInt64? {
        try self.connection
            .query(
                """
                SELECT l.sequence FROM clinicsync_origin o
                JOIN clinicsync_log l ON l.origin = o.id AND l.sequence = o.sequence + 1 WHERE o.id = ?1 LIMIT 1
                """
            )
            .bind(1, self.own)
            .first { try $0.sequence(0) }
    }

    /// From now on serves a batch without its damaged chunks.
    func leaveOut(_ batch: BatchID) { self.leftOut.insert(batch) }

    /// The chunk in a row of the log.
    ///
    /// - Throws: ``OwnDamage`` when it is not what was logged, unless its batch is left out.
    private func chunk(_ row: Statement, origins: [Origin]) throws -> BatchChunk {
        let batch = BatchID(
            origin: try ServedLog.origin(row.int(1), of: origins),
            sequence: try OwnDamage.reading(.log) { try row.sequence(2) }
        )
        let isLeftOut = self.leftOut.contains(batch)
        do {
            let isEndMissing = try self.isEndMissing(row)
            if isLeftOut, try !self.hasHeader(row) {
                return self.substitute(row, of: batch, header: nil, isLast: isEndMissing)
            }
            var chunk = try self.intactChunk(row, of: batch, origins)
            guard isEndMissing else { return chunk }
            guard isLeftOut else { throw MalformedRecord(reason: "the end of a batch is missing") }
            chunk.isLast = true
            return chunk
        } catch let malformed as MalformedRecord {
            guard isLeftOut else {
                let place = OwnDamage.Place.batch(batch, chunk: UInt32(clamping: row.int64(3)))
                throw OwnDamage(.log, malformed.reason, at: place)
            }
            let header = row.isNull(5) ? nil : try VectorCoding.decodeHeader(row.blob(5))
            return self.substitute(row, of: batch, header: header, isLast: try self.isEndMissing(row))
        }
    }

    /// Whether a chunk is not the last one of its batch, the batch is applied, and no chunk follows.
    private func isEndMissing(_ row: Statement) throws -> Bool {
        guard row.int64(4) == 0 else { return false }
        return try self.connection
            .query(
                """
                SELECT 1 FROM clinicsync_origin o WHERE o.id = ?1 AND o.sequence >= ?2 AND NOT EXISTS
                (SELECT 1 FROM clinicsync_log l WHERE l.origin = ?1 AND l.sequence = ?2 AND l.chunk > ?3)
                """
            )
            .bind(1, row.int64(1))
            .bind(2, row.int64(2))
            .bind(3, row.int64(3))
            .first { _ in true } ?? false
    }

    private func intactChunk(_ row: Statement, of batch: BatchID, _ origins: [Origin]) throws -> BatchChunk {
        try BatchLog.check(row.blob(7), checksum: row.unsigned(6))
        let index = try row.chunkIndex(3)
        guard row.isNull(5) == (index > 0) else {
            throw MalformedRecord(reason: "the header is not with the first chunk")
        }
        return BatchChunk(
            batch: batch,
            index: index,
            header: row.isNull(5) ? nil : try self.header(row.blob(5), of: batch, origins),
            isLast: row.int64(4) != 0,
            checksum: row.unsigned(6),
            payload: Array(row.blob(7))
        )
    }

    /// The header of a batch.
    ///
    /// A batch is applied after its dependencies. So an applied batch with dependencies that are not applied has a damaged
    /// header, and a peer that got it would wait for ever. A batch that is left out keeps the dependencies that are applied.
    private func header(
        _ bytes: UnsafeRawBufferPointer,
        of batch: BatchID,
        _ origins: [Origin]
    ) throws -> BatchHeader {
        let header = try VectorCoding.decodeHeader(bytes)
        guard !header.dependencies.isEmpty else { return header }
        let applied = try self.applied(origins)
        guard applied[batch.origin] >= batch.sequence, !applied.covers(header.dependencies) else { return header }
        guard self.leftOut.contains(batch) else { throw LoggedContent.unknownDependencies }
        return BatchHeader(
            timestamp: header.timestamp,
            dependencies: header.dependencies.meet(applied),
            schemaVersion: header.schemaVersion
        )
    }

    /// What this node has applied.
    private func applied(_ origins: [Origin]) throws -> VersionVector {
        var entries: [VersionVector.Entry] = []
        try self.connection.query("SELECT id, sequence FROM clinicsync_origin").forEach { row in
            guard let author = origins.author(row.int(0)) else {
                throw OwnDamage(.origin, "the numbers of authors were changed")
            }
            let sequence = try OwnDamage.reading(.origin) { try row.sequence(1) }
            entries.append(VersionVector.Entry(origin: author, sequence: sequence))
        }
        return VersionVector(entries)
    }

    /// Whether the header of a chunk's batch can be read: without it the stamps of all its changes are unknown.
    private func hasHeader(_ row: Statement) throws -> Bool {
        do {
            return try self.connection
                .query("SELECT header FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = 0")
                .bind(1, row.int64(1))
                .bind(2, row.int64(2))
                .first { header in
                    _ = try VectorCoding.decodeHeader(header.blob(0))
                    return true
                } ?? false
        } catch is MalformedRecord {
            return false
        }
    }

    /// A chunk without changes, in the place of one that no node has intact.
    ///
    /// A peer applies the batch, so that its vector goes past it. The rows reach the peer by reconciliation.
    private func substitute(_ row: Statement, of batch: BatchID, header: BatchHeader?, isLast: Bool) -> BatchChunk {
        let payload = ChangeChunkWriter(base: .genesis).payload()
        let index = UInt32(truncatingIfNeeded: row.int64(3))
        let unknown = BatchHeader(timestamp: .genesis, dependencies: VersionVector(), schemaVersion: 0)
        return BatchChunk(
            batch: batch,
            index: index,
            header: index == 0 ? header ?? unknown : nil,
            isLast: isLast || row.int64(4) != 0,
            checksum: BatchChunk.checksum(of: payload),
            payload: payload
        )
    }

    private func head() throws -> UInt64 {
        // The sequence survives pruning, which max(position) does not. A chunk whose position was damaged is beyond it.
        try self.connection
            .query(
                """
                SELECT max(seq, coalesce((SELECT max(position) FROM clinicsync_log WHERE position <= ?1), 0))
                FROM sqlite_sequence WHERE name = 'clinicsync_log'
                """
            )
            .bind(1, Bounds.positionMax)
            .first { try $0.position(0) } ?? 0
    }

    /// The author with a small number.
    static func origin(_ number: Int, of origins: [Origin]) throws -> Origin {
        guard let origin = origins.author(number) else { throw OwnDamage(.log, "an author is not known") }
        return origin
    }
}
