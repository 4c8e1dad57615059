import ClinicSyncModel

/// A reference to a value in a chunk's payload or in a statement's current row.
///
/// Hot loops use references to avoid copying values. A reference is valid as long as the bytes it points to: until the
/// scope of the payload's buffer ends, or until the statement is stepped or reset.
enum ValueRef {
    case null
    case integer(Int64)
    case real(UInt64)
    case text(UnsafeRawBufferPointer)
    case blob(UnsafeRawBufferPointer)

    /// Calls `body` with a reference to `value`'s bytes, valid until `body` returns.
    static func with<Result>(_ value: SQLiteValue, _ body: (ValueRef) throws -> Result) rethrows -> Result {
        switch value {
        case .null: try body(.null)
        case .integer(let number): try body(.integer(number))
        case .real(let bits): try body(.real(bits))
        case .text(let bytes): try bytes.withUnsafeBytes { try body(.text($0)) }
        case .blob(let bytes): try bytes.withUnsafeBytes { try body(.blob($0)) }
        }
    }

    /// A copy of the value that owns its bytes.
    var value: SQLiteValue {
        switch self {
        case .null: .null
        case .integer(let number): .integer(number)
        case .real(let bits): .real(bits)
        case .text(let bytes): .text(Array(bytes))
        case .blob(let bytes): .blob(Array(bytes))
        }
    }

    /// Whether storage class and content are the same.
    func isSame(_ other: ValueRef) -> Bool {
        switch (self, other) {
        case (.null, .null): true
        case (.integer(let left), .integer(let right)): left == right
        case (.real(let left), .real(let right)): left == right
        case (.text(let left), .text(let right)), (.blob(let left), .blob(let right)):
            left.count == right.count && left.elementsEqual(right)
        default: false
        }
    }

    /// Whether the value is NULL.
    var isNull: Bool {
        if case .null = self { true } else { false }
    }

    /// The 64-bit hash of storage class and content; 0 for NULL.
    ///
    /// The storage class is the hash's tweak, so that `1`, `1.0` and `'1'` differ.
    var hash: UInt64 {
        switch self {
        case .null: 0
        case .integer(let number): SipHash.hash64(UInt64(bitPattern: number), tweak: 1)
        case .real(let bits): SipHash.hash64(bits, tweak: 2)
        case .text(let bytes): SipHash.hash64(bytes, tweak: 3)
        case .blob(let bytes): SipHash.hash64(bytes, tweak: 4)
        }
    }
}
