import ClinicSyncCore
import ClinicSyncModel

/// Deals with an entry of the conflict journal as a person decided.
///
/// What that writes is written as a program would write it: it is collected and replicated as this node's edit. Constraints of the
/// table hold, references to other tables included, though the node's connection does not check those by itself.
///
/// | kind | with `other` |
/// |---|---|
/// | `value`, `mergedValue` | the value is written into the row that is shown; of a row that was deleted past the triggers, the row is written |
/// | `overruled` | the value is written, into the row as it was last if its table does not show it |
/// | `kept`, `revived` | the row is deleted, and the DDL's actions for rows that refer to it are done |
/// | all others | ``JournalResolution/impossible(_:)``: they end by themselves once their cause is removed |
struct JournalResolver {
    /// Ends the transaction with nothing written: the entry is not dealt with.
    struct Refused: Error {
        var resolution: JournalResolution
    }

    let programRows: ProgramRows
    let journal: ConflictJournal
    private var rows: RowStates { self.programRows.rows }

    /// Marks an entry as dealt with, on every node; with ``JournalChoice/other`` writes what lost.
    ///
    /// Lost values that people see as one entry are dealt with together.
    ///
    /// - Parameters:
    ///   - prefix: the beginning of the entry's id, six digits at least.
    ///   - choice: what the table must show.
    ///   - isExpected: whether what the row shows now is what the person saw; `nil` when that does not matter.
    ///   - transaction: the transaction.
    /// - Returns: Whether a row was changed.
    /// - Throws: ``Refused``; ``StoreError``.
    func resolve(
        _ prefix: String,
        keeping choice: JournalChoice,
        isExpected: ((SQLiteValue) -> Bool)?,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        let reading = JournalReading(plans: self.rows.plans, loader: self.rows.loader(transaction.connection))
        let entry: JournalEntry
        switch try reading.entry(prefix) {
        case .unknown: throw Refused(resolution: .unknown)
        case .ambiguous: throw Refused(resolution: .ambiguous)
        case .found(let found): entry = found
        }
        guard entry.decision == nil else { throw Refused(resolution: .alreadyResolved) }
        if let isExpected, let current = entry.current, !isExpected(current.value) {
            throw Refused(resolution: .changedSince)
        }
        // Before the lost value is shown.
        let ids = try reading.settled(with: entry)
        let hasChanged = choice == .other ? try self.restore(entry, in: transaction) : false
        try self.settle(ids, keeping: choice, at: self.programRows.clinicMilliseconds, in: transaction)
        return hasChanged
    }

    /// Marks entries as dealt with that are still open, and changes no row.
    ///
    /// - Returns: The number of entries that were open.
    /// - Throws: what SQLite reports.
    func settleOpen(
        _ ids: [String],
        keeping choice: JournalChoice,
        at milliseconds: Int64,
        in transaction: borrowing WriteTransaction
    ) throws -> Int {
        let reading = JournalReading(plans: self.rows.plans, loader: self.rows.loader(transaction.connection))
        let open = try ids.filter { try reading.isOpen($0) }
        try self.settle(open, keeping: choice, at: milliseconds, in: transaction)
        return open.count
    }

    /// Writes down that entries are dealt with.
    private func settle(
        _ ids: [String],
        keeping choice: JournalChoice,
        at milliseconds: Int64,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard let resolutions = self.rows.plans[Conflict.resolutions] else { return }
        let node = self.programRows.origin.node
        for id in ids {
            let values = Conflict.resolution(of: id, kept: choice.rawValue, at: milliseconds, by: node)
            try self.programRows.put(resolutions, values: values, in: transaction)
            try self.journal.removeSettled(id, in: transaction)
        }
    }

