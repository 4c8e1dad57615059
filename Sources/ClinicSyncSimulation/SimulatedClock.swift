import NIOConcurrencyHelpers

/// The wall clock of one simulated PC: true time with an error.
package final class SimulatedClock: Sendable {
    /// True time at the start of every run: 2001-09-09T01:46:40Z.
    package static let epochMilliseconds: Int64 = 1_000_000_000_000
    /// A time between the times of all simulated clocks and the times of all real clocks.
    package static let realMillisecondsMin: Int64 = 1_500_000_000_000

    private struct State {
        var shown = SimulatedClock.epochMilliseconds
        var skew: Int64
    }

    /// It is in a box, because the store reads the time.
    private let state: NIOLockedValueBox<State>

    /// Makes a clock with an error of `skew` milliseconds.
    package init(skew: Int64) { self.state = NIOLockedValueBox(State(skew: skew)) }

    /// The clock's error in milliseconds; a new error shows when time moves on.
    package var skew: Int64 {
        get { self.state.withLockedValue { $0.skew } }
        set { self.state.withLockedValue { $0.skew = newValue } }
    }

    /// The clock's time.
    package var milliseconds: Int64 { self.state.withLockedValue { $0.shown } }

    /// Moves the clock to true time `time`.
    package func set(_ time: Duration) {
        let elapsed = time.components.seconds * 1_000 + time.components.attoseconds / 1_000_000_000_000_000
        self.state.withLockedValue { $0.shown = SimulatedClock.epochMilliseconds + elapsed + $0.skew }
    }
}
