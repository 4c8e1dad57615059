import ClinicSyncCore
import ClinicSyncModel

/// Entries for values that lost to concurrent ones.
///
/// Of all writes of one column of one row the newest is shown. Each of the others either was what the author of a later
/// write had before his eyes, and was replaced knowingly, or it is an entry:
///
///     entries = writes − newest − { e : some write w, whose author had seen e, replaced a value equal to e's }
///
/// That depends on nothing but the writes and what their authors had seen, so the entries are the same on every node, in whatever
/// order the writes came. Equal values count as one, so that two PCs that wrote the same, and a third that changed it later, leave
/// nothing to decide.
///
/// What an author had before his eyes every receiver can tell as long as the author's journal had no entry of that column: then of
/// all that he had seen only that value can still be the newest, or an entry, here. Where the journal had entries, his change says
/// which value it was, by its hash (``ChangeChunkReader/Change/replaced``).
extension ReplicaWriter {
    /// What a peer's change did to the columns of a row.
    struct Overwriting {
        /// The change's version.
        var version: Version
        /// What its author had seen, the change's batch included.
        var seen: VersionVector
        /// The hashes of the values it replaced knowingly, by slot, where the author's journal had entries.
        var replaced: [Int: UInt32]
        /// The columns whose state a reconciliation brought before the change itself.
        ///
        /// What it beat was entered then, because nobody could tell yet what its author had seen.
        var known: [Int] = []

        init(_ change: ChangeChunkReader.Change, of context: ApplyContext, before: RowState) {
            let batch = context.batch
            self.version = Version(timestamp: change.timestamp, origin: batch.origin, sequence: batch.sequence)
            self.seen = context.seen
            self.replaced = change.replaced
            for slot in change.slots.setBits where slot < before.registers.count {
                if before.registers[slot]?.version == self.version { self.known.append(slot) }
            }
        }
    }

    /// Brings the journal in line with a change that was merged.
    ///
    /// - Parameters:
    ///   - losses: the values that lost, as ``RowState/merge(_:hasSeen:)`` tells them.
    ///   - change: the change; `nil` when whole rows were merged, which say nothing of what their authors replaced.
    ///   - plan: the row's table.
    ///   - state: the row's state afterwards.
    ///   - events: gets `conflict_recorded` for each entry that was not there and says something else than the row shows.
    /// - Returns: How many values lost to other ones.
    /// - Throws: what SQLite says.
    @discardableResult
    func settleValues(
        _ losses: [RowState.Loss],
        by change: Overwriting?,
        plan: TablePlan,
        state: RowState,
        events: inout EventCollector
    ) throws -> Int {
        guard !losses.isEmpty || change?.replaced.isEmpty == false || change?.known.isEmpty == false else { return 0 }
        let key = state.key
        // Nothing is lost of counters: they add up.
        let losses = losses.filter { plan.counterSlots & (1 << UInt64($0.slot)) == 0 }
        guard let journal = self.conflictPlan, plan.definition.isClinical else { return 0 }
        if let change, !self.isJournalEmpty {
            for (slot, hash) in change.replaced {
                try self.withdrawValues(plan, key: key, slot: slot, seen: change, hash: hash, from: journal)
            }
            for slot in losses.map(\.slot) + change.known where change.replaced[slot] == nil {
                try self.withdrawValues(plan, key: key, slot: slot, seen: change, hash: nil, from: journal)
            }
        }
        var count = 0
        for loss in losses {
            guard let column = plan.names[loss.slot] else { continue }
            let isShown = state.value(slot: loss.slot) == loss.loser.value
            let conflict = Conflict(
                kind: .value,
                table: plan.definition.name,
                key: key,
                column: column,
                value: loss.loser.value,
                version: loss.loser.version
            )
            try self.enter(conflict, in: journal, isShown: isShown, events: &events)
            if !isShown { count += 1 }
        }
        return count
    }

