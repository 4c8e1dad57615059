import ClinicSyncModel

/// The batches of which chunks were logged in one transaction: those that are whole are applied from memory, not read back.
struct ArrivedBatches {
    private var chunks: [BatchID: [BatchChunk]] = [:]

    /// Notes a chunk that was logged, after the earlier chunks of its batch.
    mutating func add(_ chunk: BatchChunk) {
        // A first chunk after others has replaced other content of the same name.
        if chunk.index == 0 { self.chunks[chunk.batch] = [] }
        self.chunks[chunk.batch, default: []].append(chunk)
    }

    /// A batch if all of it is here; `nil` when it is in the log alone.
    func whole(_ name: BatchID) -> BatchLog.CompleteBatch? {
        guard let chunks = self.chunks[name], let header = chunks.first?.header, chunks.last?.isLast == true else {
            return nil
        }
        return BatchLog.CompleteBatch(
            id: name,
            header: header,
            chunks: chunks.count,
            bytes: chunks.reduce(0) { $0 + $1.payload.count },
            payloads: chunks.map(\.payload)
        )
    }
}
