import ClinicSyncCore
import ClinicSyncModel

/// What programs write to rows that have to do with others.
extension ReplicaWriter {
    /// Queues a row that has just been written as it is, if other rows have a say in its form or it in theirs.
    ///
    /// `value` gives the values of its columns.
    func queueIfEntangled(_ plan: TablePlan, key: ValueRef, value: (Int) -> ValueRef) throws {
        for reference in plan.references where self.ledger.tables[reference.parentTable]?.isUnsettled == true {
            let parent = value(reference.slot)
            guard !parent.isNull, try self.isUnsettled(reference.parentTable, parent) else { continue }
            self.project(later: plan, key: key.value)
            return
        }
    }

    /// Queues a row that a program wrote, and those that may take what it gave up.
    func queueWritten(
        _ plan: TablePlan,
        key: ValueRef,
        _ difference: RowDifference,
        slots: UInt64,
        row: Statement
    ) throws {
        let number = plan.definition.number
        try self.queueIfEntangled(plan, key: key) { row.ref(Int32($0)) }
        switch difference {
        case .none, .deleted: return
        case .inserted:
            // It may have been deleted, or hidden, or what others wait for.
            guard self.ledger.tables[number]?.isUnsettled == true || self.ledger.orphans > 0 else { return }
            let row = RowName(table: number, key: key.value)
            self.projection.add(row, ProjectionQueue.Entry(wasPresent: false))
        case .updated(let meta, _):
            if meta.context != nil { self.project(later: plan, key: key.value) }
            guard self.ledger.shadows > 0 else { return }
            if try self.shadowForm(plan, key: key) != nil { self.project(later: plan, key: key.value) }
            if slots & plan.uniqueSlots != 0, self.ledger.tables[number]?.shadows ?? 0 > 0 {
                // It may have taken a key that somebody claims, in the instant in which that was free.
                self.project(later: plan, key: key.value)
            }
            // What it showed before is gone from the table; whoever claims a key that nobody shows is looked at.
            for rule in plan.uniqueRules where rule.mask & slots != 0 { try self.queueFreeClaims(plan, rule) }
            for reference in plan.references where slots & (1 << UInt64(reference.slot)) != 0 {
                try self.queueRevived(reference.parentTable)
            }
        }
    }

    /// Queues rows that claim a key which no row shows.
    func queueFreeClaims(_ plan: TablePlan, _ rule: UniqueRule) throws {
        let number = plan.definition.number
        guard self.ledger.tables[number]?.shadows ?? 0 > 0 else { return }
        var claims: [(SQLiteValue, SQLiteValue)] = []
        try self.connection
            .statement("SELECT value, pk FROM clinicsync_claim WHERE tableId = ?1 AND rule IN (?2, ?3)")
            .bind(1, number)
            .bind(2, rule.number)
            .bind(3, rule.number + Projection.wantedRule)
            .forEach { claims.append(($0.ref(0).value, $0.ref(1).value)) }
        for (value, key) in claims where try self.holder(plan, rule, of: value) == nil {
            self.project(later: plan, key: key)
        }
    }

    private func queueRevived(_ table: Int) throws {
        guard self.ledger.tables[table]?.shadows ?? 0 > 0 else { return }
        try self.connection.statement("SELECT pk FROM clinicsync_shadow WHERE tableId = ?1 AND form = ?2")
            .bind(1, table)
            .bind(2, ShadowForm.revived.rawValue)
            .forEach { self.projection.add(RowName(table: table, key: $0.ref(0).value)) }
    }

    /// Queues a row that a program deleted, as it was.
    func queueDeleted(_ plan: TablePlan, before: Located) throws {
        let hasClaims = self.ledger.shadows > 0
        guard hasClaims || before.state.deletion != nil else { return }
        if case .shadow = before.residence {
            let row = RowName(table: plan.definition.number, key: before.state.key)
            self.projection.add(row, ProjectionQueue.Entry(claims: try self.indexedClaims(row)))
        }
        self.enqueue(plan, before: before, cause: nil)
    }

