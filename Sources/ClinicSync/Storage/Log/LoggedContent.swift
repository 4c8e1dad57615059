import ClinicSyncModel

/// What the log has under the name of a chunk, compared with the chunk.
struct LoggedContent {
    /// Whether the log has what was logged, as far as the row itself and the rows after it tell.
    private(set) var isIntact: Bool
    /// Whether the changes are those of the chunk, and end where it says.
    let isSame: Bool
    /// Whether the header is that of the chunk.
    let hasHeader: Bool
    /// Whether it is the only chunk of a batch that was set aside here, and perhaps not where the chunk comes from.
    let isSetAside: Bool

    /// Reads the log.
    ///
    /// - Parameters:
    ///   - chunk: the chunk.
    ///   - id: its author.
    ///   - applied: what this node has applied, if the batch is applied.
    ///   - connection: the connection.
    /// - Returns: What the log has; `nil` when it has nothing of that name.
    /// - Throws: what SQLite reports.
    static func read(
        under chunk: BatchChunk,
        of id: Int,
        applied: VersionVector?,
        on connection: Connection
    ) throws -> LoggedContent? {
        let header = chunk.header.map(VectorCoding.encode)
        let setAside = BatchChunk.checksum(of: ChunkCheck.emptyPayload)
        let found =
            try connection
            .query(
                """
                SELECT checksum, isLast, payload, header FROM clinicsync_log
                WHERE origin = ?1 AND sequence = ?2 AND chunk = ?3
                """
            )
            .bind(1, id)
            .bind(2, chunk.batch.sequence)
            .bind(3, chunk.index)
            .first { row in
                let (checksum, isLast) = (row.unsigned(0), row.int64(1) != 0)
                let isRead = SipHash.hash64(row.blob(2)) == checksum
                let content = LoggedContent(
                    isIntact: isRead && (chunk.index > 0 || self.isHeader(row.blob(3), applied)),
                    isSame: checksum == chunk.checksum && isLast == chunk.isLast,
                    hasHeader: header.map { row.blob(3).elementsEqual($0) } ?? true,
                    isSetAside: isLast && checksum == setAside
                )
                return (content: content, isLast: isLast)
            }
        guard var content = found?.content else { return nil }
        guard content.isIntact, applied != nil, found?.isLast == false else { return content }
        content.isIntact = try self.hasChunk(after: chunk, of: id, on: connection)
        return content
    }

    /// The timestamp in a stored header; 0 when the header cannot be read.
    static func timestamp(inHeader bytes: UnsafeRawBufferPointer) -> UInt64 {
        do throws(MalformedRecord) {
            return try VectorCoding.decodeHeader(bytes).timestamp.rawValue
        } catch {
            return 0
        }
    }

    /// The damage of the header of an applied batch: a batch is applied only after its dependencies.
    static let unknownDependencies = MalformedRecord(reason: "a batch depends on batches that are not here")

    /// Whether bytes are a header, and for an applied batch one that it can have.
    private static func isHeader(_ bytes: UnsafeRawBufferPointer, _ applied: VersionVector?) -> Bool {
        do {
            let header = try VectorCoding.decodeHeader(bytes)
            return applied?.covers(header.dependencies) ?? true
        } catch {
            return false
        }
    }

    private static func hasChunk(after chunk: BatchChunk, of id: Int, on connection: Connection) throws -> Bool {
        try connection.query("SELECT 1 FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2 AND chunk > ?3")
            .bind(1, id)
            .bind(2, chunk.batch.sequence)
            .bind(3, chunk.index)
            .first { _ in true } ?? false
    }
}
