package import ClinicSyncModel

extension BatchChunk {
    /// The checksum of a chunk with this payload.
    package static func checksum(of payload: [UInt8]) -> UInt64 { payload.withUnsafeBytes { SipHash.hash64($0) } }
}
