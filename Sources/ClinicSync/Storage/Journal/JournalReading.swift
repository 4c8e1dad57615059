import ClinicSyncCore
import ClinicSyncModel

/// Turns rows of the journal into entries, for the reader and for write transactions.
struct JournalReading {
    let plans: TablePlans
    let loader: RowStateLoader

    private var connection: Connection { self.loader.connection }

    /// Digits of an id that must be given at least.
    static let prefixMin = 6
    /// Entries, and values of one entry, that are read at a time.
    static let entriesMax = 500

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
        var lost: [(plan: TablePlan, column: String)] = []
        try self.connection
            .query(
                """
                SELECT iif((kind = 'batch') = (tableName = '\(Conflict.batches)'), tableName, ''), kind = 'value',
                    columnName, count(*)
                FROM clinicsync_conflict c LEFT JOIN clinicsync_resolution r ON r.id = c.id
                WHERE \(JournalReading.isOpen) GROUP BY 1, 2, 3
                """
            )
            .forEach { row in
                let entries = row.int(3)
                if row.string(0) == Conflict.batches { count = entries &+ count }
                guard let plan = self.plans[row.string(0)], plan.definition.isClinical else { return }
                let slot = row.isNull(2) ? nil : plan.slot(of: row.string(2))
                if row.int(1) == 1 {
                    if slot != nil { lost.append((plan, row.string(2))) }
                } else if row.isNull(2) || slot.map({ !plan.isDerived(slot: $0) }) == true {
                    count = entries &+ count
                }
            }
        for (plan, column) in lost { count += try self.countOpen(plan, column: column) }
        return count
    }

    /// Counts the open entries for lost values of a column.
    ///
    /// Most rows have values of one other PC, which are one entry. The others are counted as they are listed, and so are those of
    /// columns that the table does not show as they are.
    private func countOpen(_ plan: TablePlan, column: String) throws -> Int {
        guard let slot = plan.slot(of: column), let name = plan.names[slot] else { return 0 }
        let key = SQLText.name(plan.definition.keyColumn)
        let shown = "t." + SQLText.name(name)
        // Who lost what is not shown; a value that stands for a row is an entry by itself.
        let author = "substr(c.origin, 1, instr(c.origin || '.', '.') - 1) || coalesce(c.relatedTable, '')"
        let isDerived = plan.isDerived(slot: slot)
        let isPlain = !isDerived && (plan.counterSlots | plan.asideSlots) & (1 << UInt64(slot)) == 0
        let sql =
            isPlain
            ? """
            SELECT c.recordId, count(DISTINCT \(author))
            FROM clinicsync_conflict c LEFT JOIN clinicsync_resolution r ON r.id = c.id
            LEFT JOIN \(SQLText.name(plan.definition.name)) t ON t.\(key) = c.recordId
            WHERE c.kind = 'value' AND c.tableName = ?1 AND c.columnName = ?2 AND \(JournalReading.isOpen)
            AND (t.\(key) IS NULL OR typeof(\(shown)) <> typeof(c.value) OR \(shown) IS NOT c.value COLLATE BINARY)
            GROUP BY c.recordId
            """
            : """
            SELECT DISTINCT c.recordId, 2
            FROM clinicsync_conflict c LEFT JOIN clinicsync_resolution r ON r.id = c.id
            WHERE c.kind = 'value' AND c.tableName = ?1 AND c.columnName = ?2 AND \(JournalReading.isOpen)
            AND (?3 = 0 OR c.relatedTable IS NOT NULL)
            """
        var count = 0
        var several: [SQLiteValue] = []
        let statement = try self.connection.query(sql)
            .bind(1, text: plan.definition.name)
            .bind(2, text: column)
        if !isPlain { statement.bind(3, isDerived ? 1 : 0) }
        try statement.forEach { row in
            if row.int(1) == 1 { count += 1 } else { several.append(row.ref(0).value) }
        }
        for key in several {
            let place = Place(table: plan.definition.name, key: key, column: column)
            count += try self.groups(place).count { $0.isOpen }
        }
        return count
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
        var entries: [JournalEntry] = []
        var groups = GroupCache()
        defer { statement.reset() }
        statement.bind(1, openOnly ? 1 : 0)
        while entries.count < limit, try statement.step() {
            guard let conflict = Conflict(statement, from: 1) else { continue }
            var count = 1
            if conflict.kind == .value {
                guard let group = try self.group(ledBy: statement.string(0), conflict, cache: &groups) else { continue }
                count = group.values.count
            }
            guard var entry = try self.entry(statement) else { continue }
            entry.count = count
            entries.append(entry)
        }
        return entries
    }

    /// See ``ReplicaReader/openJournal(matching:after:)``.
    func open(matching filter: JournalFilter, after id: String, rowsMax: Int) throws -> JournalMatches {
        var matches = JournalMatches()
        guard self.plans[Conflict.table] != nil else { return matches }
        let statement = try self.connection.query(
            "\(JournalReading.select) WHERE \(JournalReading.isOpen) AND c.id > ?1 ORDER BY c.id LIMIT ?2"
        )
        var groups = GroupCache()
        var rows = 0
        defer { statement.reset() }
        statement.bind(1, text: id).bind(2, rowsMax)
        while try statement.step() {
            rows += 1
            let id = statement.string(0)
            matches.next = rows == rowsMax ? id : nil
            guard let conflict = Conflict(statement, from: 1), filter.matches(conflict) else { continue }
            if conflict.kind == .value {
                guard let group = try self.group(ledBy: id, conflict, cache: &groups),
                    filter.node.map({ group.has(author: $0) }) ?? true
                else { continue }
                matches.entries.append([id] + group.ids.filter { $0 != id })
            } else if filter.node.map({ $0 == conflict.version.origin.node }) ?? true,
                try self.entry(statement) != nil
            {
                matches.entries.append([id])
            }
        }
        return matches
    }

    // MARK: - Groups

    /// A column of a row.
    private struct Place: Hashable {
        var table: String
        var key: SQLiteValue
        var column: String
    }

    /// The groups of the columns that were read so far, by the id of their newest value.
    private typealias GroupCache = [Place: [String: LossGroup]]

    /// The group that is listed under the id of this lost value; `nil` when it is listed under another one, or not at all.
    private func group(ledBy id: String, _ conflict: Conflict, cache: inout GroupCache) throws -> LossGroup? {
        guard let column = conflict.column else { return nil }
        let place = Place(table: conflict.table, key: conflict.key, column: column)
        if let groups = cache[place] { return groups[id] }
        var groups: [String: LossGroup] = [:]
        for group in try self.groups(place) {
            if let first = group.values.first { groups[first.id] = group }
        }
        cache[place] = groups
        return groups[id]
    }

    /// The group of an entry for a lost value; `nil` for other entries, and when the row shows the value.
    private func group(of entry: JournalEntry) throws -> LossGroup? {
        guard entry.kind == .value, let column = entry.column else { return nil }
        let place = Place(table: entry.row.table, key: entry.row.key, column: column)
        return try self.groups(place).first { $0.ids.contains(entry.id) }
    }

    /// The entries that a decision about an open entry settles: of a lost value those of its group.
    func settled(with entry: JournalEntry) throws -> [String] {
        try self.group(of: entry).map { $0.isOpen ? $0.ids : [entry.id] } ?? [entry.id]
    }

    /// The column of a place, which may have its former name there.
    private func column(_ place: Place) -> (plan: TablePlan, slot: Int)? {
        guard let plan = self.plans[place.table], plan.definition.isClinical, let slot = plan.slot(of: place.column)
        else { return nil }
        return (plan, slot)
    }

    /// The lost values of a column of a row, in groups.
    private func groups(_ place: Place) throws -> [LossGroup] {
        guard let (plan, slot) = self.column(place) else { return [] }
        var losses: [StoredLoss] = []
        try self.connection
            .query(
                """
                \(JournalReading.select)
                WHERE c.tableName = ?1 AND c.recordId = ?2 AND c.kind = 'value' AND c.columnName = ?3
                ORDER BY c.timestamp DESC, c.id
                """
            )
            .bind(1, text: place.table)
            .bind(2, place.key)
            .bind(3, text: place.column)
            .forEach { row in
                guard let conflict = Conflict(row, from: 1), !conflict.isDerived(self.plans) else { return }
                losses.append(StoredLoss(id: row.string(0), conflict: conflict, decision: self.decision(row)))
            }
        guard !losses.isEmpty else { return [] }
        let shown = try self.shown(plan, key: place.key, slot: slot)
        return LossGroup.groups(of: losses, shownBy: shown?.author.origin.node) { shown?.shows($0) == true }
    }

    /// All entries about a row, newest first: each lost value by itself.
    func entries(_ plan: TablePlan, key: SQLiteValue) throws -> [JournalEntry] {
        guard self.plans[Conflict.table] != nil else { return [] }
        let statement = try self.connection.query(
            "\(JournalReading.select) WHERE tableName = ?1 AND recordId = ?2 ORDER BY c.timestamp DESC, c.id"
        )
        var entries: [JournalEntry] = []
        var values: Set<LostValue> = []
        try statement.bind(1, text: plan.definition.name).bind(2, key).forEach { row in
            guard let entry = try self.entry(row) else { return }
            if entry.kind == .value {
                // What somebody decided stays listed, also when the row shows it since then.
                guard entry.decision != nil || entry.current?.value != entry.other.value,
                    values.insert(LostValue(column: entry.column, value: entry.other.value)).inserted
                else { return }
            }
            entries.append(entry)
        }
        return entries
    }

    /// A value of a column that was lost; entries with equal ones say the same.
    private struct LostValue: Hashable {
        var column: String?
        var value: SQLiteValue
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
        guard var entry = found.first else { return .unknown }
        guard found.count == 1 else { return .ambiguous }
        if let group = try self.group(of: entry), group.values.count > 1 {
            entry.count = group.values.count
            entry.values = group.values.prefix(JournalReading.entriesMax).map {
                JournalEntry.LostValue(id: $0.id, written: $0.written)
            }
        }
        return .found(entry)
    }

    /// Whether the journal has the entry and no person has dealt with it.
    func isOpen(_ id: String) throws -> Bool {
        try self.connection
            .query(
                """
                SELECT 1 FROM clinicsync_conflict c LEFT JOIN clinicsync_resolution r ON r.id = c.id
                WHERE c.id = ?1 AND \(JournalReading.isOpen)
                """
            )
            .bind(1, text: id)
            .first { _ in true } ?? false
    }

    /// The entry of a row; `nil` when its table or column is not there any more or is not the clinic's, or when nobody entered the
    /// value.
    private func entry(_ row: Statement) throws -> JournalEntry? {
        let id = row.string(0)
        guard let conflict = Conflict(row, from: 1), !conflict.isDerived(self.plans) else { return nil }
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
            current = try self.shown(shownPlan, key: shown, slot: slot)?.beside(conflict.value)
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

    /// What the table shows in a column.
    private struct Shown {
        var value: SQLiteValue
        var author: Version
        /// What a counter was set to, whatever was counted since then.
        var set: SQLiteValue?

        /// Whether it counts as this value.
        func shows(_ value: SQLiteValue) -> Bool { value == self.value || value == self.set }

        /// What people see beside a lost value.
        func beside(_ other: SQLiteValue) -> JournalEntry.Written {
            JournalEntry.Written(
                value: self.set == other ? other : self.value,
                node: self.author.origin.node,
                timestamp: self.author.timestamp
            )
        }
    }

    /// What the table shows, with the version of it that the node knows.
    private func shown(_ plan: TablePlan, key: SQLiteValue, slot: Int) throws -> Shown? {
        let value = try self.connection.query(plan.sql.select).bind(1, key).first { $0.ref(Int32(slot)).value }
        guard let value, let state = try self.loader.shown(plan, key: key) else { return nil }
        let register = slot < state.registers.count ? state.registers[slot] : nil
        let isCounter = plan.counterSlots & (1 << UInt64(slot)) != 0
        return Shown(value: value, author: register?.version ?? state.birth, set: isCounter ? register?.value : nil)
    }
}
