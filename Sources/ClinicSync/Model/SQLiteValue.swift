/// A value of one of SQLite's five storage classes, bit for bit.
///
/// Text is kept as bytes, because SQLite stores every text that a program binds: also invalid UTF-8, and NUL.
package enum SQLiteValue: Sendable, Hashable {
    /// NULL.
    case null
    /// A 64-bit integer.
    case integer(Int64)
    /// The bits of a 64-bit floating point number, so that equal values are equally stored values.
    case real(UInt64)
    /// Text in the database's UTF-8.
    case text([UInt8])
    /// Bytes.
    case blob([UInt8])

    /// Makes text from a Swift string.
    package static func string(_ text: String) -> SQLiteValue { .text(Array(text.utf8)) }

    /// Makes a real from a floating point number.
    package static func double(_ number: Double) -> SQLiteValue { .real(number.bitPattern) }

    /// The text form for people and JSON.
    ///
    /// Text is unchanged, except that invalid UTF-8 is repaired; blobs are `x'…'`.
    package var displayText: String {
        switch self {
        case .null: "NULL"
        case .integer(let number): String(number)
        case .real(let bits): String(Double(bitPattern: bits))
        case .text(let bytes): String(decoding: bytes, as: UTF8.self)
        case .blob(let bytes):
            "x'" + bytes.hexadecimal + "'"
        }
    }

    /// The bytes of a text or blob; 0 for others.
    package var byteCount: Int {
        switch self {
        case .null, .integer, .real: 0
        case .text(let bytes), .blob(let bytes): bytes.count
        }
    }

    // MARK: - Order

    /// Whether SQLite sorts this value before `other` in a column without a declared type: numbers, then text, then blobs.
    ///
    /// Texts and blobs sort by their bytes. Keys are nothing else; an integer and a real sort by their classes, so that of
    /// two different values one always sorts first.
    package func sortsBefore(_ other: SQLiteValue) -> Bool {
        switch (self, other) {
        case (.integer(let left), .integer(let right)): left < right
        case (.real(let left), .real(let right)):
            left != right && (Double(bitPattern: left), left) < (Double(bitPattern: right), right)
        case (.text(let left), .text(let right)), (.blob(let left), .blob(let right)):
            left.lexicographicallyPrecedes(right)
        default: self.rank < other.rank
        }
    }

    private var rank: Int {
        switch self {
        case .null: 0
        case .integer: 1
        case .real: 2
        case .text: 3
        case .blob: 4
        }
    }
}
