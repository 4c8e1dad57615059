import ClinicSyncModel

/// How far a batch is in the log.
struct LoggedExtent {
    /// The number of its newest chunk; the file may say anything.
    private let newest: Int64
    /// Whether its last chunk is there.
    let isComplete: Bool

    /// Reads the log.
    ///
    /// - Returns: How far the batch is; `nil` when no chunk of it is there.
    /// - Throws: what SQLite reports.
    static func read(of id: Int, sequence: UInt64, on connection: Connection) throws -> LoggedExtent? {
        let found =
            try connection
            .query("SELECT max(chunk), max(isLast = 1) FROM clinicsync_log WHERE origin = ?1 AND sequence = ?2")
            .bind(1, id)
            .bind(2, sequence)
            .first { $0.isNull(0) ? nil : LoggedExtent(newest: $0.int64(0), isComplete: $0.int64(1) != 0) }
        return found ?? nil
    }

    /// The number of its next chunk.
    ///
    /// - Throws: ``MalformedRecord`` when the file says something impossible.
    func nextChunk() throws(MalformedRecord) -> UInt32 {
        guard let newest = UInt32(exactly: self.newest), newest < Bounds.chunkIndexMax else {
            throw MalformedRecord(reason: "a chunk's number is out of range")
        }
        return newest &+ 1
    }
}
