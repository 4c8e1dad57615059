import ClinicSyncModel

/// The sizes of values in the tables that nodes fill.
///
/// Any program of any member can write these tables, and every node keeps them. The limits are constants, and they judge a
/// value by its size alone. So every node leaves out the same values, whatever it knows and whenever it sees them.
package enum SystemTableLimits {
    /// The number of rows that are read at a time.
    package static let pageRows = 256
    /// The bytes that are read at a time, about.
    package static let pageBytes = 1 << 20

    /// The largest size of a value in bytes where nothing else is stated: a notice has up to 8 000.
    static let valueBytesMax = 16 << 10

    /// Returns the largest size of a value in bytes; `nil` when only the limit of all rows applies.
    static func valueBytesMax(in table: TableDefinition) -> Int? {
        guard !table.isClinical else { return nil }
        switch table.name {
        // The journal keeps the clinic's own values, which may be as large as a row.
        case "clinicsync_conflict": return nil
        case "clinicsync_grant": return 8 << 10
        case "clinicsync_revocation": return 32 << 10
        // A vector with the authors of a large clinic.
        case "clinicsync_horizon": return 128 << 10
        // The ids of all nodes with spaces between them.
        case "clinicsync_probe_answer": return 64 << 10
        default: return self.valueBytesMax
        }
    }

    /// Returns whether tombstones of a table that nodes fill stay for ever: those about who belongs to the clinic, and what all prune by.
    static func keepsTombstones(_ table: TableDefinition) -> Bool {
        guard !table.isClinical else { return false }
        return switch table.name {
        case "clinicsync_node", "clinicsync_grant", "clinicsync_revocation", "clinicsync_horizon": true
        default: false
        }
    }

    /// Returns whether a table may have the value.
    static func admits(_ value: ValueRef, in plan: TablePlan) -> Bool {
        plan.valueBytesMax.map { value.byteCount <= $0 } ?? true
    }

    /// Returns whether a table may have the value.
    static func admits(_ value: SQLiteValue, in plan: TablePlan) -> Bool {
        guard let limit = plan.valueBytesMax else { return true }
        return switch value {
        case .text(let bytes), .blob(let bytes): bytes.count <= limit
        case .null, .integer, .real: true
        }
    }
}

extension ValueRef {
    /// The bytes of a text or blob; 0 for other values.
    var byteCount: Int {
        switch self {
        case .null, .integer, .real: 0
        case .text(let content), .blob(let content): content.count
        }
    }
}
