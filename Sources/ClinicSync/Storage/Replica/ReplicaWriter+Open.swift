import ClinicSchema
import ClinicSyncModel
import GRDB

/// The schema a store is opened with: the clinic's, or a test's own.
package struct StoreSchema: Sendable {
    /// The migrations in order.
    package var migrations: [(name: String, sql: String)]
    /// The manifest's text.
    package var manifest: String

    /// Makes a schema.
    package init(migrations: [(name: String, sql: String)], manifest: String) {
        self.migrations = migrations
        self.manifest = manifest
    }

    /// The clinic's thirteen tables and those that nodes fill themselves.
    package static var clinic: StoreSchema {
        StoreSchema(migrations: ClinicSchema.migrations, manifest: ClinicSchema.manifest)
    }
}

extension ReplicaWriter {
    /// What opening yields.
    struct Opened {
        var plans: TablePlans
        var schemaVersion: UInt32
        var connection: Connection
        var ledger: Ledger
        var ownID: Int
        var bound: Bound
        /// Whether the schema is another than at the last opening.
        var isMigrated: Bool
    }

    /// Migrates, checks and loads; the first opening adopts the seed rows.
    static func prepare(
        _ database: StoreDatabase,
        schema: StoreSchema,
        owner: NodeID,
        isJoining: Bool,
        wallClock: @Sendable () -> Int64,
        boot: String?,
        bind: (Connection) throws -> Bound
    ) throws -> Opened {
        let migrator = ClinicMigrator(schema.migrations)
        var gate = MigrationGate(owner: owner, isJoining: isJoining, wallMilliseconds: wallClock())
        let migrated = try migrator.migrate(database.writer) { db, _, number in try gate.permits(db, version: number) }
        return try database.writer.writeWithoutTransaction { db in
            let connection = try Connection(db)
            if database.snapshots != nil {
                try connection.disableTriggers()
                try connection.execute("PRAGMA cache_size = -\(self.cacheKibibytes)")
            }
            var tables: ClinicTables?
            var bound: Bound?
            var eventPosition: UInt64 = 0
            try db.inTransaction(.immediate) {
                let manifest = try gate.manifest(schema.manifest, db, migrated)
                let read = try ClinicTables.read(from: db, manifest: manifest, history: migrator.history)
                try gate.note(db, migrated)
                if migrated.isNew { try AdoptedSchema(TablePlans(read)).save(connection) }
                let decided = try bind(connection)
                try self.claim(connection, for: decided.origin)
                bound = decided
                eventPosition = try self.openEvents(
                    connection,
                    isReborn: decided.rebirth != nil,
                    boot: boot,
                    wallMilliseconds: wallClock()
                )
                // Seed rows are the same on every node, not edits of this one; and whatever was written to a table while
                // its triggers were gone is found by comparing the whole table.
                for table in read.tables { try self.adoptSeeds(of: TablePlan(table), on: connection) }
                let repaired = try CaptureTriggers.install(for: read, in: db)
                for table in migrated.isMigrated ? read.tables : repaired {
                    try self.markAll(TablePlan(table), at: wallClock(), on: connection)
                }
                tables = read
                return .commit
            }
            guard let tables, let bound else { throw StoreError(code: .schema, message: "The schema has no tables.") }
            let plans = TablePlans(tables)
            var ledger = try self.loadLedger(connection, plans: plans)
            ledger.eventPosition = eventPosition
            let ownID = try self.ownID(of: bound.origin, in: &ledger, on: connection)
            return Opened(
                plans: plans,
                schemaVersion: migrated.schemaVersion,
                connection: connection,
                ledger: ledger,
                ownID: ownID,
                bound: bound,
                isMigrated: migrated.isMigrated
            )
        }
    }

    /// The node's number among the origins, given out if it has none, and what of its batches nobody else can have.
    private static func ownID(of origin: Origin, in ledger: inout Ledger, on connection: Connection) throws -> Int {
        let ownID = ledger.id(of: origin) ?? ledger.origins.count
        if ownID == ledger.origins.count {
            try self.insert(origin, id: ownID, on: connection)
            ledger.add(Ledger.OriginEntry(origin: origin, sequence: 0, seen: VersionVector(), timestamp: 0))
        }
        try connection.statement("DELETE FROM clinicsync_unshared WHERE origin <> ?1").bind(1, ownID).run()
        let unshared = try connection.statement("SELECT min(sequence) FROM clinicsync_unshared").first {
            $0.isNull(0) ? nil : $0.unsigned(0)
        }
        ledger.unsharedFrom = (unshared ?? nil) ?? ledger.origins[ownID].sequence + 1
        return ownID
    }

