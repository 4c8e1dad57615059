import ClinicSyncCore
import ClinicSyncModel

/// Reads again what came while its tables or columns were unknown.
final class UnreadReader {
    private let rows: RowStates
    private let log: BatchLog
    private let merger: Merger
    private let notes: StoreNotes
    private let clock: StoreClock
    private var origins: Origins { self.rows.origins }

    /// Reads batches of `log`.
    init(rows: RowStates, log: BatchLog, merger: Merger, notes: StoreNotes, clock: StoreClock) {
        self.rows = rows
        self.log = log
        self.merger = merger
        self.notes = notes
        self.clock = clock
    }

    /// A note of something that was unknown, and what is known of it now.
    struct Unread {
        var key: SQLiteValue
        var detail: UnreadDetail
        /// The table; `nil` when it is still unknown, or no longer there.
        var plan: TablePlan?
        /// The slots of the columns that are known now.
        var slots: UInt64 = 0
        /// Whether something of it is known now that was not then.
        var isReadable = false
        /// Whether nothing of it is unknown any more.
        var isRead = false
    }

    /// The notes of which something is known now.
    func readable(on connection: Connection) throws -> [Unread] {
        try self.notes.unread(on: connection).map { self.unread($0.key, $0.detail) }.filter {
            $0.isReadable || $0.isRead
        }
    }

    private func unread(_ key: SQLiteValue, _ detail: UnreadDetail) -> Unread {
        var note = Unread(key: key, detail: detail)
        note.plan = self.rows.plans.plan(calledElsewhere: detail.table)
        guard let plan = note.plan else {
            note.isRead = !self.rows.plans.isUnknown(table: detail.table)
            return note
        }
        for slot in detail.columns.compactMap({ plan.slot(of: $0) }) { note.slots |= 1 << UInt64(slot) }
        note.isReadable = detail.columns.isEmpty || note.slots != 0
        note.isRead = !detail.columns.contains { plan.isUnknown($0) }
        return note
    }

    /// Merges what is known now.
    ///
    /// The caller has the projection run, and then ``forget(_:in:)``.
    func read(
        _ notes: [Unread],
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        let batches = Dictionary(grouping: notes.filter { $0.detail.batch != nil }, by: \.detail.batch)
        for batch in try self.inOrder(batches.keys.compactMap(\.self), on: transaction.connection) {
            try self.read(batch, batches[batch] ?? [], events: &events, in: transaction)
        }
        for note in notes where note.detail.batch == nil { try self.forgetVersions(note, in: transaction) }
    }

    /// Removes the notes of which nothing is unknown any more.
    func forget(_ notes: [Unread], in transaction: borrowing WriteTransaction) throws {
        for note in notes where note.isRead { try self.notes.remove(key: note.key, in: transaction) }
    }

    /// Batches in the order in which they came, without those that are not in the log.
    private func inOrder(_ batches: [BatchID], on connection: Connection) throws -> [BatchID] {
        var positions: [(UInt64, BatchID)] = []
        for batch in batches {
            guard let id = self.origins.id(of: batch.origin) else { continue }
            let position = try self.log.position(of: id, sequence: batch.sequence, on: connection)
            if let position { positions.append((position, batch)) }
        }
        return positions.sorted { $0.0 < $1.0 }.map(\.1)
    }

    /// Merges what was unknown of one batch when it was applied.
    private func read(
        _ batch: BatchID,
        _ notes: [Unread],
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        let connection = transaction.connection
        guard let id = self.origins.id(of: batch.origin),
            let header = try self.log.header(of: id, sequence: batch.sequence, on: connection)
        else { return }
        var wholeTables: Set<Int> = []
        var slots: [Int: UInt64] = [:]
        var seen = VersionVector()
        for note in notes {
            // No more than there is: the notes are in a file that any program may write.
            seen.merge(note.detail.seen.meet(self.origins.vector))
            guard let number = note.plan?.definition.number else { continue }
            if note.detail.columns.isEmpty { wholeTables.insert(number) }
            slots[number, default: 0] |= note.slots
        }
        let applied = AppliedBatch(id: batch, originID: id, seen: seen, offset: self.clock.offsetMilliseconds)
        // All that was collected on the way; the rows were collected before, so it is nothing.
        var result = MergeResult()
        for chunk in try self.log.chunks(of: id, sequence: batch.sequence, on: connection) {
            try chunk.payload.withUnsafeBytes { payload in
                var reader = try ChangeChunkReader(payload, base: header.timestamp, plans: self.rows.plans)
                while var change = try reader.next() {
                    change.timestamp = change.timestamp.limited(toBatches: seen.total)
                    guard let plan = change.plan else { continue }
                    let values = reader.values
                    if wholeTables.contains(plan.definition.number) {
                        try self.merger.apply(
                            change,
                            plan: plan,
                            values: values,
                            of: applied,
                            events: &events,
                            result: &result,
                            in: transaction
                        )
                    } else if let slots = slots[plan.definition.number], change.kind != .delete {
                        try self.merger.apply(
                            change,
                            only: change.named & slots,
                            plan: plan,
                            values: values,
                            of: applied,
                            events: &events,
                            in: transaction
                        )
                    }
                }
            }
        }
    }

    /// Gives the columns of a row that came by reconciliation the version that every other version beats.
    ///
    /// So the next reconciliation brings their values: what stands for them now is the default.
    private func forgetVersions(_ note: Unread, in transaction: borrowing WriteTransaction) throws {
        guard let plan = note.plan, let row = StoreNote(key: note.key), case .row(_, let key) = row else { return }
        guard var meta = try self.rows.locate(plan, key: key, on: transaction.connection).residence.meta else { return }
        let unwritten = note.slots.setBits.filter { meta.version(of: $0) == meta.birth }
        let slots = unwritten.reduce(UInt64(0)) { $0 | 1 << UInt64($1) } & ~plan.counterSlots
        meta.assign(slots, to: try self.origins.local(.genesis, in: transaction))
        try self.rows.table.replaceVersions(plan, key: key, by: meta, in: transaction)
    }
}
