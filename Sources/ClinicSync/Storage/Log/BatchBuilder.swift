import ClinicSyncModel

/// A batch of this node that is not complete yet.
struct BatchBuilder {
    let id: BatchID
    let header: BatchHeader
    /// The batches that the author has seen, this batch included; the batch's deletions use it.
    let seen: VersionVector
    /// The number of the next chunk.
    var nextChunk: UInt32
    var chunk: ChangeChunkWriter
    /// The offset that was added to the PC's time for the batch's stamps.
    let clockOffset: Int64
    /// The largest stamp of a shared value that was replaced since the batch was begun or continued.
    var floor = HybridTimestamp.genesis
    /// Whether a change was added since the batch was begun or continued.
    var hasChanges = false

    /// Begins a batch, or continues a batch whose first chunks are already in the log.
    init(id: BatchID, header: BatchHeader, seen: VersionVector, nextChunk: UInt32, clockOffset: Int64) {
        self.id = id
        self.header = header
        self.seen = seen
        self.nextChunk = nextChunk
        self.clockOffset = clockOffset
        self.chunk = ChangeChunkWriter(base: header.timestamp)
    }

    /// Closes the current chunk.
    mutating func takeChunk(isLast: Bool) -> BatchChunk {
        let payload = self.chunk.payload()
        let result = BatchChunk(
            batch: self.id,
            index: self.nextChunk,
            header: self.nextChunk == 0 ? self.header : nil,
            isLast: isLast,
            checksum: BatchChunk.checksum(of: payload),
            payload: payload
        )
        self.nextChunk += 1
        self.chunk = ChangeChunkWriter(base: self.header.timestamp)
        return result
    }
}
