import ClinicSyncCore
import ClinicSyncModel

/// Keeps the conflict journal: the table `clinicsync_conflict`.
///
/// Every node derives the same entries from what it knows, so entries have the genesis version, as seed rows have: no batch
/// carries them, and they are the edit of no node. An entry that no longer holds is removed without a tombstone, on every node
/// alike. A reconciliation compares the table like any other and brings an entry that a node lacks.
final class ConflictJournal {
    private let rows: RowStates
    private let saver: RowSaver
    private let clock: StoreClock
    private let notes: StoreNotes
    /// The largest value in bytes that other nodes can have.
    private let valueBytesMax: Int
    /// The plan of the journal's table; `nil` in a file from before the journal was replicated.
    var plan: TablePlan? { self.rows.plans[Conflict.table] }

    /// Keeps the journal of the tables of `saver`.
    init(saver: RowSaver, clock: StoreClock, notes: StoreNotes, valueBytesMax: Int) {
        self.rows = saver.rows
        self.saver = saver
        self.clock = clock
        self.notes = notes
        self.valueBytesMax = valueBytesMax
    }

    /// Whether the journal has no entry: all that most transactions need to know of it.
    var isEmpty: Bool { self.plan.map { self.rows.table.rows(of: $0) == 0 } ?? true }

    // MARK: - Entries that follow from states

