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
}
