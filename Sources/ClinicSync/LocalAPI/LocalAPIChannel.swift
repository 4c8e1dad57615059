import HummingbirdCore
import Logging
import NIOConcurrencyHelpers
import NIOCore
import ServiceLifecycle

/// What one connection to the local API turns out to be, which its first bytes say: HTTP, or a request for the WebSocket.
///
/// A program that wants the WebSocket asks for it first thing on a connection of its own, as all do.
struct LocalAPIChannel: ServerChildChannel {
    /// How long a connection may take to say what it wants.
    static let silenceMax = TimeAmount.seconds(60)

    /// A connection that was accepted.
    struct Value: ServerChildChannelValue {
        let channel: any Channel
        /// What it is, when it has said so.
        let kind: EventLoopFuture<Kind>
        /// Whether it has.
        fileprivate let isKnown: NIOLockedValueBox<Bool>
    }

    /// What a connection is for.
    enum Kind: Sendable {
        /// Requests.
        case http(HTTP1Channel.Value)
        /// Events.
        case socket(EventSocket)
        /// Nothing: a WebSocket that was refused.
        case refused
    }

    let http: HTTP1Channel
    let sockets: EventSocketUpgrade

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let promise = channel.eventLoop.makePromise(of: Kind.self)
            let isKnown = NIOLockedValueBox(false)
            let silence = channel.eventLoop.scheduleTask(in: LocalAPIChannel.silenceMax) { channel.close(promise: nil) }
            promise.futureResult.whenComplete { _ in
                silence.cancel()
                isKnown.withLockedValue { $0 = true }
            }
            let sniffer = RequestLineSniffer(
                onDecision: { isSocket in
                    do {
                        try self.proceed(channel, isSocket: isSocket, logger: logger, promise: promise)
                    } catch {
                        promise.fail(error)
                        channel.close(promise: nil)
                    }
                },
                onEnd: { promise.fail(ChannelError.eof) }
            )
            try channel.pipeline.syncOperations.addHandler(sniffer)
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
                    await self.http.handle(value: connection, logger: logger)
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
                        // The answer is sent or never will be; a program that does not close is not waited for.
                        value.channel.close(promise: nil)
                    }
                }
            } catch {
                // It ended before it said what it wanted, or its upgrade failed.
                value.channel.close(promise: nil)
            }
        } onGracefulShutdown: {
            // Who has not said what it wants is not waited for.
            if !value.isKnown.withLockedValue({ $0 }) { value.channel.close(promise: nil) }
        }
    }
}

/// The first handler of a connection until its first bytes tell whether they ask for the WebSocket.
final class RequestLineSniffer: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let prefix = Array("GET \(EventSocketUpgrade.path)".utf8)

    private let onDecision: (_ isSocket: Bool) -> Void
    private let onEnd: () -> Void
    private var received = ByteBuffer()
    private var isDecided = false

    /// Calls one of `onDecision`, which adds the handlers for what follows, and `onEnd`, once.
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
        // What comes in the same read as the bytes that decided belongs behind them.
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

    /// Whether a request that begins with `bytes` is one for the WebSocket; `nil` while that is open.
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
