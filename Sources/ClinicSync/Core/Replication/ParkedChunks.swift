package import ClinicSyncModel
import DequeModule
import OrderedCollections

/// Chunks of one peer whose authors this node does not know as members yet.
///
/// A new member's batches may come before the proof of its membership. So they wait here, neither stored nor passed on,
/// until the proof comes, and keep the credit that they cost. A chunk that has no room costs no credit.
package struct ParkedChunks: Sendable, Hashable {
    private var chunks: Deque<BatchChunk> = []
    private var bytes = 0
    private let bytesMax: Int
    /// Authors of chunks that had no room; ``forgottenMax`` at most.
    private var forgotten: OrderedSet<NodeID> = []
    /// Authors whose proof was asked for.
    private var asked: Set<NodeID> = []

    /// Makes a place without chunks, for so many payload bytes at most.
    package init(bytesMax: Int = ParkedChunks.bytesMax) {
        self.bytesMax = bytesMax
    }

    /// Chunks that wait; a further one is dropped, and the peer must send it again.
    package static let chunksMax = 1_024
    /// Their payload bytes.
    package static let bytesMax = 4 << 20
    /// Authors remembered of dropped chunks.
    ///
    /// A member among authors beyond that has its chunks with the next connection.
    package static let forgottenMax = 64

    /// Takes a chunk.
    ///
    /// - Returns: Whether there was room.
    package mutating func park(_ chunk: BatchChunk) -> Bool {
        let bytes = self.bytes + chunk.payload.count
        guard self.chunks.count < ParkedChunks.chunksMax, bytes <= self.bytesMax else {
            if self.forgotten.count < ParkedChunks.forgottenMax { self.forgotten.append(chunk.batch.origin.node) }
            return false
        }
        self.bytes = bytes
        self.chunks.append(chunk)
        return true
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

    /// Notes that some authors' proofs are asked for now.
    ///
    /// - Parameter again: Whether all may be asked for again.
    /// - Returns: Authors whose proof was not asked for yet, ``CoreLimits/unprovenMax`` at most.
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
