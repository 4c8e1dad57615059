import ClinicSyncModel
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Testing

@testable import ClinicSync

/// Real handshakes with the contexts that nodes use, and with the transport's callbacks.
@Suite("Handshakes", .timeLimit(.minutes(1)))
struct TLSContextTests {
    private let clinic: TestAuthority

    init() throws { self.clinic = try TestAuthority() }

    /// How each side judged the other in one handshake; `nil` for a side that was not asked.
    private struct Judgement: Sendable, Equatable {
        var ofClient: PeerStanding?
        var ofServer: PeerStanding?
    }

    private func connect(
        _ client: NIOSSLContext,
        judging judge: @escaping @Sendable ([NIOSSLCertificate]) async -> PeerStanding
    ) async throws -> Judgement {
        let server = self.clinic.host
        let judgement = NIOLockedValueBox(Judgement())
        let group = MultiThreadedEventLoopGroup.singleton
        let listener = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = NIOSSLServerHandler(
                        context: server.serverContext,
                        customVerificationCallback: { chain, promise in
                            promise.completeWithTask {
                                let standing = await server.judge(chain)
                                judgement.withLockedValue { $0.ofClient = standing }
                                if case .refused = standing { return .failed }
                                return .certificateVerified
                            }
                        }
                    )
                    try channel.pipeline.syncOperations.addHandlers(handler, Greeter())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = listener.localAddress?.port ?? 0
        let answered = group.any().makePromise(of: Void.self)
        let channel = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = try NIOSSLClientHandler(
                        context: client,
                        serverHostname: nil,
                        customVerificationCallback: { chain, promise in
                            promise.completeWithTask {
                                let standing = await judge(chain)
                                judgement.withLockedValue { $0.ofServer = standing }
                                if case .member = standing { return .certificateVerified }
                                return .failed
                            }
                        }
                    )
                    try channel.pipeline.syncOperations.addHandlers(handler, Listener(answered: answered))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        do { try await answered.futureResult.get() } catch {}
        try await channel.close().flatMapErrorThrowing { _ in }.get()
        try await listener.close().get()
        return judgement.withLockedValue { $0 }
    }

    @Test("two members take one another for members")
    func members() async throws {
        let directory = try TemporaryDirectory()
        let member = try self.clinic.member(in: directory)
        let judgement = try await self.connect(member.clientContext) { await member.judge($0) }
        let end = TestWallClock.start + 30 * 86_400_000
        #expect(
            judgement
                == Judgement(
                    ofClient: .member(PeerCredential(node: member.nodeID, signers: [], expiresAt: end)),
                    ofServer: .member(PeerCredential(node: self.clinic.host.nodeID, signers: [], expiresAt: end))
                )
        )
    }

    @Test("a member that a grantee certified shows the grant as well")
    func signedByGrantee() async throws {
        let directories = try [TemporaryDirectory(), TemporaryDirectory()]
        let grantee = try self.clinic.grantee(in: directories[0])
        let member = try self.clinic.member(in: directories[1])
        let certificates = try grantee.requireIssuer().issue(for: member.key.publicKey, at: self.clinic.clock.now)
        try await member.install(certificates: certificates)
        let judgement = try await self.connect(member.clientContext) { await member.judge($0) }
        guard case .member(let credential) = judgement.ofClient else {
            Issue.record("the host takes the member for \(String(describing: judgement.ofClient))")
            return
        }
        #expect(credential.signers == [grantee.nodeID])
    }

    @Test("a PC with a join code believes the host it pins, which takes it for an applicant")
    func applicant() async throws {
        let desk = try TestDesk(self.clinic)
        let attempt = try desk.attempt(desk.invite())
        let judgement = try await self.connect(attempt.clientContext) { await attempt.judge($0) }
        #expect(judgement.ofClient == .applicant(attempt.nodeID))
        guard case .member(let credential) = judgement.ofServer else {
            Issue.record("the PC does not believe the host")
            return
        }
        #expect(credential.node == self.clinic.host.nodeID)
    }

    @Test("a PC with another clinic's code gives up before it shows who it is")
    func wrongPin() async throws {
        let other = try TestDesk(TestAuthority())
        let attempt = try other.attempt(other.invite())
        let judgement = try await self.connect(attempt.clientContext) { await attempt.judge($0) }
        #expect(judgement == Judgement(ofClient: nil, ofServer: .refused(.foreign)))
    }

    @Test("whoever shows no certificate, or comes with TLS 1.2, is never judged and hears nothing")
    func strangers() async throws {
        var none = TLSConfiguration.makeClientConfiguration()
        none.certificateVerification = .noHostnameVerification
        none.trustRoots = .certificates([])
        let host = self.clinic.host
        let judgement = try await self.connect(NIOSSLContext(configuration: none)) { await host.judge($0) }
        #expect(judgement.ofClient == nil)
        none.maximumTLSVersion = .tlsv12
        let former = try await self.connect(NIOSSLContext(configuration: none)) { await host.judge($0) }
        #expect(former == Judgement())
    }
}

/// Sends a byte to each peer that completed the handshake.
private final class Greeter: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent {
            context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: [1])), promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Waits for a byte or for the end.
private final class Listener: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let answered: EventLoopPromise<Void>

    init(answered: EventLoopPromise<Void>) { self.answered = answered }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { self.answered.succeed() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) { self.answered.fail(ChannelError.eof) }
}