    /// Enters the seed rows of a new file under the genesis version.
    private static func adoptSeeds(of plan: TablePlan, on connection: Connection) throws {
        var hashes = RowHashes()
        var scratch = ByteWriter()
        var added = Ledger.TableEntry(rows: 0, digest: .zero, tombstones: 0)
        for key in plan.definition.seedKeys.sorted() {
            let key = SQLiteValue.string(key)
            let isKnown =
                try connection
                .statement(
                    """
                    SELECT 1 FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2
                    UNION ALL SELECT 1 FROM clinicsync_dirty WHERE tableId = ?1 AND pk = ?2
                    UNION ALL SELECT 1 FROM clinicsync_tombstone WHERE tableId = ?1 AND pk = ?2
                    """
                )
                .bind(1, plan.definition.number)
                .bind(2, key)
                .first { _ in true }
            guard isKnown == nil else { continue }
            try ValueRef.with(key) { key in
                let isThere: Bool? = try connection.statement(plan.selectSQL).bind(1, key).first { row in
                    hashes.compute(plan: plan, key: key, scratch: &scratch) { row.ref(Int32($0)) }
                    for slot in plan.counterSlots.setBits {
                        try connection
                            .statement("INSERT INTO clinicsync_counter VALUES (?1, ?2, ?3, 0, ?4, 0)")
                            .bind(1, plan.definition.number)
                            .bind(2, key)
                            .bind(3, slot)
                            .bind(4, row.int64(Int32(slot)))
                            .run()
                    }
                    return true
                }
                guard isThere == true else { return }
                RowMeta.writeColumns(hashes, plan: plan, to: &scratch)
                let statement = try connection.statement(
                    """
                    INSERT INTO clinicsync_row (tableId, pk, timestamp, origin, sequence, hash, columns)
                    VALUES (?1, ?2, 0, 0, 0, ?3, ?4)
                    """
                )
                statement.bind(1, plan.definition.number).bind(2, key).bind(4, blob: scratch.bytes)
                statement.bind(3, blob: ReplicaWriter.withBytes(of: hashes.row) { Array($0) })
                try statement.run()
                added.rows += 1
                added.digest += hashes.row
            }
        }
        guard added.rows > 0 else { return }
        var total = added
        _ = try connection.statement("SELECT rows, high, low FROM clinicsync_digest WHERE tableId = ?1")
            .bind(1, plan.definition.number)
            .first { row in
                total.rows += row.int64(0)
                total.digest += Digest(high: row.unsigned(1), low: row.unsigned(2))
            }
        try connection.statement(
            "INSERT OR REPLACE INTO clinicsync_digest (tableId, rows, high, low) VALUES (?1, ?2, ?3, ?4)"
        )
        .bind(1, plan.definition.number)
        .bind(2, total.rows)
        .bind(3, total.digest.high)
        .bind(4, total.digest.low)
        .run()
    }

    /// Marks every row of a table and every row known of it.
    static func markAll(_ plan: TablePlan, at wall: Int64, on connection: Connection) throws {
        try connection.statement(plan.markAllSQL).bind(1, plan.definition.number).bind(2, wall).run()
    }

    /// Writes the node's id into a new file; refuses the file of another node.
    private static func claim(_ connection: Connection, for origin: Origin) throws {
        let owner =
            try connection
            .statement("SELECT value FROM clinicsync_setting WHERE name = 'node'")
            .first { $0.string(0) }
        if let owner {
            guard owner == origin.node.description else {
                throw StoreError(
                    code: .wrongNode,
                    message:
                        "The database clinic.db belongs to another node: put this node's own file back, or join anew."
                )
            }
        } else {
            try connection.statement("INSERT INTO clinicsync_setting (name, value) VALUES ('node', ?1)")
                .bind(1, text: origin.node.description)
                .run()
        }
    }

    private static func countShadows(_ connection: Connection, in ledger: inout Ledger) throws {
        try connection.statement("SELECT tableId, form, count(*) FROM clinicsync_shadow GROUP BY 1, 2").forEach { row in
            ledger.tables[row.int(0)]?.shadows += row.int(2)
            ledger.shadows += row.int(2)
            if ShadowForm(rawValue: row.int(1)) == .waiting { ledger.orphans += row.int(2) }
        }
    }

    private static func loadLedger(_ connection: Connection, plans: TablePlans) throws -> Ledger {
        var ledger = Ledger()
        try connection
            .statement("SELECT node, incarnation, sequence, seen, timestamp FROM clinicsync_origin ORDER BY id")
            .forEach { row in
                guard let node = self.nodeID(of: row.blob(0)) else {
                    throw MalformedRecord(reason: "an origin's id is not 16 bytes")
                }
                ledger.add(
                    Ledger.OriginEntry(
                        origin: Origin(node: node, incarnation: UInt32(truncatingIfNeeded: row.int64(1))),
                        sequence: row.unsigned(2),
                        seen: try VectorCoding.decode(row.blob(3)),
                        timestamp: row.unsigned(4)
                    )
                )
            }
        for plan in plans.all {
            ledger.tables[plan.definition.number] = Ledger.TableEntry(rows: 0, digest: .zero, tombstones: 0)
        }
        try connection.statement("SELECT tableId, rows, high, low FROM clinicsync_digest").forEach { row in
            let digest = Digest(high: row.unsigned(2), low: row.unsigned(3))
            ledger.tables[row.int(0)] = Ledger.TableEntry(rows: row.int64(1), digest: digest, tombstones: 0)
        }
        try connection.statement("SELECT tableId, count(*) FROM clinicsync_tombstone GROUP BY tableId").forEach { row in
            ledger.tables[row.int(0)]?.tombstones = row.int(1)
        }
        if try self.hasTable("clinicsync_shadow", connection) { try self.countShadows(connection, in: &ledger) }
        ledger.waiting =
            try connection.statement("SELECT count(*) FROM clinicsync_waiting").first { $0.int(0) } ?? 0
        try connection.statement("SELECT pk FROM clinicsync_waiting WHERE tableId = 0").forEach { row in
            if case .large = StoreNote(key: row.ref(0).value) { ledger.large += 1 }
        }
        return ledger
    }
}