    /// Makes the journal hold exactly `derived` among the kinds that follow from a row's state.
    ///
    /// Call it at the end of a transaction for each row whose form in the tables was computed again. Entries stay as they are when
    /// nothing about them changed.
    ///
    /// - Parameters:
    ///   - plan: the row's table; tables that nodes fill themselves have no entries.
    ///   - key: the row's key.
    ///   - derived: the entries, all about this row, none of kind ``ConflictKind/value``.
    ///   - events: gets `conflict_recorded` for each entry that was not there.
    ///   - transaction: the transaction.
    /// - Throws: what SQLite reports.
    func settle(
        _ plan: TablePlan,
        key: SQLiteValue,
        derived: [Conflict],
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard self.plan != nil, plan.definition.isClinical else { return }
        guard !derived.isEmpty || !self.isEmpty else { return }
        var wanted = Dictionary(derived.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        var stale: [String] = []
        try transaction
            .statement("SELECT id FROM clinicsync_conflict WHERE tableName = ?1 AND recordId = ?2 AND kind <> 'value'")
            .bind(1, text: plan.definition.name)
            .bind(2, key)
            .forEach { row in
                let id = row.string(0)
                if wanted.removeValue(forKey: id) == nil { stale.append(id) }
            }
        for id in stale { try self.withdraw(id, in: transaction) }
        for (_, conflict) in wanted.sorted(by: { $0.key < $1.key }) {
            try self.enter(conflict, isShown: false, events: &events, in: transaction)
        }
    }

    // MARK: - One entry

    /// Enters a conflict unless the journal has it, or a program deleted it.
    ///
    /// - Parameters:
    ///   - conflict: the entry.
    ///   - isShown: whether the row shows an equal value, so that there is no event.
    ///   - events: gets `conflict_recorded` when there is one.
    ///   - transaction: the transaction.
    /// - Throws: what SQLite reports.
    func enter(
        _ conflict: Conflict,
        isShown: Bool,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard let plan = self.plan else { return }
        let size = ValueRef.with(conflict.value) { $0.byteCount }
        guard size <= self.valueBytesMax else {
            let isNew = try self.enterHere(conflict, plan, in: transaction)
            if isNew, !isShown { events.add(named: self.recorded(conflict)) }
            return
        }
        let derived = conflict.state(plan)
        let before = try self.rows.locate(plan, key: derived.key, on: transaction.connection)
        var state = before.state
        _ = state.merge(derived) { _, _ in true }
        guard before.isAbsent || state != before.state,
            let visible = try self.saver.save(plan, state, from: before, cause: nil, in: transaction),
            visible.operation == .insert, !isShown, !conflict.isDerived(self.rows.plans)
        else { return }
        events.add(named: self.recorded(conflict))
    }

    /// Enters a value that is too large for other nodes, into this PC's table alone; a note says so.
    ///
    /// The node knows nothing of the entry, as of any row that is too large to be sent. So no comparison includes it.
    ///
    /// - Returns: Whether the journal did not have the entry.
    private func enterHere(
        _ conflict: Conflict,
        _ plan: TablePlan,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        let state = conflict.state(plan)
        let values = plan.values(of: state)
        let isNew = try ValueRef.with(state.key) { key in
            guard try !self.rows.isInTable(plan, key: key, on: transaction.connection) else { return false }
            try TableRows().insert(plan, key: key, in: transaction) { $0.bind($1, values[$2]) }
            return true
        }
        guard isNew else { return false }
        let reason = "a lost value larger than \(self.valueBytesMax >> 20) MiB and so on this PC alone: settle it here"
        try self.notes.addLarge(plan, key: state.key, reason: reason, in: transaction)
        return true
    }

    /// Removes an entry that only this PC has, after a person has dealt with it; does nothing about other entries.
    func removeSettled(_ id: String, in transaction: borrowing WriteTransaction) throws {
        guard let plan = self.plan, try self.notes.isLarge(plan, key: .string(id), on: transaction.connection) else {
            return
        }
        try ValueRef.with(.string(id)) { key in
            guard try self.rows.table.meta(plan, key: key, on: transaction.connection) == nil else { return }
            try TableRows().delete(plan, key: key, in: transaction)
        }
        try self.notes.removeLarge(plan, key: .string(id), in: transaction)
    }

    /// Takes an entry out of the journal, with what is known of it.
    func withdraw(_ id: String, in transaction: borrowing WriteTransaction) throws {
        guard let plan = self.plan else { return }
        try ValueRef.with(.string(id)) { key in
            guard let meta = try self.rows.table.meta(plan, key: key, on: transaction.connection) else { return }
            try transaction.statement(plan.sql.delete).bind(1, key).run()
            try self.rows.table.remove(plan, key: key, hash: meta.hash, in: transaction)
        }
    }

    /// The event of an entry: where to look, no value.
    private func recorded(_ conflict: Conflict) -> NamedEvent {
        var details = [
            "id": conflict.id, "kind": conflict.kind.rawValue, "table": conflict.table,
            "recordId": conflict.key.displayText,
        ]
        details["column"] = conflict.column
        return NamedEvent(
            type: "conflict_recorded",
            category: .system,
            recordID: conflict.key.displayText,
            timestamp: HybridTimestamp(milliseconds: self.clock.clinicMilliseconds),
            fields: ["details": .object(details.mapValues(EventValue.text))]
        )
    }

    // MARK: - Entries of a reconciliation

    /// Handles an entry that a reconciliation brought: makes its event, or has the row computed that it should follow from.
    ///
    /// The peer may have the entry only because it knows less, or because one of its programs wrote it.
    func noteForeign(
        _ key: SQLiteValue,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        let found =
            try transaction
            .statement("SELECT \(Conflict.columns) FROM clinicsync_conflict WHERE id = ?1")
            .bind(1, key)
            .first { Conflict($0, from: 0) }
        guard let conflict = found ?? nil else { return }
        guard conflict.kind != .batch else { return events.add(named: self.recorded(conflict)) }
        guard let plan = self.rows.plans[conflict.table], plan.definition.isClinical else { return }
        if conflict.kind.followsFromState {
            // From a row that has not arrived nothing follows. When it arrives the entry may fit, and would never be checked again.
            if try self.rows.locate(plan, key: conflict.key, on: transaction.connection).isAbsent {
                try self.withdraw(conflict.id, in: transaction)
            } else {
                self.saver.enqueue(plan, key: conflict.key)
            }
        } else if try !conflict.isDerived(self.rows.plans) && !self.isShown(conflict, plan: plan, in: transaction) {
            events.add(named: self.recorded(conflict))
        }
    }

    /// Whether the row shows the value that the entry says was lost.
    private func isShown(
        _ conflict: Conflict,
        plan: TablePlan,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        guard let slot = conflict.column.flatMap({ plan.slot(of: $0) }) else { return false }
        return try transaction.statement(plan.sql.select).bind(1, conflict.key)
            .first { $0.ref(Int32(slot)).value == conflict.value } ?? false
    }
}
