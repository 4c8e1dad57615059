package import ClinicSyncModel
import DequeModule

/// What one peer sends us, on its way to the store.
///
/// One store request of a peer is outstanding at a time; what arrives meanwhile waits here and goes in the next,
/// so that a burst becomes few transactions. The wait is bounded by the credit the peer was granted.
package struct PeerInboundStateMachine: Sendable, Hashable {
    /// Payload bytes the peer may still send; a chunk may overdraw it once.
    package private(set) var credit: Int
    /// Whether the store works for this peer.
    package private(set) var isStoring = false
    private var waiting: Deque<BatchChunk> = []

    /// Starts with the credit that our hello grants.
    package init(credit: Int) {
        self.credit = credit
    }

    /// Takes a chunk.
    ///
    /// - Returns: Whether the peer was allowed to send it. A sender stops when its credit is used up, and ours
    ///   is never smaller than what it knows of, so one that goes on is at fault.
    package mutating func receive(_ chunk: BatchChunk) -> Bool {
        guard self.credit > 0,
            chunk.payload.count <= CoreLimits.chunkBytesMax,
            self.waiting.count < CoreLimits.inboundChunksMax,
            chunk.batch.sequence > 0,
            (chunk.header != nil) == (chunk.index == 0)
        else { return false }
        self.credit -= chunk.payload.count
        self.waiting.append(chunk)
        return true
    }

    /// Takes what the next store request shall carry; `nil` when there is nothing or one is outstanding.
    package mutating func nextStore() -> [BatchChunk]? {
        guard !self.isStoring, !self.waiting.isEmpty else { return nil }
        var chunks: [BatchChunk] = []
        var bytes = 0
        while let chunk = self.waiting.first, chunks.count < CoreLimits.storeChunksMax {
            bytes += chunk.payload.count
            if bytes > CoreLimits.storeBytesMax, !chunks.isEmpty { break }
            chunks.append(chunk)
            self.waiting.removeFirst()
        }
        self.isStoring = true
        return chunks
    }

    /// Takes note that the outstanding request was carried out and grants its bytes anew.
    package mutating func stored(bytes: Int) {
        self.isStoring = false
        self.credit += bytes
    }
}
