import ClinicSyncCore
import ClinicSyncModel

/// Makes the pages of a reconciliation, in one read snapshot of a reader.
///
/// Every page and every answer is bounded, whatever the peer asks and however large the tables are.
struct RepairPages {
    let reader: ReplicaReader

    /// The page of row hashes after `after`.
    ///
    /// Rows with keys that no peer takes are in no page: see ``LargeRows``.
    func hashes(round: UInt64, table: String, after: SQLiteValue?, hasHidden: Bool) throws -> RowHashPage {
        let range = KeyRange(after: after, through: nil)
        let limit = self.reader.limits.repair.hashesPage
        var rows = try self.hashes(table: table, in: range, limit: limit, hasHidden: hasHidden)
        var isWhole = rows.count < self.reader.limits.repair.hashesPage
        var bytes = 0
        for (index, row) in rows.enumerated() {
            bytes += row.key.byteCount
            guard bytes >= self.reader.limits.repair.hashesPageKeyBytes, index + 1 < rows.count else { continue }
            rows.removeSubrange((index + 1)...)
            isWhole = false
            break
        }
        return RowHashPage(
            round: round,
            table: table,
            after: after,
            through: isWhole ? nil : rows.last?.key,
            rows: rows,
            hasHidden: hasHidden
        )
    }

    /// Compares a peer's page with our rows in its range.
    ///
    /// - Returns: The rows the peer lacks or has otherwise, with the keys of those we want. The last page ends the answer, and
    ///   says how far the answer goes when it does not cover the peer's page.
    func compare(_ page: RowHashPage) throws -> [RowStatePage] {
        guard let plan = self.reader.plans[page.table] else {
            return [RowStatePage(round: page.round, table: page.table, payload: [], wanted: [], isLast: true)]
        }
        let range = KeyRange(after: page.after, through: page.through)
        let limit = self.reader.limits.repair.answerRowsMax
        var ours = try self.hashes(table: page.table, in: range, limit: limit &+ 1, hasHidden: page.hasHidden)
        var covered: SQLiteValue?
        if ours.count > limit {
            ours.removeSubrange(limit...)
            covered = ours.last?.key
        }
        let answered = KeyRange(after: page.after, through: covered ?? page.through)
        var theirs: [SQLiteValue: Digest] = [:]
        for row in page.rows where answered.contains(row.key) { theirs[row.key] = row.hash }
        var wanted: Set<SQLiteValue> = []
        var offered: [SQLiteValue] = []
        for row in ours {
            if let hash = theirs.removeValue(forKey: row.key) {
                guard hash != row.hash else { continue }
                wanted.insert(row.key)
            }
            offered.append(row.key)
        }
        // What is left of theirs we lack; we may know it as deleted.
        for row in page.rows where theirs.removeValue(forKey: row.key) != nil {
            offered.append(row.key)
            wanted.insert(row.key)
        }
        offered.sort { $0.sortsBefore($1) }
        var (pages, rest) = try self.pages(plan, round: page.round, keys: offered, isWhole: false)
        if let first = rest.first { covered = offered.last { $0.sortsBefore(first) } }
        let end = KeyRange(after: nil, through: covered)
        pages[pages.count - 1].wanted = offered.filter { wanted.contains($0) && end.contains($0) }
        pages[pages.count - 1].isLast = true
        pages[pages.count - 1].covered = covered
        return pages
    }

    /// The states of rows, in pages, the last of which ends the answer; and the keys for which another answer is needed.
    ///
    /// - Parameters:
    ///   - round: the round of the reconciliation.
    ///   - table: the table; one that is not replicated has no pages.
    ///   - keys: the keys of the rows.
    ///   - isWhole: whether the answer has no limit.
    /// - Returns: The pages, and the keys that are left.
    /// - Throws: ``StoreError``, and ``OwnDamage`` for a row that cannot be read.
    func states(
        round: UInt64,
        table: String,
        keys: [SQLiteValue],
        isWhole: Bool
    ) throws -> (pages: [RowStatePage], rest: [SQLiteValue]) {
        guard let plan = self.reader.plans[table] else { return ([], []) }
        var (pages, rest) = try self.pages(plan, round: round, keys: keys, isWhole: isWhole)
        pages[pages.count - 1].isLast = true
        return (pages, rest)
    }

    /// The hashes of the first rows in a range of keys, at most `limit`.
    private func hashes(table: String, in range: KeyRange, limit: Int, hasHidden: Bool) throws -> [RowHash] {
        guard let plan = self.reader.plans[table] else { return [] }
        let shown = try self.shownHashes(plan, in: range, limit: limit)
        guard hasHidden else { return shown }
        var sums: [SQLiteValue: Digest] = [:]
        for row in shown { sums[row.key] = row.hash }
        for kind in StateSums.Kind.allCases {
            for row in try self.hashes(kind, of: plan, in: range, limit: limit) {
                sums[row.key, default: .zero] += row.hash
            }
        }
        // A part that the limit cut off begins behind `limit` keys: so the first keys have all their parts.
        return sums.map { RowHash(key: $0.key, hash: $0.value) }.sorted { $0.key.sortsBefore($1.key) }
            .prefix(limit).map { $0 }
    }

