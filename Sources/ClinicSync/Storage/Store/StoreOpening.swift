import ClinicSyncCore
import ClinicSyncModel
import GRDB

/// Opens a store's file: migrates, checks and loads it.
struct StoreOpening {
    /// What opening says about the file.
    struct Report {
        /// Why the node continues in a new incarnation since this opening; `nil` when it does not.
        var rebirth: Rebirth?
        /// The number of the newest migration that is applied.
        var schemaVersion: UInt32
        /// The number of the newest migration that the program has; it may wait for other nodes.
        var programSchemaVersion: UInt32
        /// Whether the schema is another than at the last opening.
        var isMigrated: Bool
    }

    /// The parts that keep the file's lower tables.
    struct Opened {
        let transactions: Transactions
        let clock: StoreClock
        let log: BatchLog
        let unshared: UnsharedBatches
        let saver: RowSaver
        let counters: Counters
        let notes: StoreNotes
        /// The newest position given to an event.
        let eventPosition: UInt64
        /// Damage in the file that was found and repaired.
        var repairs: [DamageRepair]
        let report: Report
        /// How the tables are read again when a program changes the schema.
        let reading: SchemaReading
        /// What became of tables since the last opening.
        var tables = MissingTables.Outcome()
        /// `PRAGMA schema_version` of the schema that was read.
        var schema: Int64 = 0
    }

    let database: StoreDatabase
    let origin: Origin
    let place: StorePlace?
    let schema: StoreSchema
    let isJoining: Bool
    let judge: MemberListing.Judge?
    let clock: StoreClock

    /// Migrates, checks and loads; the first opening adopts the seed rows.
    ///
    /// - Throws: ``StoreError``, ``SchemaError``.
    func open() throws -> Opened {
        let witness = self.place.map { NumberWitness($0.witness) }
        return try StoreError.mapping {
            let migrator = ClinicMigrator(self.schema.migrations)
            var gate = MigrationGate(
                owner: self.origin.node,
                isJoining: self.isJoining,
                wallMilliseconds: self.clock.wallMilliseconds,
                judge: self.judge
            )
            let migrated = try migrator.migrate(self.database.writer) { db, _, number in
                try gate.permits(db, version: number)
            }
            let transactions = try Transactions(self.database)
            return try transactions.changeSchema { db, transaction in
                let remade = try OwnTables(migrations: self.schema.migrations).restore(in: db)
                if remade.contains("log") { try LogFloor.raiseToNumbers(in: transaction) }
                let manifest = try gate.manifest(self.schema.manifest, db, migrated)
                let reading = SchemaReading(
                    manifest: manifest,
                    history: migrator.history,
                    migrations: self.schema.migrations.filter { !migrated.held.contains($0.name) }
                )
                let restored = try TableNames.restore(in: transaction)
                let tables = try reading.tables(in: db)
                try TableNames.save(in: transaction)
                try gate.note(db, migrated)
                let plans = TablePlans(tables)
                guard !plans.all.isEmpty else {
                    throw StoreError(code: .schema, message: "The schema has no tables.")
                }
                var opened = try self.load(
                    plans,
                    reading: reading,
                    transactions: transactions,
                    witness: witness,
                    migrated: migrated,
                    in: transaction
                )
                if let restored { opened.repairs.append(restored) }
                let rows = opened.saver.rows
                opened.tables = try MissingTables(rows: rows, notes: opened.notes, remade: remade)
                    .settle(tables, isMigrated: migrated.isMigrated, in: db, transaction)
                try self.note(remade, in: &opened, transaction)
                try rows.table.willCommit(transaction)
                try rows.sums.willCommit(transaction)
                opened.schema = try Transactions.schemaVersion(on: transaction.connection)
                return .durable(opened)
            }
        }
    }

    /// Notes own tables that were missing and are empty now, and computes again what follows from the others.
    private func note(
        _ remade: [String],
        in opened: inout Opened,
        _ transaction: borrowing WriteTransaction
    ) throws {
        for name in remade {
            let damage = OwnDamage(OwnDamage.Table(rawValue: name) ?? .file, "the table clinicsync_\(name) was missing")
            opened.repairs.append(DamageRepair(damage, outcome: .rebuilt))
        }
        guard remade.contains("digest") || remade.contains("sum") else { return }
        let rows = opened.saver.rows
        for plan in rows.plans.all { try rows.table.correctTotal(plan, in: transaction) }
        rows.sums.markAllStale()
    }

