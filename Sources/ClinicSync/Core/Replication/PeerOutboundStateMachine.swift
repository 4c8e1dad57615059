package import ClinicSyncModel
import OrderedCollections

/// The chunks of the log that one peer is sent.
///
/// A peer that keeps up gets every chunk when it is logged. Of a peer that is behind, the node remembers only the place
/// in the log from which it must be served. So such a peer costs the same memory however far it is behind, and delays
/// no other.
package struct PeerOutboundStateMachine: Sendable, Hashable {
    /// The way in which the peer is served.
    package enum State: Sendable, Hashable {
        /// The store looks for the place in the log. Entered by `init`, when the peer turns out to have other content of a batch
        /// than this node, and when the peer has the state. Can transition to `catchingUp`, `offered`.
        case locating
        /// The log cannot serve the peer, which was offered the state. Entered when the store says so. Can transition to
        /// `locating`.
        case offered
        /// The store reads chunks from the log, one request at a time, as the peer's credit allows. Entered with the
        /// place in the log, and when the credit is used up. Can transition to `live`.
        case catchingUp(isReading: Bool)
        /// The peer was sent everything up to `cursor`; new chunks go out at once. Entered at the end of the log. Can
        /// transition to `catchingUp` when the credit is used up.
        case live
    }

    /// The way in which the peer is served.
    package private(set) var state: State = .locating
    /// Every chunk up to this place in the log was sent, or the peer has it.
    package private(set) var cursor: UInt64 = 0
    /// The chunks that the peer has or was sent.
    package private(set) var sent: ChunkSet
    /// Payload bytes that may still be sent; one chunk may exceed the rest of the credit.
    package private(set) var credit: Int
    /// Whether the store must look for the place in the log again.
    private var mustLocate = false
    /// Chunks that the peer has lost, in the order in which they are read.
    private var lost: OrderedSet<LostChunk> = []
    private var isReadingLost = false

    /// Starts with the vector, the partial batches and the credit in the peer's hello.
    package init(vector: VersionVector, partials: [PartialBatch], credit: Int) {
        self.sent = ChunkSet(vector: vector, partials: partials)
        self.credit = credit
    }

    /// The store found the place from which the peer must be served.
    package mutating func located(_ position: UInt64) {
        guard self.state == .locating else { return }
        self.cursor = position
        self.state = .catchingUp(isReading: false)
    }

    /// Returns what the peer has, if the store must look again for the place from which the peer is served.
    package mutating func nextLocate() -> VersionVector? {
        guard self.mustLocate else { return nil }
        self.mustLocate = false
        return self.sent.vector
    }

    /// Whether the peer has a chunk, and needs none of its batch.
    ///
    /// A peer that has other content under the batch's name is sent the batch from its beginning. A chunk after the first tells
    /// this too late: the peer must be served from the batch's first chunk again.
    private mutating func has(_ chunk: BatchChunk) -> Bool {
        guard self.sent.contradicts(chunk) else { return self.sent.has(chunk) }
        self.sent.forget([chunk.batch])
        if chunk.index > 0 {
            self.state = .locating
            self.mustLocate = true
        }
        return false
    }

    /// The log cannot serve the peer: it is offered the state.
    package mutating func offered() { self.state = .offered }

    /// This node got a state, so its log may not have what the peer lacks: the store looks for the place again.
    ///
    /// - Returns: What the peer has or was sent.
    package mutating func locateAfresh() -> VersionVector {
        self.state = .locating
        return self.sent.vector
    }

    /// The peer has applied more, or was sent a state that began with `vector`: perhaps the log can serve it now.
    ///
    /// - Returns: What the peer has or was sent; `nil` when it is served from the log already.
    package mutating func locateAgain(_ vector: VersionVector = VersionVector()) -> VersionVector? {
        guard self.state == .offered else { return nil }
        self.sent.merge(vector.entries)
        self.state = .locating
        return self.sent.vector
    }

    /// Returns the next read of the log for the peer, if there is one; at the end of the log the peer is live.
    package mutating func nextRead(head: UInt64, maxBytes: Int) -> (after: UInt64, maxBytes: Int)? {
        guard self.state == .catchingUp(isReading: false) else { return nil }
        guard self.cursor < head else {
            self.state = .live
            return nil
        }
        guard self.credit > 0 else { return nil }
        self.state = .catchingUp(isReading: true)
        return (self.cursor, min(self.credit, maxBytes))
    }

    /// Takes chunks that the store read, and returns those to send.
    ///
    /// - Parameters:
    ///   - chunks: The chunks.
    ///   - head: The place of the newest chunk in the log.
    ///   - isWithheld: Whether a chunk that the peer lacks must not be sent now.
    /// - Returns: The chunks to send.
    package mutating func logRead(
        _ chunks: [LoggedChunk],
        head: UInt64,
        isWithheld: (BatchChunk) -> Bool = { _ in false }
    ) -> [BatchChunk] {
        guard self.state == .catchingUp(isReading: true) else { return [] }
        self.state = .catchingUp(isReading: false)
        // The log has nothing between the cursor and its head: those chunks were pruned.
        if chunks.isEmpty { self.cursor = max(self.cursor, head) }
        var sending: [BatchChunk] = []
        for logged in chunks where logged.position > self.cursor {
            let isKnown = self.has(logged.chunk)
            guard self.state != .locating else { break }
            if !isKnown, !isWithheld(logged.chunk) {
                guard self.credit > 0 else { break }
                self.spend(on: logged.chunk)
                sending.append(logged.chunk)
            }
            self.cursor = logged.position
        }
        return sending
    }

    /// Decides whether a new chunk goes to the peer at once.
    package mutating func offer(_ logged: LoggedChunk) -> Bool {
        // A read of the log was faster than the reply that reports the chunk.
        guard logged.position > self.cursor else { return false }
        let chunk = logged.chunk
        switch self.state {
        case .live:
            let isKnown = self.has(chunk)
            guard self.state == .live else { return false }
            guard !isKnown else {
                self.cursor = logged.position
                return false
            }
            guard self.credit > 0 else {
                self.state = .catchingUp(isReading: false)
                return false
            }
            self.cursor = logged.position
        case .locating, .offered, .catchingUp:
            // Small new batches go ahead of old ones, if the peer lacks no batch before them. The cursor stays, and the
            // read that reaches the chunk later skips it.
            let isWhole = chunk.index == 0 && chunk.isLast
            let isNext = self.sent.vector[chunk.batch.origin] &+ 1 == chunk.batch.sequence
            guard isWhole, isNext, self.credit > 0, !self.has(chunk) else { return false }
        }
        self.spend(on: chunk)
        return true
    }

    /// The peer has lost chunks; of more than ``CoreLimits/wantedMax`` at a time the rest is ignored.
    package mutating func wanted(_ chunks: [LostChunk]) {
        for chunk in chunks where self.lost.count < CoreLimits.wantedMax { self.lost.append(chunk) }
    }

    /// Returns the next read of chunks that the peer has lost: one at a time, while there is credit.
    package mutating func nextWanted() -> (chunk: LostChunk, maxBytes: Int)? {
        guard !self.isReadingLost, self.credit > 0, !self.lost.isEmpty else { return nil }
        self.isReadingLost = true
        return (self.lost.removeFirst(), min(self.credit, CoreLimits.resentBytesMax))
    }

    /// The store has read the chunks, or could not.
    package mutating func wantedRead() { self.isReadingLost = false }

    /// Decides whether a chunk that the peer has lost goes to it.
    package mutating func resend(_ chunk: BatchChunk) -> Bool {
        guard self.credit > 0 else { return false }
        self.spend(on: chunk)
        return true
    }

    /// The peer sent a chunk, so it has the chunk and is never sent it.
    package mutating func received(_ chunk: BatchChunk) {
        self.sent.record(chunk)
    }

    /// This node has applied `vector`: when the peer has the same, both are one in memory.
    package mutating func share(_ vector: VersionVector) { self.sent.share(vector) }

    /// The peer, or this node, no longer has the chunks of batches that are not whole.
    package mutating func forget(_ batches: [BatchID]) { self.sent.forget(batches) }

    /// The peer has applied batches and gives credit.
    package mutating func acknowledged(_ acknowledgement: Acknowledgement) {
        self.sent.merge(acknowledgement.applied)
        let (credit, overflow) = self.credit.addingReportingOverflow(Int(acknowledgement.creditBytes))
        self.credit = overflow ? Int.max : credit
    }

    private mutating func spend(on chunk: BatchChunk) {
        self.credit -= chunk.payload.count
        self.sent.record(chunk)
    }
}
