import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

extension ReplicaWriter {
    /// Collects everything that programs have written, and returns the chunks of its batches.
    func collectedChunks() throws -> [BatchChunk] {
        var chunks: [BatchChunk] = []
        var hasMore = true
        while hasMore {
            let outcome = try self.collect(clockOffsetMilliseconds: 0)
            chunks += outcome.logged.map(\.chunk)
            hasMore = outcome.hasMore
        }
        return chunks
    }
}