    private func load(
        _ plans: TablePlans,
        reading: SchemaReading,
        transactions: Transactions,
        witness: NumberWitness?,
        migrated: ClinicMigrator.Outcome,
        in transaction: borrowing WriteTransaction
    ) throws -> Opened {
        let connection = transaction.connection
        if migrated.isNew { try AdoptedSchema(plans).save(in: transaction) }
        let restored = try AuthorNames.restore(in: transaction)
        var bound = Incarnation.Bound(origin: self.origin, rebirth: nil)
        if let place, let witness {
            bound = try Incarnation.bind(self.origin, to: place, witness: witness, in: transaction)
        }
        try Incarnation.claim(for: bound.origin, in: transaction)
        let eventPosition = try EventLog.open(
            isReborn: bound.rebirth != nil,
            boot: self.place?.boot,
            wallMilliseconds: self.clock.wallMilliseconds,
            in: transaction
        )
        let noted = witness?.read()
        let used = noted?.incarnation == bound.origin.incarnation ? noted?.number ?? 0 : 0
        var repairs = try OriginCheck(own: bound.origin, restored: restored, used: used).mend(in: transaction)
        let origins = try Origins(own: bound.origin, in: transaction)
        let table = try RowTable(origins: origins, plans: plans, on: connection)
        let claims = Claims()
        let rows = try self.rows(plans, origins, table, claims, on: connection)
        let counters = Counters(origins: origins)
        for plan in plans.all { try SeedAdoption(rows: rows, counters: counters).adopt(plan, in: transaction) }
        try table.willCommit(transaction)
        let log = try BatchLog(origins: origins, clock: self.clock, witness: witness, in: transaction)
        try log.removeStray(in: transaction)
        let holes = try LogHoles.fill(storedAt: self.clock.wallMilliseconds, in: transaction)
        if holes > 0 {
            repairs.append(
                DamageRepair(
                    OwnDamage(.log, "batches are missing, or chunks of them"),
                    count: holes,
                    outcome: .refetching
                )
            )
        }
        return Opened(
            transactions: transactions,
            clock: self.clock,
            log: log,
            unshared: try UnsharedBatches(origins: origins, in: transaction),
            saver: RowSaver(rows: rows, claims: claims, counters: counters),
            counters: counters,
            notes: try StoreNotes(clock: self.clock, on: connection),
            eventPosition: eventPosition,
            repairs: repairs,
            report: Report(
                rebirth: bound.rebirth,
                schemaVersion: migrated.schemaVersion,
                programSchemaVersion: ClinicMigrator(self.schema.migrations).schemaVersion,
                isMigrated: migrated.isMigrated
            ),
            reading: reading
        )
    }

    private func rows(
        _ plans: TablePlans,
        _ origins: Origins,
        _ table: RowTable,
        _ claims: Claims,
        on connection: Connection
    ) throws -> RowStates {
        let sums = try StateSums(plans: plans, table: table, on: connection)
        let contexts = DeletionContexts(sums: sums)
        return RowStates(
            plans: plans,
            origins: origins,
            table: table,
            tombstones: try Tombstones(contexts: contexts, sums: sums, on: connection),
            shadows: try Shadows(contexts: contexts, claims: claims, sums: sums, on: connection),
            sums: sums,
            contexts: contexts,
            marks: Marks(clock: self.clock)
        )
    }
}

/// Enters the seed rows of a new file under the genesis version: they are the same on every node, not edits of this one.
struct SeedAdoption {
    let rows: RowStates
    let counters: Counters

    /// Enters those seed rows of a table that the node does not know yet.
    func adopt(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws {
        var hasher = RowHasher()
        for key in plan.definition.seedKeys.sorted(by: { $0.sortsBefore($1) }) {
            try ValueRef.with(key) { key in
                guard try !self.isKnown(plan, key: key, in: transaction) else { return }
                let isThere: Bool? = try transaction.statement(plan.sql.select).bind(1, key).first { row in
                    hasher.hash(plan, key: key) { row.ref(Int32($0)) }
                    try self.counters.adoptSeed(plan, key: key, row: row, in: transaction)
                    return true
                }
                guard isThere == true else { return }
                let genesis = LocalVersion(timestamp: 0, origin: 0, sequence: 0)
                _ = try self.rows.table.insert(plan, key: key, birth: genesis, hashes: hasher.hashes, in: transaction)
                self.rows.table.countInserted(plan, hash: hasher.hashes.row)
            }
        }
    }

    private func isKnown(_ plan: TablePlan, key: ValueRef, in transaction: borrowing WriteTransaction) throws -> Bool {
        try transaction
            .statement(
                """
                SELECT 1 FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2
                UNION ALL SELECT 1 FROM clinicsync_dirty WHERE tableId = ?1 AND pk = ?2
                UNION ALL SELECT 1 FROM clinicsync_tombstone WHERE tableId = ?1 AND pk = ?2
                """
            )
            .bind(1, plan.definition.number)
            .bind(2, key)
            .first { _ in true } ?? false
    }
}
