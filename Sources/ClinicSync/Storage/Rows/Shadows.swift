import ClinicSyncCore
import ClinicSyncModel

/// The own states of rows whose table shows something else, or nothing: the table `clinicsync_shadow`.
final class Shadows: TransactionPart {
    /// What a transaction that is rolled back puts back.
    private struct State {
        /// The number of rows by the table's number.
        var counts: [Int: Int] = [:]
        /// The number of rows in all tables.
        var total = 0
        /// The rows that wait for a row they refer to.
        var waiting = 0
    }

    private let contexts: DeletionContexts
    private let claims: Claims
    private let sums: StateSums
    private var state = State()

    /// Counts the rows.
    ///
    /// - Throws: what SQLite reports.
    init(contexts: DeletionContexts, claims: Claims, sums: StateSums, on connection: Connection) throws {
        self.contexts = contexts
        self.claims = claims
        self.sums = sums
        // A file of an earlier version that waits for its migration has no such table.
        guard try connection.hasTable("clinicsync_shadow") else { return }
        try connection.query("SELECT tableId, form, count(*) FROM clinicsync_shadow GROUP BY 1, 2").forEach { row in
            self.state.counts[row.int(0), default: 0] += row.int(2)
            self.state.total += row.int(2)
            if ShadowForm(rawValue: row.int(1)) == .waiting { self.state.waiting += row.int(2) }
        }
    }

    func memory() -> () -> Void {
        let saved = self.state
        return { self.state = saved }
    }

    // MARK: - Looking

    /// Whether there is any row in the shadows.
    var isEmpty: Bool { self.state.total == 0 }

    /// Whether rows wait for rows that they refer to.
    var hasWaiting: Bool { self.state.waiting > 0 }

    /// Whether rows of a table are in the shadows.
    func exist(in table: Int) -> Bool { self.state.counts[table] ?? 0 > 0 }

    /// The form that a table shows of a row in the shadows; `nil` when the row is not among them.
    func form(_ plan: TablePlan, key: ValueRef, on connection: Connection) throws -> ShadowForm? {
        guard self.exist(in: plan.definition.number) else { return nil }
        return try self.storedForm(plan, key: key, on: connection)
    }

