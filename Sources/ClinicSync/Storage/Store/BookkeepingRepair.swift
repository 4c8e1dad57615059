import ClinicSyncCore
import ClinicSyncModel

/// Repairs the node's own bookkeeping, which a program or a bad disk damaged.
///
/// A part is rebuilt from what else is in the file, or removed so that another node's copy takes its place. What a table shows
/// is never changed. `docs/design/0013-own-damage.md` has the rule for each table.
final class BookkeepingRepair {
    /// How often one request is carried out again after a repair.
    static let attemptsMax = 64
    /// After this many damaged rows in a request all rows are checked at once.
    private static let singleRowsMax = 4

    private let transactions: Transactions
    private let rows: RowStates
    private let counters: Counters
    private let log: BatchLog
    private let notes: StoreNotes
    private var hasher = RowHasher()
    private var isRepairing = false
    /// Whether all tables have to be compared with what the node knows, because marks were lost.
    private var isComparisonDue = false
    /// How often indexes are built again in one run: programs wait meanwhile, and a disk that fails damages them again.
    private var reindexesLeft = 8
    /// The repairs that no reply has reported.
    private var unreported: [DamageRepair] = []

    private var origins: Origins { self.rows.origins }

    /// Repairs the tables of `opened`.
    init(_ opened: StoreOpening.Opened) {
        self.transactions = opened.transactions
        self.rows = opened.saver.rows
        self.counters = opened.counters
        self.log = opened.log
        self.notes = opened.notes
        self.unreported = opened.repairs
        self.isComparisonDue = opened.repairs.contains { $0.table == .dirty }
    }

    /// Notes a repair for the next reply.
    func note(_ repair: DamageRepair) { self.unreported.append(repair) }

    /// Takes the repairs that no reply has reported.
    func takeUnreported() -> [DamageRepair] {
        defer { self.unreported = [] }
        return self.unreported
    }

    /// Takes whether all tables have to be compared with what the node knows.
    func takeComparisonDue() -> Bool {
        defer { self.isComparisonDue = false }
        return self.isComparisonDue
    }

    /// Repairs damage that a request found, and reports it with the next reply.
    ///
    /// - Returns: Whether the request may be carried out again.
    func mends(_ damage: OwnDamage) -> Bool {
        guard !self.isRepairing else { return false }
        let result = Result { try self.repair(damage) }
        guard case .success(let repair) = result, repair.outcome != .failed else { return false }
        self.note(repair)
        return true
    }

    /// Looks whether another program changed the tables that this node alone writes and has in memory, and writes them again.
    ///
    /// - Throws: ``StoreError``.
    func checkNumbers() throws {
        let damages = try self.transactions.readSnapshot { connection in
            var damages: [OwnDamage] = []
            if try !self.origins.isAsWritten(on: connection) {
                damages.append(OwnDamage(.origin, "the numbers of authors were changed"))
            }
            let hasTotals = try self.rows.table.areTotalsAsWritten(on: connection)
            if try !hasTotals || !self.rows.sums.areAsWritten(on: connection) {
                damages.append(OwnDamage(.digest, "counts or digests were changed"))
            }
            if try !TableNames.isAsWritten(on: connection) { damages.append(TableNames.damage) }
            if try self.rows.marks.hasNameless(on: connection) {
                damages.append(OwnDamage(.dirty, "a mark names no table"))
            }
            let own = self.origins.ownID
            if try LogNumbers.hasStray(of: own, after: self.origins.sequence(of: own), on: connection) {
                damages.append(LogNumbers.damage)
            }
            return damages
        }
        for damage in damages { _ = self.mends(damage) }
    }

    /// Repairs damage.
    ///
    /// - Returns: What was done; ``DamageRepair/Outcome/failed`` when the store cannot repair such damage.
    /// - Throws: ``StoreError``; nothing is changed then.
    func repair(_ damage: OwnDamage) throws -> DamageRepair {
        self.isRepairing = true
        defer { self.isRepairing = false }
        return try self.transactions.write(.durable) { transaction in
            .durable(try self.repair(damage, in: transaction))
        }
    }

