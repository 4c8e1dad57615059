package import ClinicSyncModel
import ClinicSyncWire
import NIOConcurrencyHelpers
package import NIOCore
import NIOPosix
package import NIOSSL

extension PeerTransport {
    /// Makes the pipeline of an enrollment connection; on the channel's event loop.
    ///
    /// - Throws: An error when there are too many enrollments, or the socket is closed.
    func beginEnrollment(_ channel: any Channel, _ peer: EnrollmentPeer) throws {
        let limits = self.limits
        guard let service = self.enrollment, channel.isActive else { throw WebSocketUpgrade.Failure.closed }
        guard self.registry.withLockedValue({ $0.beginEnrollment(on: channel, limits) }) else {
            self.noteRefusal(.tooManyEnrollments, address: peer.address)
            throw WebSocketUpgrade.Failure.refused
        }
        try SocketHandler.endLimit(of: channel)
        try channel.pipeline.syncOperations.addFrameHandlers(
            isPeerClient: true,
            allowsText: false,
            limits.message(bytesMax: limits.wire.enrollmentRequestBytesMax)
        )
        let id = self.registry.withLockedValue { $0.nextID() }
        try channel.pipeline.syncOperations.addHandler(
            EnrollmentHandler(
                connection: PeerConnection(id: id, channel: channel, isClient: false, limits: limits),
                peer: peer,
                service: service,
                limits: limits,
                onRefusal: { self.noteRefusal($0, address: peer.address) }
            )
        )
        channel.pipeline.removeHandler(name: UpgradeErrorHandler.name, promise: nil)
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
    package static func enroll(
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
}
