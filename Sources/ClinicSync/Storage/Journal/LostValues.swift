import ClinicSyncCore
import ClinicSyncModel

/// Keeps the journal's entries for values that lost to concurrent ones.
///
/// Of all writes of one column of one row the newest is shown. Each other write either was the value that the author of a later
/// write had read, and was replaced knowingly, or it is an entry:
///
///     entries = writes − newest − { e : some write w, whose author had seen e, replaced a value equal to e's }
///
/// That depends only on the writes and on what their authors had seen. So the entries are the same on every node, whatever the
/// order in which the writes came. Equal values count as one: two PCs that wrote the same, and a third that changed it later,
/// leave nothing to decide.
///
/// A receiver knows which value the author of a change had read as long as the author's journal had no entry of that column: of
/// all that the author had seen, only that value can still be the newest, or an entry, here. Where the author's journal had
/// entries, the change says which value it replaced, by the value's hash (``ChangeChunkReader/Change/replaced``).
final class LostValues {
    /// What a peer's change did to the columns of a row.
    struct Overwriting {
        /// The change's version.
        var version: Version
        /// What its author had seen, the change's batch included.
        var seen: VersionVector
        /// The hashes of the values that it replaced knowingly, by slot, where the author's journal had entries.
        var replaced: [Int: UInt32]
        /// The columns whose state a reconciliation brought before the change itself.
        ///
        /// The values that it beat were entered then, because what its author had seen was not known yet.
        var known: [Int] = []
        /// The columns in which it replaced a value that its author had seen.
        ///
        /// A reconciliation may have brought an entry of this value before the change.
        var overwritten: [Int] = []

        /// `delta`: the change as a state; `before`: the row's state before it.
        init(
            _ change: ChangeChunkReader.Change,
            delta: RowState,
            of batch: BatchID,
            seen: VersionVector,
            before: RowState
        ) {
            self.version = Version(timestamp: change.timestamp, origin: batch.origin, sequence: batch.sequence)
            self.seen = seen
            self.replaced = change.replaced
            // What is counted in a counter replaces no value.
            for slot in before.registers.indices where delta.value(slot: slot) != nil {
                guard let version = before.registers[slot]?.version else { continue }
                if version == self.version {
                    self.known.append(slot)
                } else if version < self.version, seen.covers(version) {
                    self.overwritten.append(slot)
                }
            }
        }
    }

    /// Stands among the hashes of replaced values for "the author had read nothing".
    ///
    /// As far as its node knows, no program wrote this column. So receivers keep what the change replaces.
    ///
    /// An author that had read a value with just this hash has one entry too many made.
    static let unread = UInt32.max

    /// A column of a row.
    struct Place {
        var plan: TablePlan
        var key: SQLiteValue
        var slot: Int
    }

    private let journal: ConflictJournal
    private let rows: RowStates

    /// Keeps entries in `journal`.
    init(journal: ConflictJournal, rows: RowStates) {
        self.journal = journal
        self.rows = rows
    }

    // MARK: - Changes of peers

