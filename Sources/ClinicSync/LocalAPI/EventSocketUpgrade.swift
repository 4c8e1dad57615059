import HTTPTypes
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Opens WebSockets for programs: `GET /ws`.
struct EventSocketUpgrade: Sendable {
    /// The path of the request.
    static let path = "/ws"

    private let connections: LocalAPIConnections
    private let events: EventBroadcaster
    private let guardian: LoopbackGuard
    private let authorization: SocketAuthorization
    private let limits: EventSocketLimits
    /// The number of open WebSockets of programs that have sent the token.
    ///
    /// The others count as strangers (``LocalAPIConnections``), and are closed when they do not send it in time.
    private let sockets = NIOLockedValueBox(0)

    /// Serves `events` to the programs that `guardian` and `authorization` admit.
    init(
        connections: LocalAPIConnections,
        events: EventBroadcaster,
        guardian: LoopbackGuard,
        authorization: SocketAuthorization,
        limits: EventSocketLimits
    ) {
        self.connections = connections
        self.events = events
        self.guardian = guardian
        self.authorization = authorization
        self.limits = limits
    }

    /// Makes `channel` answer one request for a WebSocket; on its event loop.
    ///
    /// - Returns: The socket; `nil` when the request was refused, with an answer that says why.
    /// - Throws: `ChannelError` when the channel is closed.
    func serve(_ channel: any Channel) throws -> EventLoopFuture<EventSocket?> {
        // NIO drops the request when an upgrader refuses it, so a later handler could not send the answer.
        let refusal = NIOLoopBoundBox<RequestRefusal?>(EventSocketUpgrade.noUpgrade, eventLoop: channel.eventLoop)
        let upgrader = NIOTypedWebSocketServerUpgrader<EventSocket?>(
            maxFrameSize: self.limits.messageBytesMax,
            enableAutomaticErrorHandling: false,
            shouldUpgrade: { channel, head in
                refusal.value = self.refusal(of: head) ?? self.refusal(ofSocketOn: channel, head)
                guard refusal.value == nil else { return channel.eventLoop.makeSucceededFuture(nil) }
                return channel.eventLoop.makeSucceededFuture(EventSocketUpgrade.headers(answering: head))
            },
            upgradePipelineHandler: { channel, head in
                channel.eventLoop.makeCompletedFuture { try self.open(channel, head) }
            }
        )
        var configuration = NIOUpgradableHTTPServerPipelineConfiguration<EventSocket?>(
            upgradeConfiguration: .init(
                upgraders: [upgrader],
                notUpgradingCompletionHandler: { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try EventSocketUpgrade.answer(refusal.value ?? EventSocketUpgrade.noUpgrade, on: channel)
                        return nil
                    }
                }
            )
        )
        configuration.enablePipelining = false
        return try channel.pipeline.syncOperations.configureUpgradableHTTPServerPipeline(configuration: configuration)
    }

    private func open(_ channel: any Channel, _ head: HTTPRequestHead) throws -> EventSocket {
        var grant: LocalAPIAccess.Grant?
        var limits = self.limits
        switch self.authorization.opening(head) {
        case .granted(let given): grant = given
        // Waiting for another token is useless.
        case .wrong: limits.authorizationTime = .zero
        case .none: break
        }
        let machine = EventSocketStateMachine(
            limits: limits,
            authorization: self.authorization,
            grant: grant
        )
        return try EventSocket(
            adding: machine,
            to: channel,
            subscription: self.events.subscribe(nil),
            limits: limits,
            onAuthorized: { self.reserve(for: channel) }
        )
    }

    private static func headers(answering head: HTTPRequestHead) -> HTTPHeaders {
        let offered = head.headers[canonicalForm: "Sec-WebSocket-Protocol"]
        guard offered.contains(Substring(SocketAuthorization.subprotocol)) else { return [:] }
        return ["Sec-WebSocket-Protocol": SocketAuthorization.subprotocol]
    }

    /// Counts the socket of a request with the token; returns the refusal when there are too many.
    private func refusal(ofSocketOn channel: any Channel, _ head: HTTPRequestHead) -> RequestRefusal? {
        guard case .granted = self.authorization.opening(head) else { return nil }
        return self.reserve(for: channel) ? nil : self.tooMany
    }

    /// Counts a socket of a program that has sent the token, until its channel is closed.
    private func reserve(for channel: any Channel) -> Bool {
        let isFree = self.sockets.withLockedValue { count in
            guard count < self.limits.socketsMax else { return false }
            count += 1
            return true
        }
        self.connections.trust(channel)
        if isFree { channel.closeFuture.whenComplete { _ in self.sockets.withLockedValue { $0 -= 1 } } }
        return isFree
    }

    /// Returns why the node refuses a request; `nil` when the node accepts it.
    private func refusal(of head: HTTPRequestHead) -> RequestRefusal? {
        let authority = head.headers.first(name: "Host") ?? ""
        let origin = head.headers.first(name: "Origin")
        return self.guardian.refusal(authority: authority, origin: origin)
    }

    private var tooMany: RequestRefusal {
        RequestRefusal(
            status: .serviceUnavailable,
            error: "too_many_sockets",
            message:
                "Programs of this PC have \(self.limits.socketsMax) WebSockets open, which is the limit: close some."
        )
    }

    private static let noUpgrade = RequestRefusal(
        status: .upgradeRequired,
        error: "upgrade_required",
        message: "This is a WebSocket of version 13: open it with ws:// and GET."
    )

    /// Answers a request that opens no WebSocket, and closes the connection.
    private static func answer(_ refusal: RequestRefusal, on channel: any Channel) throws {
        let body = try APICoding.encode(APIError(error: refusal.error, message: refusal.message)) + [UInt8(ascii: "\n")]
        let headers: HTTPHeaders = [
            "Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", "Connection": "close",
            "Upgrade": "websocket", "Content-Length": String(body.count),
        ]
        let status = HTTPResponseStatus(statusCode: refusal.status.code)
        let head = HTTPResponseHead(version: .http1_1, status: status, headers: headers)
        channel.write(HTTPServerResponsePart.head(head), promise: nil)
        channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil)
        channel.writeAndFlush(HTTPServerResponsePart.end(nil)).whenComplete { _ in channel.close(promise: nil) }
    }
}
