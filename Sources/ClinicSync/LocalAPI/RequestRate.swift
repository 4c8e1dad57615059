import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOConcurrencyHelpers

/// A bucket of tokens: so many requests at once, and so many a second for as long as it takes.
///
/// A value that knows no clock: the caller passes the time in. Source: RFC 2697's committed rate and burst.
struct TokenBucket: Sendable {
    /// Tokens a second.
    let rate: Double
    /// Tokens that a full bucket has.
    let burst: Double
    private var tokens: Double
    private var filledAt: Duration?

    /// Makes a full bucket.
    init(rate: Double, burst: Double) {
        self.rate = rate
        self.burst = burst
        self.tokens = burst
    }

    /// Takes a token.
    ///
    /// - Parameter now: time on any clock that does not go back.
    /// - Returns: `nil` when there was one, else how long it takes until there is.
    mutating func take(now: Duration) -> Duration? {
        if let last = self.filledAt, now > last {
            let (seconds, attoseconds) = (now - last).components
            self.tokens = min(self.burst, self.tokens + self.rate * (Double(seconds) + Double(attoseconds) / 1e18))
        }
        self.filledAt = max(self.filledAt ?? now, now)
        guard self.tokens >= 1 else { return .seconds((1 - self.tokens) / self.rate) }
        self.tokens -= 1
        return nil
    }
}

/// Keeps a program that asks without end from taking the PC's time; the node's own work goes on in any case.
struct RequestRate: RouterMiddleware {
    typealias Context = BasicRequestContext

    /// Requests a second, of all programs together.
    static let requestsPerSecond = 500.0
    /// Requests at once.
    static let burst = 1_000.0

    private let bucket: NIOLockedValueBox<TokenBucket>
    private let start = ContinuousClock.now

    init(rate: Double = RequestRate.requestsPerSecond, burst: Double = RequestRate.burst) {
        self.bucket = NIOLockedValueBox(TokenBucket(rate: rate, burst: burst))
    }

    func handle(
        _ request: Request,
        context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        let elapsed = self.start.duration(to: .now)
        if let wait = self.bucket.withLockedValue({ $0.take(now: elapsed) }) {
            throw RequestRefusal(
                status: .tooManyRequests,
                error: "too_many_requests",
                message: "Programs of this PC ask too often: wait a moment, then ask again.",
                retryAfterSeconds: Int(wait.components.seconds) + 1
            )
        }
        return try await next(request, context)
    }
}