    /// Brings the journal in line with a change that was merged.
    ///
    /// - Parameters:
    ///   - losses: the values that lost, as ``RowState/merge(_:hasSeen:)`` returns them.
    ///   - change: the change; `nil` when whole rows were merged, which do not say what their authors replaced.
    ///   - plan: the row's table.
    ///   - state: the row's state afterwards.
    ///   - events: gets `conflict_recorded` for each entry that was not there and differs from what the row shows.
    ///   - transaction: the transaction.
    /// - Returns: The number of values that lost to different ones, without those that nobody entered.
    /// - Throws: what SQLite reports.
    @discardableResult
    func settle(
        _ losses: [RowState.Loss],
        by change: Overwriting?,
        plan: TablePlan,
        state: RowState,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws -> Int {
        let isOverwriting = change.map { !$0.overwritten.isEmpty } ?? false
        guard
            !losses.isEmpty || change?.replaced.isEmpty == false || change?.known.isEmpty == false
                || (isOverwriting && !self.journal.isEmpty)
        else { return 0 }
        let key = state.key
        guard self.journal.plan != nil, plan.definition.isClinical else { return 0 }
        if let change, try self.isListed(plan, key: key, in: transaction) {
            for (slot, hash) in change.replaced where hash != LostValues.unread {
                try self.withdraw(plan, key: key, slot: slot, seen: change, hash: hash, in: transaction)
            }
            let slots = losses.map(\.slot) + change.known + change.overwritten
            for slot in Set(slots).sorted() where change.replaced[slot] == nil {
                try self.withdraw(plan, key: key, slot: slot, seen: change, hash: nil, in: transaction)
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
            try self.journal.enter(conflict, isShown: isShown, events: &events, in: transaction)
            if !isShown, !conflict.isDerived(self.rows.plans) { count += 1 }
        }
        return count
    }

    /// Withdraws the entries of a column that the author of a change had seen; with `hash` only those with such a value.
    private func withdraw(
        _ plan: TablePlan,
        key: SQLiteValue,
        slot: Int,
        seen change: Overwriting,
        hash: UInt32?,
        in transaction: borrowing WriteTransaction
    ) throws {
        for entry in try self.entries(plan, key: key, slot: slot, in: transaction) {
            guard entry.version != change.version, change.seen.covers(entry.version) else { continue }
            if let hash, entry.hash != hash { continue }
            try self.journal.withdraw(entry.id, in: transaction)
        }
    }

    /// An entry of a column.
    private struct LostValue {
        var id: String
        var version: Version
        /// The hash of its value.
        var hash: UInt32
    }

    private func entries(
        _ plan: TablePlan,
        key: SQLiteValue,
        slot: Int,
        in transaction: borrowing WriteTransaction
    ) throws -> [LostValue] {
        guard let column = plan.names[slot] else { return [] }
        var found: [LostValue] = []
        try transaction
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
                let hash = LostValues.shortHash(of: conflict.value)
                found.append(LostValue(id: row.string(0), version: conflict.version, hash: hash))
            }
        return found
    }

    /// The 32 bits of a value's hash that metadata keep.
    private static func shortHash(of value: SQLiteValue) -> UInt32 {
        RowMeta.short(ValueRef.with(value) { RowHashes.column($0) })
    }

    // MARK: - Unmarked changes

    /// What a change replaced whose author had read nothing; see ``unread``.
    ///
    /// - Parameters:
    ///   - change: the change.
    ///   - before: the row's state before it.
    ///   - state: the row's state after it.
    ///   - known: the losses that are known already.
    /// - Returns: The further losses.
    static func losses(
        by change: ChangeChunkReader.Change,
        before: RowState,
        after state: RowState,
        beyond known: [RowState.Loss]
    ) -> [RowState.Loss] {
        (change.slots & (change.plan?.valueSlots ?? 0)).setBits.compactMap { slot in
            guard change.replaced[slot] == LostValues.unread, slot < before.registers.count,
                let loser = before.registers[slot], let winner = state.registers[slot],
                loser.version != winner.version, loser.value != winner.value,
                !known.contains(where: { $0.slot == slot })
            else { return nil }
            return RowState.Loss(slot: slot, loser: loser, winner: winner.version)
        }
    }

    /// Enters a value that stands for a row which is about to be deleted by a change whose author had read nothing of it.
    func keepDeleted(
        by change: ChangeChunkReader.Change,
        plan: TablePlan,
        state: RowState,
        seen: VersionVector,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        for slot in change.replaced.keys.sorted()
        where change.replaced[slot] == LostValues.unread && change.slots & (1 << UInt64(slot)) == 0 {
            // What the author's node did not have is no matter of this deletion: it keeps the row by itself.
            guard slot < state.registers.count, let register = state.registers[slot], seen.covers(register.version)
            else { continue }
            let place = Place(plan: plan, key: state.key, slot: slot)
            try self.keep(register, at: place, isDeleted: true, events: &events, in: transaction)
        }
    }

    /// Enters a value that all nodes had and that an unmarked change or deletion replaces: every node makes the same entry.
    func keep(
        _ register: RowState.Register,
        at place: Place,
        isDeleted: Bool,
        isQuiet: Bool = false,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard self.journal.plan != nil, place.plan.definition.isClinical, let column = place.plan.names[place.slot]
        else { return }
        var conflict = Conflict(
            kind: .value,
            table: place.plan.definition.name,
            key: place.key,
            column: column,
            value: register.value,
            version: register.version
        )
        // A row that refers to itself: with the value, the row comes back.
        if isDeleted { conflict.related = Conflict.Reference(table: conflict.table, key: place.key) }
        try self.journal.enter(conflict, isShown: isQuiet, events: &events, in: transaction)
    }

    /// Enters other nodes' values that stood aside until a program added their column and wrote a value of its own.
    ///
    /// - Returns: By slot, what tells the receivers that the program had not read them.
    func keepAside(
        _ plan: TablePlan,
        key: SQLiteValue,
        _ meta: RowMeta,
        slots: UInt64,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws -> [Int: UInt32] {
        var unread: [Int: UInt32] = [:]
        for slot in (slots & plan.freshSlots).setBits {
            let value =
                try transaction
                .statement(
                    """
                    DELETE FROM clinicsync_aside WHERE tableId = ?1 AND pk = ?2 AND slot = ?3 AND shown IS NULL
                    RETURNING value
                    """
                )
                .bind(1, plan.definition.number)
                .bind(2, key)
                .bind(3, slot)
                .first { $0.ref(0).value }
            guard let value else { continue }
            unread[slot] = LostValues.unread
            let version = try self.rows.origins.global(meta.version(of: slot))
            let place = Place(plan: plan, key: key, slot: slot)
            let register = RowState.Register(value: value, version: version)
            try self.keep(register, at: place, isDeleted: false, events: &events, in: transaction)
        }
        return unread
    }

    /// Enters a value of this node's table that gives way to another and that no version stands for, unless the journal has it.
    ///
    /// Only this node makes the entry. A reconciliation brings it to the others.
    func keep(
        _ value: SQLiteValue,
        at place: Place,
        isShown: Bool,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        guard self.journal.plan != nil, place.plan.definition.isClinical, let column = place.plan.names[place.slot]
        else { return }
        let hash = LostValues.shortHash(of: value)
        let entries = try self.entries(place.plan, key: place.key, slot: place.slot, in: transaction)
        guard !entries.contains(where: { $0.hash == hash }) else { return }
        let origins = self.rows.origins
        let conflict = Conflict(
            kind: .value,
            table: place.plan.definition.name,
            key: place.key,
            column: column,
            value: value,
            version: Version(
                timestamp: HybridTimestamp(milliseconds: self.rows.marks.clock.clinicMilliseconds),
                origin: origins.own,
                // Of no batch so far, so that nobody has seen it and takes it for replaced.
                sequence: origins.sequence(of: origins.ownID) &+ 1
            )
        )
        try self.journal.enter(conflict, isShown: isShown, events: &events, in: transaction)
    }

    /// Whether the journal has a value of this node's table that gave way at a place.
    func hasKept(_ place: Place, in transaction: borrowing WriteTransaction) throws -> Bool {
        try self.entries(place.plan, key: place.key, slot: place.slot, in: transaction)
            .contains { $0.version.origin == self.rows.origins.own }
    }

    // MARK: - Own changes

    /// Brings the journal in line with a change of this node's programs, and returns what its receivers need to do the same.
    ///
    /// - Parameters:
    ///   - plan: the row's table.
    ///   - key: the row's key.
    ///   - slots: the columns that changed; of counters those that were set.
    ///   - settings: what these counters were set to before.
    ///   - known: what the node knew of the row; `nil` for a row that its table did not show.
    ///   - unread: the columns of which nothing was read; see ``unread``.
    ///   - transaction: the transaction.
    /// - Returns: The hashes by slot of the values that were replaced in columns of which the journal had entries, for the chunk.
    /// - Throws: what SQLite reports.
    func replace(
        _ plan: TablePlan,
        key: SQLiteValue,
        slots: UInt64,
        settings: [Int: SQLiteValue],
        known: RowMeta?,
        unread: [Int: UInt32] = [:],
        in transaction: borrowing WriteTransaction
    ) throws -> [Int: UInt32] {
        guard plan.definition.isClinical, try self.isListed(plan, key: key, in: transaction) else { return unread }
        let hashes = try known?.columns ?? self.deletedHashes(plan, key: key, in: transaction)
        var replaced = unread
        for slot in slots.setBits where unread[slot] == nil {
            let entries = try self.entries(plan, key: key, slot: slot, in: transaction)
            guard !entries.isEmpty else { continue }
            let hash = settings[slot].map(LostValues.shortHash) ?? (slot < hashes.count ? hashes[slot] : 0)
            replaced[slot] = hash
            for entry in entries where entry.hash == hash { try self.journal.withdraw(entry.id, in: transaction) }
        }
        return replaced
    }

    /// Whether the journal has an entry for a value of a row.
    private func isListed(_ plan: TablePlan, key: SQLiteValue, in transaction: borrowing WriteTransaction) throws
        -> Bool
    {
        guard !self.journal.isEmpty else { return false }
        return try transaction
            .statement(
                "SELECT 1 FROM clinicsync_conflict WHERE tableName = ?1 AND recordId = ?2 AND kind = 'value' LIMIT 1"
            )
            .bind(1, text: plan.definition.name)
            .bind(2, key)
            .first { _ in true } ?? false
    }

    /// The hash of each column's value of a row that was deleted once and inserted again: its author knew what is in the tombstone.
    private func deletedHashes(
        _ plan: TablePlan,
        key: SQLiteValue,
        in transaction: borrowing WriteTransaction
    ) throws -> [UInt32] {
        try self.rows.locate(plan, key: key, on: transaction.connection).state.registers.map {
            LostValues.shortHash(of: $0?.value ?? .null)
        }
    }
}
