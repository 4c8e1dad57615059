import NIOCore
import NIOWebSocket

/// A frame that RFC 6455 or the connection's subprotocol forbids but NIO's decoder accepts.
enum FrameViolation: Error, Hashable {
    /// A client's frame without a mask, or a server's frame with one.
    case wrongMasking
    /// A reserved bit or opcode, although no extension was agreed.
    case reserved
    /// A text message where only binary messages are allowed.
    case notBinary
}

/// Refuses frames that break the rules, on every WebSocket to other nodes and to programs.
///
/// The handler stands before the aggregator, because the aggregator unmasks the frames.
final class FrameRuleHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias InboundOut = WebSocketFrame

    private let isPeerClient: Bool
    private let allowsText: Bool
    private var isBroken = false

    /// Makes a check.
    ///
    /// - Parameters:
    ///   - isPeerClient: Whether the peer opened the WebSocket, so that its frames are masked.
    ///   - allowsText: Whether text messages are let through.
    init(isPeerClient: Bool, allowsText: Bool) {
        self.isPeerClient = isPeerClient
        self.allowsText = allowsText
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // After a violation, the handler trusts no further bytes, including the rest of the same read.
        guard !self.isBroken else { return }
        let frame = FrameRuleHandler.unwrapInboundIn(data)
        if let violation = self.violation(of: frame) {
            self.isBroken = true
            context.fireErrorCaught(violation)
        } else {
            context.fireChannelRead(data)
        }
    }

    private func violation(of frame: WebSocketFrame) -> FrameViolation? {
        if (frame.maskKey != nil) != self.isPeerClient { return .wrongMasking }
        if frame.rsv1 || frame.rsv2 || frame.rsv3 { return .reserved }
        switch frame.opcode {
        case .text: return self.allowsText ? nil : .notBinary
        case .binary, .continuation, .connectionClose, .ping, .pong: return nil
        default: return .reserved
        }
    }
}

@available(*, unavailable)
extension FrameRuleHandler: Sendable {}

/// The limits of one message of a WebSocket.
struct MessageLimits: Sendable, Hashable {
    /// The largest size of a message in bytes.
    var bytesMax: Int
    /// The largest number of fragments of a message.
    var fragmentsMax: Int
    /// The smallest size of a fragment that is not the last, so that tiny fragments cannot accumulate.
    var fragmentBytesMin: Int
}

extension ChannelPipeline.SynchronousOperations {
    /// Adds the handlers between the frame decoder and the last handler: the frame rules and the aggregator of
    /// fragments.
    ///
    /// - Throws: `ChannelError` when the channel is closed.
    func addFrameHandlers(isPeerClient: Bool, allowsText: Bool, _ limits: MessageLimits) throws {
        try self.addHandlers([
            FrameRuleHandler(isPeerClient: isPeerClient, allowsText: allowsText),
            NIOWebSocketFrameAggregator(
                minNonFinalFragmentSize: limits.fragmentBytesMin,
                maxAccumulatedFrameCount: limits.fragmentsMax,
                maxAccumulatedFrameSize: limits.bytesMax
            ),
        ])
    }
}
