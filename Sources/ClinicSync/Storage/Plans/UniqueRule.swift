import ClinicSyncModel

/// A UNIQUE of a table as the projection uses it: computes which key a row claims.
///
/// `docs/design/0009-projection.md` describes how the projection decides claims.
struct UniqueRule: Sendable {
    /// The rule's number among the table's UNIQUEs; the index of claims uses it.
    let number: Int
    /// The slots of the rule's columns, in the order of the index.
    let slots: [Int]
    /// The slots of the rule's columns as a bit set.
    let mask: UInt64
    /// What happens to the later of two claims.
    let policy: DuplicatePolicy
    /// Finds the row that shows a key; the key's columns are ?1, ?2, … in the order of ``slots``.
    let holderSQL: String
    /// Tests whether the UNIQUE covers a row with the values ?1, ?2, … in the order of the table's columns.
    ///
    /// It is `nil` when the UNIQUE covers all rows.
    let predicateSQL: String?
    private let collations: [String]

    /// The slot in which the row with the later claim shows a changed value.
    var lastSlot: Int { self.slots[self.slots.count - 1] }

    /// Reads a UNIQUE of `definition`; `nil` when the UNIQUE names a column that no longer exists.
    init?(_ key: UniqueKey, number: Int, definition: TableDefinition) {
        let slots = key.columns.compactMap { definition.column($0)?.slot }
        guard slots.count == key.columns.count, !slots.isEmpty else { return nil }
        self.number = number
        self.slots = slots
        self.mask = slots.reduce(0) { $0 | 1 << UInt64($1) }
        self.policy = key.policy
        self.collations = key.collations.map { $0.uppercased() }
        let table = SQLText.name(definition.name)
        var parts = key.columns.enumerated().map { index, column in
            "\(SQLText.name(column)) = ?\(index + 1) COLLATE \(SQLText.name(key.collations[index]))"
        }
        if let predicate = key.predicate { parts.append("(\(predicate))") }
        self.holderSQL =
            "SELECT \(SQLText.name(definition.keyColumn)) FROM \(table) WHERE \(parts.joined(separator: " AND "))"
        self.predicateSQL = key.predicate.map { predicate in
            let columns = definition.columns.enumerated().map {
                "?\($0.offset + 1) AS \(SQLText.name($0.element.name))"
            }
            return "SELECT 1 FROM (SELECT \(columns.joined(separator: ", "))) AS \(table) WHERE (\(predicate))"
        }
    }

    /// The key of these values, in a form in which equal keys have equal bytes; `nil` when a part is NULL.
    ///
    /// Keys are equal when the index treats them as equal: texts by the index's collation, numbers by their numeric
    /// value.
    func key(_ values: [SQLiteValue]) -> SQLiteValue? {
        var writer = ByteWriter()
        for (slot, collation) in zip(self.slots, self.collations) {
            guard values[slot] != .null else { return nil }
            writer.value(UniqueRule.normalised(values[slot], collation: collation))
        }
        return .blob(writer.bytes)
    }

    /// The values of a key that ``key(_:)`` made, in the order of ``slots``.
    func values(ofKey key: SQLiteValue) throws(MalformedRecord) -> [SQLiteValue] {
        guard case .blob(let bytes) = key else { throw MalformedRecord(reason: "a claim is no record") }
        return try UniqueRule.values(of: bytes, count: self.slots.count)
    }

    private static func values(of bytes: [UInt8], count: Int) throws(MalformedRecord) -> [SQLiteValue] {
        let result: Result<[SQLiteValue], MalformedRecord> = bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            return Result { () throws(MalformedRecord) in
                var values: [SQLiteValue] = []
                for _ in 0..<count { values.append(try reader.value().value) }
                return values
            }
        }
        return try result.get()
    }

    private static func normalised(_ value: SQLiteValue, collation: String) -> SQLiteValue {
        switch (value, collation) {
        case (.real(let bits), _):
            // 1 and 1.0 are the same key.
            Int64(exactly: Double(bitPattern: bits)).map(SQLiteValue.integer) ?? value
        case (.text(let bytes), "NOCASE"):
            .text(bytes.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 })
        case (.text(let bytes), "RTRIM"):
            .text(Array(bytes[..<(bytes.lastIndex { $0 != UInt8(ascii: " ") }.map { $0 + 1 } ?? 0)]))
        default: value
        }
    }

    // MARK: - Suffixes

    /// The smallest number of characters in a suffix.
    static let suffixLengthMin = 3
    /// The largest number of characters in a suffix: the hash of a key gives no more.
    static let suffixLengthMax = 25

    /// `value` with the first `length` characters of the row's own suffix.
    ///
    /// The suffix is the 128-bit hash of the row's key in Crockford's base 32 (no I, L, O, U). So every node computes
    /// the same suffix for a row, and people can read it aloud.
    static func suffixed(_ value: SQLiteValue, key: SQLiteValue, length: Int) -> SQLiteValue {
        var writer = ByteWriter()
        writer.value(key)
        let (low, high) = writer.bytes.withUnsafeBytes { SipHash.hash128($0) }
        let digits = Base32.digits(of: Digest(high: high, low: low).bytes).prefix(length)
        let suffix = [UInt8(ascii: "~")] + Base32.characters(of: digits, isUppercase: true)
        switch value {
        case .text(let bytes): return .text(bytes + suffix)
        case .blob(let bytes): return .blob(bytes + suffix)
        default: return .text(Array(value.displayText.utf8) + suffix)
        }
    }
}
