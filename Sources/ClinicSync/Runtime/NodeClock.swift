package import ClinicSyncCore
import Glibc

/// The clocks of a node.
///
/// Tests shift the wall clock.
package struct NodeClock: Sendable {
    /// Added to the PC's wall time; a wrong clock, in tests.
    package var skewMilliseconds: @Sendable () -> Int64

    /// Makes a clock.
    package init(skewMilliseconds: @escaping @Sendable () -> Int64 = { 0 }) {
        self.skewMilliseconds = skewMilliseconds
    }

    /// This PC's wall time, milliseconds since 1970.
    package var wallMilliseconds: Int64 {
        let time = NodeClock.time(CLOCK_REALTIME)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000 + self.skewMilliseconds()
    }

    /// Both clocks now.
    package var now: Now {
        // CLOCK_BOOTTIME goes on while the PC sleeps, so that a node that wakes knows that time has passed.
        let time = NodeClock.time(CLOCK_BOOTTIME)
        return Now(
            monotonic: .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec),
            wallMilliseconds: self.wallMilliseconds
        )
    }

    private static func time(_ clock: clockid_t) -> timespec {
        var time = timespec()
        clock_gettime(clock, &time)
        return time
    }
}
