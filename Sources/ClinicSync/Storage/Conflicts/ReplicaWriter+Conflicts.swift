import ClinicSyncCore
import ClinicSyncModel

/// Deriving the conflict journal.
///
/// Entries are rows of `clinicsync_conflict` under the genesis version, as seed rows are: every node makes the same ones of
/// what it knows, so no batch carries them and nobody's edit made them. One that no longer holds goes without a tombstone, on every
/// node alike. A reconciliation compares the table like any other and brings an entry that a node lacks.
extension ReplicaWriter {
    /// The plan of the journal's table; `nil` in a file of before the journal was replicated.
    var conflictPlan: TablePlan? { self.plans[Conflict.table] }

    /// Whether the journal has no entry: all that most transactions need to know of it.
    var isJournalEmpty: Bool {
        guard let plan = self.conflictPlan else { return true }
        return self.ledger.tables[plan.definition.number]?.rows ?? 0 == 0
    }

    /// Makes the journal hold exactly `derived` among the kinds that follow from a row's state.
    ///
    /// Call it at the end of a transaction for each row whose form in the tables was found anew. Entries stay what they are when
    /// nothing about them changed.
    ///
    /// - Parameters:
    ///   - plan: the row's table; those that nodes fill have no entries.
    ///   - key: the row's key.
    ///   - derived: the entries, all about this row, none of kind ``ConflictKind/value``.
    ///   - events: gets `conflict_recorded` for each entry that was not there.
    /// - Throws: what SQLite says.
    func settleConflicts(
        _ plan: TablePlan,
        key: SQLiteValue,
        derived: [Conflict],
        events: inout EventCollector
    ) throws {
        guard let journal = self.conflictPlan, plan.definition.isClinical else { return }
        guard !derived.isEmpty || !self.isJournalEmpty else { return }
        var wanted = Dictionary(derived.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        var stale: [String] = []
        try self.connection
            .statement("SELECT id FROM clinicsync_conflict WHERE tableName = ?1 AND recordId = ?2 AND kind <> 'value'")
            .bind(1, text: plan.definition.name)
            .bind(2, key)
            .forEach { row in
                let id = row.string(0)
                if wanted.removeValue(forKey: id) == nil { stale.append(id) }
            }
        for id in stale { try self.withdraw(id, from: journal) }
        for (_, conflict) in wanted.sorted(by: { $0.key < $1.key }) {
            try self.enter(conflict, in: journal, isShown: false, events: &events)
        }
    }

    /// Enters a conflict unless it is there, or somebody deleted it.
    ///
    /// - Parameters:
    ///   - conflict: the entry.
    ///   - journal: the journal's plan.
    ///   - isShown: whether the row shows an equal value, so that there is nothing to tell.
    ///   - events: gets `conflict_recorded` when programs are to be told.
    /// - Throws: what SQLite says.
    func enter(
        _ conflict: Conflict,
        in journal: TablePlan,
        isShown: Bool,
        events: inout EventCollector
    ) throws {
        let derived = conflict.state(journal)
        var located = try self.locate(journal, key: derived.key)
        let before = located.state
        _ = located.state.merge(derived) { _, _ in true }
        let was = Located(state: before, residence: located.residence)
        guard located.isAbsent || located.state != before,
            let visible = try self.save(journal, located.state, from: was, cause: nil),
            visible.operation == .insert, !isShown
        else { return }
        events.add(named: self.recorded(conflict))
    }

    /// Takes an entry out of the journal, with what is known of it.
    func withdraw(_ id: String, from journal: TablePlan) throws {
        try ValueRef.with(.string(id)) { key in
            guard let meta = try self.meta(journal, key: key) else { return }
            try self.connection.statement(journal.deleteSQL).bind(1, key).run()
            try self.removeMeta(journal, key: key, hash: meta.hash)
        }
    }

    /// What programs are told of an entry: where to look, no value.
    func recorded(_ conflict: Conflict) -> NamedEvent {
        var details = [
            "id": conflict.id, "kind": conflict.kind.rawValue, "table": conflict.table,
            "recordId": conflict.key.displayText,
        ]
        details["column"] = conflict.column
        return NamedEvent(
            type: "conflict_recorded",
            category: .system,
            recordID: conflict.key.displayText,
            timestamp: HybridTimestamp(milliseconds: self.wallClock() + self.clockOffsetMilliseconds),
            fields: ["details": .object(details.mapValues(EventValue.text))]
        )
    }

    /// Deals with entries that a reconciliation brought: tells of them, and has those that follow from a row's state looked at.
    ///
    /// The peer may have them only because it knows less, or because one of its programs wrote them.
    func noteForeignConflict(_ key: SQLiteValue, events: inout EventCollector) throws {
        let found = try self.connection
            .statement("SELECT \(Conflict.columns) FROM clinicsync_conflict WHERE id = ?1")
            .bind(1, key)
            .first { Conflict($0, from: 0) }
        guard let conflict = found ?? nil, let plan = self.plans[conflict.table], plan.definition.isClinical else {
            return
        }
        if conflict.kind.followsFromState {
            // Of a row that has not come yet nothing follows; when it comes it may fit, and nobody would look at the entry again.
            if try self.locate(plan, key: conflict.key).isAbsent, let journal = self.conflictPlan {
                try self.withdraw(conflict.id, from: journal)
            } else {
                self.project(later: plan, key: conflict.key)
            }
        } else if try !self.isShown(conflict, plan: plan) {
            events.add(named: self.recorded(conflict))
        }
    }

    /// Whether the row shows the value that the entry says was lost.
    private func isShown(_ conflict: Conflict, plan: TablePlan) throws -> Bool {
        guard let slot = conflict.column.flatMap({ plan.slot(of: $0) }) else { return false }
        return try self.connection.statement(plan.selectSQL).bind(1, conflict.key)
            .first { $0.ref(Int32(slot)).value == conflict.value } ?? false
    }
}
