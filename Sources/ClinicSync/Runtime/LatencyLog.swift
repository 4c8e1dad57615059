import ClinicSyncCore
import NIOConcurrencyHelpers
import NIOCore

/// The round trips of the last hour, for a plot.
final class LatencyLog: Sendable {
    /// The time between two samples.
    static let interval = Duration.seconds(10)
    /// Samples kept: one hour.
    static let samplesMax = 360

    private let samples = NIOLockedValueBox(CircularBuffer<LatencyHistory.Sample>())

    /// Adds a sample, and removes the oldest when there are too many.
    func add(_ sample: LatencyHistory.Sample) {
        self.samples.withLockedValue { samples in
            if samples.count >= LatencyLog.samplesMax { samples.removeFirst() }
            samples.append(sample)
        }
    }

    /// The samples, oldest first.
    var history: LatencyHistory {
        LatencyHistory(
            intervalSeconds: Int(LatencyLog.interval.components.seconds),
            samples: self.samples.withLockedValue { Array($0) }
        )
    }
}

extension LatencyLog {
    /// Takes a sample every ten seconds until cancelled: the round trip to the host, or on the host the slowest
    /// client's.
    ///
    /// The round trips with all peers go to `metrics`.
    func run(clock: NodeClock, metrics: NodeMetrics, status: @Sendable () async -> CoreStatus?) async throws {
        while true {
            if let core = await status() {
                let peers = core.peers.filter(\.isConnected)
                for milliseconds in peers.compactMap(\.roundTripMilliseconds) {
                    metrics.observe(.roundTrip, .milliseconds(milliseconds))
                }
                let measured =
                    core.host.flatMap { host in peers.first { $0.id == host.id } }
                    .map { $0.roundTripMilliseconds } ?? peers.compactMap(\.roundTripMilliseconds).max()
                self.add(
                    LatencyHistory.Sample(
                        at: UTCTimestamp(milliseconds: clock.wallMilliseconds),
                        milliseconds: measured.map { ($0 * 1_000).rounded() / 1_000 }
                    )
                )
            }
            try await Task.sleep(for: LatencyLog.interval)
        }
    }
}
