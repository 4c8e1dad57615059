import ClinicSyncModel

/// The precomputed data for hashing the rows of one table.
struct TableHashing: Sendable {
    /// All slots except the key's, in the order of the columns' names.
    let order: [Int]
    /// The hash of each slot's column name.
    let names: [UInt64]
    /// The hash of each slot's default; 0 for NULL.
    let defaults: [UInt64]
    /// The slots whose columns have a DEFAULT other than NULL.
    let defaultSlots: UInt64

    /// Prepares the hashing of `definition`'s rows; `names` and `defaults` are by slot.
    init(_ definition: TableDefinition, names: [String?], defaults: [SQLiteValue]) {
        self.order = definition.columns
            .filter { $0.slot != definition.keySlot }
            .sorted { $0.name < $1.name }
            .map(\.slot)
        self.names = names.map { name in
            Array((name ?? "").utf8).withUnsafeBytes { SipHash.hash64($0) }
        }
        self.defaults = defaults.map { ValueRef.with($0, RowHashes.column) }
        self.defaultSlots = self.defaults.enumerated().reduce(0) {
            $1.element == 0 ? $0 : $0 | 1 << UInt64($1.offset)
        }
    }
}

/// The hashes of a row's columns and of the row.
struct RowHashes {
    /// The 64-bit hash of each slot's value; 0 only for the column's default (NULL if it has none) and for the key.
    var columns: [UInt64]
    /// The row's hash.
    var row: Digest

    /// Makes empty hashes, which the caller can fill many times.
    init() {
        self.columns = Array(repeating: 0, count: 64)
        self.row = .zero
    }

    /// Hashes a row; `value` returns the value of a slot.
    ///
    /// The row's hash covers the key and, in the order of their names, the columns whose values differ from their
    /// defaults. A column added later changes no hash until a program writes it. So nodes of different schema versions
    /// get equal hashes.
    @inline(__always)
    mutating func compute(plan: TablePlan, key: ValueRef, scratch: inout ByteWriter, value: (Int) -> ValueRef) {
        self.compute(plan: plan, key: key, scratch: &scratch) { slot -> UInt64 in RowHashes.column(value(slot)) }
    }

    /// The hash of NULL in a column whose default is not NULL.
    static let nullMark: UInt64 = 2

    /// The hash of one column's value; 0 means NULL, so no other value has the hash 0.
    @inline(__always)
    static func column(_ value: ValueRef) -> UInt64 { value.isNull ? 0 : max(value.hash, 1) }

    /// The hash of a value in a column with a default, computed from ``column(_:)`` of both; 0 for the default itself.
    @inline(__always)
    static func relative(_ hash: UInt64, to defaultHash: UInt64) -> UInt64 {
        if hash == defaultHash { return 0 }
        return hash == 0 ? RowHashes.nullMark : hash
    }

    /// Hashes a row; `columnHash` returns ``column(_:)`` of a slot's value.
    @inline(__always)
    mutating func compute(plan: TablePlan, key: ValueRef, scratch: inout ByteWriter, columnHash: (Int) -> UInt64) {
        scratch.removeAll()
        scratch.value(key)
        for slot in plan.hashing.order {
            var hash = columnHash(slot)
            if plan.hashing.defaultSlots & (1 << UInt64(slot)) != 0 {
                hash = RowHashes.relative(hash, to: plan.hashing.defaults[slot])
            }
            self.columns[slot] = hash
            if hash != 0 {
                scratch.fixed64(plan.hashing.names[slot])
                scratch.fixed64(hash)
            }
        }
        self.columns[plan.keySlot] = 0
        let (low, high) = scratch.bytes.withUnsafeBytes { SipHash.hash128($0) }
        self.row = Digest(high: high, low: low)
    }
}

/// Hashes rows one after the other and reuses its buffers.
///
/// Code that hashes rows in a loop keeps one hasher, so that the loop allocates nothing.
struct RowHasher {
    /// The hashes of the row that was hashed last.
    private(set) var hashes = RowHashes()
    private var scratch = ByteWriter()

    /// Hashes a row; `value` returns the value of a slot.
    ///
    /// - Returns: The row's hash; ``hashes`` has the hashes of the columns.
    @inline(__always)
    @discardableResult
    mutating func hash(_ plan: TablePlan, key: ValueRef, value: (Int) -> ValueRef) -> Digest {
        self.hashes.compute(plan: plan, key: key, scratch: &self.scratch, value: value)
        return self.hashes.row
    }

    /// Hashes a row with these values by slot.
    @discardableResult
    mutating func hash(_ plan: TablePlan, key: ValueRef, _ values: [SQLiteValue]) -> Digest {
        self.hashes.compute(plan: plan, key: key, scratch: &self.scratch) { slot -> UInt64 in
            ValueRef.with(values[slot], RowHashes.column)
        }
        return self.hashes.row
    }
}
