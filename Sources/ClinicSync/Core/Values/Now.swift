/// The time at which an input is handled.
///
/// The core never reads a clock.
package struct Now: Sendable, Hashable {
    /// Time since an arbitrary start that never goes back; for intervals.
    package var monotonic: Duration
    /// This PC's uncorrected wall time, milliseconds since 1970; for stamps, and it may jump.
    package var wallMilliseconds: Int64

    /// Makes a moment.
    package init(monotonic: Duration, wallMilliseconds: Int64) {
        self.monotonic = monotonic
        self.wallMilliseconds = wallMilliseconds
    }

    /// Returns the wall time of an earlier moment, as this moment's wall clock counts.
    package func wallMilliseconds(at earlier: Duration) -> Int64 {
        let (seconds, attoseconds) = (self.monotonic - earlier).components
        return self.wallMilliseconds &- seconds &* 1_000 &- attoseconds / 1_000_000_000_000_000
    }
}
