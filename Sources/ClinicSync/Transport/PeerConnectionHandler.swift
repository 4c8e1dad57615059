import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncWire
import Logging
import NIOCore
import NIOWebSocket

/// Turns the frames of one connection into inputs, in order, and reads no faster than the driver handles them.
///
/// This is the last handler of the pipeline. The channel's `autoRead` is off, so the handler requests every read
/// itself.
final class PeerConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame

    private let connection: PeerConnection
    private let limits: WireLimits
    private var meter: WorkMeter
    /// Whether the handler waits because the peer has caused too much work.
    private var isResting = false
    private let logger: Logger
    private let onViolation: (any Error) -> Void
    private let post: @Sendable (Input) -> Void
    private var isMalformed = false
    private var isClosed = false

    init(
        connection: PeerConnection,
        limits: TransportLimits,
        logger: Logger,
        onViolation: @escaping (any Error) -> Void,
        post: @escaping @Sendable (Input) -> Void
    ) {
        self.connection = connection
        self.limits = limits.wire
        self.meter = WorkMeter(rate: limits.workPerSecond, burst: limits.workBurst)
        self.logger = logger
        self.onViolation = onViolation
        self.post = post
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isMalformed || self.connection.isEnding else { return }
        let frame = PeerConnectionHandler.unwrapInboundIn(data)
        switch frame.opcode {
        case .binary:
            self.receive(frame.unmaskedData)
        case .ping:
            self.connection.writeControl(.pong, frame.unmaskedData)
        case .connectionClose:
            self.receiveClose(frame.unmaskedData)
        default:
            // RFC 6455 allows a pong without a ping. Such a pong has no meaning.
            break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.flush()
        // After a violation, the handler reads nothing until the core has closed the connection.
        if !self.isMalformed || self.connection.isEnding { self.readOn(context) }
        context.fireChannelReadComplete()
    }

    /// Reads more, at once or when the peer's work is done.
    private func readOn(_ context: ChannelHandlerContext) {
        self.meter.count(units: self.connection.takeUnmeasured(), at: PeerConnectionHandler.now)
        // A connection that ends discards what arrives, and waits for the peer's close frame.
        if !self.connection.isEnding, let wait = self.meter.wait(at: PeerConnectionHandler.now) {
            guard !self.isResting else { return }
            self.isResting = true
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            context.eventLoop.scheduleTask(in: TimeAmount(wait) + .milliseconds(1)) {
                let (handler, context) = bound.value
                handler.isResting = false
                guard !handler.isClosed else { return }
                handler.readOn(context)
            }
            return
        }
        if self.connection.mayRead() { context.read() }
    }

    private static var now: Duration { .nanoseconds(Int64(clamping: NIODeadline.now().uptimeNanoseconds)) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if CloseCodeMapping.isViolation(error) {
            self.refuse(error)
        } else {
            self.logger.debug(
                "Connection failed",
                metadata: self.metadata(error: error)
            )
            SocketHandler.abort(context.channel)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !self.isClosed {
            self.isClosed = true
            self.post(.connectionClosed(self.connection.id))
        }
        context.fireChannelInactive()
    }

    private func receive(_ bytes: ByteBuffer) {
        guard !self.connection.isEnding else { return }
        do {
            let size = bytes.readableBytes
            let (message, term) = try MessageCodec.decode(bytes, limits: self.limits)
            self.meter.count(message, bytes: size, at: PeerConnectionHandler.now)
            self.connection.posted()
            self.post(.messageReceived(self.connection.id, message, term: term))
        } catch {
            self.refuse(error)
        }
    }

    private func receiveClose(_ payload: ByteBuffer) {
        let reason = CloseCodeMapping.reason(of: payload.peekWebSocketErrorCode())
        var metadata = self.metadata(error: nil)
        metadata["close.reason"] = "\(reason)"
        self.logger.debug("Peer closed the connection", metadata: metadata)
        self.connection.closeInAnswer(to: payload)
    }

    /// Informs the core once.
    ///
    /// The core decides how to end the connection.
    private func refuse(_ error: any Error) {
        guard !self.isMalformed, !self.connection.isEnding else { return }
        self.isMalformed = true
        self.onViolation(error)
        self.post(.malformedMessageReceived(self.connection.id))
    }

    private func metadata(error: (any Error)?) -> Logger.Metadata {
        var metadata: Logger.Metadata = ["connection.id": "\(self.connection.id.rawValue)"]
        // Decoding errors name fields, and socket errors contain numbers. Neither contains a value of a row.
        if let error { metadata["error.code"] = "\(error)" }
        return metadata
    }
}

@available(*, unavailable)
extension PeerConnectionHandler: Sendable {}
