/// A value of one of SQLite's five storage classes, bit for bit.
///
/// Text is kept as bytes because SQLite stores whatever a program bound, valid UTF-8 or not, NUL included.
package enum SQLiteValue: Sendable, Hashable {
    /// NULL.
    case null
    /// A 64-bit integer.
    case integer(Int64)
    /// A 64-bit floating point number by its bits, so that equality is equality of what is stored.
    case real(UInt64)
    /// Text in the database's UTF-8.
    case text([UInt8])
    /// Bytes.
    case blob([UInt8])

    /// Text of a Swift string.
    package static func string(_ text: String) -> SQLiteValue { .text(Array(text.utf8)) }

    /// A floating point number.
    package static func double(_ number: Double) -> SQLiteValue { .real(number.bitPattern) }

    /// The text form for people and JSON: text as it is (repaired where it is no UTF-8), blobs as `x'…'`.
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
}