    /// Writes what lost.
    ///
    /// - Returns: Whether a row shows something else than before.
    private func restore(_ entry: JournalEntry, in transaction: borrowing WriteTransaction) throws -> Bool {
        if entry.kind == .batch { throw Refused(resolution: .impossible(entry)) }
        guard let plan = self.rows.plans[entry.row.table] else { throw Refused(resolution: .rowGone) }
        switch entry.kind {
        case .value:
            if !entry.row.isShown, entry.standsForRow {
                return try self.insertAgain(entry, plan: plan, in: transaction)
            }
            return try self.restoreValue(entry, plan: plan, key: entry.row.key, in: transaction)
        case .mergedValue:
            guard let shown = entry.related, let shownPlan = self.rows.plans[shown.table] else {
                throw Refused(resolution: .rowGone)
            }
            return try self.restoreValue(entry, plan: shownPlan, key: shown.key, in: transaction)
        case .overruled:
            if entry.row.isShown {
                return try self.restoreValue(entry, plan: plan, key: entry.row.key, in: transaction)
            }
            return try self.insertAgain(entry, plan: plan, in: transaction)
        case .kept, .revived:
            guard entry.row.isShown else { return false }
            try ProgramDeletion(programRows: self.programRows).delete(plan, key: entry.row.key, in: transaction)
            return true
        case .renamed, .cleared, .parked, .merged, .cascaded, .detached, .setAside, .batch:
            throw Refused(resolution: .impossible(entry))
        }
    }

    /// Writes the value that lost into a row.
    private func restoreValue(
        _ entry: JournalEntry,
        plan: TablePlan,
        key: SQLiteValue,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        guard let column = entry.column, let slot = plan.slot(of: column), let current = entry.current else {
            throw Refused(resolution: .rowGone)
        }
        guard current.value != entry.other.value else { return false }
        try self.checkReferences(plan, in: transaction) { $0 == column ? entry.other.value : nil }
        try JournalResolver.refusing {
            try ValueRef.with(key) { key in
                guard try self.rows.isInTable(plan, key: key, on: transaction.connection) else {
                    throw Refused(resolution: .rowGone)
                }
                try TableRows().update(plan, key: key, slots: 1 << UInt64(slot), in: transaction) {
                    statement,
                    place,
                    _ in
                    statement.bind(place, entry.other.value)
                }
            }
        }
        try self.programRows.mark(plan, key: key, in: transaction)
        return true
    }

    /// Inserts a deleted row as it was last, with the edit that the deletion overruled.
    private func insertAgain(
        _ entry: JournalEntry,
        plan: TablePlan,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        let located = try self.rows.locate(plan, key: entry.row.key, on: transaction.connection)
        let state = located.state
        // Of a row whose deletion is forgotten only the entry is left.
        guard state.deletion != nil || located.isAbsent else { throw Refused(resolution: .rowGone) }
        guard located.isAbsent || state.registers.contains(where: { $0 != nil }) else {
            // Its node found the row missing, without a trace in the log.
            throw Refused(resolution: .refused(reason: "this PC has lost the row: settle the entry on another PC"))
        }
        func value(_ slot: Int) -> SQLiteValue {
            if plan.names[slot] == entry.column { return entry.other.value }
            if plan.counterSlots & (1 << UInt64(slot)) != 0 { return state.counterValue(slot: slot) }
            return state.value(slot: slot) ?? .null
        }
        try self.checkReferences(plan, in: transaction) { plan.slot(of: $0).map(value) }
        try JournalResolver.refusing {
            try ValueRef.with(entry.row.key) { key in
                try TableRows().insert(plan, key: key, in: transaction) { $0.bind($1, value($2)) }
            }
        }
        try self.programRows.mark(plan, key: entry.row.key, in: transaction)
        return true
    }

    /// Turns a constraint's refusal into a resolution.
    static func refusing(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let failure as SQLiteFailure where failure.isConstraint {
            throw Refused(resolution: .refused(reason: failure.message))
        }
    }

    /// Refuses references to rows that are not there; `value` gives the values that will be written, by column.
    private func checkReferences(
        _ plan: TablePlan,
        in transaction: borrowing WriteTransaction,
        value: (String) -> SQLiteValue?
    ) throws {
        for reference in plan.definition.foreignKeys where reference.columns.count == 1 {
            guard let parent = self.rows.plans[reference.parentTable], let wanted = value(reference.columns[0]),
                wanted != .null
            else { continue }
            let parentColumn = reference.parentColumns.first ?? parent.definition.keyColumn
            let sql = """
                SELECT 1 FROM \(SQLText.name(parent.definition.name)) \
                WHERE \(SQLText.name(parentColumn)) = ?1
                """
            guard try transaction.statement(sql).bind(1, wanted).first({ _ in true }) == nil else { continue }
            let reason = "\(reference.columns[0]) refers to a row of \(reference.parentTable) that is gone"
            throw Refused(resolution: .refused(reason: reason))
        }
    }
}
