import ClinicSyncCore
import ClinicSyncModel

/// Reads row states from the tables: for the writer inside its transactions, for the reader beside it.
struct RowStateLoader {
    let connection: Connection
    /// The origins by their small numbers.
    let origins: [Origin]
    /// The number of an author's newest batch that this node has: nobody can have seen more.
    let existing: (Origin) -> UInt64

    /// A row's own merged state, whatever its table shows; `nil` when nothing is known of it.
    func state(_ plan: TablePlan, key: SQLiteValue) throws -> RowState? {
        try ValueRef.with(key) { key in
            if let state = try self.stored(.shadow, plan, key: key) { return state }
            if let meta = try self.meta(plan, key: key) { return try self.state(plan, key: key, meta: meta) }
            return try self.stored(.tombstone, plan, key: key)
        }
    }

    /// A row's own merged state, with what the node knows of the row that the table shows.
    ///
    /// - Parameters:
    ///   - plan: the row's table.
    ///   - key: the row's key.
    ///   - mayBeShadow: whether rows of the table may show another form than their own.
    /// - Returns: The state, the metadata, and whether the values are those of the table; `nil` when nothing is known of the row.
    /// - Throws: ``OwnDamage``; what SQLite reports.
    func known(
        _ plan: TablePlan,
        key: SQLiteValue,
        mayBeShadow: Bool
    ) throws -> (state: RowState, meta: RowMeta?, isShown: Bool)? {
        try ValueRef.with(key) { key in
            let meta = try self.meta(plan, key: key)
            if mayBeShadow, let state = try self.stored(.shadow, plan, key: key) { return (state, meta, false) }
            if let meta { return (try self.state(plan, key: key, meta: meta), meta, true) }
            return try self.stored(.tombstone, plan, key: key).map { ($0, nil, false) }
        }
    }

    /// What a table shows of a row, with the versions of those values; the row's own state where the table does not show it.
    func shown(_ plan: TablePlan, key: SQLiteValue) throws -> RowState? {
        let state = try ValueRef.with(key) { key in
            try self.meta(plan, key: key).map { try self.state(plan, key: key, meta: $0) }
        }
        return try state ?? self.state(plan, key: key)
    }

    /// The origin with a small number.
    func origin(_ id: Int) throws -> Origin {
        guard self.origins.indices.contains(id) else { throw MalformedRecord(reason: "an author is not known") }
        return self.origins[id]
    }

    /// `version` with its origin's name.
    func global(_ version: LocalVersion) throws -> Version {
        Version(
            timestamp: HybridTimestamp(rawValue: version.timestamp),
            origin: try self.origin(version.origin),
            sequence: version.sequence
        )
    }

    /// The metadata of a visible row.
    ///
    /// - Throws: ``OwnDamage``.
    func meta(_ plan: TablePlan, key: ValueRef) throws -> RowMeta? {
        try OwnDamage.reading(.row, self.place(plan, key)) { try self.readMeta(plan, key: key) }
    }

    /// The place of damage in what the node knows of a row.
    private func place(_ plan: TablePlan, _ key: ValueRef) -> OwnDamage.Place {
        .row(table: plan.definition.number, key: key.value)
    }

    private func readMeta(_ plan: TablePlan, key: ValueRef) throws -> RowMeta? {
        try self.connection
            .query(
                """
                SELECT timestamp, origin, sequence, hash, columns, registers, context
                FROM clinicsync_row WHERE tableId = ?1 AND pk = ?2
                """
            )
            .bind(1, plan.definition.number)
            .bind(2, key)
            .first { row in
                // A stamp that is none counts as genesis: every other wins, on every node.
                let stored: UInt64 = try row.number(0, in: 0...UInt64(Int64.max), "a stamp")
                let timestamp = HybridTimestamp(rawValue: stored).rawValue
                let birth = LocalVersion(timestamp: timestamp, origin: row.int(1), sequence: try row.sequence(2))
                return RowMeta(
                    birth: birth,
                    hash: try Digest(storedBytes: row.blob(3)),
                    columns: try RowMeta.readColumns(row.blob(4)),
                    groups: try RowMeta.readGroups(row.blob(5), birth: stored),
                    context: row.isNull(6) ? nil : row.int(6)
                )
            }
    }

    /// The state of a visible row: values from its table, versions from its metadata.
    func state(_ plan: TablePlan, key: ValueRef, meta: RowMeta) throws -> RowState {
        try OwnDamage.reading(.row, self.place(plan, key)) { try self.readState(plan, key: key, meta: meta) }
    }

