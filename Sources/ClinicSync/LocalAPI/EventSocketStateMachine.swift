import ClinicSyncModel

/// Decides how to answer the messages of one program over `/ws`.
///
/// The state machine uses no socket and no clock.
struct EventSocketStateMachine {
    /// What the handler must do.
    enum Action: Hashable {
        /// Nothing.
        case none
        /// Replace the subscription and confirm it.
        case subscribe(EventFilter)
        /// End the subscription and confirm it.
        case unsubscribe
        /// Answer a ping.
        case pong
        /// Send an error that describes the fault.
        case refuse(EventSocketError)
        /// Send a close frame with this code and reason, and close.
        case close(code: UInt16, reason: String)
    }

    private enum State {
        /// The program has not authenticated, so it receives no message.
        ///
        /// Can transition to `open`, `closed`.
        case strange
        /// The program has sent a token, which allows this. Can transition to `closed`.
        case open(LocalAPIAccess.Grant)
        /// A close frame was sent. Final.
        case closed
    }

    private let limits: EventSocketLimits
    private let authorization: SocketAuthorization
    private var state: State
    private var errors = 0
    private var rate: TokenBucket

    /// Makes a state machine; `grant` is what the opening request proved, if anything.
    init(limits: EventSocketLimits, authorization: SocketAuthorization, grant: LocalAPIAccess.Grant?) {
        self.limits = limits
        self.authorization = authorization
        self.state = grant.map { .open($0) } ?? .strange
        self.rate = TokenBucket(rate: Double(limits.messagesPerSecond), burst: Double(limits.messagesPerSecond))
    }

    /// Whether the program is authenticated.
    var isOpen: Bool { if case .open = self.state { true } else { false } }

    /// Whether a close frame was sent.
    var isClosed: Bool { if case .closed = self.state { true } else { false } }

    /// A message came.
    mutating func received(_ message: [UInt8], at now: Duration) -> Action {
        guard !self.isClosed else { return .none }
        guard self.rate.take(now: now) == nil else { return self.tooMuch() }
        do {
            return self.perform(try EventSocketRequest(message))
        } catch let error as EventSocketError {
            return self.refuse(error)
        } catch {
            return self.refuse(EventSocketError(code: "malformed", message: "Send one JSON object with a \"type\"."))
        }
    }

    /// A binary message came.
    mutating func receivedBinary() -> Action {
        guard !self.isClosed else { return .none }
        return self.refuse(EventSocketError(code: "malformed", message: "Send text, not binary messages."))
    }

    /// A ping or pong came.
    mutating func receivedControl(at now: Duration) -> Action {
        guard !self.isClosed else { return .none }
        return self.rate.take(now: now) == nil ? .none : self.tooMuch()
    }

    /// The time for the token is over.
    mutating func authorizationTimedOut() -> Action { self.isStrange ? self.unauthorized() : .none }

    /// It is time for a ping: a program whose token was removed gets none.
    mutating func pingDue() -> Action {
        guard case .open(let grant) = self.state, !self.authorization.isCurrent(grant) else { return .none }
        return self.unauthorized()
    }

    /// The connection ends for another reason.
    mutating func close(code: UInt16, reason: String) -> Action {
        guard !self.isClosed else { return .none }
        self.state = .closed
        return .close(code: code, reason: reason)
    }

    // MARK: - Private

    private static let noRight =
        "This token does not allow these events: make one that does with clinic-node tokens add."

    private var isStrange: Bool { if case .strange = self.state { true } else { false } }

    private mutating func perform(_ request: EventSocketRequest) -> Action {
        switch (request, self.state) {
        case (_, .closed):
            return .none
        case (.authenticate(let token), _):
            guard let grant = self.authorization.grant(token) else { return self.unauthorized() }
            self.state = .open(grant)
            return .none
        case (_, .strange):
            return self.unauthorized()
        case (.subscribe(let filter), .open(let grant)):
            guard grant.rights.contains(.events), let limited = grant.limiting(filter) else {
                return self.refuse(EventSocketError(code: "right_missing", message: EventSocketStateMachine.noRight))
            }
            return .subscribe(limited)
        case (.unsubscribe, .open):
            return .unsubscribe
        case (.ping, .open):
            return .pong
        }
    }

    private mutating func refuse(_ error: EventSocketError) -> Action {
        // A program without a token receives no information, not even the fault of its message.
        guard self.isOpen else { return self.unauthorized() }
        self.errors += 1
        guard self.errors <= self.limits.errorsMax else {
            return self.close(code: EventSocketCloseCode.policy, reason: "too many malformed messages")
        }
        return .refuse(error)
    }

    private mutating func unauthorized() -> Action {
        self.close(code: EventSocketCloseCode.unauthorized, reason: "unauthorized")
    }

    private mutating func tooMuch() -> Action {
        self.close(code: EventSocketCloseCode.policy, reason: "too many messages")
    }
}

/// Why the node closes a WebSocket of a program; see `docs/EVENTS.md`.
enum EventSocketCloseCode {
    /// The node stops.
    static let goingAway: UInt16 = 1_001
    /// The program broke RFC 6455.
    static let protocolError: UInt16 = 1_002
    /// The program broke a limit.
    static let policy: UInt16 = 1_008
    /// A message is too large.
    static let tooLarge: UInt16 = 1_009
    /// The program sent no token in time, or a wrong token.
    static let unauthorized: UInt16 = 4_401
    /// The program accepted none of its events for too long.
    static let stalled: UInt16 = 4_408
}