    private func repair(_ damage: OwnDamage, in transaction: borrowing WriteTransaction) throws -> DamageRepair {
        var count = 0
        var outcome = DamageRepair.Outcome.refetching
        switch damage.table {
        case .row, .shadow, .context, .file, .table: try ForgottenRows.noteLostRows(in: transaction)
        default: break
        }
        switch damage.table {
        case .row: count = try self.rebuildRows(damage, in: transaction)
        case .counter: count = try self.removeCounters(damage, in: transaction)
        case .tombstone: count = try self.rebuildTombstone(damage, in: transaction)
        case .shadow: count = try self.removeShadow(damage, in: transaction)
        case .context: count = try self.rebuildContexts(in: transaction)
        case .digest:
            for plan in self.rows.plans.all { try self.rows.table.correctTotal(plan, in: transaction) }
            self.rows.sums.markAllStale()
            (count, outcome) = (1, .rebuilt)
        case .log: return try self.repairLog(damage, in: transaction)
        case .origin: (count, outcome) = (try self.origins.rewrite(in: transaction), .rebuilt)
        case .table: (count, outcome) = (try TableNames.restore(in: transaction)?.count ?? 0, .rebuilt)
        case .dirty:
            count = try self.rows.marks.removeNameless(in: transaction)
            (self.isComparisonDue, outcome) = (true, .rebuilt)
        case .member: count = try self.removeMembers(in: transaction)
        case .unread:
            (count, outcome) = (try self.notes.removeMalformed(in: transaction), .leftOut)
        case .file: (count, outcome) = (try self.rebuildIndexes(damage, in: transaction), .rebuilt)
        case .guardFlag, .setting, .unshared, .event: break
        }
        return DamageRepair(damage, count: max(count, 1), outcome: count == 0 ? .failed : outcome)
    }

    // MARK: - Rows

    /// Rebuilds what is known of a damaged row, or of every damaged row when there are several.
    ///
    /// - Returns: The number of rows.
    private func rebuildRows(_ damage: OwnDamage, in transaction: borrowing WriteTransaction) throws -> Int {
        if case .row(let table, let key) = damage.place, let plan = self.rows.plans[table] {
            let lost = try self.rebuildLost(plan, in: transaction)
            guard lost == 0, key != .null else { return lost }
        }
        let earlier = self.unreported.count { $0.table == .row }
        if case .row(let table, let key) = damage.place, earlier < BookkeepingRepair.singleRowsMax {
            guard let plan = self.rows.plans[table] else { return 0 }
            do {
                try self.rebuild(plan, key: key, in: transaction)
                try self.rows.table.correctTotal(plan, in: transaction)
                return 1
            } catch is OwnDamage {
                // Another row of the table is damaged too.
            }
        }
        var count = 0
        for plan in self.rows.plans.all {
            let damaged = try self.damagedRows(plan, on: transaction.connection)
            guard !damaged.isEmpty else { continue }
            for key in damaged { try self.rebuild(plan, key: key, in: transaction) }
            try self.rows.table.correctTotal(plan, in: transaction)
            count += damaged.count
        }
        return count
    }

    /// Rebuilds what the node knew of rows, where it is gone from the file.
    ///
    /// Such rows never count as new ones: a new row would win over what others have written since.
    ///
    /// - Throws: what SQLite reports.
    func rebuildLostRows() throws {
        for plan in self.rows.plans.all
        where try self.transactions.read({ try self.rows.table.hasLostRows(plan, on: $0) }) {
            _ = self.mends(OwnDamage.lostRow(table: plan.definition.number, key: .null))
        }
    }

    /// Rebuilds what the node knew of a table's rows, where it is gone.
    ///
    /// A row that a program has marked since may be a new one. So it stays an insertion, but one by somebody who had read
    /// nothing: every node keeps what it replaces.
    private func rebuildLost(_ plan: TablePlan, in transaction: borrowing WriteTransaction) throws -> Int {
        try self.rows.table.removeNumbers(plan, in: transaction)
        guard try self.rows.table.hasLostRows(plan, on: transaction.connection) else { return 0 }
        var lost: [SQLiteValue] = []
        try transaction.connection.query(plan.sql.unknownKeys).bind(1, plan.definition.number).forEach { row in
            lost.append(row.ref(0).value)
        }
        lost = try lost.filter { try !self.notes.isLarge(plan, key: $0, on: transaction.connection) }
        for key in lost { try self.rebuild(plan, key: key, in: transaction) }
        try self.rows.marks.distrustUnknown(plan, in: transaction)
        if !lost.isEmpty { try self.rows.table.correctTotal(plan, in: transaction) }
        return lost.count
    }

