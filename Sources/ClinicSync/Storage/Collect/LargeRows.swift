import ClinicSyncModel

/// Sets rows aside that are too large to be sent, and new rows whose key is.
///
/// No peer takes a chunk with such a row, or names such a key in a comparison. A peer that refuses a chunk gets nothing that
/// comes after it. So the row stays in its PC's table, a note says so, and everything else goes on. An edit that makes the
/// row smaller is collected like any other.
struct LargeRows {
    let notes: StoreNotes
    /// The values of one change, in bytes; a larger change is not sent.
    let changeBytesMax: Int
    /// A key in bytes; a row with a larger one is not sent.
    let keyBytesMax: Int

    /// Notes a row whose difference is too large to be logged, and removes the note otherwise.
    ///
    /// - Returns: Whether the difference is too large.
    func setAside(
        _ difference: RowDifference,
        mark: Mark,
        row: Statement,
        in transaction: borrowing WriteTransaction
    ) throws -> Bool {
        guard let reason = self.reason(difference, mark.plan, row: row) else {
            try self.notes.removeLarge(mark.plan, key: mark.key, in: transaction)
            return false
        }
        try self.notes.addLarge(mark.plan, key: mark.key, reason: reason, in: transaction)
        return true
    }

    /// Whether a row that differs from what the node knows was noted as too large and still is, so that no write has escaped.
    ///
    /// `changed` gives the columns that differ from what the node knows; `nil` when it knows nothing of the row.
    func isKnown(
        _ plan: TablePlan,
        key: ValueRef,
        row: Statement,
        on connection: Connection,
        changed: () throws -> UInt64?
    ) throws -> Bool {
        guard self.notes.mayHaveLarge, try self.notes.isLarge(plan, key: key.value, on: connection) else {
            return false
        }
        guard let slots = try changed() else {
            return self.hasLargeKey(plan, row: row) || self.isTooLarge(plan.valueSlots, plan, row: row)
        }
        return self.isTooLarge(slots, plan, row: row)
    }

    /// Why a difference is not sent; `nil` when it is.
    ///
    /// An edit of a row whose key is too large is sent: the row came before there was this limit, and other nodes have it.
    private func reason(_ difference: RowDifference, _ plan: TablePlan, row: Statement) -> String? {
        let isTooLarge: Bool
        switch difference {
        case .none: return nil
        case .inserted:
            if self.hasLargeKey(plan, row: row) {
                return "its key is longer than \(self.keyBytesMax) bytes and so on this PC alone: use short keys"
            }
            isTooLarge = self.isTooLarge(plan.valueSlots, plan, row: row)
        case .updated(_, let slots): isTooLarge = self.isTooLarge(slots, plan, row: row)
        }
        guard isTooLarge else { return nil }
        return plan.valueBytesMax.map {
            "larger than \($0 >> 10) KiB and so on this PC alone: the table is the nodes' own"
        } ?? "larger than \(self.changeBytesMax >> 20) MiB and so on this PC alone: keep files out of rows"
    }

    private func hasLargeKey(_ plan: TablePlan, row: Statement) -> Bool {
        switch row.ref(Int32(plan.keySlot)) {
        case .null, .integer, .real: false
        case .text(let bytes), .blob(let bytes): bytes.count > self.keyBytesMax
        }
    }

    private func isTooLarge(_ slots: UInt64, _ plan: TablePlan, row: Statement) -> Bool {
        let sent = plan.unitsTouched(by: slots) | 1 << UInt64(plan.keySlot)
        let valueBytesMax = plan.valueBytesMax ?? .max
        var bytes = 0
        for slot in sent.setBits {
            let size = row.ref(Int32(slot)).byteCount
            if size > valueBytesMax { return true }
            bytes += size
        }
        return bytes > self.changeBytesMax
    }
}
