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
    private let own: (origin: Origin, id: Int)
    /// Origins by their small numbers; grows as the writer adds some.
    private var origins: [Origin] = []

    private let limits: StoreLimits

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
                let payload = Array(statement.blob(7))
                bytes += max(payload.count, 64)
                let chunk = BatchChunk(
                    batch: BatchID(origin: try self.knownOrigin(statement.int(1)), sequence: try statement.sequence(2)),
                    index: try statement.chunkIndex(3),
                    header: statement.isNull(5) ? nil : try VectorCoding.decodeHeader(statement.blob(5)),
                    isLast: statement.int64(4) != 0,
                    checksum: statement.unsigned(6),
                    payload: payload
                )
                chunks.append(LoggedChunk(position: try statement.position(0), chunk: chunk))
            }
            return (chunks, try self.head())
        }
    }

    private func head() throws -> UInt64 {
        // The sequence survives pruning, which max(position) would not.
        try self.connection.query("SELECT seq FROM sqlite_sequence WHERE name = 'clinicsync_log'")
            .first { try $0.position(0) } ?? 0
    }

    /// The author with that small number.
    func origin(number: Int) -> Origin? { self.origins.indices.contains(number) ? self.origins[number] : nil }

    private func knownOrigin(_ number: Int) throws -> Origin {
        guard let origin = self.origin(number: number) else { throw StoreError.unknownOrigin }
        return origin
    }

    /// Reads the authors' names again when there are more.
    func refreshOrigins() throws {
        let count = try self.connection.query("SELECT count(*) FROM clinicsync_origin").first { $0.int(0) } ?? 0
        guard count != self.origins.count else { return }
        self.origins = []
        try self.connection.query("SELECT node, incarnation FROM clinicsync_origin ORDER BY id").forEach { row in
            guard let node = NodeID(storedBytes: row.blob(0)) else { return }
            self.origins.append(Origin(node: node, incarnation: try row.incarnation(1)))
        }
    }

    /// Reads row states for people; inside ``perform(_:)``.
    func journalLoader() throws -> RowStateLoader {
        try self.refreshOrigins()
        return RowStateLoader(connection: self.connection, origins: self.origins)
    }

    // MARK: - Digests

    /// Counts and digests of all tables, the nodes' own among them, as the node knows them, with the vector they belong to.
    ///
    /// While a large import is being collected, the vector names the import's batch, although the tables show only a part of
    /// it. No other node has that vector, so no node mistakes the part for a difference to repair.
    package func digests() throws -> (vector: VersionVector, tables: [TableDigest]) {
        try self.perform {
            try self.refreshOrigins()
            var vector = VersionVector()
            try self.connection.query("SELECT id, sequence FROM clinicsync_origin").forEach { row in
                vector.advance(try self.knownOrigin(row.int(0)), to: try row.sequence(1))
            }
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

    /// The number of the own batch whose end is not in the log yet.
    private func openBatch() throws -> UInt64? {
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

    // MARK: - Rows

    /// The page of row hashes after `after`.
    package func rowHashes(round: UInt64, table: String, after: SQLiteValue?) throws -> RowHashPage {
        try self.perform {
            let rows = try self.hashes(table: table, after: after, through: nil, limit: self.limits.hashesPage)
            return RowHashPage(
                round: round,
                table: table,
                after: after,
                through: rows.count < self.limits.hashesPage ? nil : rows.last?.key,
                rows: rows
            )
        }
    }

    /// Compares a peer's page with our rows in its range.
    ///
    /// - Returns: The rows the peer lacks or has otherwise, with the keys of those we want; the last page ends the answer.
    package func compare(_ page: RowHashPage) throws -> [RowStatePage] {
        guard let plan = self.plans[page.table] else {
            return [RowStatePage(round: page.round, table: page.table, payload: [], wanted: [], isLast: true)]
        }
        return try self.perform {
            var theirs: [SQLiteValue: Digest] = [:]
            for row in page.rows { theirs[row.key] = row.hash }
            var wanted: [SQLiteValue] = []
            var offered: [SQLiteValue] = []
            for row in try self.hashes(table: page.table, after: page.after, through: page.through, limit: .max) {
                if let hash = theirs.removeValue(forKey: row.key) {
                    guard hash != row.hash else { continue }
                    wanted.append(row.key)
                }
                offered.append(row.key)
            }
            // What is left of theirs we lack; we may know it as deleted.
            for row in page.rows where theirs[row.key] != nil {
                offered.append(row.key)
                wanted.append(row.key)
            }
            var pages = try self.pages(plan, round: page.round, keys: offered)
            pages[pages.count - 1].wanted = wanted
            pages[pages.count - 1].isLast = true
            return pages
        }
    }

    /// The states of the rows named, in pages; the last one ends the answer.
    package func rowStates(round: UInt64, table: String, keys: [SQLiteValue]) throws -> [RowStatePage] {
        guard let plan = self.plans[table] else { return [] }
        return try self.perform {
            var pages = try self.pages(plan, round: round, keys: keys)
            pages[pages.count - 1].isLast = true
            return pages
        }
    }

    private func hashes(
        table: String,
        after: SQLiteValue?,
        through: SQLiteValue?,
        limit: Int
    ) throws -> [RowHash] {
        guard let plan = self.plans[table] else { return [] }
        let statement = try self.connection.query(
            """
            SELECT pk, hash FROM clinicsync_row WHERE tableId = ?1 AND pk > ?2
            AND (?3 IS NULL OR pk <= ?3) ORDER BY pk LIMIT ?4
            """
        )
        // Keys are texts and blobs; every number is smaller.
        statement.bind(1, plan.definition.number).bind(2, after ?? .integer(0)).bind(3, through ?? .null)
        statement.bind(4, limit == .max ? -1 : limit)
        var rows: [RowHash] = []
        try statement.forEach { row in
            rows.append(RowHash(key: row.ref(0).value, hash: try Digest(storedBytes: row.blob(1))))
        }
        return rows
    }

    private func pages(_ plan: TablePlan, round: UInt64, keys: [SQLiteValue]) throws -> [RowStatePage] {
        try self.refreshOrigins()
        var pages: [RowStatePage] = []
        var writer = RowStateWriter(plan)
        func close() {
            let payload = writer.count == 0 ? [] : writer.payload()
            let table = plan.definition.name
            pages.append(RowStatePage(round: round, table: table, payload: payload, wanted: [], isLast: false))
            writer = RowStateWriter(plan)
        }
        let states = RowStateLoader(connection: self.connection, origins: self.origins)
        let open = try self.openBatch()
        for key in keys {
            guard let state = try states.state(plan, key: key) else { continue }
            // A part of a batch must not be seen elsewhere before the whole.
            if let open, state.isTouched(by: BatchID(origin: self.own.origin, sequence: open)) { continue }
            let end = writer.count
            writer.append(state)
            if writer.count - end > self.limits.stateBytesMax { writer.truncate(to: end) }
            if writer.count >= self.limits.pageBytes { close() }
        }
        if writer.count > 0 || pages.isEmpty { close() }
        return pages
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
