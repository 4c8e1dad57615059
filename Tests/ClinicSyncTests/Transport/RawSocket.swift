import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL

/// A connection that sends any bytes, with TLS or without.
final class RawSocket: Sendable {
    private let channel: any Channel
    private let bytes: NIOLockedValueBox<[UInt8]>
    private let waiter: NIOLockedValueBox<(@Sendable ([UInt8]) -> Void)?>

    /// Connects.
    ///
    /// With `tls`, sent bytes wait for the handshake, and every certificate of the server is accepted.
    init(_ address: String, tls: NIOSSLContext? = nil) async throws {
        let received = NIOLockedValueBox<[UInt8]>([])
        let waiter = NIOLockedValueBox<(@Sendable ([UInt8]) -> Void)?>(nil)
        let port = Int(address.split(separator: ":").last ?? "") ?? 0
        self.channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: tls, serverHostname: nil) { _, verdict in
                                verdict.succeed(.certificateVerified)
                            }
                        )
                    }
                    try channel.pipeline.syncOperations.addHandler(Collector(received: received, waiter: waiter))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        self.bytes = received
        self.waiter = waiter
    }

    func send(_ bytes: [UInt8]) { self.channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }

    func send(_ text: String) { self.send(Array(text.utf8)) }

    func close() { self.channel.close(promise: nil) }

    /// Waits until the other side has closed, and returns all that it sent.
    func closed() async throws -> [UInt8] {
        try await self.channel.closeFuture.get()
        return self.bytes.withLockedValue { $0 }
    }

    /// Waits until the received bytes fulfil `condition`.
    func received(_ condition: @escaping @Sendable ([UInt8]) -> Bool) async throws {
        let done = self.channel.eventLoop.makePromise(of: Void.self)
        self.channel.closeFuture.whenComplete { _ in done.fail(ChannelError.eof) }
        self.waiter.withLockedValue { $0 = { if condition($0) { done.succeed() } } }
        if condition(self.bytes.withLockedValue { $0 }) { done.succeed() }
        try await done.futureResult.get()
    }

    /// A request for an upgrade.
    static func request(
        method: String = "GET",
        path: String = "/clinicsync",
        subprotocol: String = "Sec-WebSocket-Protocol: clinicsync.v1\r\n",
        padding: Int = 0
    ) -> String {
        "\(method) \(path) HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\(subprotocol)"
            + (padding == 0 ? "" : "X-Padding: \(String(repeating: "a", count: padding))\r\n") + "\r\n"
    }

    static let enrollmentRequest = request(
        path: "/clinicsync/enroll",
        subprotocol: "Sec-WebSocket-Protocol: clinicsync.enroll.v1\r\n"
    )

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

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}
