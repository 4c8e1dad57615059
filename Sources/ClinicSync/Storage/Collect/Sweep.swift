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
    /// - Throws: ``StoreError`` of code `corrupt` for a table with a page that SQLite cannot read, after all other tables.
    func markEscaped(table: String?) throws -> Int {
        var escaped = 0
        var corrupt: StoreError?
        for plan in self.plans where table == nil || plan.definition.name == table {
            do {
                escaped += try self.markEscaped(plan)
            } catch let error as StoreError where error.code == .corrupt {
                corrupt = error
            }
        }
        if let corrupt { throw corrupt }
        return escaped
    }

    private func markEscaped(_ plan: TablePlan) throws -> Int {
        var escaped = 0
        var after: SQLiteValue?
        self.rows.marks.indexes.forget(plan)
        repeat {
            let slice = try self.sweepSlice(plan, after: after)
            escaped += slice.escaped
            after = slice.through
        } while after != nil
        return escaped
    }

    /// Corrects the counts and digests that are not the sums over their tables' rows and states.
    func correctTotals(table: String?) throws {
        for plan in self.plans where table == nil || plan.definition.name == table {
            guard try !self.areTotalsRight(plan) else { continue }
            self.rows.sums.markStale(plan)
            try self.transactions.readSnapshot { try self.rows.sums.refresh(on: $0) }
            try self.transactions.write { transaction in
                try self.rows.table.correctTotal(plan, in: transaction)
                return .relaxed
            }
        }
    }

    /// Whether the totals of a table are the sums over its rows, and over the states that it does not show.
    ///
    /// - Throws: ``OwnDamage`` for states that cannot be read, or are missing.
    private func areTotalsRight(_ plan: TablePlan) throws -> Bool {
        try self.transactions.readSnapshot { connection in
            guard try self.rows.sums.areRight(plan, on: connection) else {
                guard try self.rows.shadows.lost(plan, on: connection).isEmpty else {
                    throw OwnDamage.lostShadows(table: plan.definition.number)
                }
                return false
            }
            return try self.rows.table.isTotalRight(plan, on: connection)
        }
    }

    /// Continues the slow sweep by one slice; what it finds is marked and collected like any write.
    ///
    /// - Returns: The number of rows that had been written without a mark.
    func continueSlowly() throws -> Int {
        guard !self.plans.isEmpty else { return 0 }
        let plan = self.plans[self.next.table % self.plans.count]
        do {
            let slice = try self.sweepSlice(plan, after: self.next.after)
            if slice.through == nil {
                self.rows.marks.indexes.forget(plan)
                try self.checkTotal(plan)
            }
            self.advance(to: slice.through)
            return slice.escaped
        } catch let error as StoreError where error.code == .corrupt {
            // The pages behind one that SQLite cannot read are out of reach; the other tables are not.
            self.advance(to: nil)
            throw error
        }
    }

    private func advance(to key: SQLiteValue?) {
        self.next.after = key
        guard key == nil else { return }
        self.next.table += 1
        // A round is over when the first table's turn comes again: then the triggers are looked at, too.
        if self.next.table.isMultiple(of: self.plans.count) { self.repair.compare() }
    }

    private func checkTotal(_ plan: TablePlan) throws {
        guard try !self.areTotalsRight(plan) else { return }
        throw OwnDamage(.digest, "a table's count or digest is not that of its rows")
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
        var unknown: SQLiteValue?
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
                    if stored == nil, try !self.rows.marks.contains(plan, key: key.value, on: connection) {
                        unknown = key.value
                    }
                }
                rows += 1
                if rows == Sweep.rowsMax { last = key.value }
            }
        if let unknown {
            try self.rows.marks.indexes.check(plan, on: connection)
            if try self.rows.table.hasLostRows(plan, on: connection) {
                throw OwnDamage.lostRow(table: number, key: unknown)
            }
        }
        let range = "tableId = ?1 AND pk > ?2 AND (?3 IS NULL OR pk <= ?3)"
        let counted = try connection.query("SELECT count(*) FROM clinicsync_row WHERE \(range)")
            .bind(1, number)
            .bind(2, start)
            .bind(3, last ?? .null)
            .first { $0.int(0) }
        if counted != known {
            var missing: [SQLiteValue] = []
            try connection.query("SELECT pk FROM clinicsync_row WHERE \(range) AND NOT \(plan.sql.exists)")
                .bind(1, number)
                .bind(2, start)
                .bind(3, last ?? .null)
                .forEach { missing.append($0.ref(0).value) }
            missing = try missing.filter { try !self.rows.marks.contains(plan, key: $0, on: connection) }
            if !missing.isEmpty { try self.rows.marks.indexes.check(plan, on: connection) }
            suspects += missing
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
