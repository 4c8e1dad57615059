import ClinicSyncCore
import ClinicSyncModel

/// Rows whose table form is not their own state: where the state is kept, and how they are found.
extension ReplicaWriter {
    /// The form of a row in the shadows; `nil` when it is not among them.
    func shadowForm(_ plan: TablePlan, key: ValueRef) throws -> ShadowForm? {
        try self.connection.statement("SELECT form FROM clinicsync_shadow WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .first { ShadowForm(rawValue: $0.int(0)) ?? .setAside }
    }

    /// Keeps a row's own state among the shadows.
    func writeShadow(_ plan: TablePlan, _ state: RowState, key: ValueRef, form: ShadowForm) throws {
        let number = plan.definition.number
        var kept = state
        kept.counters = []
        kept.deletion = nil
        var writer = RowStateWriter(plan)
        writer.append(kept)
        let old = try self.shadowForm(plan, key: key)
        let statement = try self.connection.statement(
            """
            INSERT INTO clinicsync_shadow (tableId, pk, form, state, context) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (tableId, pk) DO UPDATE SET form = ?3, state = ?4, context = ?5
            """
        )
        statement.bind(1, number).bind(2, key).bind(3, form.rawValue).bind(4, blob: writer.payload())
        if let deletion = state.deletion {
            statement.bind(5, try self.context(deletion))
        } else {
            statement.bindNull(5)
        }
        try statement.run()
        self.countShadow(number, from: old, to: form)
    }

    /// Forgets that a row's table form was not its own state.
    func deleteShadow(_ plan: TablePlan, key: ValueRef) throws {
        let number = plan.definition.number
        guard self.ledger.tables[number]?.shadows ?? 0 > 0, let old = try self.shadowForm(plan, key: key) else {
            return
        }
        for table in ["clinicsync_shadow", "clinicsync_claim"] {
            try self.connection.statement("DELETE FROM \(table) WHERE tableId = ?1 AND pk = ?2")
                .bind(1, number)
                .bind(2, key)
                .run()
        }
        self.countShadow(number, from: old, to: nil)
    }

    private func countShadow(_ number: Int, from old: ShadowForm?, to new: ShadowForm?) {
        let difference = (new == nil ? 0 : 1) - (old == nil ? 0 : 1)
        self.ledger.shadows += difference
        self.ledger.tables[number]?.shadows += difference
        self.ledger.orphans += (new == .waiting ? 1 : 0) - (old == .waiting ? 1 : 0)
    }

    /// Keeps a changed state for the projection, which works out the row's form.
    func stash(
        _ plan: TablePlan,
        _ state: RowState,
        key: ValueRef,
        before: Located,
        cause: ProjectionQueue.Cause?
    ) throws {
        self.enqueue(plan, before: before, cause: cause)
        let row = RowName(table: plan.definition.number, key: state.key)
        var form = before.residence.meta == nil ? ShadowForm.waiting : .shown
        switch before.residence {
        case .shadow(_, let present):
            form = present
            self.projection.add(row, ProjectionQueue.Entry(claims: try self.indexedClaims(row)))
        case .tombstone:
            try self.forgetTombstone(plan, key: key)
        case .absent, .row: break
        }
        try self.writeShadow(plan, state, key: key, form: form)
        try self.index(row, claims: self.plainClaims(plan, state))
    }

    // MARK: - Claims

    /// The claims and references of a row's own state, as if no other row had a say.
    func plainClaims(_ plan: TablePlan, _ state: RowState) throws -> Set<ClaimName> {
        let values = self.values(plan, of: state)
        return try self.claims(plan, values: values).union(self.references(plan, state))
    }

    /// The unique keys that a row with these values claims.
    func claims(_ plan: TablePlan, values: [SQLiteValue]) throws -> Set<ClaimName> {
        var claims: Set<ClaimName> = []
        for rule in plan.uniqueRules {
            if let claim = try self.claim(plan, rule, values: values) { claims.insert(claim) }
        }
        return claims
    }

    /// The key of one UNIQUE that a row with these values claims; `nil` when it claims none.
    func claim(_ plan: TablePlan, _ rule: UniqueRule, values: [SQLiteValue]) throws -> ClaimName? {
        guard let key = rule.key(values), try self.counts(plan, rule, values: values) else { return nil }
        return ClaimName(table: plan.definition.number, rule: rule.number, value: key)
    }

    /// Whether a partial index counts a row with these values.
    private func counts(_ plan: TablePlan, _ rule: UniqueRule, values: [SQLiteValue]) throws -> Bool {
        guard let sql = rule.predicateSQL else { return true }
        let statement = try self.connection.statement(sql)
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

    /// The claims that are indexed for a row.
    func indexedClaims(_ row: RowName) throws -> Set<ClaimName> {
        var claims: Set<ClaimName> = []
        try self.connection.statement("SELECT rule, value FROM clinicsync_claim WHERE tableId = ?1 AND pk = ?2")
            .bind(1, row.table)
            .bind(2, row.key)
            .forEach { claims.insert(ClaimName(table: row.table, rule: $0.int(0), value: $0.ref(1).value)) }
        return claims
    }

    /// Makes the index hold exactly these claims of a row.
    func index(_ row: RowName, claims: Set<ClaimName>) throws {
        let present = try self.indexedClaims(row)
        for claim in present.subtracting(claims) {
            try self.connection
                .statement("DELETE FROM clinicsync_claim WHERE tableId = ?1 AND rule = ?2 AND value = ?3 AND pk = ?4")
                .bind(1, row.table)
                .bind(2, claim.rule)
                .bind(3, claim.value)
                .bind(4, row.key)
                .run()
        }
        for claim in claims.subtracting(present) {
            try self.connection.statement(
                "INSERT INTO clinicsync_claim (tableId, rule, value, pk) VALUES (?1, ?2, ?3, ?4)"
            )
            .bind(1, row.table)
            .bind(2, claim.rule)
            .bind(3, claim.value)
            .bind(4, row.key)
            .run()
        }
    }

    /// The rows in the shadows that lay a claim.
    func shadows(claiming claim: ClaimName) throws -> [RowName] {
        guard self.ledger.tables[claim.table]?.shadows ?? 0 > 0 else { return [] }
        var rows: [RowName] = []
        try self.connection
            .statement("SELECT pk FROM clinicsync_claim WHERE tableId = ?1 AND rule = ?2 AND value = ?3")
            .bind(1, claim.table)
            .bind(2, claim.rule)
            .bind(3, claim.value)
            .forEach { rows.append(RowName(table: claim.table, key: $0.ref(0).value)) }
        return rows
    }

    /// The row whose table form has a unique key.
    func holder(_ plan: TablePlan, _ rule: UniqueRule, of key: SQLiteValue) throws -> RowName? {
        let statement = try self.connection.statement(rule.holderSQL)
        for (index, value) in try rule.values(ofKey: key).enumerated() { statement.bind(Int32(index + 1), value) }
        return try statement.first { RowName(table: plan.definition.number, key: $0.ref(0).value) }
    }

    // MARK: - The queue

    /// Has the form of a row worked out at the end of the transaction.
    func project(later plan: TablePlan, key: SQLiteValue) {
        self.projection.add(RowName(table: plan.definition.number, key: key))
    }

    /// The same for a row that changes, noting what it was.
    func enqueue(_ plan: TablePlan, before: Located, cause: ProjectionQueue.Cause?) {
        var entry = ProjectionQueue.Entry()
        entry.cause = cause
        switch before.residence {
        case .absent, .tombstone: entry.wasPresent = false
        case .row: entry.wasPresent = true
        case .shadow(_, let form): entry.wasPresent = form.isPresent
        }
        if case .row = before.residence {
            // A predicate that cannot be judged here counts as met: looking at one row more does no harm.
            let values = self.values(plan, of: before.state)
            for rule in plan.uniqueRules {
                guard let key = rule.key(values) else { continue }
                entry.claims.insert(ClaimName(table: plan.definition.number, rule: rule.number, value: key))
            }
        }
        for reference in plan.references {
            guard let value = before.state.value(slot: reference.slot), value != .null else { continue }
            entry.references.insert(RowName(table: reference.parentTable, key: value))
        }
        self.projection.add(RowName(table: plan.definition.number, key: before.state.key), entry)
    }

    /// How much a change of a row has to do with other rows.
    struct Entanglement {
        /// The state goes to the shadows, and the projection decides.
        var isShadow = false
        /// The row is shown as it is, and others are looked at because of it.
        var isQueued = false
    }

    /// Judges a change of a row: most rows have to do with no other.
    func entanglement(
        _ plan: TablePlan,
        _ state: RowState,
        isAlive: Bool,
        before: Located
    ) throws -> Entanglement {
        if case .shadow = before.residence { return Entanglement(isShadow: true) }
        let number = plan.definition.number
        var result = Entanglement()
        if state.deletion != nil {
            let isParent = !self.plans.children(of: number).isEmpty
            if !isAlive, isParent || before.residence.meta == nil {
                return Entanglement(isShadow: isParent, isQueued: true)
            }
            // Kept alive, or an edit that lost: the journal has to say so.
            if isAlive || before.state.deletion != nil || self.hasSurvivors(plan, state) { result.isQueued = true }
        }
        if self.ledger.tables[number]?.shadows ?? 0 > 0 {
            result.isQueued =
                try result.isQueued || self.leavesClaimedKey(plan, state, isAlive: isAlive, before: before)
        }
        if !result.isQueued { result.isQueued = try self.refersToUnsettled(plan, state, before: before) }
        return result
    }

    /// Whether a row gives back or takes a key that a row in the shadows claims.
    private func leavesClaimedKey(
        _ plan: TablePlan,
        _ state: RowState,
        isAlive: Bool,
        before: Located
    ) throws -> Bool {
        let isSameRow = isAlive && before.residence.meta != nil
        for rule in plan.uniqueRules {
            if isSameRow, rule.slots.allSatisfy({ before.state.value(slot: $0) == state.value(slot: $0) }) {
                // A partial index may count the row now and not before, or the other way round.
                guard rule.predicateSQL != nil else { continue }
            }
            for values in [self.values(plan, of: before.state), self.values(plan, of: state)] {
                guard let key = rule.key(values) else { continue }
                for number in [rule.number, rule.number + Projection.wantedRule] {
                    let claim = ClaimName(table: plan.definition.number, rule: number, value: key)
                    if try !self.shadows(claiming: claim).isEmpty { return true }
                }
            }
        }
        return false
    }

    /// Whether a deleted row has edits that its deleters had not seen.
    private func hasSurvivors(_ plan: TablePlan, _ state: RowState) -> Bool {
        guard plan.definition.deletePolicy == .win, let deletion = state.deletion else { return false }
        return state.hasEdits(beyond: deletion.seen)
    }

    private func refersToUnsettled(_ plan: TablePlan, _ state: RowState, before: Located) throws -> Bool {
        for reference in plan.references where self.ledger.tables[reference.parentTable]?.isUnsettled == true {
            for value in Set([state.value(slot: reference.slot), before.state.value(slot: reference.slot)]) {
                guard let value, value != .null else { continue }
                if try self.isUnsettled(RowName(table: reference.parentTable, key: value)) { return true }
            }
        }
        return false
    }

    /// Whether a row is deleted or shows another form than its own.
    func isUnsettled(_ row: RowName) throws -> Bool {
        try ValueRef.with(row.key) { try self.isUnsettled(row.table, $0) }
    }

    /// The same for a key where it lies: rows that arrive ask it of every row they refer to.
    func isUnsettled(_ table: Int, _ key: ValueRef) throws -> Bool {
        guard let entry = self.ledger.tables[table] else { return false }
        if entry.shadows > 0,
            try self.exists("SELECT 1 FROM clinicsync_shadow WHERE tableId = ?1 AND pk = ?2", table, key)
        {
            return true
        }
        guard entry.tombstones > 0 else { return false }
        return try self.exists("SELECT 1 FROM clinicsync_tombstone WHERE tableId = ?1 AND pk = ?2", table, key)
    }

    private func exists(_ sql: String, _ table: Int, _ key: ValueRef) throws -> Bool {
        try self.connection.statement(sql).bind(1, table).bind(2, key).first { _ in true } ?? false
    }
}
