/// A value of one of SQLite's five storage classes, bit for bit.
///
/// Text is kept as bytes, because SQLite stores every text that a program binds: also invalid UTF-8, and NUL.
///
/// Keys of rows, users and sessions are values of this type wherever they are compared or are in a set or dictionary.
/// Two values are equal when SQLite stores the same class and bytes. A `String` does not do for that: Swift calls two
/// texts equal that differ in Unicode normalisation, and a BLOB is no text.
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

    /// The values that ``displayText`` shows as `text`: the text itself, and the blob for `x'…'`.
    package static func displayed(as text: String) -> [SQLiteValue] {
        let bytes = Array(text.utf8)
        let values = [SQLiteValue.text(bytes)]
        guard bytes.count >= 3, bytes.count % 2 == 1, bytes.starts(with: "x'".utf8), bytes.last == UInt8(ascii: "'")
        else { return values }
        let digits = bytes[2..<bytes.count - 1].map { Character(Unicode.Scalar($0)).hexDigitValue }
        let blob = stride(from: 0, to: digits.count, by: 2).map { index -> UInt8? in
            guard let high = digits[index], let low = digits[index + 1] else { return nil }
            return UInt8(truncatingIfNeeded: high << 4 | low)
        }
        guard !blob.contains(nil) else { return values }
        return values + [.blob(blob.compactMap(\.self))]
    }

    /// Text that begins with this value and ends with `suffix`, for keys that derive from a key.
    ///
    /// A text keeps its bytes, so different texts stay different. Another value becomes its ``displayText``.
    package func text(with suffix: String) -> SQLiteValue {
        if case .text(let bytes) = self { return .text(bytes + suffix.utf8) }
        return .string(self.displayText + suffix)
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

extension SQLiteValue: ExpressibleByStringInterpolation {
    /// Makes text.
    package init(stringLiteral text: String) { self = .string(text) }
}
