import ClinicSyncCore
import ClinicSyncModel

/// Turns rows of the journal into entries, for the reader and for write transactions.
struct JournalReading {
    let plans: TablePlans
    let loader: RowStateLoader

    private var connection: Connection { self.loader.connection }

    /// Digits of an id that must be given at least.
    static let prefixMin = 6

    private static let select = """
        SELECT c.id, \(Conflict.columns), kept, resolvedAt, r.node
        FROM clinicsync_conflict c LEFT JOIN clinicsync_resolution r ON r.id = c.id
        """

    /// Whether an entry is open, so that no person has dealt with it; any program may have written anything there.
    private static let isOpen = "coalesce(r.kept, '') NOT IN ('current', 'other')"

    // MARK: - Counting

    /// The number of open entries, counted as they are listed.
    func countOpen() throws -> Int {
        guard self.plans[Conflict.table] != nil else { return 0 }
        var count = 0
        var values: [(plan: TablePlan, column: String)] = []
        try self.connection
            .query(
                """
                SELECT iif((kind = 'batch') = (tableName = '\(Conflict.batches)'), tableName, ''),
                    CASE kind WHEN 'value' THEN columnName END, count(*)
                FROM clinicsync_conflict c LEFT JOIN clinicsync_resolution r ON r.id = c.id
                WHERE \(JournalReading.isOpen) GROUP BY 1, 2
                """
            )
            .forEach { row in
                if row.string(0) == Conflict.batches { count += row.int(2) }
                guard let plan = self.plans[row.string(0)], plan.definition.isClinical else { return }
                if row.isNull(1) {
                    count = row.int(2) &+ count
                } else if plan.slot(of: row.string(1)) != nil {
                    values.append((plan, row.string(1)))
                }
            }
        for (plan, column) in values { count += try self.countOpen(plan, column: column) }
        return count
    }

    /// Counts different values of a column that lost and that the rows do not show.
    private func countOpen(_ plan: TablePlan, column: String) throws -> Int {
        if let slot = plan.slot(of: column), plan.counterSlots & (1 << UInt64(slot)) != 0 {
            // The table does not say what a counter was set to. Few counters have entries.
            let statement = try self.connection.query(
                """
                \(JournalReading.select)
                WHERE c.kind = 'value' AND c.tableName = ?1 AND c.columnName = ?2 AND \(JournalReading.isOpen)
                """
            )
            return try self.entries(
                of: statement.bind(1, text: plan.definition.name).bind(2, text: column),
                limit: .max
            )
            .count
        }
        let key = SQLText.name(plan.definition.keyColumn)
        let shown = "t." + SQLText.name(column)
        let sql = """
            SELECT count(*) FROM (
                SELECT DISTINCT c.recordId, typeof(c.value), c.value
                FROM clinicsync_conflict c LEFT JOIN clinicsync_resolution r ON r.id = c.id
                LEFT JOIN \(SQLText.name(plan.definition.name)) t ON t.\(key) = c.recordId
                WHERE c.kind = 'value' AND c.tableName = ?1 AND c.columnName = ?2 AND \(JournalReading.isOpen)
                AND (t.\(key) IS NULL OR typeof(\(shown)) <> typeof(c.value)
                    OR \(shown) IS NOT c.value COLLATE BINARY))
            """
        return try self.connection.query(sql)
            .bind(1, text: plan.definition.name)
            .bind(2, text: column)
            .first { $0.int(0) } ?? 0
    }

    // MARK: - Listing

    /// See ``ReplicaReader/journal(openOnly:limit:)``.
    func entries(openOnly: Bool, limit: Int) throws -> [JournalEntry] {
        guard self.plans[Conflict.table] != nil else { return [] }
        let statement = try self.connection.query(
            """
            \(JournalReading.select) WHERE ?1 = 0 OR \(JournalReading.isOpen) ORDER BY c.timestamp DESC, c.id
            """
        )
        return try self.entries(of: statement.bind(1, openOnly ? 1 : 0), limit: limit)
    }

    /// All entries about a row that are listed, newest first.
    func entries(_ plan: TablePlan, key: SQLiteValue) throws -> [JournalEntry] {
        guard self.plans[Conflict.table] != nil else { return [] }
        let statement = try self.connection.query(
            "\(JournalReading.select) WHERE tableName = ?1 AND recordId = ?2 ORDER BY c.timestamp DESC, c.id"
        )
        return try self.entries(of: statement.bind(1, text: plan.definition.name).bind(2, key), limit: .max)
    }

    private func entries(of statement: Statement, limit: Int) throws -> [JournalEntry] {
        var entries: [JournalEntry] = []
        var values: Set<Place> = []
        defer { statement.reset() }
        while entries.count < limit, try statement.step() {
            guard let entry = try self.entry(statement) else { continue }
            if entry.kind == .value {
                // What somebody decided stays listed, also when the row shows it since then.
                guard entry.decision != nil || entry.current?.value != entry.other.value,
                    values.insert(Place(entry)).inserted
                else { continue }
            }
            entries.append(entry)
        }
        return entries
    }