    private func damagedRows(_ plan: TablePlan, on connection: Connection) throws -> [SQLiteValue] {
        var keys: [SQLiteValue] = []
        try connection.query("SELECT pk FROM clinicsync_row WHERE tableId = ?1")
            .bind(1, plan.definition.number)
            .forEach { keys.append($0.ref(0).value) }
        let loader = self.rows.loader(connection)
        return try keys.filter { key in
            do {
                try ValueRef.with(key) { key in
                    guard let meta = try loader.meta(plan, key: key) else { return }
                    _ = try loader.state(plan, key: key, meta: meta)
                }
                return false
            } catch let damage as OwnDamage where damage.table == .row {
                return true
            } catch is OwnDamage {
                return false
            }
        }
    }

    /// Gives a row the oldest of all versions and an unknown hash, so that the next reconciliation brings its state.
    private func rebuild(_ plan: TablePlan, key: SQLiteValue, in transaction: borrowing WriteTransaction) throws {
        try ValueRef.with(key) { key in
            let connection = transaction.connection
            let context = try connection.query(
                """
                SELECT r.context FROM clinicsync_row r JOIN clinicsync_context c ON c.id = r.context
                WHERE r.tableId = ?1 AND r.pk = ?2
                """
            ).bind(1, plan.definition.number).bind(2, key).first { $0.int64(0) }
            var hashes = RowHashes()
            _ = try connection.query(plan.sql.select).bind(1, key).first { row in
                self.hasher.hash(plan, key: key) { row.ref(Int32($0)) }
                hashes = self.hasher.hashes
            }
            try self.restoreColumns(of: plan, key: key, to: &hashes, on: connection)
            hashes.row = RowMeta.unknownHash
            let genesis = LocalVersion(timestamp: 0, origin: 0, sequence: 0)
            try self.rows.table.write(
                plan,
                key: key,
                RowTable.Versions(birth: genesis, context: context.map { Int(truncatingIfNeeded: $0) }),
                hashes: hashes,
                replacing: RowMeta.unknownHash,
                in: transaction
            )
        }
    }

    /// Takes over the hashes of a row's columns where they can still be read.
    ///
    /// With them a program's edit that is not collected yet is not overlooked.
    private func restoreColumns(
        of plan: TablePlan,
        key: ValueRef,
        to hashes: inout RowHashes,
        on connection: Connection
    ) throws {
        let columns = try connection.query("SELECT columns FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .first { row in
                do { return try RowMeta.readColumns(row.blob(0)) } catch { return [] }
            }
        guard let columns, columns.count == plan.slotCount else { return }
        for slot in plan.hashing.order { hashes.columns[slot] = UInt64(truncatingIfNeeded: columns[slot]) }
    }

    /// Removes parts of a row's counters that make no sense.
    private func removeCounters(_ damage: OwnDamage, in transaction: borrowing WriteTransaction) throws -> Int {
        guard case .row(let table, let key) = damage.place, let plan = self.rows.plans[table] else { return 0 }
        try transaction
            .statement(
                """
                DELETE FROM clinicsync_counter WHERE tableId = ?1 AND pk = ?2
                AND (origin NOT IN (SELECT id FROM clinicsync_origin) OR sequence < 0
                OR typeof(total) <> CASE WHEN slot < ?4 THEN 'integer' ELSE 'blob' END
                OR slot < 0 OR slot % ?5 >= ?3 OR slot >= ?4 + ?5)
                """
            )
            .bind(1, table)
            .bind(2, key)
            .bind(3, plan.slotCount)
            .bind(4, Counters.Use.setting.rawValue)
            .bind(5, Counters.Use.base.rawValue)
            .run()
        let count = transaction.changes
        guard count > 0 else { return 0 }
        try self.rebuild(plan, key: key, in: transaction)
        try self.rows.table.correctTotal(plan, in: transaction)
        return count
    }