    private func readState(_ plan: TablePlan, key: ValueRef, meta: RowMeta) throws -> RowState {
        var state = RowState(
            key: key.value,
            birth: try self.global(meta.birth),
            registers: Array(repeating: nil, count: plan.slotCount),
            deletion: try self.deletion(context: meta.context)
        )
        try self.addCounters(plan, key: key, to: &state)
        _ = try self.connection.query(plan.sql.select).bind(1, key).first { row in
            // A counter is its parts; what the table shows of it is nobody's value, and never conflicts with another.
            for slot in (plan.valueSlots & ~plan.counterSlots).setBits {
                state.registers[slot] = RowState.Register(value: row.ref(Int32(slot)).value, version: state.birth)
            }
        }
        for group in meta.groups {
            let version = try self.global(group.version)
            // The version of a counter is kept with its value: these versions are of what was counted.
            let slots = group.slots & plan.valueSlots & ~plan.counterSlots
            for slot in slots.setBits { state.registers[slot]?.version = version }
        }
        return state
    }

    /// A state kept as bytes, in the tombstones or the shadows.
    func stored(_ table: OwnDamage.Table, _ plan: TablePlan, key: ValueRef) throws -> RowState? {
        try OwnDamage.reading(table, self.place(plan, key)) { try self.readStored(table, plan, key: key) }
    }

    private func readStored(_ table: OwnDamage.Table, _ plan: TablePlan, key: ValueRef) throws -> RowState? {
        let found = try self.connection
            .query("SELECT state, context FROM clinicsync_\(table.rawValue) WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .first { row -> (state: RowState, context: Int?) in
                (try StoredState.decode(row.blob(0), key: key, plan: plan), row.isNull(1) ? nil : row.int(1))
            }
        guard let found else { return nil }
        var state = found.state
        try self.addCounters(plan, key: key, to: &state)
        // The vector is kept apart, once for all deletions of a batch; the state keeps the version.
        if let context = found.context, let deletion = try self.deletion(context: context) {
            let version = max(state.deletion?.version ?? .genesis, deletion.version)
            state.deletion = RowState.Deletion(seen: deletion.seen, version: version)
        }
        return state
    }

    /// Adds what is known of a row's counters to its state.
    ///
    /// - Throws: ``OwnDamage``.
    func addCounters(_ plan: TablePlan, key: ValueRef, to state: inout RowState) throws {
        guard plan.counterSlots != 0 else { return }
        try OwnDamage.reading(.counter, self.place(plan, key)) { try self.readCounters(plan, key: key, into: &state) }
    }

    private func readCounters(_ plan: TablePlan, key: ValueRef, into state: inout RowState) throws {
        var parts: [RowState.CounterPart] = []
        var bases: [RowState.CounterPart] = []
        var settings: [(slot: Int, register: RowState.Register)] = []
        try self.connection
            .query("SELECT slot, origin, total, sequence FROM clinicsync_counter WHERE tableId = ?1 AND pk = ?2")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .forEach { row in
                let (slot, use) = Counters.Use.read(row.int(0))
                let origin = try self.origin(row.int(1))
                let sequence = try row.sequence(3)
                let part = RowState.CounterPart(slot: slot, origin: origin, total: row.int64(2), sequence: sequence)
                switch use {
                case .part: parts.append(part)
                case .base: bases.append(part)
                case .setting:
                    settings.append((slot, try Counters.setting(row.ref(2), origin: origin, sequence: sequence)))
                }
            }
        state.counters = parts.sorted { ($0.slot, $0.origin) < ($1.slot, $1.origin) }
        state.bases = bases.sorted { ($0.slot, $0.origin) < ($1.slot, $1.origin) }
        for setting in settings where state.registers.indices.contains(setting.slot) {
            state.registers[setting.slot] = setting.register
        }
    }

    /// What is known of a row's counters, in a state without anything else.
    func counters(_ plan: TablePlan, key: ValueRef) throws -> RowState {
        let registers = [RowState.Register?](repeating: nil, count: plan.slotCount)
        var state = RowState(key: key.value, birth: .genesis, registers: registers)
        try self.addCounters(plan, key: key, to: &state)
        return state
    }

    /// The deletion kept under a number.
    func deletion(context: Int?) throws -> RowState.Deletion? {
        guard let context else { return nil }
        let deletion = try OwnDamage.reading(.context) { try self.readDeletion(context) }
        // What the deleters had seen is missing: without it a deleted row would be alive again.
        guard let deletion else { throw OwnDamage(.context, "what a deleter had seen is missing") }
        return deletion
    }

    private func readDeletion(_ context: Int) throws -> RowState.Deletion? {
        try self.connection.query("SELECT vector FROM clinicsync_context WHERE id = ?1")
            .bind(1, context)
            .first { row in
                var deletion = try DeletionContexts.decoded(row.blob(0))
                deletion.seen = deletion.seen.withoutImpossible(existing: self.existing)
                return deletion
            }
    }
}
