import ClinicSyncModel

/// The error for bytes that do not have the expected format.
struct MalformedRecord: Error, Hashable {
    /// The reason, for the operator.
    var reason: String
}

/// Reads the record format's primitives (see ``ByteWriter``) from untrusted bytes.
///
/// Every read checks the number of bytes that are left. The reader allocates nothing before it has checked the length.
struct ByteReader {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    /// Reads from `bytes`, which must outlive the reader and every ``ValueRef`` it returns.
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Whether all bytes were read.
    var isAtEnd: Bool { self.offset == self.bytes.count }

    /// How many bytes are left.
    var remaining: Int { self.bytes.count - self.offset }

    @inline(__always)
    mutating func byte() throws(MalformedRecord) -> UInt8 {
        guard self.offset < self.bytes.count else { throw MalformedRecord(reason: "the record ends early") }
        defer { self.offset += 1 }
        return self.bytes[self.offset]
    }

    @inline(__always)
    mutating func unsigned() throws(MalformedRecord) -> UInt64 {
        var number: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try self.byte()
            guard shift < 63 || byte <= 1 else { throw MalformedRecord(reason: "a number is too long") }
            number |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return number }
            shift += 7
        }
    }

    @inline(__always)
    mutating func signed() throws(MalformedRecord) -> Int64 {
        let number = try self.unsigned()
        return Int64(bitPattern: number >> 1) ^ -Int64(bitPattern: number & 1)
    }

    mutating func fixed32() throws(MalformedRecord) -> UInt32 {
        guard self.remaining >= 4 else { throw MalformedRecord(reason: "the record ends early") }
        defer { self.offset += 4 }
        return UInt32(littleEndian: self.bytes.loadUnaligned(fromByteOffset: self.offset, as: UInt32.self))
    }

    mutating func fixed64() throws(MalformedRecord) -> UInt64 {
        guard self.remaining >= 8 else { throw MalformedRecord(reason: "the record ends early") }
        defer { self.offset += 8 }
        return UInt64(littleEndian: self.bytes.loadUnaligned(fromByteOffset: self.offset, as: UInt64.self))
    }

    @inline(__always)
    mutating func raw(_ count: UInt64) throws(MalformedRecord) -> UnsafeRawBufferPointer {
        guard count <= UInt64(self.remaining) else { throw MalformedRecord(reason: "the record ends early") }
        defer { self.offset += Int(count) }
        return UnsafeRawBufferPointer(rebasing: self.bytes[self.offset..<self.offset + Int(count)])
    }

    /// Reads a count of items that take at least `size` bytes each, and refuses a count that the bytes left cannot
    /// hold.
    mutating func count(ofAtLeast size: Int, limit: Int) throws(MalformedRecord) -> Int {
        let count = try self.unsigned()
        guard count <= UInt64(limit), count <= UInt64(self.remaining / size) else {
            throw MalformedRecord(reason: "a count is too large")
        }
        return Int(count)
    }

    mutating func string(limit: Int) throws(MalformedRecord) -> String {
        let length = try self.unsigned()
        guard length <= UInt64(limit) else { throw MalformedRecord(reason: "a name is too long") }
        return String(decoding: try self.raw(length), as: UTF8.self)
    }

    /// Reads the stamp of a row's version; a number that SQLite can store and that is no stamp counts as genesis.
    mutating func timestamp() throws(MalformedRecord) -> HybridTimestamp {
        let number = try self.fixed64()
        guard number <= UInt64(Int64.max) else { throw MalformedRecord(reason: "a stamp is out of range") }
        return HybridTimestamp(rawValue: number)
    }

    /// Reads the stamp of a change as its difference from the batch's.
    @inline(__always)
    mutating func timestamp(from base: HybridTimestamp) throws(MalformedRecord) -> HybridTimestamp {
        let difference = UInt64(bitPattern: try self.signed())
        guard let timestamp = HybridTimestamp(inBatch: base.rawValue &+ difference) else {
            throw MalformedRecord(reason: "a stamp is out of range")
        }
        return timestamp
    }

    /// Reads the number of a batch; seed rows have 0.
    mutating func sequence() throws(MalformedRecord) -> UInt64 {
        let number = try self.unsigned()
        guard number <= Bounds.sequenceMax else { throw MalformedRecord(reason: "a batch's number is out of range") }
        return number
    }

    mutating func origin() throws(MalformedRecord) -> Origin {
        let node = NodeID(high: try self.fixed64(), low: try self.fixed64())
        guard let incarnation = UInt32(exactly: try self.unsigned()) else {
            throw MalformedRecord(reason: "an incarnation is too large")
        }
        return Origin(node: node, incarnation: incarnation)
    }

    @inline(__always)
    mutating func value() throws(MalformedRecord) -> ValueRef {
        switch try self.byte() {
        case 0: return .null
        case 1: return .integer(try self.signed())
        case 2: return .real(try self.fixed64())
        case 3: return .text(try self.raw(try self.unsigned()))
        case 4: return .blob(try self.raw(try self.unsigned()))
        default: throw MalformedRecord(reason: "a value has an unknown tag")
        }
    }
}
