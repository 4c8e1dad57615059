import ClinicSyncModel
import ClinicSyncWire
import NIOCore
import NIOPosix
import NIOSSL
import NIOWebSocket

/// The asking side of one enrollment.
final class EnrollmentInquiry: Sendable {
    /// The promise of the answer; the first outcome counts.
    let answer: EventLoopPromise<EnrollmentReply>
    private let target: PeerAddress
    private let judge: @Sendable ([NIOSSLCertificate]) async -> PeerStanding
    private let makeRequest: @Sendable (EnrollmentChallenge, [UInt8]) throws -> EnrollmentRequest
    private let record = HandshakeRecord()
    private let limits = TransportLimits()

    /// Why there is no answer.
    enum Failure {
        /// No program listens at the address.
        case unreachable
        /// The time limit expired.
        case timeout
        /// The program that answers is not a node, or is a node of another version.
        case notANode
        /// The connection ended before the answer.
        case brokenOff
    }

    init(
        target: PeerAddress,
        judge: @escaping @Sendable ([NIOSSLCertificate]) async -> PeerStanding,
        makeRequest: @escaping @Sendable (EnrollmentChallenge, [UInt8]) throws -> EnrollmentRequest,
        answer: EventLoopPromise<EnrollmentReply>
    ) {
        self.target = target
        self.judge = judge
        self.makeRequest = makeRequest
        self.answer = answer
    }

    /// Requests a certificate from the node at `address`, for a new PC or for the renewal of a member's certificate.
    ///
    /// `context` holds the certificate that this PC shows. `judge` judges the node's certificate; the method sends data
    /// only to a `member`. It calls `makeRequest` once, on an event loop, with the node's challenge and its certificate
    /// in DER.
    ///
    /// - Returns: The node's answer; a refusal is an answer.
    /// - Throws: ``ClinicSyncError``: `malformedAddress`, `addressNotAllowed`, `notReachable`, `refused` when the node
    ///   is not of the clinic or rejects the connection, `timeout`; and what `makeRequest` throws.
    static func enroll(
        address: String,
        context: NIOSSLContext,
        judge: @escaping @Sendable ([NIOSSLCertificate]) async -> PeerStanding,
        isLANOnly: Bool,
        group: any EventLoopGroup,
        timeout: Duration,
        makeRequest: @escaping @Sendable (EnrollmentChallenge, [UInt8]) throws -> EnrollmentRequest
    ) async throws -> EnrollmentReply {
        let target = try PeerAddress(address)
        let socketAddress = try target.socketAddress(isLANOnly: isLANOnly)
        let loop = group.next()
        let inquiry = EnrollmentInquiry(
            target: target,
            judge: judge,
            makeRequest: makeRequest,
            answer: loop.makePromise(of: EnrollmentReply.self)
        )
        let deadline = loop.scheduleTask(in: TimeAmount(timeout)) { inquiry.fail(.timeout) }
        let connected = ClientBootstrap(group: loop)
            .connectTimeout(TimeAmount(timeout))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try inquiry.prepare(channel, context: context) }
            }
            .connect(to: socketAddress)
        connected.whenFailure { inquiry.fail(.unreachable, cause: $0) }
        inquiry.answer.futureResult.whenComplete { _ in
            deadline.cancel()
            connected.whenSuccess { SocketHandler.abort($0) }
        }
        return try await withTaskCancellationHandler {
            try await inquiry.answer.futureResult.get()
        } onCancel: {
            inquiry.answer.fail(CancellationError())
        }
    }

    /// Makes the pipeline of a socket that is about to connect; on its event loop.
    func prepare(_ channel: any Channel, context: NIOSSLContext) throws {
        let bytesMax = self.limits.pendingBytesMax + self.limits.wire.enrollmentRequestBytesMax
        try SocketHandler.add(to: channel, bytesMax: bytesMax) { self.fail(.notANode) }
        try channel.pipeline.syncOperations.addHandler(
            NIOSSLClientHandler(
                context: context,
                serverHostname: nil,
                customVerificationCallback: self.record.callback(judge: self.judge, suffices: { $0.isMember })
            )
        )
        try WebSocketUpgrade.request(
            channel,
            host: self.target,
            route: .enrollment,
            frameBytesMax: self.limits.wire.enrollmentReplyBytesMax
        ).whenComplete { self.begin(channel, $0) }
    }

    /// Waits for the challenge after the upgrade; on the channel's event loop.
    private func begin(_ channel: any Channel, _ upgrade: Result<Void, any Error>) {
        do {
            try upgrade.get()
            guard let peer = self.record.peer, peer.standing.isMember else { throw WebSocketUpgrade.Failure.notAMember }
            try SocketHandler.endLimit(of: channel)
            try channel.pipeline.syncOperations.addFrameHandlers(
                isPeerClient: false,
                allowsText: false,
                self.limits.message(bytesMax: self.limits.wire.enrollmentReplyBytesMax)
            )
            try channel.pipeline.syncOperations.addHandler(
                EnrollmentInquiryHandler(inquiry: self, hostCertificate: peer.certificate)
            )
        } catch {
            self.fail(.notANode, cause: error)
        }
    }

    /// The request that answers `challenge`.
    func request(for challenge: EnrollmentChallenge, hostCertificate: [UInt8]) throws -> EnrollmentRequest {
        try self.makeRequest(challenge, hostCertificate)
    }

    /// Ends the inquiry with a failure, unless it already has an outcome.
    func fail(_ failure: Failure, cause: (any Error)? = nil) {
        self.answer.fail(self.error(for: failure, cause: cause))
    }

    private func error(for failure: Failure, cause: (any Error)?) -> ClinicSyncError {
        let target = self.target
        return switch failure {
        case .unreachable:
            ClinicSyncError(
                .notReachable,
                "No node answers at \(target): start `clinic-node run` there, or check the address.",
                cause: cause
            )
        case .timeout:
            ClinicSyncError(.timeout, "The node at \(target) did not answer in time: try again later.")
        case .notANode:
            self.handshakeError(cause: cause)
        case .brokenOff:
            ClinicSyncError(
                .notReachable,
                "The node at \(target) closed the connection without an answer: try again, or look at its log.",
                cause: cause
            )
        }
    }

    /// The error for a failure before the end of the upgrade; it depends on the node's certificate.
    private func handshakeError(cause: (any Error)?) -> ClinicSyncError {
        switch self.record.peer?.standing {
        case nil:
            ClinicSyncError(
                .notReachable,
                "The program at \(self.target) is no clinic node of this version: check the address.",
                cause: cause
            )
        case .member:
            ClinicSyncError(
                .refused,
                "The node at \(self.target) refused this PC: try the clinic's host, or try again in a minute.",
                cause: cause
            )
        case .expired, .refused(.notYetValid):
            ClinicSyncError(
                .refused,
                "The certificate of the node at \(self.target) is not valid at this time: correct the clocks of both PCs.",
                cause: cause
            )
        case .revoked, .applicant, .refused:
            ClinicSyncError(
                .refused,
                "A node of another clinic, or an impostor, answers at \(self.target): check the address and the code.",
                cause: cause
            )
        }
    }
}