    /// The hashes of states that the table does not show.
    private func hashes(
        _ kind: StateSums.Kind,
        of plan: TablePlan,
        in range: KeyRange,
        limit: Int
    ) throws -> [RowHash] {
        guard try self.reader.connection.hasTable("clinicsync_\(kind.table.rawValue)") else { return [] }
        let statement = try self.reader.connection.query(
            """
            \(kind.select) WHERE s.tableId = ?1 AND s.pk > ?2
            AND (?3 IS NULL OR s.pk <= ?3) AND length(CAST(s.pk AS BLOB)) <= ?4 ORDER BY s.pk
            """
        )
        statement.bind(1, plan.definition.number).bind(2, range.after ?? .integer(0))
        statement.bind(3, range.through ?? .null).bind(4, self.reader.limits.keyBytesMax)
        defer { statement.reset() }
        let forgotten = try ForgottenRows.inUse(on: self.reader.connection)
        var hasher = StateHasher()
        var rows: [RowHash] = []
        while rows.count < limit, try statement.step() {
            let key = statement.ref(0).value
            let read = try OwnDamage.reading(kind.table, .row(table: plan.definition.number, key: key)) {
                try StateSums.read(statement, plan, with: &hasher)
            }
            guard kind == .hidden || !forgotten.contain(read.state) else { continue }
            rows.append(RowHash(key: key, hash: read.hash))
        }
        return rows
    }

    private func shownHashes(_ plan: TablePlan, in range: KeyRange, limit: Int) throws -> [RowHash] {
        let statement = try self.reader.connection.query(
            """
            SELECT pk, hash FROM clinicsync_row WHERE tableId = ?1 AND pk > ?2
            AND (?3 IS NULL OR pk <= ?3) AND length(CAST(pk AS BLOB)) <= ?5 ORDER BY pk LIMIT ?4
            """
        )
        // Keys are texts and blobs; every number is smaller.
        statement.bind(1, plan.definition.number).bind(2, range.after ?? .integer(0))
        statement.bind(3, range.through ?? .null).bind(4, limit).bind(5, self.reader.limits.keyBytesMax)
        var rows: [RowHash] = []
        try statement.forEach { row in
            let key = row.ref(0).value
            let hash = try OwnDamage.reading(.row, .row(table: plan.definition.number, key: key)) {
                try Digest(storedBytes: row.blob(1))
            }
            rows.append(RowHash(key: key, hash: hash))
        }
        return rows
    }

    /// The states of the rows named, at least one page.
    ///
    /// Leaves out what must not be seen elsewhere: a part of a batch before the whole, rows that are too large, and rows whose
    /// bookkeeping names batches that this node does not have, which only damage can bring about.
    private func pages(
        _ plan: TablePlan,
        round: UInt64,
        keys: [SQLiteValue],
        isWhole: Bool
    ) throws -> (pages: [RowStatePage], rest: [SQLiteValue]) {
        try self.reader.refreshOrigins()
        var pages: [RowStatePage] = []
        var writer = RowStateWriter(plan)
        var bytes = 0
        func close() {
            let payload = writer.count == 0 ? [] : writer.payload()
            bytes += payload.count
            let table = plan.definition.name
            pages.append(RowStatePage(round: round, table: table, payload: payload, wanted: [], isLast: false))
            writer = RowStateWriter(plan)
        }
        let vector = try self.reader.vector()
        let states = self.reader.loader(vector)
        let open = try self.reader.log.openBatch()
        var rest: [SQLiteValue] = []
        for (index, key) in keys.enumerated() {
            if !isWhole, bytes >= self.reader.limits.repair.answerBytes {
                rest = Array(keys[index...])
                break
            }
            guard var state = try RepairPages.sendable(plan, key: key, states) else { continue }
            if let open, state.isTouched(by: BatchID(origin: self.reader.own.origin, sequence: open)) { continue }
            guard RowStateWriter.takes(state), state.names(only: { vector.covers($0) }) else { continue }
            state.limitSeen(to: vector)
            let end = writer.count
            writer.append(state)
            if writer.count - end > self.reader.limits.stateBytesMax { writer.truncate(to: end) }
            if writer.count >= self.reader.limits.pageBytes { close() }
        }
        if writer.count > 0 || pages.isEmpty { close() }
        return (pages, rest)
    }

    /// What this node knows of a row, without the columns of which it knows only what its table shows.
    ///
    /// A program may just have written such a column, or wrote it past the triggers, or the disk has damaged it: the value does not
    /// belong to the version that is known.
    static func sendable(
        _ plan: TablePlan,
        key: SQLiteValue,
        _ states: RowStateLoader,
        mayBeShadow: Bool = true
    ) throws -> RowState? {
        guard let known = try states.known(plan, key: key, mayBeShadow: mayBeShadow) else { return nil }
        var state = known.state
        guard known.meta?.isUnknown == true else {
            guard known.isShown, let meta = known.meta else { return state }
            for slot in self.differingSlots(plan, state, meta).setBits { state.registers[slot] = nil }
            return state
        }
        for slot in state.registers.indices where state.registers[slot]?.version == .genesis {
            state.registers[slot] = nil
        }
        return state
    }

    /// The columns of a row in its table whose values do not belong to the versions that are known; counters are apart.
    static func differingSlots(_ plan: TablePlan, _ state: RowState, _ meta: RowMeta) -> UInt64 {
        var hasher = RowHasher()
        ValueRef.with(state.key) { _ = hasher.hash(plan, key: $0, plan.values(of: state)) }
        return meta.differingSlots(hasher.hashes, plan: plan) & plan.valueSlots & ~plan.counterSlots
    }
}
