package import ClinicSyncModel

extension BatchChunk {
    /// The checksum that a chunk with this payload has: SipHash-2-4 of the payload, under the fixed key.
    package static func checksum(of payload: [UInt8]) -> UInt64 {
        payload.withUnsafeBytes { SipHash.hash64($0) }
    }
}
