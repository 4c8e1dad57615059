import ClinicSyncCore
import ClinicSyncModel

/// Adds a program's insertion or update to a batch, with what it means for the counters of the row.
struct CountedChanges {
    let counters: Counters
    let written: WrittenRows
    let lost: LostValues

    /// What is known of the counters of a row and of the hidden rows that are one with it: a change of them comes later.
    func known(_ plan: TablePlan, key: SQLiteValue, on connection: Connection) throws -> [RowState] {
        let own = try ValueRef.with(key) { try self.written.counters(plan, key: $0, on: connection) }
        return try [own] + self.written.members(plan, key: key, on: connection).map(\.state)
    }

    /// Appends the change.
    ///
    /// - Parameters:
    ///   - kind: insertion or update.
    ///   - mark: the row's table and key.
    ///   - slots: the columns that changed.
    ///   - known: what the node knew of the row; `nil` for a row that its table did not show.
    ///   - unread: the columns of which nothing was read; see ``LostValues/unread``.
    ///   - row: the row as the program left it.
    ///   - version: the change's version.
    ///   - batch: the batch.
    ///   - transaction: the transaction.
    /// - Throws: what SQLite reports.
    func append(
        _ kind: ChangeKind,
        mark: (plan: TablePlan, key: SQLiteValue),
        slots: UInt64,
        known: RowMeta?,
        unread: [Int: UInt32] = [:],
        row: Statement,
        version: Version,
        batch: inout BatchBuilder,
        in transaction: borrowing WriteTransaction
    ) throws {
        let plan = mark.plan
        func replaced(_ settings: [Int: SQLiteValue], in transaction: borrowing WriteTransaction) throws -> [Int:
            UInt32]
        {
            let set = settings.keys.reduce(UInt64(0)) { $0 | 1 << UInt64($1) }
            return try self.lost.replace(
                plan,
                key: mark.key,
                slots: slots & ~plan.counterSlots | set,
                settings: settings,
                known: known,
                unread: unread,
                in: transaction
            )
        }
        try ValueRef.with(mark.key) { key in
            guard plan.counterSlots & slots != 0 else {
                let replaced = try replaced([:], in: transaction)
                batch.chunk.append(
                    kind,
                    plan: plan,
                    key: key,
                    timestamp: version.timestamp,
                    slots: slots,
                    replaced: replaced
                ) { row.ref(Int32($0)) }
                return
            }
            let members = try self.written.members(plan, key: mark.key, on: transaction.connection)
            let booking = try self.counters.book(
                plan,
                key: key,
                slots: slots,
                row: row,
                kind: kind,
                members: members.map(\.state),
                version: version,
                in: transaction
            )
            self.append(
                kind,
                plan,
                key: key,
                slots: slots,
                replaced: try replaced(booking.replaced, in: transaction),
                row: row,
                version: version,
                booking,
                &batch
            )
            for slot in booking.settings.keys.sorted() {
                try self.written.clear(members, of: plan, slot: slot, version: version, batch: &batch, in: transaction)
            }
        }
    }

    /// Appends totals and settings: a column has one place in a change, so a column with both needs two changes.
    private func append(
        _ kind: ChangeKind,
        _ plan: TablePlan,
        key: ValueRef,
        slots: UInt64,
        replaced: [Int: UInt32],
        row: Statement,
        version: Version,
        _ booking: Counters.Booking,
        _ batch: inout BatchBuilder
    ) {
        let settings = booking.settings.sorted { $0.key < $1.key }
        let encoded = PinnedValues(settings.map { .blob($0.value.encoded) })
        let places = Dictionary(settings.enumerated().map { ($0.element.key, $0.offset) }, uniquingKeysWith: { $1 })
        func setting(_ slot: Int) -> ValueRef? { places[slot].map { encoded.refs[$0] } }
        let both = settings.reduce(UInt64(0)) {
            $0 | (booking.totals[$1.key] == nil ? 0 : 1 << UInt64(clamping: $1.key))
        }
        // The number in an insertion is what the counter begins with. Here it is a total.
        let later = kind == .insert ? both : 0
        batch.chunk.append(
            kind,
            plan: plan,
            key: key,
            timestamp: version.timestamp,
            slots: slots & ~later,
            replaced: replaced
        ) { slot in
            if let total = booking.totals[slot] { return .integer(total) }
            return setting(slot) ?? row.ref(Int32(slot))
        }
        guard both != 0 else { return }
        if later != 0 {
            batch.chunk.append(.update, plan: plan, key: key, timestamp: version.timestamp, slots: later) {
                .integer(booking.totals[$0] ?? 0)
            }
        }
        batch.chunk.append(
            .update,
            plan: plan,
            key: key,
            timestamp: version.timestamp,
            slots: both,
            replaced: replaced.filter { both & (1 << UInt64(clamping: $0.key)) != 0 }
        ) { setting($0) ?? .null }
    }
}
