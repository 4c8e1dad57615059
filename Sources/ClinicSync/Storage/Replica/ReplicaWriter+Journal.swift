package import ClinicSyncModel

/// Dealing with entries of the conflict journal.
extension ReplicaWriter {
    /// A resolution that is none: ends the transaction with nothing written.
    private struct Refused: Error {
        var resolution: JournalResolution
    }

    /// Marks an entry of the journal as dealt with; with ``JournalChoice/other`` writes the value that lost first.
    ///
    /// The value is written as a program would write it: one column of one row, which is collected and replicated as this
    /// node's edit. Constraints of the table hold, references to other tables included, though the node's connection does
    /// not check those by itself.
    ///
    /// - Parameters:
    ///   - id: the entry's number.
    ///   - choice: what is to be in the table.
    ///   - isExpected: whether what the row shows now is what the person saw; `nil` when that does not matter.
    /// - Returns: How it ended; post `localCommitNoticed` when something changed.
    /// - Throws: ``StoreError``; nothing was written then.
    package func resolveJournal(
        _ id: Int64,
        keeping choice: JournalChoice,
        isExpected: ((SQLiteValue) -> Bool)? = nil
    ) throws -> JournalResolution {
        do {
            return try self.transaction {
                guard let entry = try JournalReading.entry(id, plans: self.plans, loader: self.loader) else {
                    throw Refused(resolution: .unknown)
                }
                guard entry.resolvedAt == nil else { throw Refused(resolution: .alreadyResolved) }
                if let isExpected, let current = entry.current, !isExpected(current.value) {
                    throw Refused(resolution: .changedSince)
                }
                let hasChanged = choice == .other ? try self.restore(entry) : false
                try self.connection
                    .statement("UPDATE clinicsync_journal SET resolvedAt = ?2, kept = ?3 WHERE id = ?1")
                    .bind(1, id)
                    .bind(2, self.wallClock())
                    .bind(3, text: choice.rawValue)
                    .run()
                return .resolved(hasChanged: hasChanged)
            }
        } catch let refused as Refused {
            return refused.resolution
        }
    }

    /// Writes the value that lost into its row.
    ///
    /// - Returns: Whether the row shows another value than before.
    private func restore(_ entry: JournalEntry) throws -> Bool {
        guard let plan = self.plans[entry.table], let slot = plan.slot(of: entry.column),
            let key = try self.journalKey(entry.id), entry.current != nil
        else { throw Refused(resolution: .rowGone) }
        guard entry.current?.value != entry.other.value else { return false }
        try self.checkReferences(plan, column: entry.column, value: entry.other.value)
        let statement = try self.connection.statement(plan.updateSQL(slots: 1 << UInt64(slot)))
        do {
            try statement.bind(1, key).bind(2, entry.other.value).run()
        } catch let failure as SQLiteFailure where failure.isConstraint {
            throw Refused(resolution: .refused(reason: failure.message))
        }
        guard self.connection.changes > 0 else { throw Refused(resolution: .rowGone) }
        // The node's own connection fires no capture trigger.
        try ValueRef.with(key) { try self.mark(plan, key: $0) }
        return true
    }

    /// The key of an entry's row, storage class and all.
    private func journalKey(_ id: Int64) throws -> SQLiteValue? {
        try self.connection.statement("SELECT pk FROM clinicsync_journal WHERE id = ?1").bind(1, id)
            .first { $0.ref(0).value }
    }

    /// Refuses a reference to a row that is not there.
    private func checkReferences(_ plan: TablePlan, column: String, value: SQLiteValue) throws {
        guard value != .null else { return }
        for reference in plan.definition.foreignKeys where reference.columns == [column] {
            guard let parent = self.plans[reference.parentTable] else { continue }
            let parentColumn = reference.parentColumns.first ?? parent.definition.keyColumn
            let sql = """
                SELECT 1 FROM \(TablePlan.quote(parent.definition.name)) \
                WHERE \(TablePlan.quote(parentColumn)) = ?1
                """
            guard try self.connection.statement(sql).bind(1, value).first({ _ in true }) == nil else { continue }
            throw Refused(
                resolution: .refused(reason: "\(column) refers to a row of \(reference.parentTable) that is gone")
            )
        }
    }
}
