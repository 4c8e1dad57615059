package import ClinicSyncModel
import DequeModule
import OrderedCollections

/// Chunks of one peer whose authors this node does not know as members yet.
///
/// A new member's batches may come before the proof of its membership. So they wait here, neither stored nor passed on,
/// until the proof comes. The peer gets its credit back at once: what waits here is bounded by this type's own limits.
package struct ParkedChunks: Sendable, Hashable {
    private var chunks: Deque<BatchChunk> = []
    private var bytes = 0
    /// Authors of chunks that had no room; ``forgottenMax`` at most.
    private var forgotten: OrderedSet<NodeID> = []
    /// Authors whose proof was asked for.
    private var asked: Set<NodeID> = []

    /// Makes a place without chunks.
    package init() {}

    /// Chunks that wait; a further one is dropped, and the peer must send it again.
    package static let chunksMax = 1_024
    /// Their payload bytes.
    package static let bytesMax = 4 << 20
    /// Authors remembered of dropped chunks.
    ///
    /// A member among authors beyond that has its chunks with the next connection.
    package static let forgottenMax = 64

    /// Takes a chunk.
    package mutating func park(_ chunk: BatchChunk) {
        let bytes = self.bytes + chunk.payload.count
        guard self.chunks.count < ParkedChunks.chunksMax, bytes <= ParkedChunks.bytesMax else {
            if self.forgotten.count < ParkedChunks.forgottenMax { self.forgotten.append(chunk.batch.origin.node) }
            return
        }
        self.bytes = bytes
        self.chunks.append(chunk)
    }

    /// Removes and returns the chunks of known authors, in their order.
    ///
    /// - Parameter isKnown: Whether a node is known as a member.
    /// - Returns: The chunks, and whether a chunk of such an author was dropped.
    package mutating func take(_ isKnown: (NodeID) -> Bool) -> (chunks: [BatchChunk], isIncomplete: Bool) {
        let isIncomplete = self.forgotten.contains(where: isKnown)
        guard self.chunks.contains(where: { isKnown($0.batch.origin.node) }) else { return ([], isIncomplete) }
        let taken = self.chunks.filter { isKnown($0.batch.origin.node) }
        self.chunks.removeAll { isKnown($0.batch.origin.node) }
        self.asked = self.asked.filter { !isKnown($0) }
        self.bytes = self.chunks.reduce(0) { $0 + $1.payload.count }
        return (Array(taken), isIncomplete)
    }

    /// Returns authors whose proof was not asked for yet, ``CoreLimits/unprovenMax`` at most, and notes them.
    ///
    /// - Parameter again: Whether all may be asked for again.
    package mutating func takeUnproven(again: Bool) -> [NodeID] {
        if again { self.asked = [] }
        var authors: [NodeID] = []
        func take(_ author: NodeID) {
            if authors.count < CoreLimits.unprovenMax, self.asked.insert(author).inserted { authors.append(author) }
        }
        for chunk in self.chunks { take(chunk.batch.origin.node) }
        for author in self.forgotten { take(author) }
        return authors
    }
}