    /// A value of a column that was lost; entries with equal places say the same.
    private struct Place: Hashable {
        var row: JournalEntry.Row
        var column: String?
        var value: SQLiteValue

        init(_ entry: JournalEntry) {
            (self.row, self.column, self.value) = (entry.row, entry.column, entry.other.value)
        }
    }

    // MARK: - One entry

    /// See ``ReplicaReader/journalEntry(_:)``.
    func entry(_ prefix: String) throws -> JournalLookup {
        let prefix = prefix.lowercased()
        guard self.plans[Conflict.table] != nil, prefix.utf8.count >= JournalReading.prefixMin,
            prefix.utf8.allSatisfy({
                UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0
            })
        else { return .unknown }
        var found: [JournalEntry] = []
        // "g" follows the last digit.
        let statement = try self.connection
            .query("\(JournalReading.select) WHERE c.id >= ?1 AND c.id < ?2 ORDER BY c.id LIMIT 2")
            .bind(1, text: prefix)
            .bind(2, text: prefix + "g")
        try statement.forEach { if let entry = try self.entry($0) { found.append(entry) } }
        guard let entry = found.first else { return .unknown }
        return found.count == 1 ? .found(entry) : .ambiguous
    }

    /// The entry of a row; `nil` when its table or column is not there any more, or is not the clinic's.
    private func entry(_ row: Statement) throws -> JournalEntry? {
        let id = row.string(0)
        guard let conflict = Conflict(row, from: 1) else { return nil }
        let decision = self.decision(row)
        if conflict.kind == .batch { return JournalReading.entry(id, ofBatch: conflict, decision: decision) }
        guard let plan = self.plans[conflict.table], plan.definition.isClinical else { return nil }
        var shown = conflict.key
        var shownPlan = plan
        if conflict.kind == .mergedValue, let related = conflict.related, let other = self.plans[related.table] {
            (shownPlan, shown) = (other, related.key)
        }
        var current: JournalEntry.Written?
        if let column = conflict.column {
            guard let slot = shownPlan.slot(of: column) else { return nil }
            current = try self.current(shownPlan, key: shown, slot: slot, beside: conflict.value)
        }
        return JournalEntry(
            id: id,
            kind: conflict.kind,
            row: try self.row(plan, key: conflict.key),
            column: conflict.column,
            current: current,
            other: JournalEntry.Written(
                value: conflict.value,
                node: conflict.version.origin.node,
                timestamp: conflict.version.timestamp
            ),
            related: try conflict.related.flatMap { related in
                try self.plans[related.table].map { try self.row($0, key: related.key) }
            },
            decision: decision
        )
    }

    /// The entry of a batch that no node can read.
    private static func entry(
        _ id: String,
        ofBatch conflict: Conflict,
        decision: JournalEntry.Decision?
    ) -> JournalEntry? {
        // Any program may have written the row.
        guard conflict.table == Conflict.batches else { return nil }
        return JournalEntry(
            id: id,
            kind: .batch,
            row: JournalEntry.Row(table: Conflict.batches, key: conflict.key, isShown: false),
            column: nil,
            current: nil,
            other: JournalEntry.Written(
                value: conflict.value,
                node: conflict.version.origin.node,
                timestamp: conflict.version.timestamp
            ),
            related: nil,
            decision: decision
        )
    }

    private func decision(_ row: Statement) -> JournalEntry.Decision? {
        let first = Int32(11)
        guard let kept = JournalChoice(rawValue: row.string(first)) else { return nil }
        return JournalEntry.Decision(kept: kept, at: row.milliseconds(first + 1), node: NodeID(row.string(first + 2)))
    }

    private func row(_ plan: TablePlan, key: SQLiteValue) throws -> JournalEntry.Row {
        let isShown: Bool? = try self.connection.query(plan.sql.select).bind(1, key).first { _ in true }
        return JournalEntry.Row(table: plan.definition.name, key: key, isShown: isShown == true)
    }

    /// What the table shows, with the version of it that the node knows.
    ///
    /// A counter that was set to `other` counts as showing `other`, whatever was counted since then.
    private func current(
        _ plan: TablePlan,
        key: SQLiteValue,
        slot: Int,
        beside other: SQLiteValue
    ) throws -> JournalEntry.Written? {
        let shown = try self.connection.query(plan.sql.select).bind(1, key).first { $0.ref(Int32(slot)).value }
        guard var value = shown, let state = try self.loader.shown(plan, key: key) else { return nil }
        let register = slot < state.registers.count ? state.registers[slot] : nil
        let version = register?.version ?? state.birth
        if plan.counterSlots & (1 << UInt64(slot)) != 0, register?.value == other { value = other }
        return JournalEntry.Written(value: value, node: version.origin.node, timestamp: version.timestamp)
    }
}