    /// Keeps a row deleted whose tombstone cannot be read; its last values are gone.
    private func rebuildTombstone(_ damage: OwnDamage, in transaction: borrowing WriteTransaction) throws -> Int {
        guard case .row(let table, let key) = damage.place, let plan = self.rows.plans[table] else { return 0 }
        let loader = self.rows.loader(transaction.connection)
        let context = try transaction.connection
            .query("SELECT context FROM clinicsync_tombstone WHERE tableId = ?1 AND pk = ?2")
            .bind(1, table)
            .bind(2, key)
            .first { $0.int64(0) }
        var state = RowState(
            key: key,
            birth: .genesis,
            registers: Array(repeating: nil, count: plan.slotCount)
        )
        state.deletion = try loader.deletion(context: context.map { Int(truncatingIfNeeded: $0) })
        guard state.deletion != nil else { return 0 }
        try ValueRef.with(key) { try self.rows.tombstones.bury(plan, state, key: $0, in: transaction) }
        return 1
    }

    /// Removes a shadow that cannot be read, or what is left of shadows that are missing; other nodes have the rows' states.
    private func removeShadow(_ damage: OwnDamage, in transaction: borrowing WriteTransaction) throws -> Int {
        guard case .row(let table, let key) = damage.place, let plan = self.rows.plans[table] else { return 0 }
        let keys = key == .null ? try self.rows.shadows.lost(plan, on: transaction.connection) : [key]
        self.rows.sums.markStale(plan)
        for key in keys.sorted(by: { $0.sortsBefore($1) }) {
            try ValueRef.with(key) {
                try self.rows.shadows.remove(plan, key: $0, in: transaction)
                try self.rows.shadows.removeClaims(plan, key: $0, in: transaction)
            }
            let isShown = try transaction.connection
                .query("SELECT 1 FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2")
                .bind(1, table)
                .bind(2, key)
                .first { _ in true }
            if isShown == true { try self.rebuild(plan, key: key, in: transaction) }
        }
        try self.rows.table.correctTotal(plan, in: transaction)
        return keys.count
    }

    // MARK: - What deleters had seen

    /// Rebuilds what deleters had seen, where it is missing or cannot be read.
    ///
    /// A deleted row stays deleted: its deleter had at least seen what the tombstone has. A row that is shown forgets that it was
    /// deleted once; another node's state brings it back.
    private func rebuildContexts(in transaction: borrowing WriteTransaction) throws -> Int {
        let connection = transaction.connection
        let loader = self.rows.loader(connection)
        var damaged: [Int64] = []
        try connection
            .query(
                """
                SELECT DISTINCT context FROM clinicsync_row WHERE context IS NOT NULL
                UNION SELECT context FROM clinicsync_tombstone
                UNION SELECT context FROM clinicsync_shadow WHERE context IS NOT NULL
                """
            )
            .forEach { damaged.append($0.int64(0)) }
        damaged = damaged.filter { id in
            if case .success = Result(catching: { try loader.deletion(context: Int(truncatingIfNeeded: id)) }) {
                return false
            }
            return true
        }
        if !damaged.isEmpty { self.rows.sums.markAllStale() }
        for id in damaged {
            try transaction.statement("DELETE FROM clinicsync_context WHERE id = ?1").bind(1, id).run()
            for table in ["clinicsync_row", "clinicsync_shadow"] {
                try transaction.statement("UPDATE \(table) SET context = NULL WHERE context = ?1").bind(1, id).run()
            }
            try self.rebuildTombstones(context: id, in: transaction)
        }
        return damaged.count
    }

