/// The pings of the node: one number for all peers at each beat, and when it was sent.
package struct Heartbeat: Sendable, Hashable {
    private struct Beat: Sendable, Hashable {
        let id: UInt64
        let sent: Duration
    }

    private let silenceLimit: Duration
    private var beats: [Beat] = []
    private var lastID: UInt64 = 0

    /// Starts without a beat.
    package init(silenceLimit: Duration) {
        self.silenceLimit = silenceLimit
    }

    /// Counts a beat at `time`.
    ///
    /// - Returns: The ping's id, and whether the beat came so late that this node must have been suspended:
    ///   then the peers' silence proves nothing, since their signs of life still wait to be read.
    package mutating func beat(at time: Duration) -> (id: UInt64, wasAsleep: Bool) {
        let wasAsleep = self.beats.last.map { time - $0.sent >= self.silenceLimit } ?? false
        self.lastID &+= 1
        self.beats.append(Beat(id: self.lastID, sent: time))
        if self.beats.count > CoreLimits.pingsRememberedMax { self.beats.removeFirst() }
        return (self.lastID, wasAsleep)
    }

    /// Returns how long the answer to ping `id` took, `nil` when the ping is unknown or too long ago.
    package func roundTrip(of id: UInt64, at time: Duration) -> Duration? {
        self.beats.first { $0.id == id }.map { time - $0.sent }
    }
}

/// The difference between the host's clock and this PC's.
///
/// Cristian's algorithm: the host's time was read half a round trip before its answer arrived. The median of
/// the last samples ignores answers that were held up.
package struct ClockOffsetEstimator: Sendable, Hashable {
    private var samples: [Int64] = []
    private var last: Int64 = 0

    /// Starts without a sample; the offset is 0.
    package init() {}

    /// Forgets the samples of a host that is host no more, and goes by its time until another's is known.
    package mutating func hostChanged() {
        self.last = self.offsetMilliseconds
        self.samples = []
    }

    /// Goes by the time of a hello until the first ping is answered; the hello's way is neglected.
    package mutating func begin(with offsetMilliseconds: Int64) {
        if self.samples.isEmpty { self.last = offsetMilliseconds }
    }

    /// What is to be added to this PC's wall time.
    package var offsetMilliseconds: Int64 {
        guard !self.samples.isEmpty else { return self.last }
        return self.samples.sorted()[self.samples.count / 2]
    }

    /// Adds a sample: the host's time as it arrived at `localMilliseconds` after `roundTrip`.
    package mutating func add(remoteMilliseconds: Int64, roundTrip: Duration, localMilliseconds: Int64) {
        let half = Int64(roundTrip / .milliseconds(2))
        let (arrived, overflow) = remoteMilliseconds.addingReportingOverflow(half)
        let (sample, underflow) = arrived.subtractingReportingOverflow(localMilliseconds)
        // A peer's nonsense must not stop the node.
        guard !overflow, !underflow else { return }
        self.samples.append(sample)
        if self.samples.count > CoreLimits.offsetSamplesMax { self.samples.removeFirst() }
    }
}
