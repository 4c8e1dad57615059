import ClinicSyncModel
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOConcurrencyHelpers

/// Limits the requests of all programs together, so that a program in a loop does not use the PC's whole capacity.
struct RequestRate: RouterMiddleware {
    typealias Context = BasicRequestContext

    /// The largest number of requests per second, for all programs together.
    static let requestsPerSecond = 500.0
    /// The largest number of requests in one burst.
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
                message: "Programs of this PC send too many requests: wait a moment, then try again.",
                retryAfterSeconds: Int(wait.components.seconds) + 1
            )
        }
        return try await next(request, context)
    }
}
