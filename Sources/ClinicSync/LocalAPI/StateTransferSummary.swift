/// The state that a node gets in place of history: the rows of all tables, from another PC.
///
/// Programs see the rows when all have arrived and are shown.
public struct StateTransferSummary: Sendable, Hashable, Codable {
    /// The name of the PC that sends it; `null` when that PC is not connected.
    @Nullable public var from: String?
    /// Rows that have arrived.
    public var rows: Int
    /// Rows that there are, as the sender said at the beginning.
    public var rowsTotal: Int
    /// Bytes that have arrived.
    public var bytes: Int
    /// Bytes a second; 0 when nothing can be said yet.
    public var bytesPerSecond: Int
    /// Seconds that the rest takes; `null` when nothing can be said yet.
    @Nullable public var secondsLeft: Int?
    /// Whether all of it has arrived, and is shown next.
    public var complete: Bool
    /// Why it is not shown although it is complete; `null` when nothing has failed.
    @Nullable public var failure: Failure?

    /// The failures to show a complete state.
    public struct Failure: Sendable, Hashable, Codable {
        /// How many tries failed, one after the other.
        public var failures: Int
        /// Why the last one failed.
        public var message: String
        /// Seconds until the next try; 0 when it is due.
        public var retrySeconds: Int

        /// Makes a description.
        public init(failures: Int, message: String, retrySeconds: Int) {
            self.failures = failures
            self.message = message
            self.retrySeconds = retrySeconds
        }
    }

    /// Makes a description.
    public init(
        from: String?,
        rows: Int,
        rowsTotal: Int,
        bytes: Int,
        bytesPerSecond: Int,
        secondsLeft: Int?,
        complete: Bool,
        failure: Failure? = nil
    ) {
        self.from = from
        self.rows = rows
        self.rowsTotal = rowsTotal
        self.bytes = bytes
        self.bytesPerSecond = bytesPerSecond
        self.secondsLeft = secondsLeft
        self.complete = complete
        self.failure = failure
    }

    /// How far the state is, for people: rows, bytes, rate and the time left, or why it is not shown.
    public var sentence: String {
        if let failure = self.failure {
            let tries = failure.failures == 1 ? "1 try" : "\(failure.failures) tries"
            let next = failure.retrySeconds == 0 ? "now" : "in \(Self.time(failure.retrySeconds))"
            return "all \(self.rows) rows have arrived and cannot be shown (\(tries)): \(failure.message); "
                + "this PC tries again \(next)"
        }
        let from = self.from.map { " from \($0)" } ?? ""
        if self.complete { return "all \(self.rows) rows have arrived\(from) and are shown next" }
        var text = "\(self.rows) of about \(self.rowsTotal) rows\(from), \(Self.megabytes(self.bytes))"
        guard self.from != nil else { return text + ", waiting for a PC that has the rest" }
        if self.bytesPerSecond > 0 { text += " at \(Self.megabytes(self.bytesPerSecond))/s" }
        if let left = self.secondsLeft { text += ", about \(Self.time(left)) left" }
        return text
    }

    private static func megabytes(_ bytes: Int) -> String { "\(Double(bytes / 100_000) / 10) MB" }

    private static func time(_ seconds: Int) -> String { seconds < 120 ? "\(seconds) s" : "\(seconds / 60) min" }
}
