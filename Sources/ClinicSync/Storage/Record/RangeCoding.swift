import ClinicSyncModel

/// What a message says of a range.
enum RangeContent {
    /// Nothing: both sides have the same there, or it was compared.
    case skip
    /// The fingerprint of the sender's items.
    case fingerprint(Digest)
    /// The ids of the sender's items.
    case ids([UInt64])

    /// The number that stands for the kind in a message.
    fileprivate enum Kind: UInt8 {
        case skip = 0
        case fingerprint = 1
        case ids = 2
    }
}

/// Writes the ranges of a message; `docs/PROTOCOL.md`, "Ranges", has the format.
struct RangeWriter {
    private var writer = ByteWriter()
    private var last: UInt64 = 0
    private var skipped: RangeBound?

    /// The message.
    var bytes: [UInt8] { self.writer.bytes }

    /// Skips to `bound`; what is skipped at the end of the message is not written.
    mutating func skip(to bound: RangeBound) { self.skipped = bound }

    /// A range with a fingerprint.
    mutating func fingerprint(_ fingerprint: Digest, to bound: RangeBound) {
        self.begin(.fingerprint, to: bound)
        self.writer.fixed64(fingerprint.high)
        self.writer.fixed64(fingerprint.low)
    }

    /// A range with ids.
    mutating func ids(_ ids: [UInt64], to bound: RangeBound) {
        self.begin(.ids, to: bound)
        self.writer.unsigned(UInt64(ids.count))
        for id in ids { self.writer.fixed64(id) }
    }

    private mutating func begin(_ kind: RangeContent.Kind, to bound: RangeBound) {
        if let skipped = self.skipped {
            self.skipped = nil
            self.write(skipped)
            self.writer.byte(RangeContent.Kind.skip.rawValue)
        }
        self.write(bound)
        self.writer.byte(kind.rawValue)
    }

    /// The number of zeros at the stamp's end and one, the difference to the stamp before without these zeros, and the bytes of
    /// the hash up to the last that is not 0; a single 0 for the end.
    private mutating func write(_ bound: RangeBound) {
        guard case .before(let item) = bound else { return self.writer.byte(0) }
        let difference = item.stamp &- self.last
        let zeros = difference == 0 ? 0 : difference.trailingZeroBitCount
        self.writer.byte(UInt8(truncatingIfNeeded: zeros &+ 1))
        self.writer.unsigned(difference >> zeros)
        self.last = item.stamp
        var hash = item.hash.bytes
        while hash.last == 0 { hash.removeLast() }
        self.writer.byte(UInt8(truncatingIfNeeded: hash.count))
        self.writer.raw(hash)
    }
}

/// Reads the ranges of a peer's message.
struct RangeReader {
    /// A range, which begins where the one before ended.
    struct Range {
        let bound: RangeBound
        let content: RangeContent
    }

    private var reader: ByteReader
    private var last: RangeReconciliation.Item?
    private var isAtEnd = false

    /// Reads `bytes`, which must outlive the reader.
    init(_ bytes: UnsafeRawBufferPointer) { self.reader = ByteReader(bytes) }

    /// The next range; `nil` after the last.
    mutating func next() throws(MalformedRecord) -> Range? {
        guard !self.reader.isAtEnd else { return nil }
        guard !self.isAtEnd else { throw MalformedRecord(reason: "a range follows the last one") }
        let bound = try self.bound()
        switch RangeContent.Kind(rawValue: try self.reader.byte()) {
        case .skip: return Range(bound: bound, content: .skip)
        case .fingerprint:
            let high = try self.reader.fixed64()
            return Range(bound: bound, content: .fingerprint(Digest(high: high, low: try self.reader.fixed64())))
        case .ids:
            var ids: [UInt64] = []
            for _ in 0..<(try self.reader.count(ofAtLeast: 8, limit: RecordLimits.rangeIDsMax)) {
                ids.append(try self.reader.fixed64())
            }
            return Range(bound: bound, content: .ids(ids))
        case nil: throw MalformedRecord(reason: "a range is of an unknown kind")
        }
    }

    private mutating func bound() throws(MalformedRecord) -> RangeBound {
        let zeros = try self.reader.byte()
        guard zeros > 0 else {
            self.isAtEnd = true
            return .end
        }
        let significant = try self.reader.unsigned()
        let shift = zeros &- 1
        guard shift < 64, (significant << shift) >> shift == significant else {
            throw MalformedRecord(reason: "a bound's stamp is too large")
        }
        let (stamp, isTooLarge) = (self.last?.stamp ?? 0).addingReportingOverflow(significant << shift)
        guard !isTooLarge else { throw MalformedRecord(reason: "a bound's stamp is too large") }
        let count = try self.reader.byte()
        guard count <= 16 else { throw MalformedRecord(reason: "a bound's hash is too long") }
        var halves: [UInt64] = [0, 0]
        for (index, byte) in try self.reader.raw(UInt64(count)).enumerated() {
            halves[index / 8] |= UInt64(byte) << (56 &- index % 8 &* 8)
        }
        let item = RangeReconciliation.Item(stamp: stamp, hash: Digest(high: halves[0], low: halves[1]))
        if let last = self.last, item < last { throw MalformedRecord(reason: "bounds do not ascend") }
        self.last = item
        return .before(item)
    }
}
