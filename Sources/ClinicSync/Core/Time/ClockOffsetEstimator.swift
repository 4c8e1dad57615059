/// Estimates the difference between the host's clock and this PC's clock.
///
/// Cristian's algorithm: the host read its clock half a round trip before its answer arrived. The estimate is the
/// median of the last samples, so that an answer that was delayed on its way does not change it.
package struct ClockOffsetEstimator: Sendable, Hashable {
    private var samples: [Int64] = []
    private var last: Int64 = 0

    /// Starts without a sample; the offset is 0.
    package init() {}

    /// Removes the samples of the former host, and keeps its offset until the new host's is known.
    package mutating func hostChanged() {
        self.last = self.offsetMilliseconds
        self.samples = []
    }

    /// Uses the time in a hello until the host answers the first ping.
    ///
    /// The time that the hello needed to arrive is not subtracted.
    package mutating func begin(with offsetMilliseconds: Int64) {
        if self.samples.isEmpty { self.last = offsetMilliseconds }
    }

    /// The offset: add it to this PC's wall time to get the clinic's time.
    package var offsetMilliseconds: Int64 {
        guard !self.samples.isEmpty else { return self.last }
        return self.samples.sorted()[self.samples.count / 2]
    }

    /// Adds a sample: the host's time, which arrived at `localMilliseconds` after `roundTrip`.
    package mutating func add(remoteMilliseconds: Int64, roundTrip: Duration, localMilliseconds: Int64) {
        let half = Int64(roundTrip / .milliseconds(2))
        let (arrived, overflow) = remoteMilliseconds.addingReportingOverflow(half)
        let (sample, underflow) = arrived.subtractingReportingOverflow(localMilliseconds)
        // A peer's impossible time must not stop this node.
        guard !overflow, !underflow else { return }
        self.samples.append(sample)
        if self.samples.count > CoreLimits.offsetSamplesMax { self.samples.removeFirst() }
    }
}
