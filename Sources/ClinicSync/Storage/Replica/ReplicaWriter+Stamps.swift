import ClinicSyncCore
import ClinicSyncModel

/// The stamps of own changes, and own parts of counters.
extension ReplicaWriter {
    /// Stamps of what a change replaces.
    struct Known {
        /// The largest; the change's own must exceed it.
        var largest = HybridTimestamp.genesis
        /// The largest of those that others know; no correction may bring the change's own below it.
        var shared = HybridTimestamp.genesis
    }

    /// The stamps of some columns of a row.
    func known(_ meta: RowMeta, slots: UInt64) -> Known {
        var known = Known()
        for slot in slots.setBits {
            let version = meta.version(of: slot)
            let stamp = HybridTimestamp(rawValue: version.timestamp)
            known.largest = max(known.largest, stamp)
            if self.isShared(version) { known.shared = max(known.shared, stamp) }
        }
        return known
    }

    /// The stamps of everything in a row's state.
    func known(_ state: RowState) -> Known {
        Known(largest: state.largestTimestamp, shared: self.sharedFloor(of: state))
    }

    /// The stamp of a change: when it was written, and after everything it replaces.
    func timestamp(_ mark: Mark, after known: HybridTimestamp, offset: Int64) -> HybridTimestamp {
        let now = self.wallClock()
        let written = min(mark.writtenAt, now)
        self.clock.correct(wall: now + offset, toleranceMilliseconds: ReplicaWriter.clockToleranceMilliseconds)
        let stamp =
            now - written < ReplicaWriter.liveMilliseconds
            ? self.clock.tick(wall: written + offset)
            : HybridTimestamp(milliseconds: written + offset)
        return max(stamp, known.successor)
    }

    /// Books the changes of counter columns as this node's own; returns its new totals by slot.
    func countChanges(
        _ plan: TablePlan,
        key: ValueRef,
        slots: UInt64,
        row: Statement,
        sequence: UInt64
    ) throws -> [Int: Int64] {
        guard plan.counterSlots & slots != 0 else { return [:] }
        var totals: [Int: Int64] = [:]
        let others = try self.memberCounters(plan, key: key)
        for slot in (plan.counterSlots & slots).setBits {
            // A program may have stored something that is no integer; it counts as what SQLite makes of it.
            let shown = row.int64(Int32(slot))
            // The row shows the sum over all rows that are one with it.
            var known = others.reduce(Int64(0)) { $1.slot == slot ? $0 &+ $1.total : $0 }
            var own: Int64 = 0
            try self.connection
                .statement("SELECT origin, total FROM clinicsync_counter WHERE tableId = ?1 AND pk = ?2 AND slot = ?3")
                .bind(1, plan.definition.number)
                .bind(2, key)
                .bind(3, slot)
                .forEach { part in
                    known &+= part.int64(1)
                    if part.int(0) == self.ownID { own = part.int64(1) }
                }
            let total = own &+ (shown &- known)
            totals[slot] = total
            try self.connection
                .statement(
                    """
                    INSERT INTO clinicsync_counter (tableId, pk, slot, origin, total, sequence)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                    ON CONFLICT (tableId, pk, slot, origin) DO UPDATE SET total = ?5, sequence = ?6
                    """
                )
                .bind(1, plan.definition.number)
                .bind(2, key)
                .bind(3, slot)
                .bind(4, self.ownID)
                .bind(5, total)
                .bind(6, sequence)
                .run()
        }
        return totals
    }
}
