import ClinicSyncCore
import ClinicSyncModel

/// Reading again what came while its tables or columns were unknown.
extension ReplicaWriter {
    /// A note of something that was unknown, and what is known of it now.
    private struct Unread {
        var key: SQLiteValue
        var detail: UnreadDetail
        /// The table; `nil` when it is still unknown, or no more.
        var plan: TablePlan?
        /// The slots of the columns that are known now.
        var slots: UInt64 = 0
        /// Whether something of it is known now that was not then.
        var isReadable = false
        /// Whether nothing of it is unknown any more.
        var isRead = false
    }

    /// Merges what this program knows now and the one before did not, and removes the notes of it.
    func readUnread() throws {
        let readable = try self.perform { try self.unread() }.filter { $0.isReadable || $0.isRead }
        guard !readable.isEmpty else { return }
        // What programs wrote meanwhile must be known before anything is merged into it.
        while try self.collect(clockOffsetMilliseconds: self.clockOffsetMilliseconds).hasMore {}
        try self.transaction {
            try self.countAllAsShared()
            var result = ApplyResult()
            var events = EventCollector(isLocal: false)
            let batches = Dictionary(grouping: readable.filter { $0.detail.batch != nil }, by: \.detail.batch)
            for batch in try self.inOrder(batches.keys.compactMap(\.self)) {
                try self.read(batch, batches[batch] ?? [], events: &events, result: &result)
            }
            for note in readable where note.detail.batch == nil { try self.forgetVersions(note) }
            try self.projectRows(events: &events)
            _ = try self.record(events)
            for note in readable where note.isRead { try self.removeNote(key: note.key) }
        }
    }

    private func unread() throws -> [Unread] {
        var notes: [Unread] = []
        guard try ReplicaWriter.hasTable("clinicsync_unread", self.connection) else { return notes }
        try self.connection.statement("SELECT pk, detail FROM clinicsync_unread ORDER BY pk").forEach { row in
            let detail = try UnreadDetail(row.blob(1))
            var note = Unread(key: row.ref(0).value, detail: detail)
            note.plan = self.plans.plan(calledElsewhere: detail.table)
            guard let plan = note.plan else {
                note.isRead = !self.plans.isUnknown(table: detail.table)
                notes.append(note)
                return
            }
            for slot in detail.columns.compactMap({ plan.slot(of: $0) }) { note.slots |= 1 << UInt64(slot) }
            note.isReadable = detail.columns.isEmpty || note.slots != 0
            note.isRead = !detail.columns.contains { plan.isUnknown($0) }
            notes.append(note)
        }
        return notes
    }

    /// Batches in the order in which they came, without those that are not in the log.
    private func inOrder(_ batches: [BatchID]) throws -> [BatchID] {
        var positions: [(UInt64, BatchID)] = []
        for batch in batches {
            guard let id = self.ledger.id(of: batch.origin) else { continue }
            let position = try self.connection
                .statement("SELECT position FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk = 0")
                .bind(1, id)
                .bind(2, batch.sequence)
                .first { $0.unsigned(0) }
            if let position { positions.append((position, batch)) }
        }
        return positions.sorted { $0.0 < $1.0 }.map(\.1)
    }

    /// Merges of one batch what was unknown when it was applied.
    private func read(
        _ batch: BatchID,
        _ notes: [Unread],
        events: inout EventCollector,
        result: inout ApplyResult
    ) throws {
        guard let id = self.ledger.id(of: batch.origin),
            let header = try self.header(originID: id, sequence: batch.sequence)
        else { return }
        var wholeTables: Set<Int> = []
        var slots: [Int: UInt64] = [:]
        var seen = VersionVector()
        for note in notes {
            seen.merge(note.detail.seen)
            guard let number = note.plan?.definition.number else { continue }
            if note.detail.columns.isEmpty { wholeTables.insert(number) }
            slots[number, default: 0] |= note.slots
        }
        let context = ApplyContext(batch: batch, originID: id, seen: seen, offset: self.clockOffsetMilliseconds)
        for payload in try self.payloads(originID: id, sequence: batch.sequence) {
            try payload.withUnsafeBytes { payload in
                var reader = try ChangeChunkReader(payload, base: header.timestamp, plans: self.plans)
                while let change = try reader.next() {
                    guard let plan = change.plan else { continue }
                    let values = reader.values
                    if wholeTables.contains(plan.definition.number) {
                        try self.apply(
                            change,
                            plan: plan,
                            values: values,
                            context: context,
                            events: &events,
                            result: &result
                        )
                    } else if let slots = slots[plan.definition.number], change.kind != .delete {
                        try self.apply(
                            change,
                            only: change.named & slots,
                            plan: plan,
                            values: values,
                            context: context,
                            events: &events,
                            result: &result
                        )
                    }
                }
            }
        }
    }

    private func payloads(originID id: Int, sequence: UInt64) throws -> [[UInt8]] {
        var payloads: [[UInt8]] = []
        try self.connection
            .statement("SELECT payload FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 ORDER BY chunk")
            .bind(1, id)
            .bind(2, sequence)
            .forEach { payloads.append(Array($0.blob(0))) }
        return payloads
    }

    /// Merges some columns of a change whose others were merged long ago.
    private func apply(
        _ change: ChangeChunkReader.Change,
        only slots: UInt64,
        plan: TablePlan,
        values: [ValueRef],
        context: ApplyContext,
        events: inout EventCollector,
        result: inout ApplyResult
    ) throws {
        guard slots != 0 else { return }
        var located = try self.locate(plan, key: change.key.value)
        guard !located.isAbsent else { return }
        let before = located
        var delta = self.delta(change, plan: plan, values: values, context: context)
        delta.birth = .genesis
        for slot in delta.registers.indices where slots & (1 << UInt64(slot)) == 0 { delta.registers[slot] = nil }
        delta.counters.removeAll { slots & (1 << UInt64($0.slot)) == 0 }
        for slot in slots.setBits {
            // The column's default passed for what the row's author wrote; this is what it wrote.
            guard let theirs = delta.registers[slot], located.state.version(slot: slot) == theirs.version else {
                continue
            }
            located.state.registers[slot] = theirs
        }
        let losses = located.state.merge(delta) { self.ledger.hasSeen($0, $1) }
        result.conflicts += try self.settleValues(losses, by: nil, plan: plan, state: located.state, events: &events)
        guard located.state != before.state else { return }
        let cause = ProjectionQueue.Cause(timestamp: change.timestamp, batch: context.batch)
        guard let visible = try self.save(plan, located.state, from: before, cause: cause) else { return }
        events.add(visible, plan: plan, key: change.key.value, timestamp: change.timestamp, batch: context.batch) {
            located.state.value(slot: $0)
        }
    }

    /// Gives the columns of a row that came by reconciliation the version that every other beats, so that the next
    /// reconciliation brings their values: what passes for them now is the default.
    private func forgetVersions(_ note: Unread) throws {
        guard let plan = note.plan, let row = StoreNote(key: note.key), case .row(_, let key) = row else { return }
        guard var meta = try self.locate(plan, key: key).residence.meta else { return }
        let unwritten = note.slots.setBits.filter { meta.version(of: $0) == meta.birth }
        let slots = unwritten.reduce(UInt64(0)) { $0 | 1 << UInt64($1) } & ~plan.counterSlots
        meta.assign(slots, to: try self.local(.genesis))
        try self.replaceVersions(plan, key: key, by: meta)
    }
}
