/// Limits how often something may happen: `burst` times at once, and `rate` times a second in the long run.
///
/// A value that knows no clock: the caller passes the time in. Source: RFC 2697, committed rate and burst.
package struct TokenBucket: Sendable, Hashable {
    /// Tokens that the bucket gains in a second.
    package let rate: Double
    /// Tokens that a full bucket has.
    package let burst: Double
    private var tokens: Double
    private var filledAt: Duration?

    /// Makes a full bucket.
    package init(rate: Double, burst: Double) {
        self.rate = rate
        self.burst = burst
        self.tokens = burst
    }

    /// Takes a token.
    ///
    /// - Parameter now: The time of any clock; when the clock goes back, the bucket gains nothing.
    /// - Returns: `nil` when there was a token, else how long it takes until there is one.
    package mutating func take(now: Duration) -> Duration? {
        if let last = self.filledAt, now > last {
            self.tokens = min(self.burst, self.tokens + self.rate * ((now - last) / .seconds(1)))
        }
        self.filledAt = max(self.filledAt ?? now, now)
        guard self.tokens >= 1 else { return .seconds((1 - self.tokens) / self.rate) }
        self.tokens -= 1
        return nil
    }
}
