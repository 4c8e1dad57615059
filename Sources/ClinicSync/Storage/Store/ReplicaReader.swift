import ClinicSyncCore
package import ClinicSyncModel
import GRDB

/// The reading half of a node's store: serves peers and people beside the writer.
///
/// Not `Sendable`: it belongs to one thread (or to the simulator). Every method reads one snapshot.
package final class ReplicaReader {
    private let database: StoreDatabase
    /// The raw reading connection.
    let connection: Connection
    /// The tables' plans.
    let plans: TablePlans
    /// The node as an author, and its number among the origins.
    let own: (origin: Origin, id: Int)
    /// Origins by their small numbers; grows as the writer adds some.
    private(set) var origins: [Origin] = []
    /// Batches that are served without their damaged chunks.
    private var leftOut: Set<BatchID> = []

    let limits: StoreLimits

    /// Reads beside `writer`.
    package init(beside writer: ReplicaWriter) throws {
        let database = writer.transactions.database
        self.database = database
        self.plans = writer.plans
        self.limits = writer.limits
        self.own = (writer.origin, writer.rows.origins.ownID)
        self.connection =
            database.reader === database.writer
            ? writer.transactions.connection : try database.reader.writeWithoutTransaction { try Connection($0) }
    }

    /// Ends reading; call it before the writer closes the connections.
    package func close() {
        guard self.database.reader !== self.database.writer else { return }
        self.database.reader.writeWithoutTransaction { _ in self.connection.finalizeStatements() }
    }

    /// Runs `body` in one read snapshot, for targets above the store.
    ///
    /// - Throws: ``StoreError``, and what `body` throws.
    package func read<Result>(_ body: (Connection) throws -> Result) throws -> Result {
        try self.perform { try body(self.connection) }
    }

    /// Runs `body` in one read snapshot.
    func perform<Result>(_ body: () throws -> Result) throws -> Result {
        try StoreError.mapping {
            try self.database.reader.writeWithoutTransaction { _ in try self.connection.readSnapshot(body) }
        }
    }

    // MARK: - The log

    /// The place in the log after which a peer with `vector` must be served.
    ///
    /// - Returns: `nil` when something the peer lacks was pruned.
    package func locate(_ vector: VersionVector) throws -> UInt64? {
        try self.perform {
            try self.refreshOrigins()
            let head = try self.head()
            var start = head
            var isPruned = false
            try self.connection.query("SELECT id, sequence FROM clinicsync_origin").forEach { row in
                let origin = try self.knownOrigin(row.int(0))
                let known = vector[origin]
                let statement = try self.connection.query(
                    "SELECT position FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = 0"
                )
                let first = try statement.bind(1, row.int(0)).bind(2, known &+ 1).first { try $0.position(0) }
                if let first {
                    start = min(start, first &- 1)
                } else if try row.sequence(1) > known {
                    isPruned = true
                }
            }
            return isPruned ? nil : start
        }
    }

    /// Chunks after `position`: at least one if there is one, and no further chunk once `maxBytes` are exceeded.
    package func readLog(after position: UInt64, maxBytes: Int) throws -> (chunks: [LoggedChunk], head: UInt64) {
        try self.perform {
            try self.refreshOrigins()
            var chunks: [LoggedChunk] = []
            var bytes = 0
            let statement = try self.connection.query(
                """
                SELECT position, origin, sequence, chunk, isLast, header, checksum, payload
                FROM clinicsync_log WHERE position > ?1 ORDER BY position
                """
            )
            statement.bind(1, position)
            defer { statement.reset() }
            while bytes < maxBytes, try statement.step() {
                let chunk = try self.chunk(statement)
                bytes += max(chunk.payload.count, 64)
                chunks.append(LoggedChunk(position: try statement.position(0), chunk: chunk))
            }
            return (chunks, try self.head())
        }
    }

    /// The chunks of a batch, for a peer that has lost it; empty when this node does not have all of them intact.
    package func chunks(of batch: BatchID) throws -> [BatchChunk] {
        try self.perform {
            try self.refreshOrigins()
            guard let id = self.origins.firstIndex(of: batch.origin) else { return [] }
            var chunks: [BatchChunk] = []
            do {
                try self.connection
                    .query(
                        """
                        SELECT position, origin, sequence, chunk, isLast, header, checksum, payload
                        FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 ORDER BY chunk
                        """
                    )
                    .bind(1, id)
                    .bind(2, batch.sequence)
                    .forEach { chunks.append(try self.intactChunk($0, of: batch)) }
            } catch is MalformedRecord {
                // The damage is found and repaired when the chunk is served in its turn.
                return []
            }
            return chunks.last?.isLast == true ? chunks : []
        }
    }

    /// From now on serves a batch without its damaged chunks; see ``StorageRequest/leaveOut(_:)``.
    package func leaveOut(_ batch: BatchID) { self.leftOut.insert(batch) }

    /// The chunk in a row of the log.
    ///
    /// - Throws: ``OwnDamage`` when it is not what was logged, unless its batch is left out.
    private func chunk(_ row: Statement) throws -> BatchChunk {
        let batch = BatchID(
            origin: try self.knownOrigin(row.int(1)),
            sequence: try OwnDamage.reading(.log) { try row.sequence(2) }
        )
        let isLeftOut = self.leftOut.contains(batch)
        do {
            if isLeftOut, try !self.hasHeader(row) { return self.substitute(row, of: batch, header: nil) }
            return try self.intactChunk(row, of: batch)
        } catch let malformed as MalformedRecord {
            guard isLeftOut else { throw OwnDamage(.log, malformed.reason, at: .batch(batch)) }
            let header = row.isNull(5) ? nil : try VectorCoding.decodeHeader(row.blob(5))
            return self.substitute(row, of: batch, header: header)
        }
    }

    private func intactChunk(_ row: Statement, of batch: BatchID) throws -> BatchChunk {
        try BatchLog.check(row.blob(7), checksum: row.unsigned(6))
        return BatchChunk(
            batch: batch,
            index: try row.chunkIndex(3),
            header: row.isNull(5) ? nil : try VectorCoding.decodeHeader(row.blob(5)),
            isLast: row.int64(4) != 0,
            checksum: row.unsigned(6),
            payload: Array(row.blob(7))
        )
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
    private func substitute(_ row: Statement, of batch: BatchID, header: BatchHeader?) -> BatchChunk {
        let payload = ChangeChunkWriter(base: .genesis).payload()
        let index = UInt32(truncatingIfNeeded: row.int64(3))
        let unknown = BatchHeader(timestamp: .genesis, dependencies: VersionVector(), schemaVersion: 0)
        return BatchChunk(
            batch: batch,
            index: index,
            header: index == 0 ? header ?? unknown : nil,
            isLast: row.int64(4) != 0,
            checksum: payload.withUnsafeBytes { SipHash.hash64($0) },
            payload: payload
        )
    }

    private func head() throws -> UInt64 {
        // The sequence survives pruning, which max(position) would not.
        try self.connection.query("SELECT seq FROM sqlite_sequence WHERE name = 'clinicsync_log'")
            .first { try $0.position(0) } ?? 0
    }

    /// The author with that small number.
    func origin(number: Int) -> Origin? { self.origins.indices.contains(number) ? self.origins[number] : nil }

    /// Reads the authors' names again when there are more.
    func refreshOrigins() throws {
        let count = try self.connection.query("SELECT count(*) FROM clinicsync_origin").first { $0.int(0) } ?? 0
        guard count != self.origins.count else { return }
        var origins: [Origin] = []
        try self.connection.query("SELECT node, incarnation, id FROM clinicsync_origin ORDER BY id").forEach { row in
            guard row.int64(2) == Int64(origins.count), let node = NodeID(storedBytes: row.blob(0)) else {
                throw OwnDamage(.origin, "an author is missing or has another number")
            }
            origins.append(Origin(node: node, incarnation: try row.incarnation(1)))
        }
        self.origins = origins
    }

    private func knownOrigin(_ number: Int) throws -> Origin {
        guard let origin = self.origin(number: number) else { throw OwnDamage(.log, "an author is not known") }
        return origin
    }

    /// Reads row states for people; inside ``perform(_:)``.
    func journalLoader() throws -> RowStateLoader {
        try self.refreshOrigins()
        return self.loader(try self.vector())
    }

    /// Reads row states; `vector` is what this node has applied.
    func loader(_ vector: VersionVector) -> RowStateLoader {
        RowStateLoader(connection: self.connection, origins: self.origins) { vector[$0] }
    }

    // MARK: - Digests

    /// Counts and digests of all tables, the nodes' own among them, as the node knows them, with the vector they belong to.
    ///
    /// While a large import is being collected, the vector names the import's batch, although the tables show only a part of
    /// it. No other node has that vector, so no node mistakes the part for a difference to repair.
    package func digests() throws -> (vector: VersionVector, tables: [TableDigest]) {
        try self.perform {
            try self.refreshOrigins()
            var vector = try self.vector()
            if let open = try self.openBatch() { vector.advance(self.own.origin, to: open) }
            var tables = self.plans.all.map { TableDigest(name: $0.definition.name, rows: 0, digest: .zero) }
            for (index, plan) in self.plans.all.enumerated() {
                _ = try self.connection.query("SELECT rows, high, low FROM clinicsync_digest WHERE tableId = ?1")
                    .bind(1, plan.definition.number)
                    .first { row in
                        tables[index].rows = min(UInt64(clamping: row.int64(0)), Bounds.rowsMax)
                        tables[index].digest = Digest(high: row.unsigned(1), low: row.unsigned(2))
                    }
            }
            return (vector, tables)
        }
    }

    /// What this node has applied; inside ``perform(_:)``, after ``refreshOrigins()``.
    func vector() throws -> VersionVector {
        var vector = VersionVector()
        try self.connection.query("SELECT id, sequence FROM clinicsync_origin").forEach { row in
            vector.advance(try self.knownOrigin(row.int(0)), to: try row.sequence(1))
        }
        return vector
    }

    /// The number of the own batch whose end is not in the log yet.
    func openBatch() throws -> UInt64? {
        try self.connection
            .query(
                """
                SELECT l.sequence FROM clinicsync_origin o
                JOIN clinicsync_log l ON l.origin = o.id AND l.sequence > o.sequence WHERE o.id = ?1 LIMIT 1
                """
            )
            .bind(1, self.own.id)
            .first { try $0.sequence(0) }
    }

    /// The names of the clinic's tables, in order.
    package var clinicTables: [String] { self.plans.clinical.map(\.definition.name) }

    /// Counts and digests of the clinic's tables as the node knows them, for people.
    package func clinicDigests() throws -> [TableDigest] {
        let names = Set(self.clinicTables)
        return try self.digests().tables.filter { names.contains($0.name) }
    }

    /// Rows and digests from the real tables of the clinic, or from one of them.
    ///
    /// - Throws: ``StoreError``; ``UnknownTable``.
    package func realDigests(table: String?) throws -> [TableDigest] {
        let plans = try self.plans.clinical(table)
        return try self.perform { try plans.map { try DatabaseDigest.digest($0, self.connection) } }
    }

    /// What people want to know about a store beside its digests.
    package func summary() throws -> StoreSummary {
        try self.perform {
            var summary = StoreSummary(waiting: [], openConflicts: 0)
            try self.connection
                .query(
                    """
                    SELECT tableId, reason, count(*), min(pk), min(detail) FROM clinicsync_waiting
                    LEFT JOIN clinicsync_unread USING (pk) GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 100
                    """
                )
                .forEach { row in
                    var name = self.plans[row.int(0)]?.definition.name
                    if name == nil { name = StoreNote(key: row.ref(3).value)?.table }
                    if name == nil, !row.isNull(4) { name = try UnreadDetail(row.blob(4)).table }
                    // What is about the nodes' own tables is nothing for people.
                    if let name, name.hasPrefix("clinicsync_") { return }
                    let entry = StoreSummary.Waiting(table: name ?? "all", rows: row.int(2), reason: row.string(1))
                    summary.waiting.append(entry)
                }
            summary.openConflicts = try JournalReading(plans: self.plans, loader: try self.journalLoader()).countOpen()
            return summary
        }
    }
}

/// What people want to know about a store beside its digests.
package struct StoreSummary: Sendable, Hashable {
    /// Rows of a table set aside for one reason.
    package struct Waiting: Sendable, Hashable {
        /// The table.
        package var table: String
        /// How many rows.
        package var rows: Int
        /// Why; names columns, never values.
        package var reason: String
    }

    /// Rows set aside, at most 100 groups.
    package var waiting: [Waiting]
    /// The number of open entries of the conflict journal.
    package var openConflicts: Int
}
