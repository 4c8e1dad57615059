package import ClinicSyncModel

/// The clinic's time as this node knows it.
///
/// The host's time is the clinic's time. A client adds an offset to its own clock; a node that becomes host keeps the
/// offset of the host before it.
package struct ClinicClock: Sendable, Hashable {
    private let toleranceMilliseconds: Int64
    private var estimator = ClockOffsetEstimator()
    /// When a wrong clock was last reported.
    private var skewNoticedAt: Duration?

    /// Makes a clock with the offset 0.
    ///
    /// - Parameter tolerance: A stamp further ahead than this is reported.
    package init(tolerance: Duration) {
        self.toleranceMilliseconds = Int64(tolerance / .milliseconds(1))
    }

    /// The offset: add it to this PC's wall time to get the clinic's time.
    package var offsetMilliseconds: Int64 { self.estimator.offsetMilliseconds }

    /// Returns the clinic's time at a wall time of this PC; a peer takes every such time.
    package func milliseconds(at wallMilliseconds: Int64) -> Int64 {
        Bounds.milliseconds(clamping: wallMilliseconds &+ self.offsetMilliseconds)
    }

    /// Starts to follow the clock of another host.
    ///
    /// - Parameter ahead: How far the host's time was ahead of this PC's when it said hello.
    package mutating func follow(ahead: Int64?) {
        self.estimator.hostChanged()
        if let ahead { self.estimator.begin(with: ahead) }
    }

    /// Uses the time of a peer that is not host, until a host's time is known.
    package mutating func borrow(ahead: Int64) {
        self.estimator.begin(with: ahead)
    }

    /// Takes the host's answer to a ping, which arrived `roundTrip` after the ping was sent.
    package mutating func hostAnswered(_ pong: Pong, roundTrip: Duration, at now: Now) {
        self.estimator.add(
            remoteMilliseconds: pong.wallMilliseconds,
            roundTrip: roundTrip,
            localMilliseconds: now.wallMilliseconds
        )
    }

    /// Checks the newest stamp of applied changes.
    ///
    /// - Returns: The notice for operators when the stamp's clock is ahead of the clinic's, at most one in
    ///   ``CoreLimits/clockSkewNoticeInterval``.
    package mutating func check(_ stamp: HybridTimestamp, at now: Now) -> [Effect] {
        let ahead = stamp.milliseconds &- self.milliseconds(at: now.wallMilliseconds)
        guard ahead > self.toleranceMilliseconds else { return [] }
        if let last = self.skewNoticedAt, now.monotonic - last < CoreLimits.clockSkewNoticeInterval { return [] }
        self.skewNoticedAt = now.monotonic
        return [.notify(.clockSkew(milliseconds: ahead))]
    }
}
