import ClinicSyncCore
import ClinicSyncModel

/// The totals of counter columns by author: the table `clinicsync_counter`.
struct Counters {
    let origins: Origins

    /// Keeps the larger of two totals of one author, by the number of the batch.
    func save(_ plan: TablePlan, _ state: RowState, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        for part in state.counters {
            try transaction
                .statement(
                    """
                    INSERT INTO clinicsync_counter (tableId, pk, slot, origin, total, sequence)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                    ON CONFLICT (tableId, pk, slot, origin) DO UPDATE SET total = ?5, sequence = ?6
                    WHERE sequence < ?6
                    """
                )
                .bind(1, plan.definition.number)
                .bind(2, key)
                .bind(3, part.slot)
                .bind(4, try self.origins.id(of: part.origin, in: transaction))
                .bind(5, part.total)
                .bind(6, part.sequence)
                .run()
        }
    }

    /// Books what a program wrote into counter columns as this node's own change.
    ///
    /// - Parameters:
    ///   - plan: the row's table.
    ///   - key: the row's key.
    ///   - slots: the columns that changed; others than counters are passed over.
    ///   - row: the row as the program left it.
    ///   - members: counters of hidden rows that are one with this row: the row shows the sum over all of them.
    ///   - sequence: the number of the own batch.
    ///   - transaction: the transaction.
    /// - Returns: This node's new totals by slot.
    /// - Throws: what SQLite reports.
    func book(
        _ plan: TablePlan,
        key: ValueRef,
        slots: UInt64,
        row: Statement,
        members: [RowState.CounterPart],
        sequence: UInt64,
        in transaction: borrowing WriteTransaction
    ) throws -> [Int: Int64] {
        var totals: [Int: Int64] = [:]
        for slot in (plan.counterSlots & slots).setBits {
            // A program may have stored something that is no integer; it counts as what SQLite makes of it.
            let shown = row.int64(Int32(slot))
            var known = members.reduce(Int64(0)) { $1.slot == slot ? $0 &+ $1.total : $0 }
            var own: Int64 = 0
            try transaction
                .statement("SELECT origin, total FROM clinicsync_counter WHERE tableId = ?1 AND pk = ?2 AND slot = ?3")
                .bind(1, plan.definition.number)
                .bind(2, key)
                .bind(3, slot)
                .forEach { part in
                    known &+= part.int64(1)
                    if part.int(0) == self.origins.ownID { own = part.int64(1) }
                }
            let total = own &+ (shown &- known)
            totals[slot] = total
            try transaction
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
                .bind(4, self.origins.ownID)
                .bind(5, total)
                .bind(6, sequence)
                .run()
        }
        return totals
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
