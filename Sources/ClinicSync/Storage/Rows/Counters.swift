import ClinicSyncCore
import ClinicSyncModel

/// The counter columns of rows: the table `clinicsync_counter`.
///
/// It has three uses, told apart by the number that is added to the column's slot: see ``Use``. `docs/design/0021-counters.md`
/// describes what they mean.
struct Counters {
    let origins: Origins

    /// What a row of the table is about.
    enum Use: Int {
        /// What an author has counted in all.
        case part = 0
        /// What an author had counted when somebody set the counter who had seen it.
        case base = 64
        /// What an author set the counter to: `total` has the stamp and the value as a BLOB.
        case setting = 128

        /// The number in the table's column `slot`.
        func number(_ slot: Int) -> Int { slot + self.rawValue }

        /// Reads the number in the table's column `slot`.
        static func read(_ number: Int) -> (slot: Int, use: Use) {
            guard number >= Use.base.rawValue else { return (number, .part) }
            let use = number >= Use.setting.rawValue ? Use.setting : .base
            return (number - use.rawValue, use)
        }
    }

    /// What a program's change of counter columns means.
    struct Booking {
        /// This node's new totals by slot.
        var totals: [Int: Int64] = [:]
        /// The columns that are set, by slot, as far as the totals do not say so.
        var settings: [Int: CounterSetting] = [:]
        /// What all columns that are set were set to before, by slot; NULL for a column that was not.
        var replaced: [Int: SQLiteValue] = [:]
    }

    /// What the column of a counter setting holds.
    ///
    /// - Throws: ``MalformedRecord``.
    static func setting(_ stored: ValueRef, origin: Origin, sequence: UInt64) throws -> RowState.Register {
        guard case .blob(let bytes) = stored else { throw MalformedRecord(reason: "a counter's setting is no record") }
        var reader = ByteReader(bytes)
        let timestamp = try reader.timestamp()
        let value = try reader.value().value
        return RowState.Register(
            value: value,
            version: Version(timestamp: timestamp, origin: origin, sequence: sequence)
        )
    }

    // MARK: - Saving

    /// Keeps a row's merged counters; of each author the newest numbers.
    func save(_ plan: TablePlan, _ state: RowState, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        for part in state.counters { try self.write(.part, part, plan, key: key, in: transaction) }
        for base in state.bases { try self.write(.base, base, plan, key: key, in: transaction) }
        try self.saveSettings(plan, state, key: key, in: transaction)
    }

    /// Keeps what a row's counters are set to.
    func saveSettings(
        _ plan: TablePlan,
        _ state: RowState,
        key: ValueRef,
        in transaction: borrowing WriteTransaction
    ) throws {
        for slot in plan.counterSlots.setBits where slot < state.registers.count {
            guard let register = state.registers[slot] else { continue }
            try self.write(register, slot: slot, plan, key: key, in: transaction)
        }
    }

