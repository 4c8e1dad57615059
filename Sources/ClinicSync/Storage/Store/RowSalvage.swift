import ClinicSyncCore
import ClinicSyncModel

/// Takes rows that programs wrote last out of a damaged file: those that have a mark and are in no batch.
///
/// What is taken is written into another database as a program writes it. Only the columns that the program changed are written:
/// the other database may have newer values of the others.
struct RowSalvage {
    /// What became of the marked rows.
    struct Outcome {
        /// Rows that were written.
        var taken = 0
        /// Rows that cannot be read, that a program deleted, or whose former state the other database does not have.
        var left = 0
        /// Whether all marks could be read.
        var isWhole = true
    }

    /// The tables of the other database.
    let plans: TablePlans
    /// Whether the other database has counters as the damaged one had them before the program's write.
    let takesCounters: Bool
    private var hasher = RowHasher()

    init(plans: TablePlans, takesCounters: Bool) {
        self.plans = plans
        self.takesCounters = takesCounters
    }

    private struct Mark {
        var plan: TablePlan
        /// The table's number in the damaged file.
        var table: Int64
        var key: SQLiteValue
    }

    /// Writes the marked rows of `source` that can be read.
    ///
    /// - Parameters:
    ///   - source: the damaged file.
    ///   - transaction: a transaction of the other database, on a connection whose triggers fire.
    /// - Returns: What became of the rows.
    /// - Throws: what SQLite reports of the other database.
    mutating func run(from source: Connection, into transaction: borrowing WriteTransaction) throws -> Outcome {
        var outcome = Outcome()
        for mark in self.marks(on: source, &outcome) {
            let values = Result { try self.changes(of: mark, on: source, target: transaction.connection) }
            guard case .success(let values?) = values else {
                outcome.left += 1
                continue
            }
            do {
                try transaction.savepoint { try self.write(values, of: mark, in: transaction) }
                outcome.taken += 1
            } catch let failure as SQLiteFailure where failure.isConstraint {
                outcome.left += 1
            }
        }
        return outcome
    }

    private func marks(on source: Connection, _ outcome: inout Outcome) -> [Mark] {
        var marks: [Mark] = []
        let read = Result {
            try source
                .query(
                    """
                    SELECT t.name, d.tableId, d.pk FROM clinicsync_dirty d JOIN clinicsync_table t ON t.id = d.tableId
                    WHERE d.n > 0 ORDER BY d.tableId, d.pk
                    """
                )
                .forEach { row in
                    guard let plan = self.plans[row.string(0)] else { return }
                    marks.append(Mark(plan: plan, table: row.int64(1), key: row.ref(2).value))
                }
        }
        if case .failure = read { outcome.isWhole = false }
        return marks
    }

    /// What a program changed.
    private struct Changes {
        var values: [SQLiteValue]
        /// The slots of the changed columns; all of a new row.
        var slots: [Int]
        var isNew: Bool
    }

    /// - Returns: What the program changed in the row; `nil` when that cannot be taken.
    private mutating func changes(
        of mark: Mark,
        on source: Connection,
        target: Connection
    ) throws -> Changes? {
        let (plan, key) = (mark.plan, mark.key)
        let count = plan.slotCount
        let values = try source.query(plan.sql.select).bind(1, key).first { row in
            (0..<count).map { row.ref(Int32(clamping: $0)).value }
        }
        guard let values else { return nil }
        let known = try source.query("SELECT columns FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2")
            .bind(1, mark.table)
            .bind(2, key)
            .first { try RowMeta.readColumns($0.blob(0)) }
        let isThere = try target.query(plan.sql.select).bind(1, key).first { _ in true } ?? false
        let present = (0..<count).filter { plan.sql.places.present & 1 << UInt64($0) != 0 }
        guard let known else { return isThere ? nil : Changes(values: values, slots: present, isNew: true) }
        guard isThere, known.count == count else { return nil }
        ValueRef.with(key) { _ = self.hasher.hash(plan, key: $0, values) }
        let changed = present.filter { UInt32(truncatingIfNeeded: self.hasher.hashes.columns[$0]) != known[$0] }
        guard self.takesCounters || changed.allSatisfy({ plan.counterSlots & 1 << UInt64($0) == 0 }) else { return nil }
        return Changes(values: values, slots: changed, isNew: false)
    }

    private func write(_ changes: Changes, of mark: Mark, in transaction: borrowing WriteTransaction) throws {
        guard !changes.slots.isEmpty else { return }
        let definition = mark.plan.definition
        let names = changes.slots.compactMap { definition.column(slot: $0)?.name }
        guard names.count == changes.slots.count else { return }
        let table = SQLText.name(definition.name)
        let places = (1...names.count).map { "?\($0)" }
        let sql: String
        if changes.isNew {
            sql = "INSERT INTO \(table) (\(SQLText.list(names))) VALUES (\(places.joined(separator: ", ")))"
        } else {
            let pairs = zip(names, places).map { "\(SQLText.name($0)) = \($1)" }.joined(separator: ", ")
            sql = "UPDATE \(table) SET \(pairs) WHERE \(SQLText.name(definition.keyColumn)) = ?\(names.count + 1)"
        }
        let statement = try transaction.statement(sql)
        for (place, slot) in changes.slots.enumerated() {
            statement.bind(Int32(clamping: place &+ 1), changes.values[slot])
        }
        if !changes.isNew { statement.bind(Int32(clamping: names.count + 1), mark.key) }
        try statement.run()
    }
}