    /// A program's edit of a row that is not its own state is an edit of that state.
    func mergeIntoShadow(
        _ plan: TablePlan,
        key: SQLiteValue,
        version: LocalVersion,
        slots: UInt64,
        row: Statement,
        isBirth: Bool
    ) throws {
        guard let located = try self.locateShadow(plan, key: key) else { return }
        var state = located.state
        let global = try self.global(version)
        for slot in slots.setBits where plan.counterSlots & (1 << UInt64(slot)) == 0 {
            state.registers[slot] = RowState.Register(value: row.ref(Int32(slot)).value, version: global)
        }
        if isBirth { state.birth = max(state.birth, global) }
        try ValueRef.with(key) { try self.stash(plan, state, key: $0, before: located, cause: nil) }
    }

    /// The row if it is in the shadows.
    ///
    /// Reads no row of the plan's table: the collector's statement stands on one.
    private func locateShadow(_ plan: TablePlan, key: SQLiteValue) throws -> Located? {
        guard try ValueRef.with(key, { try self.shadowForm(plan, key: $0) }) != nil else { return nil }
        return try self.locate(plan, key: key)
    }

    // MARK: - Rows that are one

    /// The hidden rows that are one with the row of this state, as their states are.
    func members(of state: RowState, _ plan: TablePlan) throws -> [Located] {
        guard let rule = plan.mergeRule, self.ledger.tables[plan.definition.number]?.shadows ?? 0 > 0,
            let claim = try self.claim(plan, rule, values: self.values(plan, of: state))
        else { return [] }
        return try self.shadows(claiming: claim).filter { $0.key != state.key }.compactMap { row in
            let located = try self.locate(plan, key: row.key)
            guard case .shadow(_, .merged) = located.residence else { return nil }
            return located
        }
    }

    /// The counters of the hidden rows that are one with this row.
    func memberCounters(_ plan: TablePlan, key: ValueRef) throws -> [RowState.CounterPart] {
        guard plan.mergeRule != nil, self.ledger.tables[plan.definition.number]?.shadows ?? 0 > 0,
            let located = try self.locateShadow(plan, key: key.value)
        else { return [] }
        return try self.members(of: located.state, plan).flatMap(\.state.counters)
    }

    /// A program's edit of the key of rows that are one is an edit of them all: otherwise they would come apart, and the old name
    /// would be back.
    func share(
        _ difference: RowDifference,
        mark: Mark,
        slots: UInt64,
        row: Statement,
        version: LocalVersion,
        batch: inout BatchBuilder
    ) throws {
        let plan = mark.plan
        guard case .updated = difference, let rule = plan.mergeRule, slots & rule.mask != 0,
            self.ledger.tables[plan.definition.number]?.shadows ?? 0 > 0,
            let before = try self.locateShadow(plan, key: mark.key)
        else { return }
        let shared = slots & rule.mask
        let global = try self.global(version)
        for member in try self.members(of: before.state, plan) {
            var state = member.state
            for slot in shared.setBits {
                state.registers[slot] = RowState.Register(value: row.ref(Int32(slot)).value, version: global)
            }
            try ValueRef.with(state.key) { key in
                batch.chunk.append(.update, plan: plan, key: key, timestamp: global.timestamp, slots: shared) {
                    row.ref(Int32($0))
                }
                try self.stash(plan, state, key: key, before: member, cause: nil)
            }
        }
    }

    /// A program's deletion of rows that are one deletes them all.
    func deleteMembers(
        of before: Located,
        _ plan: TablePlan,
        _ members: [Located],
        _ deletion: RowState.Deletion?,
        timestamp: HybridTimestamp,
        builder: inout BatchBuilder?
    ) throws {
        guard let deletion, !members.isEmpty, var batch = builder else { return }
        for member in members {
            var state = member.state
            var seen = state.deletion?.seen ?? VersionVector()
            seen.merge(deletion.seen)
            state.deletion = RowState.Deletion(seen: seen, version: deletion.version)
            try ValueRef.with(state.key) { key in
                batch.chunk.append(.delete, plan: plan, key: key, timestamp: timestamp, slots: 0) { _ in .null }
                try self.stash(plan, state, key: key, before: member, cause: nil)
            }
        }
        builder = batch
    }
}
