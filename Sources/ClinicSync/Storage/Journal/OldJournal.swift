import ClinicSyncModel

/// The journal from before `m0011_journal`, which each PC had for itself.
struct OldJournal {
    private struct Entry {
        var conflict: Conflict
        var resolvedAt: Int64?
        var kept: String
    }

    let journal: ConflictJournal
    let programRows: ProgramRows
    private var rows: RowStates { self.programRows.rows }

    /// Whether the file still has the old journal.
    func exists(on connection: Connection) throws -> Bool {
        guard self.journal.plan != nil, self.rows.plans[Conflict.resolutions] != nil else { return false }
        return try connection
            .query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'clinicsync_journal'")
            .first { _ in true } ?? false
    }

    /// Moves the entries, and what people decided about them, into the replicated journal, and drops the old one.
    ///
    /// What another PC noted of the same conflicts comes by reconciliation, under the same ids.
    func move(in transaction: borrowing WriteTransaction) throws {
        // Programs received the events of these entries when the entries came about.
        var events = EventCollector(isLocal: false)
        for old in try self.entries(in: transaction) {
            try self.journal.enter(old.conflict, isShown: true, events: &events, in: transaction)
            guard let resolvedAt = old.resolvedAt, let resolutions = self.rows.plans[Conflict.resolutions] else {
                continue
            }
            let values = Conflict.resolution(
                of: old.conflict.id,
                kept: old.kept,
                at: resolvedAt,
                by: self.programRows.origin.node
            )
            try self.programRows.put(resolutions, values: values, in: transaction)
        }
        try transaction.execute("DROP TABLE clinicsync_journal")
    }

    private func entries(in transaction: borrowing WriteTransaction) throws -> [Entry] {
        var entries: [Entry] = []
        try transaction
            .statement(
                """
                SELECT tableId, pk, slot, value, timestamp, origin, sequence, resolvedAt, kept
                FROM clinicsync_journal ORDER BY id
                """
            )
            .forEach { row in
                guard let plan = self.rows.plans[row.int(0)], plan.definition.isClinical,
                    let column = plan.definition.column(slot: row.int(2))?.name
                else { return }
                let version = LocalVersion(
                    timestamp: HybridTimestamp(rawValue: row.unsigned(4)).rawValue,
                    origin: row.int(5),
                    sequence: min(UInt64(clamping: row.int64(6)), Bounds.sequenceMax)
                )
                let conflict = Conflict(
                    kind: .value,
                    table: plan.definition.name,
                    key: row.ref(1).value,
                    column: column,
                    value: row.ref(3).value,
                    version: try self.rows.origins.global(version)
                )
                let resolvedAt = row.isNull(7) ? nil : row.milliseconds(7)
                entries.append(Entry(conflict: conflict, resolvedAt: resolvedAt, kept: row.string(8)))
            }
        return entries
    }
}
