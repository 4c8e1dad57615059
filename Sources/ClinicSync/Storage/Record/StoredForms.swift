import ClinicSyncModel

extension Digest {
    /// Calls `body` with the 16 bytes of the digest, most significant first.
    func withStoredBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withUnsafeBytes(of: (self.high.bigEndian, self.low.bigEndian), body)
    }

    /// Makes a digest from its 16 stored bytes.
    init(storedBytes bytes: UnsafeRawBufferPointer) throws(MalformedRecord) {
        guard bytes.count == 16 else { throw MalformedRecord(reason: "a row's hash is not 16 bytes") }
        self.init(
            high: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
            low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        )
    }
}

extension NodeID {
    /// The 16 bytes of the id, most significant first.
    var storedBytes: [UInt8] {
        withUnsafeBytes(of: self.high.bigEndian, Array.init) + withUnsafeBytes(of: self.low.bigEndian, Array.init)
    }

    /// Makes an id from its 16 stored bytes; `nil` for another number of bytes.
    init?(storedBytes bytes: UnsafeRawBufferPointer) {
        guard bytes.count == 16 else { return nil }
        self.init(
            high: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
            low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        )
    }
}
