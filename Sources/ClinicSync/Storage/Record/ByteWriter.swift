import ClinicSyncModel

/// Appends the record format's primitives to a growing buffer.
///
/// Format (also in `docs/PROTOCOL.md`): unsigned numbers are LEB128; signed numbers are zigzag-mapped first. A value is
/// a tag byte (0 NULL, 1 integer, 2 real, 3 text, 4 blob) and its content. The content of an integer is a signed
/// number. The content of a real is eight bytes, little endian. The content of a text or blob is a length and then its
/// bytes.
struct ByteWriter {
    /// The bytes written so far.
    private(set) var bytes: [UInt8] = []

    /// The number of bytes written so far.
    var count: Int { self.bytes.count }

    /// Removes everything after the first `count` bytes.
    mutating func truncate(to count: Int) { self.bytes.removeLast(self.bytes.count - count) }

    /// Removes all bytes but keeps the memory.
    mutating func removeAll() { self.bytes.removeAll(keepingCapacity: true) }

    @inline(__always)
    mutating func byte(_ byte: UInt8) { self.bytes.append(byte) }

    @inline(__always)
    mutating func unsigned(_ number: UInt64) {
        var rest = number
        while rest > 0x7f {
            self.bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    @inline(__always)
    mutating func signed(_ number: Int64) {
        self.unsigned(UInt64(bitPattern: number << 1 ^ number >> 63))
    }

    mutating func fixed32(_ number: UInt32) {
        withUnsafeBytes(of: number.littleEndian) { self.bytes.append(contentsOf: $0) }
    }

    @inline(__always)
    mutating func fixed64(_ number: UInt64) {
        withUnsafeBytes(of: number.littleEndian) { self.bytes.append(contentsOf: $0) }
    }

    mutating func raw(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }

    mutating func raw(_ bytes: [UInt8]) { self.bytes.append(contentsOf: bytes) }

    mutating func string(_ text: String) {
        var text = text
        text.withUTF8 {
            self.unsigned(UInt64($0.count))
            self.bytes.append(contentsOf: $0)
        }
    }

    mutating func origin(_ origin: Origin) {
        self.fixed64(origin.node.high)
        self.fixed64(origin.node.low)
        self.unsigned(UInt64(origin.incarnation))
    }

    mutating func value(_ value: ValueRef) {
        switch value {
        case .null:
            self.byte(0)
        case .integer(let number):
            self.byte(1)
            self.signed(number)
        case .real(let bits):
            self.byte(2)
            self.fixed64(bits)
        case .text(let bytes):
            self.byte(3)
            self.unsigned(UInt64(bytes.count))
            self.raw(bytes)
        case .blob(let bytes):
            self.byte(4)
            self.unsigned(UInt64(bytes.count))
            self.raw(bytes)
        }
    }

    mutating func value(_ value: SQLiteValue) {
        ValueRef.with(value) { self.value($0) }
    }
}
