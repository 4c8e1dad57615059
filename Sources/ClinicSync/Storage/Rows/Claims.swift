import ClinicSyncCore
import ClinicSyncModel

/// A key that rows of a table claim, or a row that they refer to.
struct ClaimName: Hashable {
    var table: Int
    /// The number of a ``UniqueRule`` or ``ReferenceRule``, or of ``wanted``.
    var rule: Int
    var value: SQLiteValue

    /// Keys that a row would show if they were free have the number of the key's rule, and this.
    private static let wantedRule = 128

    /// The claim of a row that would show this key if it were free.
    var wanted: ClaimName { ClaimName(table: self.table, rule: self.rule + ClaimName.wantedRule, value: self.value) }

    /// Whether it is a key that a row would show if it were free.
    var isWanted: Bool { self.rule >= ClaimName.wantedRule }

    /// Whether it is a key that a row claims.
    var isKey: Bool { self.rule < ReferenceRule.firstNumber }

    /// The key itself, of the claim of a row that would show it.
    var key: ClaimName {
        self.isWanted ? ClaimName(table: self.table, rule: self.rule - ClaimName.wantedRule, value: self.value) : self
    }
}

/// The index by which rows in the shadows are found: the table `clinicsync_claim`.
struct Claims {
    /// The claims that are indexed for a row.
    func indexed(_ row: RowName, on connection: Connection) throws -> Set<ClaimName> {
        var claims: Set<ClaimName> = []
        try connection.query("SELECT rule, value FROM clinicsync_claim WHERE tableId = ?1 AND pk = ?2")
            .bind(1, row.table)
            .bind(2, row.key)
            .forEach { claims.insert(ClaimName(table: row.table, rule: $0.int(0), value: $0.ref(1).value)) }
        return claims
    }

    /// Makes the index hold exactly these claims of a row.
    func index(_ row: RowName, claims: Set<ClaimName>, in transaction: borrowing WriteTransaction) throws {
        let present = try self.indexed(row, on: transaction.connection)
        for claim in present.subtracting(claims) {
            try transaction
                .statement("DELETE FROM clinicsync_claim WHERE tableId = ?1 AND rule = ?2 AND value = ?3 AND pk = ?4")
                .bind(1, row.table)
                .bind(2, claim.rule)
                .bind(3, claim.value)
                .bind(4, row.key)
                .run()
        }
        for claim in claims.subtracting(present) {
            try transaction.statement(
                "INSERT INTO clinicsync_claim (tableId, rule, value, pk) VALUES (?1, ?2, ?3, ?4)"
            )
            .bind(1, row.table)
            .bind(2, claim.rule)
            .bind(3, claim.value)
            .bind(4, row.key)
            .run()
        }
    }

    /// Removes all claims of a row.
    func remove(_ plan: TablePlan, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("DELETE FROM clinicsync_claim WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .run()
    }

    /// The indexed rows that make a claim.
    func rows(claiming claim: ClaimName, on connection: Connection) throws -> [RowName] {
        var rows: [RowName] = []
        try connection
            .query("SELECT pk FROM clinicsync_claim WHERE tableId = ?1 AND rule = ?2 AND value = ?3")
            .bind(1, claim.table)
            .bind(2, claim.rule)
            .bind(3, claim.value)
            .forEach { rows.append(RowName(table: claim.table, key: $0.ref(0).value)) }
        return rows
    }

    // MARK: - What a row claims

    /// The claims and references of a row's own state, as if no other row influenced it.
    func plain(_ plan: TablePlan, _ state: RowState, on connection: Connection) throws -> Set<ClaimName> {
        let values = plan.values(of: state)
        return try self.keys(plan, values: values, on: connection).union(self.references(plan, state))
    }

    /// The unique keys that a row with these values claims.
    func keys(_ plan: TablePlan, values: [SQLiteValue], on connection: Connection) throws -> Set<ClaimName> {
        var claims: Set<ClaimName> = []
        for rule in plan.uniqueRules {
            if let claim = try self.key(plan, rule, values: values, on: connection) { claims.insert(claim) }
        }
        return claims
    }

    /// The key of one UNIQUE that a row with these values claims; `nil` when it claims none.
    func key(
        _ plan: TablePlan,
        _ rule: UniqueRule,
        values: [SQLiteValue],
        on connection: Connection
    ) throws -> ClaimName? {
        guard let key = rule.key(values), try self.counts(plan, rule, values: values, on: connection) else {
            return nil
        }
        return ClaimName(table: plan.definition.number, rule: rule.number, value: key)
    }

    /// Whether a partial index counts a row with these values.
    private func counts(
        _ plan: TablePlan,
        _ rule: UniqueRule,
        values: [SQLiteValue],
        on connection: Connection
    ) throws -> Bool {
        guard let sql = rule.predicateSQL else { return true }
        let statement = try connection.query(sql)
        for (index, column) in plan.definition.columns.enumerated() {
            statement.bind(Int32(index + 1), values[column.slot])
        }
        return try statement.first { _ in true } ?? false
    }

    /// The rows that a state refers to, as claims.
    func references(_ plan: TablePlan, _ state: RowState) -> Set<ClaimName> {
        var claims: Set<ClaimName> = []
        for reference in plan.references {
            guard let value = state.value(slot: reference.slot), value != .null else { continue }
            claims.insert(ClaimName(table: plan.definition.number, rule: reference.number, value: value))
        }
        return claims
    }

    /// The row whose table shows a unique key.
    func holder(
        _ plan: TablePlan,
        _ rule: UniqueRule,
        of key: SQLiteValue,
        on connection: Connection
    ) throws -> RowName? {
        let statement = try connection.query(rule.holderSQL)
        for (index, value) in try rule.values(ofKey: key).enumerated() { statement.bind(Int32(index + 1), value) }
        return try statement.first { RowName(table: plan.definition.number, key: $0.ref(0).value) }
    }
}
