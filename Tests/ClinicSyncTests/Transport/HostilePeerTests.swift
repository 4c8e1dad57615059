import ClinicSync
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncWire
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Testing

@Suite("Peers that break the rules disturb nobody", .timeLimit(.minutes(1)))
struct HostilePeerTests {
    static let upgrade = HostilePeerTests.request()
    /// For peers that never answer a close frame.
    static let brisk: TransportLimits = {
        var limits = TestPeer.patient
        limits.closeTimeout = .milliseconds(200)
        return limits
    }()

    @Test(
        "a wrong path, subprotocol, method or handshake is answered 400",
        arguments: [
            request(path: "/other"), request(subprotocol: "Sec-WebSocket-Protocol: clinicsync.v2\r\n"),
            request(subprotocol: ""), request(method: "POST"), "GET /clinicsync HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
    )
    func refusedUpgrade(request: String) async throws {
        let pair = try await TestPair()
        let socket = try await RawSocket(pair.address)
        socket.send(Array(request.utf8))
        let answer = try await socket.closed()
        #expect(String(decoding: answer, as: UTF8.self).hasPrefix("HTTP/1.1 400 "))
        try await self.expectWorking(pair)
    }

    @Test("garbage instead of HTTP is closed")
    func garbage() async throws {
        let pair = try await TestPair()
        let socket = try await RawSocket(pair.address)
        socket.send((0..<5_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        _ = try await socket.closed()
        try await self.expectWorking(pair)
    }

    @Test("who does not finish the upgrade in time is closed")
    func slowUpgrade() async throws {
        var limits = TestPeer.patient
        limits.upgradeTimeout = .milliseconds(200)
        let pair = try await TestPair(server: TestPeer(limits: limits))
        let socket = try await RawSocket(pair.address)
        socket.send(Array("GET /clinicsync HT".utf8))
        _ = try await socket.closed()
        try await self.expectWorking(pair)
    }

    @Test(
        "a server that does not choose the subprotocol, or never answers, is a failed dial",
        arguments: [true, false]
    )
    func foreignServer(answers: Bool) async throws {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                if answers { channel.writeAndFlush(ByteBuffer(string: answer), promise: nil) }
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: "127.0.0.1", port: 0).get()
        var limits = TestPeer.patient
        limits.upgradeTimeout = .milliseconds(300)
        let client = TestPeer(limits: limits)
        let address = "127.0.0.1:\(server.localAddress?.port ?? 0)"
        client.transport.dial(address)
        #expect(try await client.wait { $0.failedDials.first } == address)
        await client.transport.shutdown()
        try await server.close()
        #expect(client.seen.opened.isEmpty)
        #expect(client.seen.failedDials.count == 1)
    }

    @Test(
        "a forbidden frame is reported once and the core's close ends it",
        arguments: [
            // Text; unmasked; a reserved bit; a reserved opcode; a length of 1 GiB; a tiny first fragment;
            // a continuation of nothing; a binary frame that is no message.
            [0x81, 0x81, 0, 0, 0, 0, 97], [0x82, 0x02, 0x08, 0x01], [0xC2, 0x80, 0, 0, 0, 0],
            [0x83, 0x80, 0, 0, 0, 0], [0x82, 0xFF, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0],
            [0x02, 0x81, 0, 0, 0, 0, 1], [0x80, 0x81, 0, 0, 0, 0, 1], [0x82, 0x81, 0, 0, 0, 0, 0xFF],
        ] as [[UInt8]]
    )
    func forbiddenFrame(frame: [UInt8]) async throws {
        let pair = try await TestPair(server: TestPeer(limits: HostilePeerTests.brisk))
        let socket = try await RawSocket(pair.address)
        socket.send(Array(HostilePeerTests.upgrade.utf8) + frame + frame)
        let id = try await pair.server.wait { $0.malformed.first }
        pair.server.transport.close(id, reason: .protocolViolation)
        let answer = try await socket.closed()
        // The last frame: close, two bytes, 4002.
        #expect(answer.suffix(4) == [0x88, 0x02, 0x0F, 0xA2])
        try await pair.server.wait { $0.closed == [id] ? true : nil }
        #expect(pair.server.seen.malformed == [id])
        try await self.expectWorking(pair)
    }

    @Test("fragments make one message, and a ping between them is answered")
    func fragments() async throws {
        let pair = try await TestPair()
        let socket = try await RawSocket(pair.address)
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
        try await self.expectWorking(pair)
    }

    @Test("a close frame is answered with its code")
    func closeFrame() async throws {
        let pair = try await TestPair()
        let socket = try await RawSocket(pair.address)
        socket.send(Array(HostilePeerTests.upgrade.utf8) + [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8])
        let answer = try await socket.closed()
        #expect(answer.suffix(4) == [0x88, 0x02, 0x03, 0xE8])
        try await self.expectWorking(pair)
    }

    @Test("a peer that answers no close frame is closed all the same")
    func deafPeer() async throws {
        let pair = try await TestPair(server: TestPeer(limits: HostilePeerTests.brisk))
        let socket = try await RawSocket(pair.address)
        socket.send(Array(HostilePeerTests.upgrade.utf8))
        let id = try await pair.server.opened(1)
        pair.server.transport.close(id, reason: .peerSilent)
        try await pair.server.wait { $0.closed == [id] ? true : nil }
        try await self.expectWorking(pair)
    }

    /// The connection that was there before still works in both directions.
    private func expectWorking(_ pair: TestPair) async throws {
        pair.client.send(.ping(Ping(id: 1)), over: [pair.clientSide])
        #expect(try await pair.server.messages(1, of: pair.serverSide) == [.ping(Ping(id: 1))])
        pair.server.send(.ping(Ping(id: 2)), over: [pair.serverSide])
        #expect(try await pair.client.messages(1, of: pair.clientSide) == [.ping(Ping(id: 2))])
        #expect(!pair.server.seen.closed.contains(pair.serverSide))
        #expect(pair.server.seen.misplaced == 0)
        await pair.shutdown()
    }

    static func request(
        method: String = "GET",
        path: String = "/clinicsync",
        subprotocol: String = "Sec-WebSocket-Protocol: clinicsync.v1\r\n"
    ) -> String {
        "\(method) \(path) HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\(subprotocol)\r\n"
    }
}

/// A TCP connection that sends any bytes.
final class RawSocket: Sendable {
    private let channel: any Channel
    private let bytes: NIOLockedValueBox<[UInt8]>
    private let waiter: NIOLockedValueBox<(@Sendable ([UInt8]) -> Void)?>

    init(_ address: String) async throws {
        let received = NIOLockedValueBox<[UInt8]>([])
        let waiter = NIOLockedValueBox<(@Sendable ([UInt8]) -> Void)?>(nil)
        let port = Int(address.split(separator: ":").last ?? "") ?? 0
        self.channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(received: received, waiter: waiter))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        self.bytes = received
        self.waiter = waiter
    }

    func send(_ bytes: [UInt8]) { self.channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }

    func close() { self.channel.close(promise: nil) }

    /// Waits until the other side has closed; returns all it sent.
    func closed() async throws -> [UInt8] {
        try await self.channel.closeFuture.get()
        return self.bytes.withLockedValue { $0 }
    }

    /// Waits until what was received fulfils `condition`.
    func received(_ condition: @escaping @Sendable ([UInt8]) -> Bool) async throws {
        let done = self.channel.eventLoop.makePromise(of: Void.self)
        self.channel.closeFuture.whenComplete { _ in done.fail(ChannelError.eof) }
        self.waiter.withLockedValue { $0 = { if condition($0) { done.succeed() } } }
        if condition(self.bytes.withLockedValue { $0 }) { done.succeed() }
        try await done.futureResult.get()
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let received: NIOLockedValueBox<[UInt8]>
        private let waiter: NIOLockedValueBox<(@Sendable ([UInt8]) -> Void)?>

        init(
            received: NIOLockedValueBox<[UInt8]>,
            waiter: NIOLockedValueBox<(@Sendable ([UInt8]) -> Void)?>
        ) {
            self.received = received
            self.waiter = waiter
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = Array(Collector.unwrapInboundIn(data).readableBytesView)
            let all = self.received.withLockedValue { received in
                received += bytes
                return received
            }
            self.waiter.withLockedValue { $0 }?(all)
        }
    }
}
