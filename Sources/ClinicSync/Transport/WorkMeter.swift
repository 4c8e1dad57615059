import ClinicSyncModel

/// Measures the work that a peer's messages cause, and says how long the node must not read more of them.
///
/// Chunks and the pages of a comparison have limits of their own: credit, and answers to questions. The core says which chunks
/// cost no credit; they are measured here. All other messages are small and rare between honest nodes, but a hostile member
/// can send them without end, and each costs the node's one driver some time. A message costs one unit, and one more for
/// each KiB.
struct WorkMeter {
    private let rate: Double
    private let burst: Double
    private var tokens: Double
    private var filledAt: Duration = .zero

    /// Starts with a full burst.
    init(rate: Double, burst: Double) {
        self.rate = rate
        self.burst = burst
        self.tokens = burst
    }

    /// Counts a message of `bytes`, which was read at `now`.
    mutating func count(_ message: Message, bytes: Int, at now: Duration) {
        guard message.isMetered else { return }
        self.fill(at: now)
        self.tokens -= WorkMeter.units(of: bytes)
    }

    /// Counts `units` of work besides the messages, which came up to `now`.
    mutating func count(units: Double, at now: Duration) {
        guard units > 0 else { return }
        self.fill(at: now)
        self.tokens -= units
    }

    /// The units of a message of `bytes`.
    static func units(of bytes: Int) -> Double { 1 + Double(bytes) / 1_024 }

    /// Returns how long the node must wait before it reads more; `nil` when it may read now.
    mutating func wait(at now: Duration) -> Duration? {
        guard self.tokens < 0 else { return nil }
        self.fill(at: now)
        return self.tokens < 0 ? .seconds(-self.tokens / self.rate) : nil
    }

    private mutating func fill(at now: Duration) {
        guard now > self.filledAt else { return }
        self.tokens = min(self.burst, self.tokens + self.rate * ((now - self.filledAt) / .seconds(1)))
        self.filledAt = now
    }
}

extension Message {
    /// Whether no other limit holds for the message.
    fileprivate var isMetered: Bool {
        switch self {
        case .chunk, .rowHashes, .rowStates, .state(.page), .stateRanges, .stateWants: false
        case .hello, .goodbye, .ping, .pong, .acknowledge, .digests, .syncRequest, .verifyRequest, .verifyReport,
            .syncReport, .revocation, .memberProof, .hostReport, .handOver, .transferRequest, .loginRequest,
            .loginReply, .state(.offer), .state(.request), .state(.end):
            true
        }
    }
}
