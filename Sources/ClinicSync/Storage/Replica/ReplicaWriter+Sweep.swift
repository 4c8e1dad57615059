package import ClinicSyncCore
import ClinicSyncModel
import GRDB

/// Looks for writes that no trigger saw, and for triggers that are gone.
extension ReplicaWriter {
    /// How many rows one slice of a sweep compares: a few milliseconds, without the write lock.
    static let sweepRowsMax = 2_000

    /// Puts capture triggers back that are missing or are not ours, and marks the whole table for comparison.
    ///
    /// Looks only when the schema changed since the last look.
    ///
    /// - Returns: The tables that were repaired.
    func repairCapture() throws -> [String] {
        let version = try self.perform {
            try self.connection.statement("PRAGMA schema_version").first { $0.int64(0) } ?? 0
        }
        guard version != self.checkedSchemaVersion else { return [] }
        let repaired = try StoreError.mapping {
            try self.database.writer.writeWithoutTransaction { db in
                var repaired: [TableDefinition] = []
                try db.inTransaction(.immediate) {
                    let tables = ClinicTables(self.plans.all.map(\.definition))
                    repaired = try CaptureTriggers.install(for: tables, in: db)
                    for table in repaired {
                        try ReplicaWriter.markAll(TablePlan(table), at: self.wallClock(), on: self.connection)
                    }
                    return .commit
                }
                return repaired
            }
        }
        self.checkedSchemaVersion = try self.perform {
            try self.connection.statement("PRAGMA schema_version").first { $0.int64(0) } ?? 0
        }
        return repaired.map(\.name)
    }

    /// Compares the real tables with what the node knows and collects the differences as local edits.
    ///
    /// Sweeps one table, or all when `table` is `nil`.
    ///
    /// Tells how many rows had been written without a mark, and what was collected. Throws ``StoreError``; what was collected
    /// until then stays.
    package func sweep(
        table: String?,
        clockOffsetMilliseconds offset: Int64
    ) throws -> (escaped: Int, CollectOutcome) {
        self.checkedSchemaVersion = -1
        var outcome = try self.collectEverything(offset: offset)
        var escaped = 0
        for plan in self.plans.all where table == nil || plan.definition.name == table {
            var after: SQLiteValue?
            repeat {
                let slice = try self.sweepSlice(plan, after: after)
                escaped += slice.escaped
                after = slice.through
            } while after != nil
        }
        if escaped > 0 {
            let second = try self.collectEverything(offset: offset)
            outcome.logged += second.logged
            outcome.events += second.events
            outcome.vector = second.vector
            outcome.repairedTables += second.repairedTables
        }
        for plan in self.plans.all where table == nil || plan.definition.name == table {
            try self.verifySum(plan)
        }
        outcome.unsentRows = try self.perform { try self.countLarge(table: table) }
        return (escaped, outcome)
    }

    /// Goes on with the slow sweep by one slice; what it finds is marked and collected like any write.
    ///
    /// - Returns: How many rows had been written without a mark.
    func continueSlowSweep() throws -> Int {
        guard !self.plans.all.isEmpty else { return 0 }
        let plan = self.plans.all[self.slowSweep.table % self.plans.all.count]
        let slice = try self.sweepSlice(plan, after: self.slowSweep.after)
        self.slowSweep.after = slice.through
        if slice.through == nil {
            self.slowSweep.table += 1
            // A round is over when the first table's turn comes again: then the triggers are looked at, too.
            if self.slowSweep.table.isMultiple(of: self.plans.all.count) { self.checkedSchemaVersion = -1 }
        }
        return slice.escaped
    }

    private func collectEverything(offset: Int64) throws -> CollectOutcome {
        var total = try self.collect(clockOffsetMilliseconds: offset)
        while total.hasMore {
            let next = try self.collect(clockOffsetMilliseconds: offset)
            total.logged += next.logged
            total.events += next.events
            total.vector = next.vector
            total.hasMore = next.hasMore
        }
        return total
    }

