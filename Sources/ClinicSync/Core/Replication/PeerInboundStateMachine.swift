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
    /// Chunks whose authors are not known as members yet.
    private var parked: ParkedChunks

    /// Whether chunks wait for the store, or the store works on them.
    package var hasWork: Bool { self.isStoring || !self.waiting.isEmpty }

    /// Starts with the credit that this node's hello grants.
    package init(credit: Int) {
        self.credit = credit
        // The proof of a membership may come after the chunks, over the same connection. So they never use up the credit.
        self.parked = ParkedChunks(bytesMax: min(ParkedChunks.bytesMax, credit / 2))
    }

    /// What becomes of a peer's chunk.
    package enum Arrival: Sendable, Hashable {
        /// The chunk waits for the store, or for the proof that its author is a member. It costs credit until it is stored.
        case taken
        /// The chunk had no room. The peer must get its credit back.
        case dropped
        /// The peer was not allowed to send the chunk.
        case refused
    }

    /// Takes a chunk.
    ///
    /// A sender must stop when its credit is used up. The credit here is never smaller than the credit that the sender
    /// knows of, so a sender that continues is at fault.
    ///
    /// - Parameters:
    ///   - chunk: The chunk.
    ///   - isAuthorKnown: Whether its author is known as a member. If not, the chunk is parked.
    /// - Returns: What became of it.
    package mutating func receive(_ chunk: BatchChunk, isAuthorKnown: Bool = true) -> Arrival {
        guard self.credit > 0,
            chunk.payload.count <= CoreLimits.chunkBytesMax,
            self.waiting.count < CoreLimits.inboundChunksMax,
            chunk.batch.sequence > 0,
            (chunk.header != nil) == (chunk.index == 0)
        else { return .refused }
        guard isAuthorKnown else {
            guard self.parked.park(chunk) else { return .dropped }
            self.credit -= chunk.payload.count
            return .taken
        }
        self.credit -= chunk.payload.count
        self.waiting.append(chunk)
        return .taken
    }

    /// Notes that the peer is asked for the proofs of some authors' membership.
    ///
    /// - Parameter again: Whether the peer may be asked again for all.
    /// - Returns: Authors of parked chunks whose proof this node has not asked the peer for, some of them if there are many.
    package mutating func takeUnproven(again: Bool = false) -> [NodeID] { self.parked.takeUnproven(again: again) }

    /// More nodes are known as members: their chunks go on to the store.
    ///
    /// - Returns: Whether the peer must send chunks of them again, because there was no room.
    package mutating func learned(_ isKnown: (NodeID) -> Bool) -> Bool {
        let (chunks, isIncomplete) = self.parked.take(isKnown)
        self.waiting += chunks
        return isIncomplete
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
