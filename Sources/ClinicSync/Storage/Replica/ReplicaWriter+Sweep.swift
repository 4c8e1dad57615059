package import ClinicSyncCore
import ClinicSyncModel
import GRDB

/// Looks for writes that no trigger saw, and for triggers that are gone.
extension ReplicaWriter {
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
    /// - Parameter table: one table, or all.
    /// - Returns: How many rows had been written without a mark, and what was collected.
    package func sweep(
        table: String?,
        clockOffsetMilliseconds offset: Int64
    ) throws -> (escaped: Int, CollectOutcome) {
        self.checkedSchemaVersion = -1
        var outcome = try self.collectEverything(offset: offset)
        var escaped = 0
        for plan in self.plans.all where table == nil || plan.definition.name == table {
            escaped += try self.transaction { try self.markEscaped(plan) }
        }
        guard escaped > 0 else { return (0, outcome) }
        let second = try self.collectEverything(offset: offset)
        outcome.logged += second.logged
        outcome.events += second.events
        outcome.vector = second.vector
        outcome.repairedTables += second.repairedTables
        return (escaped, outcome)
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

    /// Marks rows of a table that differ from what is known of them; corrects the table's count and digest.
    private func markEscaped(_ plan: TablePlan) throws -> Int {
        let number = plan.definition.number
        var suspects: [SQLiteValue] = []
        var rows: Int64 = 0
        var sum = Digest.zero
        let known = try self.connection.statement("SELECT hash FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2")
        try self.connection.statement(plan.selectAllSQL).forEach { row in
            let key = row.ref(Int32(plan.keySlot))
            self.hashes.compute(plan: plan, key: key, scratch: &self.scratch) { row.ref(Int32($0)) }
            let hash = try known.bind(1, number).bind(2, key).first { try ReplicaWriter.digest($0.blob(0)) }
            if let hash {
                rows += 1
                sum += hash
            }
            if hash != self.hashes.row { suspects.append(key.value) }
        }
        try self.connection.statement(plan.vanishedSQL).bind(1, number).forEach { row in
            suspects.append(row.ref(0).value)
        }
        var escaped = 0
        for key in suspects {
            let isMarked: Bool? = try self.connection
                .statement("SELECT 1 FROM clinicsync_dirty WHERE tableId = ?1 AND pk = ?2")
                .bind(1, number)
                .bind(2, key)
                .first { _ in true }
            // A mark that came after the collection is no escape.
            guard isMarked == nil else { continue }
            try ValueRef.with(key) { try self.mark(plan, key: $0) }
            escaped += 1
        }
        let vanished =
            try self.connection.statement("SELECT count(*) FROM clinicsync_row WHERE tableId = ?1")
            .bind(1, number)
            .first { $0.int64(0) } ?? 0
        // Rows that vanished are taken out of the sum when they are collected.
        if vanished == rows, let entry = self.ledger.tables[number], entry.rows != rows || entry.digest != sum {
            self.ledger.tables[number]?.rows = rows
            self.ledger.tables[number]?.digest = sum
            self.ledger.tables[number]?.isChanged = true
        }
        return escaped
    }
}
