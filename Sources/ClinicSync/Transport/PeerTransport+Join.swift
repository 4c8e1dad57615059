package import ClinicSyncModel
import ClinicSyncWire
package import NIOCore
import NIOPosix
import NIOWebSocket

extension PeerTransport {
    /// Asks the node at `address` to make this PC a member.
    ///
    /// - Returns: The host's answer; a refusal is an answer.
    /// - Throws: ``ClinicSyncError``: `malformedAddress`, `addressNotAllowed`, `notReachable`, `refused` when the
    ///   connection is turned away before an answer, `timeout`.
    package static func join(
        address: String,
        request: JoinRequest,
        group: any EventLoopGroup,
        timeout: Duration
    ) async throws -> JoinReply {
        let target = try PeerAddress(loopback: address)
        let loop = group.next()
        let answer = loop.makePromise(of: JoinReply.self)
        let deadline = loop.scheduleTask(in: TimeAmount(timeout)) {
            // A promise keeps its first result, so whatever comes later changes nothing.
            answer.fail(
                ClinicSyncError(.timeout, "The node at \(target) did not answer in time: try again later.")
            )
        }
        let connected = ClientBootstrap(group: loop)
            .connectTimeout(TimeAmount(timeout))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try PeerTransport.prepareJoin(channel, target: target, request: request, answer: answer)
                }
            }
            .connect(to: try target.socketAddress())
        connected.whenFailure { error in
            answer.fail(
                ClinicSyncError(
                    .notReachable,
                    "No node answers at \(target): start `clinic-node run` there, or check the address.",
                    cause: error
                )
            )
        }
        answer.futureResult.whenComplete { _ in
            deadline.cancel()
            connected.whenSuccess { $0.close(promise: nil) }
        }
        return try await withTaskCancellationHandler {
            try await answer.futureResult.get()
        } onCancel: {
            answer.fail(CancellationError())
        }
    }

    private static func prepareJoin(
        _ channel: any Channel,
        target: PeerAddress,
        request: JoinRequest,
        answer: EventLoopPromise<JoinReply>
    ) throws {
        let limits = TransportLimits()
        try WebSocketUpgrade.request(channel, host: target, limits: limits).whenComplete { result in
            do {
                try result.get()
                try WebSocketUpgrade.addFrameHandlers(channel, isPeerClient: false, limits: limits)
                let handler = JoinHandler(target: target, limits: limits.wire, answer: answer)
                try channel.pipeline.syncOperations.addHandler(handler)
                let bytes = MessageCodec.encodeBuffer(.joinRequest(request), term: 0)
                let frame = WebSocketFrame(fin: true, opcode: .binary, maskKey: .random(), data: bytes)
                channel.writeAndFlush(frame, promise: nil)
            } catch {
                answer.fail(
                    ClinicSyncError(
                        .notReachable,
                        "What answers at \(target) is no clinic node of this version: check the address.",
                        cause: error
                    )
                )
            }
        }
    }
}

/// Waits for the answer to one join request.
private final class JoinHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame

    private let target: PeerAddress
    private let limits: WireLimits
    private let answer: EventLoopPromise<JoinReply>

    init(target: PeerAddress, limits: WireLimits, answer: EventLoopPromise<JoinReply>) {
        self.target = target
        self.limits = limits
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = JoinHandler.unwrapInboundIn(data)
        switch frame.opcode {
        case .binary: self.receive(frame.unmaskedData)
        case .connectionClose:
            self.fail(CloseCodeMapping.reason(of: frame.unmaskedData.peekWebSocketErrorCode()))
        default:
            // Pings and pongs: the exchange is shorter than any keep-alive.
            break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(.connectionLost)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail(.connectionLost)
        context.fireChannelInactive()
    }

    private func receive(_ bytes: ByteBuffer) {
        do {
            switch try MessageCodec.decode(bytes, limits: self.limits).message {
            case .joinReply(let reply): self.answer.succeed(reply)
            case .goodbye(let reason): self.fail(reason)
            case .hello, .ping, .pong, .chunk, .acknowledge, .digests, .rowHashes, .rowStates, .syncRequest,
                .verifyRequest, .verifyReport, .syncReport, .joinRequest:
                // A host says hello to everybody; it comes before it knows what we want.
                break
            }
        } catch {
            self.fail(.protocolVersion)
        }
    }

    private func fail(_ reason: CloseReason) {
        self.answer.fail(CloseCodeMapping.joinFailure(reason, address: self.target))
    }
}

@available(*, unavailable)
extension JoinHandler: Sendable {}
