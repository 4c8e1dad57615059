package import ClinicSyncCore
import Foundation

/// The clocks of a node.
///
/// Tests shift the wall clock.
package struct NodeClock: Sendable {
    /// An offset to the PC's wall time, which simulates a wrong clock in tests.
    package var skewMilliseconds: @Sendable () -> Int64

    /// Makes a clock.
    package init(skewMilliseconds: @escaping @Sendable () -> Int64 = { 0 }) {
        self.skewMilliseconds = skewMilliseconds
    }

    /// This PC's wall time, milliseconds since 1970.
    package var wallMilliseconds: Int64 {
        Int64(Date().timeIntervalSince1970 * 1_000) + self.skewMilliseconds()
    }

    /// The current time of both clocks.
    package var now: Now {
        // The continuous clock advances while the PC sleeps, so a node that wakes sees that time has passed.
        Now(
            monotonic: NodeClock.start.duration(to: .now),
            wallMilliseconds: self.wallMilliseconds
        )
    }

    private static let start = ContinuousClock.now
}
