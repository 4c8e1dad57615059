import ClinicSyncModel

/// Rewrites the stamps in the payload of a chunk and leaves all other content as it is.
///
/// `docs/PROTOCOL.md`, "Chunk payload", describes the format; see ``ChangeChunkWriter``.
enum ChunkRestamper {
    /// A change whose new stamp the caller computes.
    struct Change {
        var table: String
        var key: SQLiteValue
        var timestamp: HybridTimestamp
    }

    /// Returns `payload` with the stamps that `stamp` returns.
    ///
    /// - Parameters:
    ///   - payload: the payload of a chunk of an own batch.
    ///   - base: the batch's present timestamp; the stamps in `payload` are relative to it.
    ///   - newBase: the batch's new timestamp.
    ///   - stamp: returns the new stamp of a change; called in the order of the changes.
    /// - Returns: the new payload.
    /// - Throws: ``MalformedRecord``, and what `stamp` throws.
    static func rewrite(
        _ payload: UnsafeRawBufferPointer,
        base: HybridTimestamp,
        newBase: HybridTimestamp,
        stamp: (Change) throws -> HybridTimestamp
    ) throws -> [UInt8] {
        var reader = ByteReader(payload)
        func bytes(from start: Int, to end: Int) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: payload[start..<end])
        }
        let tables = try self.readTables(&reader)
        var result = ByteWriter()
        result.raw(bytes(from: 0, to: payload.count - reader.remaining))
        while !reader.isAtEnd {
            let index = try reader.unsigned()
            guard index < UInt64(tables.count) else { throw MalformedRecord(reason: "a table's number is too large") }
            guard let kind = ChangeKind(rawValue: try reader.byte()) else {
                throw MalformedRecord(reason: "a change has an unknown kind")
            }
            if kind == .replacing {
                let start = payload.count - reader.remaining
                for _ in try reader.unsigned().setBits { _ = try reader.fixed32() }
                result.unsigned(index)
                result.byte(kind.rawValue)
                result.raw(bytes(from: start, to: payload.count - reader.remaining))
                continue
            }
            let key = try reader.value()
            let old = try reader.timestamp(from: base)
            let new = try stamp(Change(table: tables[Int(index)], key: key.value, timestamp: old))
            result.unsigned(index)
            result.byte(kind.rawValue)
            result.value(key)
            result.signed(Int64(bitPattern: new.rawValue &- newBase.rawValue))
            guard kind != .delete else { continue }
            let start = payload.count - reader.remaining
            for _ in try reader.unsigned().setBits { _ = try reader.value() }
            result.raw(bytes(from: start, to: payload.count - reader.remaining))
        }
        return result.bytes
    }

    private static func readTables(_ reader: inout ByteReader) throws(MalformedRecord) -> [String] {
        guard try reader.byte() == ChangeChunkWriter.format else {
            throw MalformedRecord(reason: "the chunk has an unknown format")
        }
        var tables: [String] = []
        for _ in 0..<(try reader.count(ofAtLeast: 2, limit: RecordLimits.tablesMax)) {
            tables.append(try reader.string(limit: RecordLimits.nameBytesMax))
            for _ in 0..<(try reader.count(ofAtLeast: 1, limit: RecordLimits.columnsMax)) {
                _ = try reader.string(limit: RecordLimits.nameBytesMax)
            }
        }
        return tables
    }
}
