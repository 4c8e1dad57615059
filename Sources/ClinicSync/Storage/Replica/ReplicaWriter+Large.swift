import ClinicSyncCore
import ClinicSyncModel

/// Rows that are too large to be sent.
///
/// No peer takes a chunk with such a row, and a peer that refuses a chunk gets nothing that comes after it. So the row
/// stays in its PC's table, a note says so, and everything else goes on. An edit that makes it smaller is collected like any other.
extension ReplicaWriter {
    /// Whether a difference is too large to be logged; notes the row then, and removes the note otherwise.
    func setAsideLarge(_ difference: RowDifference, mark: Mark, row: Statement) throws -> Bool {
        guard self.isTooLarge(difference, mark.plan, row: row) else {
            try self.forgetLarge(mark.plan, key: mark.key)
            return false
        }
        let table = mark.plan.definition.name
        let before = self.ledger.waiting
        try self.note(
            .large(table: table, key: mark.key),
            reason:
                "larger than \(self.limits.changeBytesMax >> 20) MiB and so on this PC alone: keep files out of rows"
        )
        self.ledger.large += self.ledger.waiting - before
        return true
    }

    /// Forgets that a row was too large.
    func forgetLarge(_ plan: TablePlan, key: SQLiteValue) throws {
        guard self.ledger.large > 0 else { return }
        let before = self.ledger.waiting
        try self.removeNote(RowName(table: 0, key: StoreNote.large(table: plan.definition.name, key: key).key))
        self.ledger.large -= before - self.ledger.waiting
    }

    /// Whether a row that differs from what is known of it was noted as too large and still is, so that nothing has escaped.
    func isKnownToBeLarge(_ plan: TablePlan, key: ValueRef, row: Statement) throws -> Bool {
        guard self.ledger.large > 0 else { return false }
        let note = StoreNote.large(table: plan.definition.name, key: key.value)
        let isNoted: Bool? = try self.connection
            .statement("SELECT 1 FROM clinicsync_waiting WHERE tableId = 0 AND pk = ?1")
            .bind(1, note.key)
            .first { _ in true }
        guard isNoted == true else { return false }
        let known = try self.meta(plan, key: key)
        let slots = known?.changedSlots(self.hashes, plan: plan)
        return self.isTooLarge(slots ?? plan.valueSlots, plan, row: row)
    }

    /// How many rows of the clinic's tables, or of one, are noted as too large.
    func countLarge(table: String?) throws -> Int {
        guard self.ledger.large > 0 else { return 0 }
        var count = 0
        try self.connection.statement("SELECT pk FROM clinicsync_waiting WHERE tableId = 0 AND typeof(pk) = 'blob'")
            .forEach { row in
                if case .large(let name, _) = StoreNote(key: row.ref(0).value), table == nil || table == name {
                    count += 1
                }
            }
        return count
    }

    private func isTooLarge(_ difference: RowDifference, _ plan: TablePlan, row: Statement) -> Bool {
        switch difference {
        case .none, .deleted: false
        case .inserted: self.isTooLarge(plan.valueSlots, plan, row: row)
        case .updated(_, let slots): self.isTooLarge(slots, plan, row: row)
        }
    }

    private func isTooLarge(_ slots: UInt64, _ plan: TablePlan, row: Statement) -> Bool {
        let sent = plan.unitsTouched(by: slots) | 1 << UInt64(plan.keySlot)
        var bytes = 0
        for slot in sent.setBits {
            switch row.ref(Int32(slot)) {
            case .null, .integer, .real: break
            case .text(let content), .blob(let content): bytes += content.count
            }
        }
        return bytes > self.limits.changeBytesMax
    }
}
