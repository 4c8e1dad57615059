/// The answer of `GET /v1/latency`: round trips to the host during the last hour.
public struct LatencyHistory: Sendable, Hashable, Codable {
    /// One measurement.
    public struct Sample: Sendable, Hashable, Codable {
        /// When the round trip was measured.
        public var at: UTCTimestamp
        /// The round trip; `null` when no peer was connected.
        ///
        /// A client measures its host. The host measures its clients and shows the slowest.
        @Nullable public var milliseconds: Double?

        /// Makes a sample.
        public init(at: UTCTimestamp, milliseconds: Double?) {
            self.at = at
            self.milliseconds = milliseconds
        }
    }

    /// Seconds between two samples.
    public var intervalSeconds: Int
    /// The samples, oldest first, at most one hour of them.
    public var samples: [Sample]

    /// Makes a summary.
    public init(intervalSeconds: Int, samples: [Sample]) {
        self.intervalSeconds = intervalSeconds
        self.samples = samples
    }
}
