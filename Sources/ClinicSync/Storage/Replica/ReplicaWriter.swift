package import ClinicSyncCore
package import ClinicSyncModel
import GRDB

/// The writing half of a node's store: collects what programs wrote, applies what peers sent.
///
/// Not `Sendable`: it belongs to one thread (or to the simulator), which carries out one request after the other. Every
/// public method is one or more transactions of its own; one that throws has rolled back.
package final class ReplicaWriter {
    /// The connections.
    let database: StoreDatabase
    /// The node as an author: the origin that opening was given, in the incarnation that the file's place decided.
    package let origin: Origin
    /// Why the node goes on in a new incarnation since this opening; `nil` when it does not.
    package let rebirth: Rebirth?
    /// Keeps the highest number used; `nil` for a store without a place.
    let witness: NumberWitness?
    /// The highest number of an own batch with a chunk in the log, as far as this process logged it.
    var highestLogged: UInt64 = 0
    /// The tables' plans.
    var plans: TablePlans
    /// The number of the newest migration that is applied.
    package let schemaVersion: UInt32
    /// The number of the newest migration that the program has; others may be waited for before it is applied.
    package let programSchemaVersion: UInt32
    /// The raw writing connection.
    let connection: Connection
    /// What every transaction touches.
    var ledger = Ledger()
    /// Stamps of writes made now; never behind what was adopted.
    var clock = HybridClock()
    /// Rows whose table form is worked out before the transaction ends.
    var projection = ProjectionQueue()
    /// Events of rows that followed from others in a transaction that tells nobody; the next outcome brings them.
    var lateEvents: [LoggedEvent] = []
    /// A collection that goes on over several slices.
    var bulk: BulkCollection?
    /// `PRAGMA schema_version` when the triggers were last seen to be in order.
    var checkedSchemaVersion: Int64 = -1
    /// Whether a large batch has filled the page cache since it was last given back.
    var hasFilledCache = false
    /// Where the slow sweep goes on.
    var slowSweep: (table: Int, after: SQLiteValue?) = (0, nil)
    /// What to add to this PC's wall time to get the host's, as far as it is known.
    var clockOffsetMilliseconds: Int64 = 0
    /// Whether stamping anew has failed, so that no batch made until then may be stamped anew.
    var mustCountAllAsShared = false
    /// Sizes of chunks and pages.
    let limits: StoreLimits
    /// This PC's wall time, milliseconds since 1970.
    let wallClock: @Sendable () -> Int64

    // Buffers of the hot loops.
    var hashes = RowHashes()
    var scratch = ByteWriter()

    /// The number of this node among the origins.
    let ownID: Int

    /// Opens the store of `origin`, applies migrations, and puts the capture triggers in order.
    ///
    /// - Parameters:
    ///   - database: the connections.
    ///   - origin: the node; with a `place`, the incarnation is the one that the file goes on in.
    ///   - place: where the file is; `nil` in memory and for tools, which go on in the incarnation given.
    ///   - schema: the migrations and the manifest.
    ///   - limits: sizes of chunks and pages.
    ///   - isJoining: whether the file is new and the clinic is not, so that other nodes may have older programs.
    ///   - wallClock: this PC's time, milliseconds since 1970.
    /// - Throws: ``StoreError``.
    package init(
        database: StoreDatabase,
        origin: Origin,
        place: StorePlace? = nil,
        schema: StoreSchema = .clinic,
        limits: StoreLimits = .standard,
        isJoining: Bool = false,
        wallClock: @escaping @Sendable () -> Int64
    ) throws {
        self.database = database
        self.limits = limits
        self.wallClock = wallClock
        let witness = try place.map { try NumberWitness(path: $0.witnessPath) }
        let opened = try StoreError.mapping {
            try ReplicaWriter.prepare(
                database,
                schema: schema,
                owner: origin.node,
                isJoining: isJoining,
                wallClock: wallClock,
                boot: place?.boot
            ) { connection in
                guard let place, let witness else { return Bound(origin: origin, rebirth: nil) }
                return try ReplicaWriter.bind(connection, origin, to: place, witness: witness)
            }
        }
        self.origin = opened.bound.origin
        self.rebirth = opened.bound.rebirth
        self.witness = witness
        self.plans = opened.plans
        self.schemaVersion = opened.schemaVersion
        self.programSchemaVersion = ClinicMigrator(schema.migrations).schemaVersion
        self.connection = opened.connection
        self.ledger = opened.ledger
        self.ownID = opened.ownID
        // A stamp from the future, of a PC with a wrong clock, is not adopted.
        let wall = wallClock()
        for entry in self.ledger.origins {
            _ = self.clock.observe(
                HybridTimestamp(rawValue: entry.timestamp),
                wall: wall,
                toleranceMilliseconds: ReplicaWriter.clockToleranceMilliseconds
            )
        }
        self.highestLogged = try self.perform { try self.highestNumber() }
        if opened.isMigrated { try self.projectAll() }
        self.noteNumber()
        try self.moveOldJournal()
        try self.adoptSchema()
    }

    /// A received stamp further ahead of this node's time than this is not adopted by its clock: 500 ms.
    static let clockToleranceMilliseconds: Int64 = 500

    /// The writing connection's page cache: 32 MiB, used up only by large batches and given back after them.
    ///
    /// With SQLite's 2 MiB a large transaction spills its pages into the write-ahead log and reads them back.
    static let cacheKibibytes = 32 << 10

    /// Closes the connections.
    ///
    /// The writer must not be used afterwards.
    package func close() throws {
        self.bulk?.abandon()
        self.bulk = nil
        // Without this the next opening after a start of the PC only makes programs look at everything again.
        if self.witness != nil { _ = Swift.Result { try self.closeEvents() } }
        self.database.writer.writeWithoutTransaction { _ in self.connection.finalizeStatements() }
        try self.database.close()
    }

    /// What the core must know at the start.
    package func state() throws -> StoreState {
        try self.perform {
            let head = try self.connection.statement("SELECT max(position) FROM clinicsync_log").first {
                $0.unsigned(0)
            }
            return StoreState(
                vector: self.ledger.vector,
                partials: try self.partials(),
                logHead: head ?? 0,
                schemaVersion: self.schemaVersion,
                acknowledgedByHost: try self.acknowledgedOwn(),
                term: try self.term()
            )
        }
    }

    // MARK: - Transactions

    /// Runs `body` with the writing connection, on GRDB's queue.
    func perform<Result>(_ body: () throws -> Result) throws -> Result {
        try StoreError.mapping { try self.database.writer.writeWithoutTransaction { _ in try body() } }
    }

    /// Runs `body` in one write transaction with capture off; what it did to the ledger is saved or undone with it.
    func transaction<Result>(_ body: () throws -> Result) throws -> Result {
        try self.perform {
            let saved = self.ledger
            let savedClock = self.clock
            let savedEvents = self.lateEvents
            do {
                let result = try self.connection.immediateTransaction {
                    try self.guardCapture(true)
                    if self.mustCountAllAsShared { try self.countAllAsShared() }
                    let result = try body()
                    if !self.projection.isEmpty { try self.projectUntold() }
                    try self.saveLedger()
                    try self.guardCapture(false)
                    return result
                }
                self.mustCountAllAsShared = false
                self.noteNumber()
                return result
            } catch {
                self.ledger = saved
                self.clock = savedClock
                self.lateEvents = savedEvents
                self.projection.removeAll()
                throw error
            }
        }
    }

    /// Keeps the capture triggers from marking what the node itself writes.
    ///
    /// A file's writing connection has its triggers off altogether, which halves the cost of a large batch. A store in memory
    /// shares its connection with the programs of the simulation, so there the triggers' guard does it.
    private func guardCapture(_ isApplying: Bool) throws {
        guard self.database.snapshots == nil else { return }
        try self.connection.statement("UPDATE clinicsync_guard SET applying = ?1").bind(1, isApplying ? 1 : 0).run()
    }

    private func saveLedger() throws {
        for (id, entry) in self.ledger.origins.enumerated() where entry.isChanged {
            try self.connection
                .statement("UPDATE clinicsync_origin SET sequence = ?2, seen = ?3, timestamp = ?4 WHERE id = ?1")
                .bind(1, id)
                .bind(2, entry.sequence)
                .bind(3, blob: VectorCoding.encode(entry.seen))
                .bind(4, entry.timestamp)
                .run()
            self.ledger.origins[id].isChanged = false
        }
        for plan in self.plans.all {
            let number = plan.definition.number
            guard let entry = self.ledger.tables[number], entry.isChanged else { continue }
            try self.connection
                .statement(
                    """
                    INSERT INTO clinicsync_digest (tableId, rows, high, low) VALUES (?1, ?2, ?3, ?4)
                    ON CONFLICT (tableId) DO UPDATE SET rows = ?2, high = ?3, low = ?4
                    """
                )
                .bind(1, number)
                .bind(2, entry.rows)
                .bind(3, entry.digest.high)
                .bind(4, entry.digest.low)
                .run()
            self.ledger.tables[number]?.isChanged = false
        }
    }

    // MARK: - Origins

    /// The small number of `origin`, given out at its first appearance.
    func id(of origin: Origin) throws -> Int {
        if let id = self.ledger.id(of: origin) { return id }
        let id = self.ledger.origins.count
        try ReplicaWriter.insert(origin, id: id, on: self.connection)
        self.ledger.add(Ledger.OriginEntry(origin: origin, sequence: 0, seen: VersionVector(), timestamp: 0))
        return id
    }

    /// `version` with its origin's small number.
    func local(_ version: Version) throws -> LocalVersion {
        LocalVersion(
            timestamp: version.timestamp.rawValue,
            origin: try self.id(of: version.origin),
            sequence: version.sequence
        )
    }

    /// `version` with its origin's name.
    func global(_ version: LocalVersion) throws -> Version { try self.loader.global(version) }

    static func insert(_ origin: Origin, id: Int, on connection: Connection) throws {
        var node = ByteWriter()
        node.raw(self.bytes(of: origin.node))
        try connection
            .statement("INSERT INTO clinicsync_origin (id, node, incarnation) VALUES (?1, ?2, ?3)")
            .bind(1, id)
            .bind(2, blob: node.bytes)
            .bind(3, origin.incarnation)
            .run()
    }

    /// The 16 bytes of a node's id, most significant first.
    static func bytes(of node: NodeID) -> [UInt8] {
        withUnsafeBytes(of: node.high.bigEndian, Array.init) + withUnsafeBytes(of: node.low.bigEndian, Array.init)
    }

    /// The node's id of 16 bytes.
    static func nodeID(of bytes: UnsafeRawBufferPointer) -> NodeID? {
        guard bytes.count == 16 else { return nil }
        return NodeID(
            high: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
            low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        )
    }
}
