import ClinicSyncModel

/// The journal of before `m0011_journal`, which was each PC's own.
extension ReplicaWriter {
    /// Moves the entries of the old journal, and what people decided about them, and drops it; does nothing where there is none.
    ///
    /// What another PC noted of the same conflicts comes by reconciliation, under the same ids.
    func moveOldJournal() throws {
        guard let journal = self.conflictPlan, let resolutions = self.plans[Conflict.resolutions] else { return }
        let isThere: Bool? = try self.perform {
            try self.connection
                .statement("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'clinicsync_journal'")
                .first { _ in true }
        }
        guard isThere == true else { return }
        try self.transaction {
            // Programs were told of these entries when they came about.
            var events = EventCollector(isLocal: false)
            for old in try self.oldEntries() {
                try self.enter(old.conflict, in: journal, isShown: true, events: &events)
                guard let resolvedAt = old.resolvedAt else { continue }
                let values = self.resolution(of: old.conflict.id, kept: old.kept, at: resolvedAt)
                _ = try self.put(resolutions, values: values)
            }
            try self.connection.execute("DROP TABLE clinicsync_journal")
        }
    }

    /// The row that says that an entry was dealt with on this PC.
    func resolution(of id: String, kept: String, at milliseconds: Int64) -> [String: SQLiteValue] {
        [
            "id": .string(id), "kept": .string(kept), "resolvedAt": .integer(milliseconds),
            "node": .string(self.origin.node.description),
        ]
    }

    private struct OldEntry {
        var conflict: Conflict
        var resolvedAt: Int64?
        var kept: String
    }

    private func oldEntries() throws -> [OldEntry] {
        var entries: [OldEntry] = []
        try self.connection
            .statement(
                """
                SELECT tableId, pk, slot, value, timestamp, origin, sequence, resolvedAt, kept
                FROM clinicsync_journal ORDER BY id
                """
            )
            .forEach { row in
                guard let plan = self.plans[row.int(0)], plan.definition.isClinical,
                    let column = plan.definition.column(slot: row.int(2))?.name
                else { return }
                let version = LocalVersion(timestamp: row.unsigned(4), origin: row.int(5), sequence: row.unsigned(6))
                let conflict = Conflict(
                    kind: .value,
                    table: plan.definition.name,
                    key: row.ref(1).value,
                    column: column,
                    value: row.ref(3).value,
                    version: try self.global(version)
                )
                let resolvedAt = row.isNull(7) ? nil : row.int64(7)
                entries.append(OldEntry(conflict: conflict, resolvedAt: resolvedAt, kept: row.string(8)))
            }
        return entries
    }
}
