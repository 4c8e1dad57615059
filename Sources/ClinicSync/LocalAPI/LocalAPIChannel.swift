import HummingbirdCore
import Logging
import NIOConcurrencyHelpers
import NIOCore
import ServiceLifecycle

/// Uses the first bytes of a connection to decide whether it carries HTTP requests or asks for the WebSocket.
///
/// A program must ask for the WebSocket in the first request of a connection, as all WebSocket clients do.
struct LocalAPIChannel: ServerChildChannel {
    /// A connection that was accepted.
    struct Value: ServerChildChannelValue {
        let channel: any Channel
        /// The kind of the connection, available after the first bytes arrive.
        let kind: EventLoopFuture<Kind>
        /// Whether the kind is known.
        fileprivate let isKnown: NIOLockedValueBox<Bool>
    }

    /// The purpose of a connection.
    enum Kind: Sendable {
        /// HTTP requests.
        case http(HTTP1Channel.Value)
        /// Events over a WebSocket.
        case socket(EventSocket)
        /// Nothing, because the node refused the WebSocket.
        case refused
    }

    let http: HTTP1Channel
    let sockets: EventSocketUpgrade
    let connections: LocalAPIConnections

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let promise = channel.eventLoop.makePromise(of: Kind.self)
            let isKnown = NIOLockedValueBox(false)
            self.connections.admit(channel)
            let watch = ConnectionWatch(self.connections)
            promise.futureResult.whenComplete { _ in
                isKnown.withLockedValue { $0 = true }
            }
            let sniffer = RequestLineSniffer(
                onDecision: { isSocket in
                    do {
                        if isSocket { watch.becomeSocket() }
                        try self.proceed(channel, isSocket: isSocket, logger: logger, promise: promise)
                    } catch {
                        promise.fail(error)
                        channel.close(promise: nil)
                    }
                },
                onEnd: { promise.fail(ChannelError.eof) }
            )
            try channel.pipeline.syncOperations.addHandlers([watch, sniffer])
            return Value(channel: channel, kind: promise.futureResult, isKnown: isKnown)
        }
    }

    private func proceed(
        _ channel: any Channel,
        isSocket: Bool,
        logger: Logger,
        promise: EventLoopPromise<Kind>
    ) throws {
        if isSocket {
            try self.sockets.serve(channel).map { $0.map(Kind.socket) ?? .refused }.cascade(to: promise)
        } else {
            self.http.setup(channel: channel, logger: logger).map(Kind.http).cascade(to: promise)
        }
    }

    func handle(value: Value, logger: Logger) async {
        await withGracefulShutdownHandler {
            do {
                switch try await value.kind.get() {
                case .http(let connection):
                    let handled = LocalAPIConnections.Connection(
                        channel: value.channel,
                        connections: self.connections
                    )
                    await LocalAPIConnections.$current.withValue(handled) {
                        await self.http.handle(value: connection, logger: logger)
                    }
                case .socket(let socket):
                    await withGracefulShutdownHandler {
                        await socket.run()
                    } onGracefulShutdown: {
                        socket.goAway()
                    }
                case .refused:
                    try await withGracefulShutdownHandler {
                        try await value.channel.closeFuture.get()
                    } onGracefulShutdown: {
                        // The node has sent the answer or never will. Do not wait for the program to close.
                        value.channel.close(promise: nil)
                    }
                }
            } catch {
                // The connection ended before its kind was known, or the upgrade failed.
                value.channel.close(promise: nil)
            }
        } onGracefulShutdown: {
            // Do not wait for a connection whose kind is unknown.
            if !value.isKnown.withLockedValue({ $0 }) { value.channel.close(promise: nil) }
        }
    }
}

/// The first handler of a connection, until the first bytes show whether they ask for the WebSocket.
final class RequestLineSniffer: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let prefix = Array("GET \(EventSocketUpgrade.path)".utf8)

    private let onDecision: (_ isSocket: Bool) -> Void
    private let onEnd: () -> Void
    private var received = ByteBuffer()
    private var isDecided = false

    /// Calls either `onDecision`, which adds the handlers for the following bytes, or `onEnd`, once.
    init(onDecision: @escaping (Bool) -> Void, onEnd: @escaping () -> Void) {
        self.onDecision = onDecision
        self.onEnd = onEnd
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.end() }

    func channelInactive(context: ChannelHandlerContext) {
        self.end()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent, !self.isDecided { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Bytes after the decision pass unchanged.
        guard !self.isDecided else { return context.fireChannelRead(data) }
        var buffer = RequestLineSniffer.unwrapInboundIn(data)
        self.received.writeBuffer(&buffer)
        guard let isSocket = RequestLineSniffer.isForSocket(self.received.readableBytesView) else { return }
        self.isDecided = true
        self.onDecision(isSocket)
        let received = self.received
        self.received = ByteBuffer()
        context.fireChannelRead(RequestLineSniffer.wrapInboundOut(received))
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    /// Returns whether a request that begins with `bytes` asks for the WebSocket; `nil` while that is undecided.
    static func isForSocket(_ bytes: some Collection<UInt8>) -> Bool? {
        guard zip(bytes, self.prefix).allSatisfy({ $0 == $1 }) else { return false }
        guard let next = bytes.dropFirst(self.prefix.count).first else { return nil }
        return next == UInt8(ascii: " ") || next == UInt8(ascii: "?")
    }

    private func end() {
        guard !self.isDecided else { return }
        self.isDecided = true
        self.onEnd()
    }
}

@available(*, unavailable)
extension RequestLineSniffer: Sendable {}
