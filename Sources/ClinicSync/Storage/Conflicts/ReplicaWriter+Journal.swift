import ClinicSyncCore
package import ClinicSyncModel

/// Dealing with entries of the conflict journal.
extension ReplicaWriter {
    /// A resolution that is none: ends the transaction with nothing written.
    struct Refused: Error {
        var resolution: JournalResolution
    }

    /// Marks an entry of the journal as dealt with, on every node; with ``JournalChoice/other`` does what lost.
    ///
    /// That is written as a program would write it: it is collected and replicated as this node's edit. Constraints of the
    /// table hold, references to other tables included, though the node's connection does not check those by itself. What
    /// each kind means by it:
    ///
    /// | kind | with `other` |
    /// |---|---|
    /// | `value`, `mergedValue` | the value is written into the row that is shown |
    /// | `overruled` | the value is written, into the row as it was last if it is not there |
    /// | `kept`, `revived` | the row is deleted, and what the DDL says of rows that refer to it is done |
    /// | all others | ``JournalResolution/impossible(_:)``: they end by themselves once their cause is removed |
    ///
    /// Entries that say the same of one column are dealt with together.
    ///
    /// - Parameters:
    ///   - prefix: the beginning of the entry's id, six digits at least.
    ///   - choice: what is to be in the table.
    ///   - isExpected: whether what the row shows now is what the person saw; `nil` when that does not matter.
    /// - Returns: How it ended; post `localCommitNoticed` when something was written.
    /// - Throws: ``StoreError``; nothing was written then.
    package func resolveJournal(
        _ prefix: String,
        keeping choice: JournalChoice,
        isExpected: ((SQLiteValue) -> Bool)? = nil
    ) throws -> JournalResolution {
        do {
            return try self.transaction {
                let reading = JournalReading(plans: self.plans, loader: self.loader)
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
                let hasChanged = choice == .other ? try self.restore(entry) : false
                try self.settle(entry, keeping: choice)
                return .resolved(hasChanged: hasChanged)
            }
        } catch let refused as Refused {
            return refused.resolution
        }
    }

    /// Writes down that an entry, and those that say the same, are dealt with.
    private func settle(_ entry: JournalEntry, keeping choice: JournalChoice) throws {
        guard let resolutions = self.plans[Conflict.resolutions] else { return }
        var ids = [entry.id]
        if entry.kind == .value, let column = entry.column {
            try self.connection
                .statement(
                    """
                    SELECT id, value FROM clinicsync_conflict
                    WHERE tableName = ?1 AND recordId = ?2 AND kind = 'value' AND columnName = ?3
                    """
                )
                .bind(1, text: entry.row.table)
                .bind(2, entry.row.key)
                .bind(3, text: column)
                .forEach { row in
                    if row.ref(1).value == entry.other.value, row.string(0) != entry.id { ids.append(row.string(0)) }
                }
        }
        let now = self.wallClock() + self.clockOffsetMilliseconds
        for id in ids {
            _ = try self.put(resolutions, values: self.resolution(of: id, kept: choice.rawValue, at: now))
        }
    }

    /// Does what lost.
    ///
    /// - Returns: Whether a row shows something else than before.
    private func restore(_ entry: JournalEntry) throws -> Bool {
        guard let plan = self.plans[entry.row.table] else { throw Refused(resolution: .rowGone) }
        switch entry.kind {
        case .value:
            return try self.restoreValue(entry, plan: plan, key: entry.row.key)
        case .mergedValue:
            guard let shown = entry.related, let shownPlan = self.plans[shown.table] else {
                throw Refused(resolution: .rowGone)
            }
            return try self.restoreValue(entry, plan: shownPlan, key: shown.key)
        case .overruled:
            if entry.row.isShown { return try self.restoreValue(entry, plan: plan, key: entry.row.key) }
            return try self.insertAgain(entry, plan: plan)
        case .kept, .revived:
            guard entry.row.isShown else { return false }
            try self.deleteAsProgram(plan, key: entry.row.key)
            return true
        case .renamed, .cleared, .parked, .merged, .cascaded, .detached, .setAside:
            throw Refused(resolution: .impossible(entry))
        }
    }

    /// Writes the value that lost into a row.
    private func restoreValue(_ entry: JournalEntry, plan: TablePlan, key: SQLiteValue) throws -> Bool {
        guard let column = entry.column, let slot = plan.slot(of: column), let current = entry.current else {
            throw Refused(resolution: .rowGone)
        }
        guard current.value != entry.other.value else { return false }
        try self.checkReferences(plan) { $0 == column ? entry.other.value : nil }
        let statement = try self.connection.statement(plan.updateSQL(slots: 1 << UInt64(slot)))
        try self.refusing { try statement.bind(1, key).bind(2, entry.other.value).run() }
        guard self.connection.changes > 0 else { throw Refused(resolution: .rowGone) }
        // The node's own connection fires no capture trigger.
        try ValueRef.with(key) { try self.mark(plan, key: $0) }
        return true
    }

    /// Inserts a deleted row as it was last, with the edit that the deletion overruled.
    private func insertAgain(_ entry: JournalEntry, plan: TablePlan) throws -> Bool {
        let state = try self.locate(plan, key: entry.row.key).state
        guard state.deletion != nil else { throw Refused(resolution: .rowGone) }
        func value(_ slot: Int) -> SQLiteValue {
            if plan.names[slot] == entry.column { return entry.other.value }
            if plan.counterSlots & (1 << UInt64(slot)) != 0 { return .integer(state.counterValue(slot: slot)) }
            return state.value(slot: slot) ?? .null
        }
        try self.checkReferences(plan) { plan.slot(of: $0).map(value) }
        let statement = try self.connection.statement(plan.insertSQL).bind(Int32(plan.keySlot + 1), entry.row.key)
        for slot in plan.valueSlots.setBits { statement.bind(Int32(slot + 1), value(slot)) }
        try self.refusing { try statement.run() }
        try ValueRef.with(entry.row.key) { try self.mark(plan, key: $0) }
        return true
    }

    /// Turns a constraint's no into a resolution.
    func refusing(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let failure as SQLiteFailure where failure.isConstraint {
            throw Refused(resolution: .refused(reason: failure.message))
        }
    }

    /// Refuses references to rows that are not there; `value` gives the values that are to be written, by column.
    private func checkReferences(_ plan: TablePlan, value: (String) -> SQLiteValue?) throws {
        for reference in plan.definition.foreignKeys where reference.columns.count == 1 {
            guard let parent = self.plans[reference.parentTable], let wanted = value(reference.columns[0]),
                wanted != .null
            else { continue }
            let parentColumn = reference.parentColumns.first ?? parent.definition.keyColumn
            let sql = """
                SELECT 1 FROM \(TablePlan.quote(parent.definition.name)) \
                WHERE \(TablePlan.quote(parentColumn)) = ?1
                """
            guard try self.connection.statement(sql).bind(1, wanted).first({ _ in true }) == nil else { continue }
            let reason = "\(reference.columns[0]) refers to a row of \(reference.parentTable) that is gone"
            throw Refused(resolution: .refused(reason: reason))
        }
    }
}
