import ClinicSyncCore
import ClinicSyncModel

/// The rows of a table behind a key, with what the node knows of them, one after the other in the order of their keys.
///
/// One statement reads them all, so that a row costs no search of its own. It serves the rows that one change wrote as a whole.
struct PlainRows {
    private let plan: TablePlan
    private let statement: Statement
    private var hasher = RowHasher()
    /// The values of the present row by slot: references into SQLite's memory.
    private var values: [ValueRef]
    /// Whether the statement is at a row.
    private var isAtRow = false

    /// The place of the first slot in ``TableSQL/selectKnown``.
    private static let firstSlot: Int32 = 8

    /// Begins with the first row behind `after`; call ``end()`` at last.
    ///
    /// - Throws: what SQLite reports.
    init(_ plan: TablePlan, after: SQLiteValue?, on connection: Connection) throws {
        self.plan = plan
        self.values = Array(repeating: .null, count: plan.slotCount)
        // Keys are texts and blobs; every number is smaller.
        self.statement = try connection.query(plan.sql.selectKnown)
            .bind(1, after ?? .integer(0))
            .bind(2, plan.definition.number)
        self.isAtRow = try self.statement.step()
    }

    /// Ends the reading.
    func end() { self.statement.reset() }

    /// Goes on to a key, which must sort behind the keys of earlier calls.
    ///
    /// - Returns: Whether the node knows what the table shows of a row with this key.
    /// - Throws: what SQLite reports.
    mutating func find(_ key: SQLiteValue) throws -> Bool {
        while self.isAtRow {
            let present = self.statement.ref(0)
            if ValueRef.with(key, present.isSame) { return true }
            guard present.value.sortsBefore(key) else { return false }
            self.isAtRow = try self.statement.step()
        }
        return false
    }

    /// The version of all values of the present row; `nil` when they have several, or the entry makes no sense.
    func birth(_ origins: [Origin]) -> Version? {
        let row = self.statement
        guard row.isNull(5), row.isNull(6), let stamp: UInt64 = row.number(1, in: 0...UInt64(Int64.max)),
            let author: Int = row.number(2, in: 0...Int(Int32.max)), origins.indices.contains(author),
            let sequence: UInt64 = row.number(3, in: 0...Bounds.sequenceMax)
        else { return nil }
        return Version(timestamp: HybridTimestamp(rawValue: stamp), origin: origins[author], sequence: sequence)
    }

    /// Whether the values of the present row are those that were hashed with its version: only these belong to it.
    mutating func isIntact() -> Bool {
        for slot in self.plan.valueSlots.setBits {
            self.values[slot] = self.statement.ref(PlainRows.firstSlot + Int32(slot))
        }
        let hash = self.hasher.hash(self.plan, key: self.statement.ref(0)) { self.values[$0] }
        return hash != RowMeta.unknownHash
            && hash.withStoredBytes { $0.elementsEqual(self.statement.blob(4)) }
    }

    /// Appends the present row, of which ``isIntact()`` is true.
    func append(_ birth: Version, to writer: inout RowStateWriter) {
        writer.appendPlain(key: self.statement.ref(0), birth: birth, slots: self.plan.valueSlots) { self.values[$0] }
    }
}
