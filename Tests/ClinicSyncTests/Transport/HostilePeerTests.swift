import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncWire
import NIOCore
import NIOPosix
import NIOSSL
import Testing

@testable import ClinicSync

@Suite("Peers that break the rules disturb nobody", .timeLimit(.minutes(1)))
struct HostilePeerTests {
    static let upgrade = RawSocket.request()
    /// For peers that never answer a close frame.
    static let brisk: TransportLimits = {
        var limits = TestPeer.patient
        limits.closeTimeout = .milliseconds(200)
        return limits
    }()

    @Test(
        "a member that asks for a wrong path, subprotocol, method or handshake gets no answer",
        arguments: [
            RawSocket.request(path: "/other"),
            RawSocket.request(subprotocol: "Sec-WebSocket-Protocol: clinicsync.v2\r\n"),
            RawSocket.request(subprotocol: ""), RawSocket.request(method: "POST"),
            "GET /clinicsync HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
    )
    func refusedUpgrade(request: String) async throws {
        let pair = try await TestPair()
        let socket = try await pair.member()
        socket.send(Array(request.utf8))
        #expect(try await socket.closed() == [])
        try await pair.server.refused(.wrongRequest)
        try await pair.expectWorking()
    }

    @Test("garbage instead of HTTP is closed")
    func garbage() async throws {
        let pair = try await TestPair()
        let socket = try await pair.member()
        socket.send((0..<5_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        #expect(try await socket.closed() == [])
        try await pair.server.refused(.wrongRequest)
        try await pair.expectWorking()
    }

    @Test("who does not finish the upgrade in time is closed")
    func slowUpgrade() async throws {
        var limits = TestPeer.patient
        limits.upgradeTimeout = .seconds(1)
        let pair = try await TestPair(server: try TestPeer(limits: limits))
        let socket = try await pair.member()
        socket.send(Array("GET /clinicsync HT".utf8))
        #expect(try await socket.closed() == [])
        try await pair.server.refused(.tooSlow)
        try await pair.expectWorking()
    }

    @Test(
        "a server that does not choose the subprotocol, or never answers, is a failed dial",
        arguments: [true, false]
    )
    func foreignServer(answers: Bool) async throws {
        let clinic = try TestClinic.shared.get()
        let context = try TestAuthenticator(try clinic.issue(), of: clinic).serverContext
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let tls = NIOSSLServerHandler(
                        context: context,
                        customVerificationCallback: { _, verdict in verdict.succeed(.certificateVerified) }
                    )
                    try channel.pipeline.syncOperations.addHandler(tls)
                    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                    if answers { channel.writeAndFlush(ByteBuffer(string: answer), promise: nil) }
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        var limits = TestPeer.patient
        limits.upgradeTimeout = .seconds(1)
        let client = try TestPeer(limits: limits)
        let address = "127.0.0.1:\(server.localAddress?.port ?? 0)"
        client.transport.dial(address)
        #expect(try await client.wait { $0.failedDials.first } == address)
        await client.transport.shutdown()
        try await server.close()
        #expect(client.seen.opened.isEmpty)
        #expect(client.seen.failures == [answers ? .turnedAway : .silent])
    }

    @Test("a program that speaks no TLS is a failed dial") func foreignProgram() async throws {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(MailGreeting()) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let client = try TestPeer()
        client.transport.dial("127.0.0.1:\(server.localAddress?.port ?? 0)")
        #expect(try await client.wait { $0.failures.first } == .notANode)
        await client.transport.shutdown()
        try await server.close()
    }

    @Test(
        "a forbidden frame is reported once and the core's close ends it",
        arguments: [
            // Text; an unmasked frame; a reserved bit; a reserved opcode; a length of 1 GiB; a tiny first fragment; a
            // continuation without a first frame; a binary frame that is not a message.
            [0x81, 0x81, 0, 0, 0, 0, 97], [0x82, 0x02, 0x08, 0x01], [0xC2, 0x80, 0, 0, 0, 0],
            [0x83, 0x80, 0, 0, 0, 0], [0x82, 0xFF, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0],
            [0x02, 0x81, 0, 0, 0, 0, 1], [0x80, 0x81, 0, 0, 0, 0, 1], [0x82, 0x81, 0, 0, 0, 0, 0xFF],
        ] as [[UInt8]]
    )
    func forbiddenFrame(frame: [UInt8]) async throws {
        let pair = try await TestPair(server: try TestPeer(limits: HostilePeerTests.brisk))
        let socket = try await pair.member()
        socket.send(Array(HostilePeerTests.upgrade.utf8) + frame + frame)
        let id = try await pair.server.wait { $0.malformed.first }
        pair.server.transport.close(id, reason: .protocolViolation)
        let answer = try await socket.closed()
        // The last frame: close, two bytes, 4002.
        #expect(answer.suffix(4) == [0x88, 0x02, 0x0F, 0xA2])
        try await pair.server.wait { $0.closed == [id] ? true : nil }
        #expect(pair.server.seen.malformed == [id])
        try await pair.expectWorking()
    }

    @Test("fragments make one message, and a ping between them is answered")
    func fragments() async throws {
        let pair = try await TestPair()
        let socket = try await pair.member()
        // A ping with an unknown field (15) of 2 000 bytes in two fragments, a WebSocket ping between them.
        let body: [UInt8] = [0x22, 0xD5, 0x0F, 0x08, 0x05, 0x7A, 0xD0, 0x0F] + Array(repeating: 0, count: 2_000)
        let first = Array(body[..<1_100])
        let second = Array(body[1_100...])
        socket.send(
            Array(HostilePeerTests.upgrade.utf8) + [0x02, 0xFE, 0x04, 0x4C, 0, 0, 0, 0] + first
                + [0x89, 0x81, 0, 0, 0, 0, 42] + [0x80, 0xFE, 0x03, 0x8C, 0, 0, 0, 0] + second
        )
        let id = try await pair.server.opened(1)
        #expect(try await pair.server.messages(1, of: id) == [.ping(Ping(id: 5))])
        try await socket.received { $0.suffix(3) == [0x8A, 0x01, 42] }
        socket.close()
        try await pair.server.wait { $0.closed == [id] ? true : nil }
        try await pair.expectWorking()
    }

    @Test("a close frame is answered with its code")
    func closeFrame() async throws {
        let pair = try await TestPair()
        let socket = try await pair.member()
        socket.send(Array(HostilePeerTests.upgrade.utf8) + [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8])
        let answer = try await socket.closed()
        #expect(answer.suffix(4) == [0x88, 0x02, 0x03, 0xE8])
        try await pair.expectWorking()
    }

    @Test("a peer that answers no close frame is closed all the same")
    func deafPeer() async throws {
        let pair = try await TestPair(server: try TestPeer(limits: HostilePeerTests.brisk))
        let socket = try await pair.member()
        socket.send(Array(HostilePeerTests.upgrade.utf8))
        let id = try await pair.server.opened(1)
        pair.server.transport.close(id, reason: .peerSilent)
        try await pair.server.wait { $0.closed == [id] ? true : nil }
        try await pair.expectWorking()
    }
}

/// Speaks first, as a mail server does.
private final class MailGreeting: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(MailGreeting.wrapOutboundOut(ByteBuffer(string: "220 mail\r\n")), promise: nil)
    }
}
