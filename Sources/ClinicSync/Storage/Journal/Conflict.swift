import ClinicSyncCore
import ClinicSyncModel

/// An entry of the conflict journal, as every node derives it.
///
/// Two nodes that know the same changes derive equal entries; see ``ConflictJournal`` and ``LostValues``.
struct Conflict: Sendable, Hashable {
    /// A row of another table, or of the same.
    struct Reference: Sendable, Hashable {
        var table: String
        var key: SQLiteValue
    }

    /// What it is about.
    var kind: ConflictKind
    /// The row's table.
    var table: String
    /// The row's key.
    var key: SQLiteValue
    /// The column; `nil` when it is about the row.
    var column: String?
    /// What is not shown; NULL when it is about the row.
    var value: SQLiteValue
    /// Who wrote what is not shown, and when; of a deletion where that is the matter.
    var version: Version
    /// The other row.
    var related: Reference?

    /// Whether the value stands for a whole row that was deleted past the triggers: the row refers to itself.
    var standsForRow: Bool {
        self.kind == .value && self.related == Reference(table: self.table, key: self.key)
    }

    /// 32 hexadecimal digits that name exactly this entry: a hash of all its parts.
    ///
    /// Of everything, so that rows of the journal under one id never differ: they all carry the genesis version, and of rows
    /// of one version a reconciliation takes neither for the newer. Each part is preceded by its kind or length, so that no two
    /// entries have the same bytes.
    var id: String {
        var writer = ByteWriter()
        writer.byte(1)
        writer.string(self.kind.rawValue)
        writer.string(self.table)
        writer.value(self.key)
        writer.byte(self.column == nil ? 0 : 1)
        writer.string(self.column ?? "")
        writer.value(self.value)
        writer.fixed64(self.version.timestamp.rawValue)
        writer.origin(self.version.origin)
        writer.unsigned(self.version.sequence)
        writer.byte(self.related == nil ? 0 : 1)
        writer.string(self.related?.table ?? "")
        writer.value(self.related?.key ?? .null)
        let (low, high) = writer.bytes.withUnsafeBytes { SipHash.hash128($0) }
        return Digest(high: high, low: low).description
    }
}

extension Conflict {
    /// Whether people see nothing of the entry, because programs set its column at each save: no person entered what lost.
    ///
    /// The entry is in the replicated table all the same. So nodes are equal whose rules differ, as those of two versions.
    func isDerived(_ plans: TablePlans) -> Bool {
        guard let column = self.column, !self.standsForRow, let plan = plans[self.table],
            let slot = plan.slot(of: column)
        else { return false }
        return plan.isDerived(slot: slot)
    }
}

// The rows of `clinicsync_conflict`.
extension Conflict {
    /// The table of the entries.
    static let table = "clinicsync_conflict"
    /// The table that entries of kind ``ConflictKind/batch`` name: the log; their key is the batch's name.
    static let batches = "clinicsync_log"
    /// The table of what people decided about them.
    static let resolutions = "clinicsync_resolution"

    /// The columns that ``init(_:from:)`` reads, in its order.
    static let columns =
        "kind, tableName, recordId, columnName, value, origin, sequence, timestamp, relatedTable, relatedId"

    /// The row of ``resolutions`` that says what a person decided about an entry, and on which node.
    static func resolution(
        of id: String,
        kept: String,
        at milliseconds: Int64,
        by node: NodeID
    ) -> [String: SQLiteValue] {
        [
            "id": .string(id), "kept": .string(kept), "resolvedAt": .integer(milliseconds),
            "node": .string(node.description),
        ]
    }

    /// The row of the journal, as a state that every node makes alike.
    func state(_ plan: TablePlan) -> RowState {
        var registers = [RowState.Register?](repeating: nil, count: plan.slotCount)
        func set(_ name: String, _ value: SQLiteValue) {
            guard let slot = plan.slot(of: name) else { return }
            registers[slot] = RowState.Register(value: value, version: .genesis)
        }
        set("kind", .string(self.kind.rawValue))
        set("tableName", .string(self.table))
        set("recordId", self.key)
        set("columnName", self.column.map(SQLiteValue.string) ?? .null)
        set("value", self.value)
        set("origin", .string(self.version.origin.description))
        set("sequence", .integer(Int64(bitPattern: self.version.sequence)))
        set("timestamp", .integer(Int64(bitPattern: self.version.timestamp.rawValue)))
        set("relatedTable", self.related.map { .string($0.table) } ?? .null)
        set("relatedId", self.related?.key ?? .null)
        return RowState(key: .string(self.id), birth: .genesis, registers: registers)
    }

    /// The entry in a row with ``columns`` from `first` on; `nil` when a program wrote something there that is none.
    init?(_ row: Statement, from first: Int32) {
        guard let kind = ConflictKind(rawValue: row.string(first)), let origin = Origin(row.string(first + 5)) else {
            return nil
        }
        var related: Reference?
        if !row.isNull(first + 8) { related = Reference(table: row.string(first + 8), key: row.ref(first + 9).value) }
        self.init(
            kind: kind,
            table: row.string(first + 1),
            key: row.ref(first + 2).value,
            column: row.isNull(first + 3) ? nil : row.string(first + 3),
            value: row.ref(first + 4).value,
            version: Version(
                timestamp: HybridTimestamp(rawValue: row.unsigned(first + 7)),
                origin: origin,
                sequence: min(UInt64(clamping: row.int64(first + 6)), Bounds.sequenceMax)
            ),
            related: related
        )
    }
}

extension Origin {
    /// Reads the text form; `nil` for anything else.
    init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard let node = parts.first.flatMap({ NodeID($0) }) else { return nil }
        switch parts.count {
        case 1: self.init(node: node)
        case 2:
            guard let incarnation = UInt32(parts[1]), incarnation > 0 else { return nil }
            self.init(node: node, incarnation: incarnation)
        default: return nil
        }
    }
}