    /// Keeps a part or a base; `isNew`: whatever is there, because one batch may change a row several times.
    private func write(
        _ use: Use,
        _ part: RowState.CounterPart,
        _ plan: TablePlan,
        key: ValueRef,
        isNew: Bool = false,
        in transaction: borrowing WriteTransaction
    ) throws {
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_counter (tableId, pk, slot, origin, total, sequence)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                ON CONFLICT (tableId, pk, slot, origin) DO UPDATE SET total = ?5, sequence = ?6
                WHERE ?7 OR sequence < ?6
                """
            )
            .bind(1, plan.definition.number)
            .bind(2, key)
            .bind(3, use.number(part.slot))
            .bind(4, try self.origins.id(of: part.origin, in: transaction))
            .bind(5, part.total)
            .bind(6, part.sequence)
            .bind(7, isNew ? 1 : 0)
            .run()
    }

    /// Replaces what a column is set to.
    private func write(
        _ register: RowState.Register,
        slot: Int,
        _ plan: TablePlan,
        key: ValueRef,
        in transaction: borrowing WriteTransaction
    ) throws {
        var writer = ByteWriter()
        writer.fixed64(register.version.timestamp.rawValue)
        writer.value(register.value)
        try transaction
            .statement("DELETE FROM clinicsync_counter WHERE tableId = ?1 AND pk = ?2 AND slot = ?3")
            .bind(1, plan.definition.number)
            .bind(2, key)
            .bind(3, Use.setting.number(slot))
            .run()
        try transaction
            .statement(
                "INSERT INTO clinicsync_counter (tableId, pk, slot, origin, total, sequence) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            )
            .bind(1, plan.definition.number)
            .bind(2, key)
            .bind(3, Use.setting.number(slot))
            .bind(4, try self.origins.id(of: register.version.origin, in: transaction))
            .bind(5, blob: writer.bytes)
            .bind(6, register.version.sequence)
            .run()
    }

    // MARK: - A program's change

    /// Books what a program wrote into counter columns as this node's own change.
    ///
    /// A whole number counts as the difference from what the column showed, if it is not 0. The first value of a row, 0, and
    /// anything that is no whole number set the column, and so does the first whole number after it.
    ///
    /// - Parameters:
    ///   - plan: the row's table.
    ///   - key: the row's key.
    ///   - slots: the columns that changed; others than counters are passed over.
    ///   - row: the row as the program left it.
    ///   - kind: insertion or update.
    ///   - members: hidden rows that are one with this row: the row shows the sum over all of them.
    ///   - version: the version of the change.
    ///   - transaction: the transaction.
    /// - Returns: What the change means.
    /// - Throws: what SQLite reports.
    func book(
        _ plan: TablePlan,
        key: ValueRef,
        slots: UInt64,
        row: Statement,
        kind: ChangeKind,
        members: [RowState],
        version: Version,
        in transaction: borrowing WriteTransaction
    ) throws -> Booking {
        var booking = Booking()
        var state = try RowStateLoader(
            connection: transaction.connection,
            origins: self.origins.names,
            existing: { self.origins.sequence(of: $0) }
        )
        .counters(plan, key: key)
        for slot in (plan.counterSlots & slots).setBits {
            let known = CounterGroup([state] + members, slot: slot)
            let written = row.isNull(Int32(slot)) ? .integer(0) : row.ref(Int32(slot)).value
            let isSet = Self.isSet(to: written, from: known, kind)
            if case .integer(let number) = written {
                let own = state.counters.first { $0.slot == slot && $0.origin == version.origin }?.total ?? 0
                // Programs of older versions know the totals alone: a set value is their sum.
                let part = RowState.CounterPart(
                    slot: slot,
                    origin: version.origin,
                    total: own &+ (number &- (isSet ? known.total : known.number ?? known.total)),
                    sequence: version.sequence
                )
                booking.totals[slot] = part.total
                state.counters.removeAll { $0.slot == slot && $0.origin == version.origin }
                state.merge(part)
                try self.write(.part, part, plan, key: key, isNew: true, in: transaction)
            }
            guard isSet else { continue }
            let setting = CounterSetting(value: written, bases: state.counters.filter { $0.slot == slot })
            for base in setting.bases { try self.write(.base, base, plan, key: key, isNew: true, in: transaction) }
            booking.replaced[slot] = state.value(slot: slot) ?? .null
            let register = RowState.Register(value: written, version: version)
            try self.write(register, slot: slot, plan, key: key, in: transaction)
            // Receivers read the same from the insertion of a row that is new.
            if kind == .insert, !known.isKnown, case .integer = written { continue }
            booking.settings[slot] = setting
        }
        return booking
    }

    /// Whether a value sets a counter, and does not count beyond what it showed.
    private static func isSet(to value: SQLiteValue, from known: CounterGroup, _ kind: ChangeKind) -> Bool {
        guard case .integer(let number) = value, let before = known.number else { return true }
        if kind == .insert { return number != 0 || known.isKnown }
        return number == 0 && before != 0
    }

    /// Enters what a seed row shows in its counter columns as the genesis author's total.
    func adoptSeed(
        _ plan: TablePlan,
        key: ValueRef,
        row: Statement,
        in transaction: borrowing WriteTransaction
    ) throws {
        for slot in plan.counterSlots.setBits {
            try transaction
                .statement("INSERT INTO clinicsync_counter VALUES (?1, ?2, ?3, 0, ?4, 0) ON CONFLICT DO NOTHING")
                .bind(1, plan.definition.number)
                .bind(2, key)
                .bind(3, slot)
                .bind(4, row.int64(Int32(slot)))
                .run()
        }
    }
}

/// One counter column of rows that are shown as one row.
struct CounterGroup {
    /// What is shown.
    let value: SQLiteValue
    /// All that was counted, whatever the counters were set to.
    let total: Int64
    /// Whether anything was counted or set.
    let isKnown: Bool

    /// What is shown, if that is a whole number.
    var number: Int64? {
        if case .integer(let number) = self.value { number } else { nil }
    }

    /// Reads the column of `states`: the sum, or the newest value that is no whole number.
    init(_ states: [RowState], slot: Int) {
        var sum: Int64 = 0
        var other: RowState.Register?
        for state in states {
            if case .integer(let number) = state.counterValue(slot: slot) {
                sum &+= number
            } else if let register = state.registers[slot], !(register.version < other?.version ?? .genesis) {
                other = register
            }
        }
        self.value = other?.value ?? .integer(sum)
        self.isKnown = states.contains { state in
            state.value(slot: slot) != nil || state.counters.contains { $0.slot == slot }
        }
        self.total = states.reduce(0) { $1.counters.reduce($0) { $1.slot == slot ? $0 &+ $1.total : $0 } }
    }
}
