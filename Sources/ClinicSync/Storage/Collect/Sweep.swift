import ClinicSyncCore
import ClinicSyncModel

/// Looks for writes that no trigger saw, by comparing the real tables with what the node knows.
final class Sweep {
    /// One slice of a sweep compares this many rows: a few milliseconds, without the write lock.
    static let rowsMax = 2_000

    private let transactions: Transactions
    private let rows: RowStates
    private let large: LargeRows
    private let repair: CaptureRepair
    private var hasher = RowHasher()
    /// Where the slow sweep continues.
    private var next: (table: Int, after: SQLiteValue?) = (0, nil)

    private var plans: [TablePlan] { self.rows.plans.all }

    /// Sweeps the tables of `rows`.
    init(transactions: Transactions, rows: RowStates, large: LargeRows, repair: CaptureRepair) {
        self.transactions = transactions
        self.rows = rows
        self.large = large
        self.repair = repair
    }

    /// Compares whole tables and marks the rows that differ: one table, or all when `table` is `nil`.
    ///
    /// - Returns: The number of rows that had been written without a mark.
    func markEscaped(table: String?) throws -> Int {
        var escaped = 0
        for plan in self.plans where table == nil || plan.definition.name == table {
            var after: SQLiteValue?
            repeat {
                let slice = try self.sweepSlice(plan, after: after)
                escaped += slice.escaped
                after = slice.through
            } while after != nil
        }
        return escaped
    }

    /// Corrects the counts and digests that are not the sums over their tables' rows.
    func correctTotals(table: String?) throws {
        for plan in self.plans where table == nil || plan.definition.name == table {
            let isRight = try self.transactions.readSnapshot { try self.rows.table.isTotalRight(plan, on: $0) }
            guard !isRight else { continue }
            try self.transactions.write { transaction in
                try self.rows.table.correctTotal(plan, in: transaction)
                return .relaxed
            }
        }
    }

    /// Continues the slow sweep by one slice; what it finds is marked and collected like any write.
    ///
    /// - Returns: The number of rows that had been written without a mark.
    func continueSlowly() throws -> Int {
        guard !self.plans.isEmpty else { return 0 }
        let plan = self.plans[self.next.table % self.plans.count]
        let slice = try self.sweepSlice(plan, after: self.next.after)
        self.next.after = slice.through
        if slice.through == nil {
            self.next.table += 1
            // A round is over when the first table's turn comes again: then the triggers are looked at, too.
            if self.next.table.isMultiple(of: self.plans.count) { self.repair.forgetCheck() }
        }
        return slice.escaped
    }

    /// Compares the rows after a key, at most ``rowsMax``, in a short read snapshot; marks those that differ.
    ///
    /// - Returns: The number of rows that differ, and the last key compared; `nil` at the table's end.
    private func sweepSlice(
        _ plan: TablePlan,
        after: SQLiteValue?
    ) throws -> (escaped: Int, through: SQLiteValue?) {
        let (suspects, through) = try self.transactions.readSnapshot { connection in
            try self.suspects(plan, after: after, on: connection)
        }
        if !suspects.isEmpty {
            try self.transactions.write { transaction in
                // A row that was written since its snapshot has a program's mark already, which stays.
                for key in suspects {
                    try ValueRef.with(key) { try self.rows.marks.markUnmarked(plan, key: $0, in: transaction) }
                }
                return .relaxed
            }
        }
        return (suspects.count, through)
    }

    private func suspects(
        _ plan: TablePlan,
        after: SQLiteValue?,
        on connection: Connection
    ) throws -> (keys: [SQLiteValue], through: SQLiteValue?) {
        let number = plan.definition.number
        // Keys are texts and blobs; in a column without a declared type every number is smaller.
        let start = after ?? .integer(0)
        var suspects: [SQLiteValue] = []
        var last: SQLiteValue?
        var rows = 0
        var known = 0
        let hash = try connection.query("SELECT hash FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2")
        try connection.query(plan.sql.selectPage(isFirst: after == nil))
            .bind(1, start)
            .bind(2, Sweep.rowsMax)
            .forEach { row in
                let key = row.ref(Int32(plan.keySlot))
                let actual = self.hasher.hash(plan, key: key) { row.ref(Int32($0)) }
                let stored = try hash.bind(1, number).bind(2, key).first { stored in
                    try OwnDamage.reading(.row, .row(table: number, key: key.value)) {
                        try Digest(storedBytes: stored.blob(0))
                    }
                }
                if stored != nil { known += 1 }
                if stored == RowMeta.unknownHash {
                    let meta = try self.rows.table.meta(plan, key: key, on: connection)
                    if meta?.changedSlots(self.hasher.hashes, plan: plan) != 0 { suspects.append(key.value) }
                } else if stored != actual, try !self.isKnownToBeLarge(plan, key: key, row: row, on: connection) {
                    suspects.append(key.value)
                }
                rows += 1
                if rows == Sweep.rowsMax { last = key.value }
            }
        let range = "tableId = ?1 AND pk > ?2 AND (?3 IS NULL OR pk <= ?3)"
        let counted = try connection.query("SELECT count(*) FROM clinicsync_row WHERE \(range)")
            .bind(1, number)
            .bind(2, start)
            .bind(3, last ?? .null)
            .first { $0.int(0) }
        if counted != known {
            try connection.query("SELECT pk FROM clinicsync_row WHERE \(range) AND NOT \(plan.sql.exists)")
                .bind(1, number)
                .bind(2, start)
                .bind(3, last ?? .null)
                .forEach { suspects.append($0.ref(0).value) }
        }
        // A row with a mark has not escaped: the collector will come to it.
        return (try suspects.filter { try !self.rows.marks.contains(plan, key: $0, on: connection) }, last)
    }

    private func isKnownToBeLarge(
        _ plan: TablePlan,
        key: ValueRef,
        row: Statement,
        on connection: Connection
    ) throws -> Bool {
        try self.large.isKnown(plan, key: key, row: row, on: connection) {
            try self.rows.table.meta(plan, key: key, on: connection)?.changedSlots(self.hasher.hashes, plan: plan)
        }
    }
}
