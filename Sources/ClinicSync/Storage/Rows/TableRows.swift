import ClinicSyncModel

/// Writes rows into their tables: every statement of the node that changes a row of a replicated table is here or in ``ProgramRows``.
///
/// Columns that only other nodes' tables have stand in `clinicsync_aside`; see ``ColumnDefinition/isAside``.
struct TableRows {
    /// Binds the value of a slot (the last argument) to a parameter of a statement.
    typealias Binding = (_ statement: Statement, _ parameter: Int32, _ slot: Int) -> Void

    /// Inserts a row.
    ///
    /// - Parameters:
    ///   - plan: the table.
    ///   - key: the row's key.
    ///   - others: columns of the table that this node does not know.
    ///   - transaction: the transaction.
    ///   - bind: binds the values by slot.
    /// - Throws: what SQLite reports; nothing is written when a constraint refuses the row.
    func insert(
        _ plan: TablePlan,
        key: ValueRef,
        with others: [LiftedRow.Column] = [],
        in transaction: borrowing WriteTransaction,
        bind: Binding
    ) throws {
        let statement = try transaction.statement(plan.sql.insert(with: others.map(\.name)))
        statement.bind(Int32(plan.keySlot + 1), key)
        for slot in (plan.valueSlots & plan.sql.places.present).setBits {
            bind(statement, Int32(slot + 1), slot)
        }
        for (index, column) in others.enumerated() {
            statement.bind(Int32(clamping: plan.slotCount + index) &+ 1, column.value)
        }
        try statement.run()
        try self.setAside(plan, key: key, slots: plan.valueSlots, in: transaction, bind: bind)
    }

    /// Changes columns of a row.
    ///
    /// - Returns: Whether the table has the row.
    /// - Throws: what SQLite reports.
    @discardableResult
    func update(
        _ plan: TablePlan,
        key: ValueRef,
        slots: UInt64,
        in transaction: borrowing WriteTransaction,
        bind: Binding
    ) throws -> Bool {
        let present = slots & plan.sql.places.present
        var isThere = true
        if present != 0 {
            let statement = try transaction.statement(plan.sql.update(slots: present))
            statement.bind(1, key)
            for (offset, slot) in present.setBits.enumerated() { bind(statement, Int32(offset + 2), slot) }
            try statement.run()
            isThere = transaction.changes > 0
        }
        if isThere { try self.setAside(plan, key: key, slots: slots, in: transaction, bind: bind) }
        return isThere
    }

    /// Deletes a row.
    ///
    /// - Throws: what SQLite reports.
    func delete(_ plan: TablePlan, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement(plan.sql.delete).bind(1, key).run()
        try self.forgetAside(plan, key: key, in: transaction)
    }

    /// Forgets the values that stand aside for a row which is not in its table.
    ///
    /// - Throws: what SQLite reports.
    func forgetAside(_ plan: TablePlan, key: ValueRef, in transaction: borrowing WriteTransaction) throws {
        guard plan.asideSlots | plan.convertingSlots != 0 else { return }
        try transaction.statement(plan.sql.deleteAside).bind(1, key).bind(2, plan.definition.number).run()
    }

    private func setAside(
        _ plan: TablePlan,
        key: ValueRef,
        slots: UInt64,
        in transaction: borrowing WriteTransaction,
        bind: Binding
    ) throws {
        for slot in (slots & plan.asideSlots).setBits {
            let statement =
                try transaction
                .statement(
                    """
                    INSERT INTO clinicsync_aside (tableId, pk, slot, value) VALUES (?1, ?2, ?3, ?4)
                    ON CONFLICT (tableId, pk, slot) DO UPDATE SET value = excluded.value
                    """
                )
                .bind(1, plan.definition.number)
                .bind(2, key)
                .bind(3, slot)
            bind(statement, 4, slot)
            try statement.run()
        }
        for slot in (slots & plan.convertingSlots).setBits {
            try transaction
                .statement(
                    "DELETE FROM clinicsync_aside WHERE tableId = ?1 AND pk = ?2 AND slot = ?3 AND shown IS NOT NULL"
                )
                .bind(1, plan.definition.number)
                .bind(2, key)
                .bind(3, slot)
                .run()
            let statement = try transaction.statement(plan.sql.keepConverted(slot: slot))
                .bind(1, key)
                .bind(2, plan.definition.number)
                .bind(3, slot)
            bind(statement, 4, slot)
            try statement.run()
        }
    }
}
