import ClinicSyncModel
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@testable import ClinicSync

/// A node that is killed while a command asks it.
@Suite("The client of the local API", .timeLimit(.minutes(1))) struct LocalAPIClientTests {
    /// Reads the request and resets the connection, as the system does for a process that was killed.
    private final class Reset: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            // A close without lingering sends a reset.
            guard let socket = context.channel as? any SocketOptionProvider else {
                Issue.record("the channel is no socket")
                return
            }
            _ = socket.setSoLinger(linger(l_onoff: 1, l_linger: 0))
            context.close(promise: nil)
        }
    }

    @Test(
        "a connection that is reset before the answer is a node that is not reachable, for one answer and for a stream"
    )
    func reset() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Reset()) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(server.localAddress?.port)
        let client = LocalAPIClient(
            address: try NetworkAddress(parsing: "127.0.0.1:\(port)"),
            token: "token",
            directory: "/nowhere"
        )
        for _ in 0..<20 {
            let answer = await #expect(throws: ClinicSyncError.self) {
                try await client.send(.GET, "/v1/status", timeout: .seconds(30))
            }
            #expect(answer?.code == .notReachable)
            let stream = await #expect(throws: ClinicSyncError.self) {
                try await client.lines("/v1/events", query: []) { _ in }
            }
            #expect(stream?.code == .notReachable)
        }
        try await server.close()
        try await group.shutdownGracefully()
    }
}