    private func storedForm(_ plan: TablePlan, key: ValueRef, on connection: Connection) throws -> ShadowForm? {
        try connection.query("SELECT form FROM clinicsync_shadow WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .first { ShadowForm(rawValue: $0.int(0)) ?? .setAside }
    }

    /// Whether a row is in the shadows.
    func contains(_ table: Int, key: ValueRef, on connection: Connection) throws -> Bool {
        guard self.exist(in: table) else { return false }
        return try connection.query("SELECT 1 FROM clinicsync_shadow WHERE tableId = ?1 AND pk = ?2")
            .bind(1, table)
            .bind(2, key)
            .first { _ in true } ?? false
    }

    /// The rows that have a form, at most `limit`; of one table, or of all when `table` is `nil`.
    func rows(
        in form: ShadowForm,
        of table: Int? = nil,
        limit: Int = -1,
        on connection: Connection
    ) throws -> [RowName] {
        var rows: [RowName] = []
        let condition = table == nil ? "" : "AND tableId = ?3"
        let statement = try connection.query(
            "SELECT tableId, pk FROM clinicsync_shadow WHERE form = ?1 \(condition) LIMIT ?2"
        )
        statement.bind(1, form.rawValue).bind(2, limit)
        if let table { statement.bind(3, table) }
        try statement.forEach { rows.append(RowName(table: $0.int(0), key: $0.ref(1).value)) }
        return rows
    }

    /// The rows in the shadows that make a claim.
    func rows(claiming claim: ClaimName, on connection: Connection) throws -> [RowName] {
        guard self.exist(in: claim.table) else { return [] }
        return try self.claims.rows(claiming: claim, on: connection)
    }

    // MARK: - Loss

    /// The keys of rows that are in the shadows by what the claims and the journal say, and are not.
    ///
    /// A program or a disk removed their states. A row that its table shows must not count as plain then: what it shows is not its
    /// own value.
    func lost(_ plan: TablePlan, on connection: Connection) throws -> Set<SQLiteValue> {
        var keys: Set<SQLiteValue> = []
        func read(_ sql: String, key: String) throws {
            let isMissing = "NOT EXISTS (SELECT 1 FROM clinicsync_shadow AS s WHERE s.tableId = ?1 AND s.pk = \(key))"
            try connection.query("SELECT \(key) FROM \(sql) AND \(isMissing)")
                .bind(1, plan.definition.number)
                .forEach { keys.insert($0.ref(0).value) }
        }
        try read("clinicsync_claim AS c WHERE c.tableId = ?1", key: "c.pk")
        guard try connection.hasTable("clinicsync_conflict") else { return keys }
        try read(
            """
            clinicsync_conflict AS c WHERE c.tableName = (SELECT name FROM clinicsync_table WHERE id = ?1)
            AND c.kind IN ('renamed', 'cleared', 'detached', 'mergedValue')
            """,
            key: "c.recordId"
        )
        return keys
    }

    // MARK: - Writing

    /// Keeps a row's own state.
    func write(
        _ plan: TablePlan,
        _ state: RowState,
        key: ValueRef,
        form: ShadowForm,
        in transaction: borrowing WriteTransaction
    ) throws {
        let kept = state.withoutCounters(plan)
        var written = kept
        written.deletion = nil
        let payload = StoredState.encode(written)
        let context = try state.deletion.map { try self.contexts.number(of: $0, in: transaction) }
        let old = try self.stored(plan, key: key, as: payload, context: context, on: transaction.connection)
        self.count(plan.definition.number, from: old?.form, to: form)
        // The projection writes most states twice: when they change, and when their form is known.
        guard old?.isSame != true || old?.form != form else { return }
        if old?.isSame != true {
            let before: StateSums.Stored =
                old == nil ? .absent : try self.sums.stored(.hidden, plan, key: key, on: transaction.connection)
            self.sums.replace(before, by: kept, .hidden, plan)
        }
        let statement = try transaction.statement(
            """
            INSERT INTO clinicsync_shadow (tableId, pk, form, state, context) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (tableId, pk) DO UPDATE SET form = ?3, state = ?4, context = ?5
            """
        )
        statement.bind(1, plan.definition.number).bind(2, key).bind(3, form.rawValue).bind(4, blob: payload)
        if let context { statement.bind(5, context) } else { statement.bindNull(5) }
        try statement.run()
    }

    /// The form of a row in the shadows, and whether its state is exactly this one; `nil` when the row is not among them.
    private func stored(
        _ plan: TablePlan,
        key: ValueRef,
        as payload: [UInt8],
        context: Int?,
        on connection: Connection
    ) throws -> (form: ShadowForm, isSame: Bool)? {
        let statement = try connection.query(
            "SELECT form, state = ?3 AND context IS ?4 FROM clinicsync_shadow WHERE tableId = ?1 AND pk = ?2"
        )
        statement.bind(1, plan.definition.number).bind(2, key).bind(3, blob: payload)
        if let context { statement.bind(4, context) } else { statement.bindNull(4) }
        return try statement.first { (ShadowForm(rawValue: $0.int(0)) ?? .setAside, $0.int(1) == 1) }
    }

    /// Forgets a row whose table shows its own state again, with its claims.
    func remove(_ plan: TablePlan, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        guard let old = try self.form(plan, key: key, on: transaction.connection) else { return }
        let before = try self.sums.stored(.hidden, plan, key: key, on: transaction.connection)
        self.sums.replace(before, by: nil, .hidden, plan)
        try transaction.statement("DELETE FROM clinicsync_shadow WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .run()
        try self.claims.remove(plan, key: key, in: transaction)
        self.count(plan.definition.number, from: old, to: nil)
    }

    /// Forgets the claims of a row that has no state here.
    func removeClaims(_ plan: TablePlan, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        try self.claims.remove(plan, key: key, in: transaction)
    }

    private func count(_ table: Int, from old: ShadowForm?, to new: ShadowForm?) {
        let difference = (new == nil ? 0 : 1) - (old == nil ? 0 : 1)
        self.state.total += difference
        self.state.counts[table, default: 0] += difference
        self.state.waiting += (new == .waiting ? 1 : 0) - (old == .waiting ? 1 : 0)
    }
}

/// How a row in `clinicsync_shadow` looks in its table.
enum ShadowForm: Int {
    /// It shows other values than its own, or its own ones and other rows or the journal depend on more of its state.
    case shown = 0
    /// Hidden: it is one row with an older one.
    case merged = 1
    /// Hidden: an older row has its key.
    case parked = 2
    /// Hidden: the row it refers to was deleted.
    case cascaded = 3
    /// Hidden: a constraint of the table refuses it.
    case setAside = 4
    /// Hidden: the row it refers to has not arrived.
    case waiting = 5
    /// Shown although it was deleted: a child that the deleter did not know refers to it.
    case revived = 6

    /// Whether it counts for other rows: for keys, as a child, as a parent.
    var isPresent: Bool {
        switch self {
        case .shown, .merged, .parked, .setAside, .revived: true
        case .cascaded, .waiting: false
        }
    }
}