    /// Compares the rows after a key, at most ``sweepRowsMax``, in a short read snapshot; marks those that differ.
    ///
    /// - Returns: How many differ, and the last key compared; `nil` at the table's end.
    private func sweepSlice(
        _ plan: TablePlan,
        after: SQLiteValue?
    ) throws -> (escaped: Int, through: SQLiteValue?) {
        let (suspects, through) = try self.perform {
            try self.connection.readTransaction { try self.suspects(plan, after: after) }
        }
        if !suspects.isEmpty {
            try self.transaction {
                // A row that was written since its snapshot has its mark already; another one does no harm.
                for key in suspects { try ValueRef.with(key) { try self.mark(plan, key: $0) } }
            }
        }
        return (suspects.count, through)
    }

    private func suspects(
        _ plan: TablePlan,
        after: SQLiteValue?
    ) throws -> (keys: [SQLiteValue], through: SQLiteValue?) {
        let number = plan.definition.number
        // Keys are texts and blobs; in a column without a declared type every number is smaller.
        let start = after ?? .integer(0)
        var suspects: [SQLiteValue] = []
        var last: SQLiteValue?
        var rows = 0
        var known = 0
        let hash = try self.connection.statement("SELECT hash FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2")
        try self.connection.statement(plan.selectPageSQL(isFirst: after == nil))
            .bind(1, start)
            .bind(2, ReplicaWriter.sweepRowsMax)
            .forEach { row in
                let key = row.ref(Int32(plan.keySlot))
                self.hashes.compute(plan: plan, key: key, scratch: &self.scratch) { row.ref(Int32($0)) }
                let stored = try hash.bind(1, number).bind(2, key).first { try ReplicaWriter.digest($0.blob(0)) }
                if stored != nil { known += 1 }
                if stored != self.hashes.row, try !self.isKnownToBeLarge(plan, key: key, row: row) {
                    suspects.append(key.value)
                }
                rows += 1
                if rows == ReplicaWriter.sweepRowsMax { last = key.value }
            }
        let range = "tableId = ?1 AND pk > ?2 AND (?3 IS NULL OR pk <= ?3)"
        let counted = try self.connection.statement("SELECT count(*) FROM clinicsync_row WHERE \(range)")
            .bind(1, number)
            .bind(2, start)
            .bind(3, last ?? .null)
            .first { $0.int(0) }
        if counted != known {
            try self.connection.statement("SELECT pk FROM clinicsync_row WHERE \(range) AND NOT \(plan.existsSQL)")
                .bind(1, number)
                .bind(2, start)
                .bind(3, last ?? .null)
                .forEach { suspects.append($0.ref(0).value) }
        }
        let isMarked = try self.connection.statement("SELECT 1 FROM clinicsync_dirty WHERE tableId = ?1 AND pk = ?2")
        // What is marked has not escaped: the collector will come to it.
        let escaped = try suspects.filter { key in
            let found: Bool? = try isMarked.bind(1, number).bind(2, key).first { _ in true }
            return found == nil
        }
        return (escaped, last)
    }

    /// Puts a table's count and digest right if they are not the sum over its rows.
    private func verifySum(_ plan: TablePlan) throws {
        let number = plan.definition.number
        let isRight = try self.perform {
            try self.connection.readTransaction {
                let sum = try self.sum(plan)
                return self.ledger.tables[number].map { ($0.rows, $0.digest) == sum } ?? false
            }
        }
        guard !isRight else { return }
        try self.transaction {
            let sum = try self.sum(plan)
            self.ledger.tables[number]?.rows = sum.rows
            self.ledger.tables[number]?.digest = sum.digest
            self.ledger.tables[number]?.isChanged = true
        }
    }

    private func sum(_ plan: TablePlan) throws -> (rows: Int64, digest: Digest) {
        var rows: Int64 = 0
        var digest = Digest.zero
        try self.connection.statement("SELECT hash FROM clinicsync_row WHERE tableId = ?1")
            .bind(1, plan.definition.number)
            .forEach { row in
                rows += 1
                digest += try ReplicaWriter.digest(row.blob(0))
            }
        return (rows, digest)
    }
}
