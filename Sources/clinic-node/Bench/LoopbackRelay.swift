import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// Sends bytes over loopback to a hub that passes them on to receivers: the cost of two hops without a node between them.
final class LoopbackRelay {
    /// About the size of an event, and of a batch of one row.
    private static let bytes = 300

    /// What the receivers have received of the bytes that are on their way.
    private struct Delivery {
        var missingBytes = 0
        var isWhole: EventLoopPromise<Void>?
    }

    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    private let hub: any Channel
    private let sender: any Channel
    private let receivers: [any Channel]
    private let delivery = NIOLockedValueBox(Delivery())

    /// Connects so many receivers with a hub.
    init(receivers count: Int) throws {
        let accepted = NIOLockedValueBox<[any Channel]>([])
        self.hub = try ServerBootstrap(group: self.group.next())
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                let others = accepted.withLockedValue { channels in
                    defer { channels.append(channel) }
                    return channels
                }
                return channel.eventLoop.makeCompletedFuture {
                    // The sender comes last, so it knows all receivers.
                    try channel.pipeline.syncOperations.addHandler(
                        BytesHandler { bytes in
                            for other in others { other.writeAndFlush(bytes, promise: nil) }
                        }
                    )
                }
            }
            .bind(host: "127.0.0.1", port: 0).wait()
        let delivery = self.delivery
        let clients = ClientBootstrap(group: self.group.next())
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        BytesHandler { bytes in
                            delivery.withLockedValue { delivery -> EventLoopPromise<Void>? in
                                delivery.missingBytes -= bytes.readableBytes
                                guard delivery.missingBytes <= 0 else { return nil }
                                defer { delivery.isWhole = nil }
                                return delivery.isWhole
                            }?.succeed()
                        }
                    )
                }
            }
        let address = try self.hub.localAddress ?? SocketAddress(ipAddress: "127.0.0.1", port: 0)
        var connected: [any Channel] = []
        for number in 0...count {
            connected.append(try clients.connect(to: address).wait())
            try NodeProcess.wait("The relay did not accept its receivers.", pause: 100) {
                accepted.withLockedValue { $0.count } > number
            }
        }
        self.sender = connected.removeLast()
        self.receivers = connected
    }

    /// Milliseconds until all receivers have the bytes.
    func pass() throws -> Double {
        let isWhole = self.sender.eventLoop.makePromise(of: Void.self)
        self.delivery.withLockedValue {
            $0 = Delivery(missingBytes: LoopbackRelay.bytes * self.receivers.count, isWhole: isWhole)
        }
        let clock = ContinuousClock()
        let start = clock.now
        try self.sender.writeAndFlush(ByteBuffer(repeating: 0, count: LoopbackRelay.bytes)).wait()
        try isWhole.futureResult.wait()
        return (clock.now - start) / .milliseconds(1)
    }

    /// Closes all connections.
    func close() throws {
        for channel in self.receivers + [self.sender, self.hub] { channel.close(promise: nil) }
        try self.group.syncShutdownGracefully()
    }
}

/// Passes on what arrives.
private final class BytesHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let onBytes: (ByteBuffer) -> Void

    init(onBytes: @escaping (ByteBuffer) -> Void) { self.onBytes = onBytes }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { self.onBytes(BytesHandler.unwrapInboundIn(data)) }
}

@available(*, unavailable)
extension BytesHandler: Sendable {}
