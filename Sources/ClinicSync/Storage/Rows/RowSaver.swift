import ClinicSyncCore
import ClinicSyncModel

/// Saves changed states, and queues the rows whose form depends on other rows.
///
/// A row whose form is its own state is shown or hidden at once. Every other row is kept among the shadows and queued; the
/// projection computes its form at the end of the transaction.
final class RowSaver: TransactionPart {
    let rows: RowStates
    let claims: Claims
    private let counters: Counters
    /// The rows whose form must be computed before the transaction ends.
    private(set) var queue = ProjectionQueue()
    /// The numbers of the tables that have lost no rows, as far as this transaction has found out.
    private var wholeTables: Set<Int> = []

    /// Saves into `rows`.
    init(rows: RowStates, claims: Claims, counters: Counters) {
        self.rows = rows
        self.claims = claims
        self.counters = counters
    }

    func memory() -> () -> Void {
        let saved = self.queue
        return { self.queue = saved }
    }

    func didBegin(_ transaction: borrowing WriteTransaction) throws { self.wholeTables = [] }

    /// Takes the queued rows.
    func takeQueue() -> ProjectionQueue {
        defer { self.queue.removeAll() }
        return self.queue
    }

    // MARK: - Saving

    /// Makes the tables show `state` if the row is a plain one: no other row's state influences its form.
    ///
    /// Otherwise the state is kept among the shadows, and the row's form is computed at the end of the transaction, which makes
    /// the event then.
    ///
    /// - Parameters:
    ///   - plan: the row's table.
    ///   - state: the row's state.
    ///   - before: the row as it was.
    ///   - cause: the change that the event of the row is about.
    ///   - isFetched: whether the state has what another node knows of the whole row.
    ///   - transaction: the transaction.
    /// - Returns: What programs see change; `nil` when nothing visible did, or not yet.
    /// - Throws: what SQLite reports.
    func save(
        _ plan: TablePlan,
        _ state: RowState,
        from before: LocatedRow,
        cause: ProjectionQueue.Cause?,
        isFetched: Bool = true,
        in transaction: borrowing WriteTransaction
    ) throws -> VisibleChange? {
        try ValueRef.with(state.key) { key in
            try self.counters.save(plan, state, key: key, in: transaction)
            let isAlive = state.isVisible(plan.definition.deletePolicy)
            let entanglement = try self.entanglement(
                plan,
                state,
                isAlive: isAlive,
                before: before,
                on: transaction.connection
            )
            if entanglement.isShadow {
                try self.stash(plan, state, key: key, before: before, cause: cause, in: transaction)
                return nil
            }
            do {
                let meta = before.residence.meta
                let change =
                    isAlive
                    ? try self.rows.show(
                        plan,
                        state,
                        values: plan.values(of: state),
                        key: key,
                        meta: meta,
                        isFetched: isFetched,
                        in: transaction
                    )
                    : try self.rows.hide(plan, state, key: key, meta: meta, in: transaction)
                if case .tombstone = before.residence, isAlive {
                    try self.rows.tombstones.remove(plan, key: key, in: transaction)
                }
                if entanglement.isQueued { self.enqueue(plan, before: before, cause: cause) }
                return change
            } catch let failure as SQLiteFailure where failure.isConstraint {
                if before.residence.meta == nil, try self.rows.isInTable(plan, key: key, on: transaction.connection),
                    try self.hasLostRows(plan, on: transaction.connection)
                {
                    throw OwnDamage.lostRow(table: plan.definition.number, key: state.key)
                }
                try self.stash(plan, state, key: key, before: before, cause: cause, in: transaction)
                return nil
            }
        }
    }

    /// Whether rows of a table are lost; counts all rows of the table, once a transaction.
    private func hasLostRows(_ plan: TablePlan, on connection: Connection) throws -> Bool {
        let number = plan.definition.number
        guard !self.wholeTables.contains(number) else { return false }
        guard try !self.rows.table.hasLostRows(plan, on: connection) else { return true }
        self.wholeTables.insert(number)
        return false
    }

    /// Keeps what is known of a row's counters.
    func saveCounters(
        _ plan: TablePlan,
        _ state: RowState,
        key: ValueRef,
        in transaction: borrowing WriteTransaction
    ) throws {
        try self.counters.save(plan, state, key: key, in: transaction)
    }

    /// Keeps what a row's counters are set to, with other versions than before.
    func saveCounterSettings(
        _ plan: TablePlan,
        _ state: RowState,
        key: ValueRef,
        in transaction: borrowing WriteTransaction
    ) throws {
        try self.counters.saveSettings(plan, state, key: key, in: transaction)
    }

    /// Keeps a changed state for the projection, which computes the row's form.
    func stash(
        _ plan: TablePlan,
        _ state: RowState,
        key: ValueRef,
        before: LocatedRow,
        cause: ProjectionQueue.Cause?,
        in transaction: borrowing WriteTransaction
    ) throws {
        self.enqueue(plan, before: before, cause: cause)
        let row = RowName(table: plan.definition.number, key: state.key)
        var form = before.residence.meta == nil ? ShadowForm.waiting : .shown
        switch before.residence {
        case .shadow(_, let present):
            form = present
            let claims = try self.claims.indexed(row, on: transaction.connection)
            self.queue.add(row, ProjectionQueue.Entry(claims: claims))
        case .tombstone:
            try self.rows.tombstones.remove(plan, key: key, in: transaction)
        case .absent, .row: break
        }
        try self.rows.shadows.write(plan, state, key: key, form: form, in: transaction)
        let claims = try self.claims.plain(plan, state, on: transaction.connection)
        try self.claims.index(row, claims: claims, in: transaction)
    }

