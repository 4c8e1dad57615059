import ClinicSyncModel
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOConcurrencyHelpers

/// Limits the requests of all programs together, so that a program in a loop does not use the PC's whole capacity.
///
/// Requests without the token have a limit of their own: they use up nothing of the limit for those with the token.
struct RequestRate: RouterMiddleware {
    typealias Context = BasicRequestContext

    /// The largest number of requests per second, for all programs together.
    static let requestsPerSecond = 500.0
    /// The largest number of requests in one burst.
    static let burst = 1_000.0

    /// The largest number of requests without the token per second, and in one burst.
    static let strangersPerSecond = 50.0

    private let access: LocalAPIAccess
    private let bucket: NIOLockedValueBox<TokenBucket>
    private let strangers = NIOLockedValueBox(
        TokenBucket(rate: RequestRate.strangersPerSecond, burst: 2 * RequestRate.strangersPerSecond)
    )
    private let start = ContinuousClock.now

    init(
        access: LocalAPIAccess,
        rate: Double = RequestRate.requestsPerSecond,
        burst: Double = RequestRate.burst
    ) {
        self.access = access
        self.bucket = NIOLockedValueBox(TokenBucket(rate: rate, burst: burst))
    }

    func handle(
        _ request: Request,
        context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        let elapsed = self.start.duration(to: .now)
        let isStranger = self.access.grant(RequestIdentity(request.head)) == nil
        let bucket = isStranger ? self.strangers : self.bucket
        if let wait = bucket.withLockedValue({ $0.take(now: elapsed) }) {
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