    private func rebuildTombstones(context: Int64, in transaction: borrowing WriteTransaction) throws {
        var found: [(plan: TablePlan, state: RowState)] = []
        try transaction.connection
            .query("SELECT tableId, pk, state FROM clinicsync_tombstone WHERE context = ?1")
            .bind(1, context)
            .forEach { row in
                let table = Int(truncatingIfNeeded: row.int64(0))
                guard let plan = self.rows.plans[table] else { return }
                let place = OwnDamage.Place.row(table: plan.definition.number, key: row.ref(1).value)
                try OwnDamage.reading(.tombstone, place) {
                    found.append((plan, try StoredState.decode(row.blob(2), key: row.ref(1), plan: plan)))
                }
            }
        for (plan, kept) in found {
            var state = kept
            var seen = VersionVector()
            let version = state.deletion?.version ?? state.birth
            for known in [state.birth, version] + state.registers.compactMap({ $0?.version }) {
                seen.advance(known.origin, to: known.sequence)
            }
            state.deletion = RowState.Deletion(seen: seen, version: version)
            try ValueRef.with(state.key) { try self.rows.tombstones.bury(plan, state, key: $0, in: transaction) }
        }
    }

    /// Builds the indexes of a table again, or those of every table.
    ///
    /// - Returns: 1; 0 when it happened too often, or the damage is elsewhere in the file.
    private func rebuildIndexes(_ damage: OwnDamage, in transaction: borrowing WriteTransaction) throws -> Int {
        guard case .index(let table) = damage.place, self.reindexesLeft > 0 else { return 0 }
        self.reindexesLeft -= 1
        let plan = table.flatMap { self.rows.plans[$0] }
        try transaction.execute("REINDEX" + (plan.map { " " + SQLText.name($0.definition.name) } ?? ""))
        return 1
    }

    // MARK: - The log and the members

    /// Has a damaged batch fetched from another node.
    ///
    /// A batch that is applied stays in the log: the copy of another node takes its place when it arrives. A batch that is not
    /// applied is removed, so that it comes as if it had never been here.
    private func repairLog(_ damage: OwnDamage, in transaction: borrowing WriteTransaction) throws -> DamageRepair {
        // The authors, or their numbers, may be what is damaged: then the log has everything.
        let authors = try self.origins.rewrite(in: transaction)
        guard authors == 0 else { return DamageRepair(damage, count: authors, outcome: .rebuilt) }
        let own = self.origins.ownID
        let stray = try LogNumbers.removeStray(of: own, after: self.origins.sequence(of: own), in: transaction)
        guard stray == 0 else { return DamageRepair(damage, count: stray, outcome: .leftOut) }
        let moved = try LogNumbers.renumber(in: transaction)
        guard moved == 0 else { return DamageRepair(damage, count: moved, outcome: .rebuilt) }
        guard case .batch(let batch, let chunk) = damage.place, let id = self.origins.id(of: batch.origin) else {
            try transaction
                .statement("DELETE FROM clinicsync_log WHERE origin NOT IN (SELECT id FROM clinicsync_origin)")
                .run()
            let count = transaction.changes
            return DamageRepair(damage, count: max(count, 1), outcome: count == 0 ? .failed : .leftOut)
        }
        var lost = LostChunk(batch: batch, index: chunk)
        if batch.sequence > self.origins.sequence(of: id) {
            try self.log.removeBatch(of: id, sequence: batch.sequence, in: transaction)
            lost = LostChunk(batch: batch)
        } else if try self.log.position(of: id, sequence: batch.sequence, on: transaction.connection) == nil {
            let (sequence, author) = (Int64(clamping: batch.sequence), Int64(clamping: id))
            try LogHoles.replace(sequence, of: author, storedAt: 0, in: transaction)
        }
        return DamageRepair(damage, outcome: .refetching, wanted: [lost])
    }

    /// Forgets the progress of members that cannot be read: they say it again.
    private func removeMembers(in transaction: borrowing WriteTransaction) throws -> Int {
        var damaged: [[UInt8]] = []
        try transaction.connection.query("SELECT node, vector FROM clinicsync_member").forEach { row in
            do { _ = try VectorCoding.decode(row.blob(1)) } catch { damaged.append(Array(row.blob(0))) }
        }
        for node in damaged {
            try transaction.statement("DELETE FROM clinicsync_member WHERE node = ?1").bind(1, blob: node).run()
        }
        return damaged.count
    }
}