    // MARK: - The queue

    /// Has the form of a row computed at the end of the transaction.
    func enqueue(_ row: RowName, _ entry: ProjectionQueue.Entry = ProjectionQueue.Entry()) {
        self.queue.add(row, entry)
    }

    /// Has the form of a row computed at the end of the transaction.
    func enqueue(_ plan: TablePlan, key: SQLiteValue) {
        self.queue.add(RowName(table: plan.definition.number, key: key))
    }

    /// Has the form of a row that changes computed at the end of the transaction, noting what the row was.
    func enqueue(_ plan: TablePlan, before: LocatedRow, cause: ProjectionQueue.Cause?) {
        var entry = ProjectionQueue.Entry()
        entry.cause = cause
        switch before.residence {
        case .absent, .tombstone: entry.wasPresent = false
        case .row: entry.wasPresent = true
        case .shadow(_, let form): entry.wasPresent = form.isPresent
        }
        if case .row = before.residence {
            // A predicate that cannot be judged here counts as met: looking at one row more does no harm.
            let values = plan.values(of: before.state)
            for rule in plan.uniqueRules {
                guard let key = rule.key(values) else { continue }
                entry.claims.insert(ClaimName(table: plan.definition.number, rule: rule.number, value: key))
            }
        }
        for reference in plan.references {
            guard let value = before.state.value(slot: reference.slot), value != .null else { continue }
            entry.references.insert(RowName(table: reference.parentTable, key: value))
        }
        self.queue.add(RowName(table: plan.definition.number, key: before.state.key), entry)
    }

    /// Queues a row that was just written as it is, if it refers to a row that is deleted or shows another form.
    ///
    /// `value` gives the values of its columns.
    func enqueueIfEntangled(
        _ plan: TablePlan,
        key: ValueRef,
        on connection: Connection,
        value: (Int) -> ValueRef
    ) throws {
        for reference in plan.references where self.rows.mayBeUnsettled(in: reference.parentTable) {
            let parent = value(reference.slot)
            guard !parent.isNull,
                try self.rows.isUnsettled(reference.parentTable, key: parent, on: connection)
            else { continue }
            self.enqueue(plan, key: key.value)
            return
        }
    }

    // MARK: - Entanglement

    /// How far a change of a row concerns other rows.
    private struct Entanglement {
        /// The state goes to the shadows, and the projection decides.
        var isShadow = false
        /// The row is shown as it is, and the projection looks at other rows because of it.
        var isQueued = false
    }

    /// Judges a change of a row: most changes concern no other row.
    private func entanglement(
        _ plan: TablePlan,
        _ state: RowState,
        isAlive: Bool,
        before: LocatedRow,
        on connection: Connection
    ) throws -> Entanglement {
        if case .shadow = before.residence { return Entanglement(isShadow: true) }
        let number = plan.definition.number
        var result = Entanglement()
        if state.deletion != nil {
            let isParent = !self.rows.plans.children(of: number).isEmpty
            if !isAlive, isParent || before.residence.meta == nil {
                return Entanglement(isShadow: isParent, isQueued: true)
            }
            // Kept alive, or an edit that lost: the journal has to say so.
            if isAlive || before.state.deletion != nil || self.hasSurvivors(plan, state) { result.isQueued = true }
        }
        if !result.isQueued, self.rows.shadows.exist(in: number) {
            result.isQueued = try self.leavesClaimedKey(plan, state, isAlive: isAlive, before: before, on: connection)
        }
        if !result.isQueued {
            result.isQueued = try self.refersToUnsettled(plan, state, before: before, on: connection)
        }
        return result
    }

    /// Whether a row gives back or takes a key that a row in the shadows claims.
    private func leavesClaimedKey(
        _ plan: TablePlan,
        _ state: RowState,
        isAlive: Bool,
        before: LocatedRow,
        on connection: Connection
    ) throws -> Bool {
        let isSameRow = isAlive && before.residence.meta != nil
        for rule in plan.uniqueRules {
            if isSameRow, rule.slots.allSatisfy({ before.state.value(slot: $0) == state.value(slot: $0) }) {
                // A partial index may count the row now and not before, or the other way round.
                guard rule.predicateSQL != nil else { continue }
            }
            for values in [plan.values(of: before.state), plan.values(of: state)] {
                guard let key = rule.key(values) else { continue }
                let claim = ClaimName(table: plan.definition.number, rule: rule.number, value: key)
                for claim in [claim, claim.wanted] {
                    if try !self.rows.shadows.rows(claiming: claim, on: connection).isEmpty { return true }
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

    private func refersToUnsettled(
        _ plan: TablePlan,
        _ state: RowState,
        before: LocatedRow,
        on connection: Connection
    ) throws -> Bool {
        for reference in plan.references where self.rows.mayBeUnsettled(in: reference.parentTable) {
            for value in Set([state.value(slot: reference.slot), before.state.value(slot: reference.slot)]) {
                guard let value, value != .null else { continue }
                let parent = RowName(table: reference.parentTable, key: value)
                if try self.rows.isUnsettled(parent, on: connection) { return true }
            }
        }
        return false
    }
}
