package import ClinicSyncModel

/// What one peer is sent of the log.
///
/// A peer that keeps up gets every chunk as it is logged. One that does not is forgotten down to the place in
/// the log from which it has to be served, so that it costs the same memory however far behind it is, and
/// delays nobody.
package struct PeerOutboundStateMachine: Sendable, Hashable {
    /// How the peer is served.
    package enum State: Sendable, Hashable {
        /// The store looks for the place in the log. Entered by `init`. Can transition to `catchingUp`, `live`.
        case locating
        /// Chunks are read from the log, one read at a time, as the peer's credit allows. Can transition to
        /// `live`.
        case catchingUp(isReading: Bool)
        /// Everything up to `cursor` is handled; new chunks are sent at once. Can transition to `catchingUp`
        /// when credit is used up.
        case live
    }

    /// How the peer is served.
    package private(set) var state: State = .locating
    /// Every chunk up to this place of the log was sent or need not be.
    package private(set) var cursor: UInt64 = 0
    /// What the peer has or was sent.
    package private(set) var sent: ChunkLedger
    /// Payload bytes that may still be sent; one chunk may overdraw it.
    package private(set) var credit: Int

    /// Starts with what the peer's hello says.
    package init(vector: VersionVector, partials: [PartialBatch], credit: Int) {
        self.sent = ChunkLedger(vector: vector, partials: partials)
        self.credit = credit
    }

    /// Takes the place from which the peer must be served.
    package mutating func located(_ position: UInt64) {
        guard self.state == .locating else { return }
        self.cursor = position
        self.state = .catchingUp(isReading: false)
    }

    /// Returns what to read next for the peer, if anything; turns live when there is nothing before `head`.
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

    /// Takes what was read and returns what to send of it.
    package mutating func logRead(_ chunks: [LoggedChunk], head: UInt64) -> [BatchChunk] {
        guard self.state == .catchingUp(isReading: true) else { return [] }
        self.state = .catchingUp(isReading: false)
        // Nothing was found although the head is further: what was there has been pruned or never was.
        if chunks.isEmpty { self.cursor = max(self.cursor, head) }
        var sending: [BatchChunk] = []
        for logged in chunks where logged.position > self.cursor {
            if !self.sent.has(logged.chunk) {
                guard self.credit > 0 else { break }
                self.spend(on: logged.chunk)
                sending.append(logged.chunk)
            }
            self.cursor = logged.position
        }
        return sending
    }

    /// Decides whether a chunk that was logged just now goes to the peer at once.
    package mutating func offer(_ logged: LoggedChunk) -> Bool {
        // A log read was faster than the reply that reports the chunk.
        guard logged.position > self.cursor else { return false }
        let chunk = logged.chunk
        switch self.state {
        case .live:
            guard !self.sent.has(chunk) else {
                self.cursor = logged.position
                return false
            }
            guard self.credit > 0 else {
                self.state = .catchingUp(isReading: false)
                return false
            }
            self.cursor = logged.position
        case .locating, .catchingUp:
            // Interactive traffic goes ahead of bulk when nothing before it is lacking. The cursor stays; the
            // read that comes by here later skips the chunk.
            let isWhole = chunk.index == 0 && chunk.isLast
            let isNext = self.sent.vector[chunk.batch.origin] &+ 1 == chunk.batch.sequence
            guard isWhole, isNext, self.credit > 0, !self.sent.has(chunk) else { return false }
        }
        self.spend(on: chunk)
        return true
    }

    /// Takes note that the peer has a chunk because it sent it: it never gets it back.
    package mutating func received(_ chunk: BatchChunk) {
        self.sent.record(chunk)
    }

    /// Takes the peer's acknowledgement.
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
