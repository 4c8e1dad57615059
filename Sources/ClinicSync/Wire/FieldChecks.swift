import ClinicSyncModel
import FoundationEssentials

/// The checks that messages share.
extension MessageCodec {
    /// Returns a term of a host; 0 means none.
    static func term(_ number: UInt64, _ field: String) throws(WireDecodingError) -> UInt64 {
        guard number <= Bounds.termMax else { throw .outOfRange(field: field) }
        return number
    }

    /// Returns a batch's number, which must not be 0.
    static func sequence(_ number: UInt64, _ field: String) throws(WireDecodingError) -> UInt64 {
        guard (1...Bounds.sequenceMax).contains(number) else { throw .outOfRange(field: field) }
        return number
    }

    /// Returns a chunk's place in its batch, or the number of a batch's chunks.
    static func chunkIndex(_ number: UInt32, _ field: String) throws(WireDecodingError) -> UInt32 {
        guard number <= Bounds.chunkIndexMax else { throw .outOfRange(field: field) }
        return number
    }

    /// A number of rows.
    static func rows(_ number: UInt64, _ field: String) throws(WireDecodingError) -> UInt64 {
        guard number <= Bounds.rowsMax else { throw .outOfRange(field: field) }
        return number
    }

    /// Returns milliseconds since 1970 within the range of the clock's calculations.
    static func milliseconds(_ number: Int64, _ field: String) throws(WireDecodingError) -> Int64 {
        guard (0...Bounds.millisecondsMax).contains(number) else { throw .outOfRange(field: field) }
        return number
    }

    /// A batch's stamp.
    static func timestamp(_ number: UInt64, _ field: String) throws(WireDecodingError) -> HybridTimestamp {
        guard let timestamp = HybridTimestamp(inBatch: number) else { throw .outOfRange(field: field) }
        return timestamp
    }

    /// Text of at most `max` bytes.
    static func text(_ text: String, max: Int, _ field: String) throws(WireDecodingError) -> String {
        guard text.utf8.count <= max else { throw .limitExceeded(field: field) }
        return text
    }

    /// At most `max` bytes.
    static func bytes(_ data: Data, max: Int, _ field: String) throws(WireDecodingError) -> [UInt8] {
        guard data.count <= max else { throw .limitExceeded(field: field) }
        return Array(data)
    }

    /// A node's id of 16 bytes.
    static func node(_ data: Data, _ field: String) throws(WireDecodingError) -> NodeID {
        guard let id = NodeID(bytes: data) else { throw .wrongLength(field: field) }
        return id
    }

    /// An author of batches; seed rows have an author too, which makes none.
    static func author(
        _ node: NodeID,
        incarnation: UInt32,
        _ field: String
    ) throws(WireDecodingError) -> Origin {
        guard node != Origin.genesis.node else { throw .outOfRange(field: field) }
        return Origin(node: node, incarnation: incarnation)
    }

    /// A digest of 16 bytes.
    static func digest(_ data: Data, _ field: String) throws(WireDecodingError) -> Digest {
        guard data.count == 16 else { throw .wrongLength(field: field) }
        let (high, low) = MessageCodec.halves(of: Array(data), at: 0)
        return Digest(high: high, low: low)
    }

    /// Appends the 16 bytes of a 128-bit number, most significant first.
    static func append(high: UInt64, low: UInt64, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: high.bigEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: low.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// Returns the two halves of the number at `index` in a sequence of 128-bit numbers.
    static func halves(of bytes: [UInt8], at index: Int) -> (high: UInt64, low: UInt64) {
        bytes.withUnsafeBytes { raw in
            (
                UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: index * 16, as: UInt64.self)),
                UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: index * 16 + 8, as: UInt64.self))
            )
        }
    }
}

extension NodeID {
    /// The 16 bytes, most significant first.
    var wireBytes: Data { Data(self.bytes) }
}

extension Digest {
    /// The 16 bytes, most significant first.
    var wireBytes: Data { Data(self.bytes) }
}
