import ClinicSyncModel

/// Parses the bytes of a signed statement from front to back.
struct StatementReader {
    /// The bytes are not such a statement.
    struct Malformed: Error {}

    let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { self.position == self.bytes.count }

    /// All bytes parsed so far.
    var consumed: ArraySlice<UInt8> { self.bytes[..<self.position] }

    mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
        guard count >= 0, self.bytes.count - self.position >= count else { throw Malformed() }
        defer { self.position += count }
        return self.bytes[self.position..<self.position + count]
    }

    mutating func integer(_ count: Int) throws -> UInt64 {
        try self.take(count).reduce(0) { $0 << 8 | UInt64($1) }
    }

    mutating func id() throws -> NodeID {
        NodeID(high: try self.integer(8), low: try self.integer(8))
    }

    /// Reads a text of valid UTF-8 after its length, which has `lengthBytes` bytes.
    mutating func text(lengthBytes: Int) throws -> String {
        let bytes = try self.take(Int(clamping: self.integer(lengthBytes)))
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Malformed() }
        return text
    }
}

/// Makes the bytes of signed statements.
enum StatementBytes {
    /// An integer as `count` big-endian bytes.
    static func encoded(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - $0))) }
    }

    /// A text after its length, which has `lengthBytes` bytes.
    static func encoded(_ text: String, lengthBytes: Int) -> [UInt8] {
        StatementBytes.encoded(UInt64(text.utf8.count), lengthBytes) + Array(text.utf8)
    }
}
