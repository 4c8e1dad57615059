package import ClinicSyncCore
import ClinicSyncModel

extension Input {
    /// The largest payload in bytes of a batch that is read on arrival: larger ones would delay what arrives after them.
    private static let readBytesMax = 16 << 10

    /// The input, as ``batchReceived(_:_:term:)`` when it is a chunk that is a whole small batch and can be read in full.
    ///
    /// The batch is read as the store reads it. A chunk that cannot be read stays as it is: the store says then why not.
    package var reading: Input {
        guard case .messageReceived(let id, .chunk(let chunk), let term) = self, chunk.isLast,
            chunk.payload.count <= Input.readBytesMax, let header = chunk.header
        else { return self }
        do {
            try ChunkCheck.outline(chunk)
            try ChunkCheck.read(chunk.payload, base: header.timestamp)
            return .batchReceived(id, chunk, term: term)
        } catch {
            return self
        }
    }
}
