import NIOCore
import NIOWebSocket

/// Refuses frames that RFC 6455 forbids and the decoder lets pass; stands before the aggregator, which unmasks.
final class FrameRuleHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias InboundOut = WebSocketFrame

    /// Whether the peer is the client of the WebSocket, whose frames are masked.
    private let isPeerClient: Bool
    private var isBroken = false

    init(isPeerClient: Bool) {
        self.isPeerClient = isPeerClient
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Nothing after a violation is to be trusted, the rest of the same read included.
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
        case .text: return .notBinary
        case .binary, .continuation, .connectionClose, .ping, .pong: return nil
        default: return .reserved
        }
    }
}

@available(*, unavailable)
extension FrameRuleHandler: Sendable {}
