import ClinicSyncModel

/// Encodes and decodes the stored forms of vectors and batch headers.
enum VectorCoding {
    /// The stored form of `vector`.
    static func encode(_ vector: VersionVector) -> [UInt8] {
        var writer = ByteWriter()
        for entry in vector.entries {
            writer.origin(entry.origin)
            writer.unsigned(entry.sequence)
        }
        return writer.bytes
    }

    /// The vector whose stored form is `bytes`.
    static func decode(_ bytes: UnsafeRawBufferPointer) throws(MalformedRecord) -> VersionVector {
        var reader = ByteReader(bytes)
        var entries: [VersionVector.Entry] = []
        while !reader.isAtEnd {
            entries.append(VersionVector.Entry(origin: try reader.origin(), sequence: try reader.sequence()))
        }
        return VersionVector(entries)
    }

    /// The stored form of `header`.
    static func encode(_ header: BatchHeader) -> [UInt8] {
        var writer = ByteWriter()
        writer.fixed64(header.timestamp.rawValue)
        writer.unsigned(UInt64(header.schemaVersion))
        writer.raw(self.encode(header.dependencies))
        return writer.bytes
    }

    /// The header whose stored form is `bytes`.
    static func decodeHeader(_ bytes: UnsafeRawBufferPointer) throws(MalformedRecord) -> BatchHeader {
        var reader = ByteReader(bytes)
        guard let timestamp = HybridTimestamp(inBatch: try reader.fixed64()) else {
            throw MalformedRecord(reason: "a stamp is out of range")
        }
        guard let schemaVersion = UInt32(exactly: try reader.unsigned()) else {
            throw MalformedRecord(reason: "a schema version is too large")
        }
        let rest = try reader.raw(UInt64(reader.remaining))
        return BatchHeader(
            timestamp: timestamp,
            dependencies: try self.decode(rest),
            schemaVersion: schemaVersion
        )
    }
}
