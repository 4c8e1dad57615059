import NIOConcurrencyHelpers
import NIOCore

/// The round trips of the last hour: what a plot needs, and no more.
final class LatencyLog: Sendable {
    /// Between two samples.
    static let interval = Duration.seconds(10)
    /// Samples kept: one hour.
    static let samplesMax = 360

    private let samples = NIOLockedValueBox(CircularBuffer<LatencySummary.Sample>())

    /// Adds a sample; the oldest goes when there are too many.
    func add(_ sample: LatencySummary.Sample) {
        self.samples.withLockedValue { samples in
            if samples.count >= LatencyLog.samplesMax { samples.removeFirst() }
            samples.append(sample)
        }
    }

    /// What there is, oldest first.
    var summary: LatencySummary {
        LatencySummary(
            intervalSeconds: Int(LatencyLog.interval.components.seconds),
            samples: self.samples.withLockedValue { Array($0) }
        )
    }
}
