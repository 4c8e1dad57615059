package import ClinicSyncCore
package import ClinicSyncModel
import GRDB

/// The reading half of a node's store: serves peers and people beside the writer.
///
/// Not `Sendable`: it belongs to one thread (or to the simulator). Every method reads one snapshot.
package final class ReplicaReader {
    private let database: StoreDatabase
    /// The raw reading connection.
    let connection: Connection
    private let published: PublishedPlans
    /// The tables' plans; a change of the schema by a program replaces them.
    var plans: TablePlans { self.published.plans }
    /// The node as an author, and its number among the origins.
    let own: (origin: Origin, id: Int)
    /// Origins by their small numbers; grows as the writer adds some.
    private(set) var origins: [Origin] = []
    let log: ServedLog
    let limits: StoreLimits
    /// The states of the table whose ranges are being compared.
    private var index: StateIndex?

    /// Reads beside `writer`.
    package init(beside writer: ReplicaWriter) throws {
        let database = writer.transactions.database
        self.database = database
        self.published = writer.published
        self.limits = writer.limits
        self.own = (writer.origin, writer.rows.origins.ownID)
        self.connection =
            database.reader === database.writer
            ? writer.transactions.connection : try database.reader.writeWithoutTransaction { try Connection($0) }
        self.log = ServedLog(connection: self.connection, own: self.own.id)
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
            return try self.log.locate(vector, origins: self.origins)
        }
    }

    /// What a peer is offered in place of the log after `position`; `nil` when the log is as cheap.
    package func stateOffer(inPlaceOfLogAfter position: UInt64?) throws -> StateOffer? {
        try self.perform { try StatePages(reader: self).offer(inPlaceOfLogAfter: position) }
    }

    /// The next pages of the state, for a peer.
    ///
    /// - Throws: ``StoreError``; ``OwnDamage`` for a row that cannot be read.
    package func statePages(_ request: StateRequest) throws -> StateAnswer {
        try self.perform { try StatePages(reader: self).answer(request) }
    }

    /// When this node last got a state in place of history, milliseconds since 1970; `nil` when it has all of its history.
    package func stateTakenAt() throws -> Int64? {
        try self.perform {
            try Settings.read(.stateTaken, on: self.connection) { Bounds.milliseconds(clamping: $0.int64(0)) }
        }
    }

    /// The authors by their small numbers; inside ``perform(_:)``, after ``refreshOrigins()``.
    var authorNames: [Origin] { self.origins }

    /// Chunks after `position`: at least one if there is one, and no further chunk once `maxBytes` are exceeded.
    package func readLog(after position: UInt64, maxBytes: Int) throws -> (chunks: [LoggedChunk], head: UInt64) {
        try self.perform {
            try self.refreshOrigins()
            return try self.log.chunks(after: position, maxBytes: maxBytes, origins: self.origins)
        }
    }

    /// The chunks of a batch from one that a peer has lost: no further chunk once `maxBytes` are exceeded, and none from a
    /// damaged chunk on.
    ///
    /// Empty when this node does not have the batch whole, or not the first of these chunks intact.
    package func chunks(from lost: LostChunk, maxBytes: Int) throws -> [BatchChunk] {
        try self.perform {
            try self.refreshOrigins()
            return try self.log.chunks(from: lost, maxBytes: maxBytes, origins: self.origins)
        }
    }

    /// From now on serves a batch without its damaged chunks; see ``StorageRequest/leaveOut(_:)``.
    package func leaveOut(_ batch: BatchID) { self.log.leaveOut(batch) }

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
        // A comparison of sums begins or ends a reconciliation.
        self.index = nil
        return try self.perform {
            try self.refreshOrigins()
            var vector = try self.vector()
            if let open = try self.log.openBatch() { vector.advance(self.own.origin, to: open) }
            // Once: the writing thread may replace the plans at any moment.
            let plans = self.plans.all
            return (vector, try plans.map { try ReportSum.digest(of: $0, on: self.connection) })
        }
    }

    /// The index of a table's states, made again when the table has changed since; inside ``perform(_:)``.
    func stateIndex(_ plan: TablePlan) throws -> StateIndex {
        let digest = try ReportSum.digest(of: plan, on: self.connection)
        if let index = self.index, index.digest == digest { return index }
        // Never two at a time.
        self.index = nil
        let index = try StateIndex(plan, digest, reader: self)
        self.index = index
        return index
    }

    /// What this node has applied; inside ``perform(_:)``, after ``refreshOrigins()``.
    func vector() throws -> VersionVector {
        var vector = VersionVector()
        try self.connection.query("SELECT id, sequence FROM clinicsync_origin").forEach { row in
            vector.advance(try ServedLog.origin(row.int(0), of: self.origins), to: try row.sequence(1))
        }
        return vector
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
        try self.perform { try StoreSummary.read(self.plans, journal: try self.journalLoader(), on: self.connection) }
    }
}
