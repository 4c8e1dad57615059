import ClinicSyncModel
import ClinicSyncWire
import NIOCore
import NIOPosix
import NIOWebSocket

/// The answering side of one enrollment: challenge, request, reply, close.
///
/// Any PC with a key can be the peer. So the peer may send only one message, within a short time.
final class EnrollmentHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame

    private let connection: PeerConnection
    private let peer: EnrollmentPeer
    private let service: any EnrollmentService
    private let limits: TransportLimits
    private let onRefusal: (RefusalReason) -> Void
    private let challenge: EnrollmentChallenge
    private var phase = Phase.asking
    private var deadline: Scheduled<Void>?

    private enum Phase {
        /// The handler sent the challenge; the request has not arrived.
        case asking
        /// The service is processing the request.
        case answering
        /// The handler has answered or aborted.
        case over
    }

    init(
        connection: PeerConnection,
        peer: EnrollmentPeer,
        service: any EnrollmentService,
        limits: TransportLimits,
        onRefusal: @escaping (RefusalReason) -> Void
    ) {
        self.connection = connection
        self.peer = peer
        self.service = service
        self.limits = limits
        self.onRefusal = onRefusal
        self.challenge = service.makeChallenge()
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.deadline = context.eventLoop.assumeIsolated().scheduleTask(in: self.limits.enrollmentTimeout) {
            self.breakOff(.tooSlow)
        }
        if case .first = self.connection.enqueue(EnrollmentCodec.encode(.challenge(self.challenge))) {
            self.connection.writePending()
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = EnrollmentHandler.unwrapInboundIn(data)
        switch frame.opcode {
        case .binary: self.receive(frame.unmaskedData, on: context.eventLoop)
        case .connectionClose: self.connection.closeInAnswer(to: frame.unmaskedData)
        default:
            // The node ignores pings and pongs: the exchange is shorter than any keep-alive interval.
            break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if CloseCodeMapping.isViolation(error) {
            self.breakOff(.protocolViolation)
        } else {
            self.phase = .over
            self.connection.drop()
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.phase = .over
        self.deadline?.cancel()
        context.fireChannelInactive()
    }

    private func receive(_ bytes: ByteBuffer, on loop: any EventLoop) {
        switch self.phase {
        case .asking: break
        case .answering: return self.breakOff(.protocolViolation)
        // The handler ignores data that arrives while the connection closes.
        case .over: return
        }
        guard let request = self.request(in: bytes) else { return self.breakOff(.protocolViolation) }
        self.phase = .answering
        let (service, challenge, peer) = (self.service, self.challenge, self.peer)
        // Answering writes files. The limit on enrollments also limits these tasks.
        NIOThreadPool.singleton.runIfActive(eventLoop: loop) { service.answer(request, to: challenge, from: peer) }
            .assumeIsolated()
            .recover { _ in .refused(.overloaded) }
            .whenSuccess { self.reply($0) }
    }

    private func request(in bytes: ByteBuffer) -> EnrollmentRequest? {
        do {
            guard case .request(let request) = try EnrollmentCodec.decode(bytes, limits: self.limits.wire) else {
                return nil
            }
            return request
        } catch {
            return nil
        }
    }

    private func reply(_ reply: EnrollmentReply) {
        guard self.phase == .answering else { return }
        self.phase = .over
        self.deadline?.cancel()
        self.connection.close(.normalClosure, last: EnrollmentCodec.encode(.reply(reply)))
    }

    private func breakOff(_ reason: RefusalReason) {
        guard self.phase != .over else { return }
        self.phase = .over
        self.onRefusal(reason)
        self.connection.drop()
    }
}

@available(*, unavailable)
extension EnrollmentHandler: Sendable {}