    /// Withdraws the entries of a column that the author of a change had seen, or those of them whose value has that hash.
    private func withdrawValues(
        _ plan: TablePlan,
        key: SQLiteValue,
        slot: Int,
        seen change: Overwriting,
        hash: UInt32?,
        from journal: TablePlan
    ) throws {
        for entry in try self.lostValues(plan, key: key, slot: slot) {
            guard entry.version != change.version, change.seen.covers(entry.version) else { continue }
            if let hash, entry.hash != hash { continue }
            try self.withdraw(entry.id, from: journal)
        }
    }

    /// An entry of a column.
    private struct LostValue {
        var id: String
        var version: Version
        /// The hash of its value.
        var hash: UInt32
    }

    private func lostValues(_ plan: TablePlan, key: SQLiteValue, slot: Int) throws -> [LostValue] {
        guard let column = plan.names[slot] else { return [] }
        var found: [LostValue] = []
        try self.connection
            .statement(
                """
                SELECT id, \(Conflict.columns) FROM clinicsync_conflict
                WHERE tableName = ?1 AND recordId = ?2 AND kind = 'value' AND columnName = ?3
                """
            )
            .bind(1, text: plan.definition.name)
            .bind(2, key)
            .bind(3, text: column)
            .forEach { row in
                guard let conflict = Conflict(row, from: 1) else { return }
                let hash = ReplicaWriter.shortHash(of: conflict.value)
                found.append(LostValue(id: row.string(0), version: conflict.version, hash: hash))
            }
        return found
    }

    /// The 32 bits of a value's hash that metadata keep of it.
    private static func shortHash(of value: SQLiteValue) -> UInt32 {
        RowMeta.short(ValueRef.with(value) { RowHashes.column($0) })
    }

    // MARK: - Own changes

    /// Brings the journal in line with a change of this node's programs, and tells what its receivers must know to do the same.
    ///
    /// - Parameters:
    ///   - plan: the row's table.
    ///   - key: the row's key.
    ///   - slots: the columns that changed; counters have no entries.
    ///   - difference: how the row differs from what was known of it.
    /// - Returns: The hashes by slot of the values that were replaced in columns of which the journal had entries, for the chunk.
    /// - Throws: what SQLite says.
    func replaceValues(
        _ plan: TablePlan,
        key: SQLiteValue,
        slots: UInt64,
        by difference: RowDifference
    ) throws -> [Int: UInt32] {
        guard !self.isJournalEmpty, let journal = self.conflictPlan, plan.definition.isClinical else { return [:] }
        let isListed: Bool? = try self.connection
            .statement(
                "SELECT 1 FROM clinicsync_conflict WHERE tableName = ?1 AND recordId = ?2 AND kind = 'value' LIMIT 1"
            )
            .bind(1, text: plan.definition.name)
            .bind(2, key)
            .first { _ in true }
        guard isListed == true else { return [:] }
        let known = try self.knownHashes(plan, key: key, before: difference)
        var replaced: [Int: UInt32] = [:]
        for slot in slots.setBits {
            let entries = try self.lostValues(plan, key: key, slot: slot)
            guard !entries.isEmpty else { continue }
            let hash = slot < known.count ? known[slot] : 0
            replaced[slot] = hash
            for entry in entries where entry.hash == hash { try self.withdraw(entry.id, from: journal) }
        }
        return replaced
    }

    /// The hash of each column's value as it was known before a program changed the row.
    private func knownHashes(_ plan: TablePlan, key: SQLiteValue, before difference: RowDifference) throws -> [UInt32] {
        switch difference {
        case .updated(let meta, _), .deleted(let meta): meta.columns
        // Deleted once and inserted again: what the author knew is in the tombstone.
        case .none, .inserted:
            try self.locate(plan, key: key).state.registers.map {
                ReplicaWriter.shortHash(of: $0?.value ?? .null)
            }
        }
    }
}
