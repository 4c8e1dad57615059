package import ClinicSyncModel
import DequeModule

/// The chunks that one peer sends, on their way to the store.
///
/// The store works on one request of a peer at a time. Chunks that arrive meanwhile wait here for the next request, so
/// that a burst becomes few transactions. The peer's credit bounds what waits.
package struct PeerInboundStateMachine: Sendable, Hashable {
    /// Payload bytes that the peer may still send; one chunk may exceed the rest of the credit.
    package private(set) var credit: Int
    /// Whether the store works on a request of this peer.
    package private(set) var isStoring = false
    private var waiting: Deque<BatchChunk> = []

    /// Starts with the credit that this node's hello grants.
    package init(credit: Int) {
        self.credit = credit
    }

    /// Takes a chunk.
    ///
    /// - Returns: Whether the peer was allowed to send the chunk. A sender must stop when its credit is used up. The
    ///   credit here is never smaller than the credit that the sender knows of, so a sender that continues is at fault.
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

    /// Takes the chunks of the next request; `nil` when no chunk waits or the store works on a request.
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

    /// The store carried out the request: the peer gets its bytes back as credit.
    package mutating func stored(bytes: Int) {
        self.isStoring = false
        self.credit += bytes
    }
}
