import NIOConcurrencyHelpers

/// The wall clock of one simulated PC: true time with an error.
package final class SimulatedClock: Sendable {
    /// True time at the start of every run: 2001-09-09T01:46:40Z.
    package static let epochMilliseconds: Int64 = 1_000_000_000_000
    /// No simulated clock ever shows so late a time, and no real one so early a time.
    package static let realMillisecondsMin: Int64 = 1_500_000_000_000

    private let current = NIOLockedValueBox<Int64>(SimulatedClock.epochMilliseconds)

    /// Makes a clock.
    package init() {}

    /// What the clock shows; in a box because the store asks for it.
    package var milliseconds: Int64 { self.current.withLockedValue { $0 } }

    /// Moves the clock to true time `time` with an error of `skew` milliseconds.
    package func set(_ time: Duration, skew: Int64) {
        let elapsed = time.components.seconds * 1_000 + time.components.attoseconds / 1_000_000_000_000_000
        self.current.withLockedValue { $0 = SimulatedClock.epochMilliseconds + elapsed + skew }
    }
}