/// Answers the challenge and waits for the reply.
private final class EnrollmentInquiryHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    private let inquiry: EnrollmentInquiry
    private let hostCertificate: [UInt8]
    private var isChallenged = false

    init(inquiry: EnrollmentInquiry, hostCertificate: [UInt8]) {
        self.inquiry = inquiry
        self.hostCertificate = hostCertificate
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = EnrollmentInquiryHandler.unwrapInboundIn(data)
        switch frame.opcode {
        case .binary: self.receive(frame.unmaskedData, context)
        case .connectionClose: self.inquiry.fail(.brokenOff)
        default:
            // The node ignores pings and pongs: the exchange is shorter than any keep-alive interval.
            break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.inquiry.fail(.brokenOff, cause: error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.inquiry.fail(.brokenOff)
        context.fireChannelInactive()
    }

    private func receive(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        do {
            switch (try EnrollmentCodec.decode(bytes), self.isChallenged) {
            case (.challenge(let challenge), false):
                self.isChallenged = true
                self.answer(challenge, context)
            case (.reply(let reply), true): self.inquiry.answer.succeed(reply)
            case (.challenge, true), (.reply, false), (.request, _): self.inquiry.fail(.brokenOff)
            }
        } catch {
            self.inquiry.fail(.brokenOff, cause: error)
        }
    }

    private func answer(_ challenge: EnrollmentChallenge, _ context: ChannelHandlerContext) {
        do {
            let request = try self.inquiry.request(for: challenge, hostCertificate: self.hostCertificate)
            let bytes = EnrollmentCodec.encode(.request(request))
            let frame = WebSocketFrame(fin: true, opcode: .binary, maskKey: .random(), data: bytes)
            context.writeAndFlush(EnrollmentInquiryHandler.wrapOutboundOut(frame), promise: nil)
        } catch {
            self.inquiry.answer.fail(error)
        }
    }
}

@available(*, unavailable)
extension EnrollmentInquiryHandler: Sendable {}
