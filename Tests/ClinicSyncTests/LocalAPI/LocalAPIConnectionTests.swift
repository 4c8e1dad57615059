import ClinicSyncModel
import Foundation
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import ServiceLifecycle
import Testing

@testable import ClinicSync

@Suite("Connections without the token keep out nobody who has it", .timeLimit(.minutes(1)))
struct LocalAPIConnectionTests {
    private typealias Control = LocalAPIServerTests.FixedControl

    private static let authorization = "Authorization: Bearer \(LocalAPIServerTests.token)"

    /// Serves on a free port while `body` runs, then stops gracefully.
    private func serve(
        _ limits: LocalAPIConnections.Limits,
        _ body: @escaping @Sendable (NetworkAddress, LoggedBroadcaster) async throws -> Void
    ) async throws {
        let control = Control()
        let (addresses, listening) = AsyncStream<NetworkAddress>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let server = LocalAPIServer(
            address: NetworkAddress(host: "127.0.0.1", port: 0),
            token: LocalAPIServerTests.token,
            control: control.all,
            socketLimits: EventSocketLimits(),
            connectionLimits: limits,
            group: MultiThreadedEventLoopGroup.singleton,
            logger: logger
        ) { listening.yield($0) }
        let group = ServiceGroup(services: [server], logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            var iterator = addresses.makeAsyncIterator()
            let address = try #require(await iterator.next())
            try await body(address, control.events)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    private func connect(_ address: NetworkAddress, reads: Bool = true) async throws -> RawConnection {
        let received = NIOLockedValueBox(ByteBuffer())
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: reads)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collecting(received))
                }
            }
            .connect(host: address.host, port: address.port)
            .get()
        return RawConnection(channel: channel, received: received)
    }

    private func request(_ path: String, _ address: NetworkAddress, headers: [String] = [authorization]) -> String {
        (["GET \(path) HTTP/1.1", "Host: \(address)"] + headers).joined(separator: "\r\n") + "\r\n\r\n"
    }

    @Test("500 idle connections, with and without a part of a request, and the token's holder is served at once")
    func idle() async throws {
        try await self.serve(LocalAPIConnections.Limits()) { address, _ in
            let kept = try await self.connect(address)
            try await kept.send(self.request("/v1/status", address))
            try await kept.wait { $0.contains("200 OK") }
            var strangers: [RawConnection] = []
            for number in 0..<500 {
                let stranger = try await self.connect(address)
                if number % 2 == 0 { try await stranger.send("GET /v1/status HTTP/1.1\r\nHost: \(address)\r\n") }
                strangers.append(stranger)
            }
            let start = ContinuousClock.now
            for _ in 0..<3 {
                let mine = try await self.connect(address)
                try await mine.send(self.request("/v1/status", address))
                try await mine.wait { $0.contains("200 OK") }
                mine.close()
            }
            #expect(ContinuousClock.now - start < .seconds(2))
            // The connection that showed the token before was not among those that had to go.
            try await kept.send(self.request("/v1/status", address))
            try await kept.wait { $0.components(separatedBy: "200 OK").count == 3 }
            // The oldest strangers had to go.
            try await strangers[0].ended()
            for stranger in strangers { stranger.close() }
            kept.close()
        }
    }

    @Test("a stranger that says nothing more is closed soon, a connection with the token is not")
    func silence() async throws {
        var limits = LocalAPIConnections.Limits()
        limits.silence = .milliseconds(100)
        try await self.serve(limits) { address, _ in
            let kept = try await self.connect(address)
            try await kept.send(self.request("/v1/status", address))
            try await kept.wait { $0.contains("200 OK") }
            for text in ["", "GET /v1/sta", self.request("/health", address, headers: []), "GET /ws"] {
                let stranger = try await self.connect(address)
                try await stranger.send(text)
                try await stranger.ended()
            }
            try await kept.send(self.request("/v1/status", address))
            try await kept.wait { $0.components(separatedBy: "200 OK").count == 3 }
            kept.close()
        }
    }

    @Test("requests without the token use up nothing of the rate of those with it")
    func rate() async throws {
        try await self.serve(LocalAPIConnections.Limits()) { address, _ in
            let stranger = try await self.connect(address)
            try await stranger.send(
                String(repeating: self.request("/health", address, headers: []), count: 2_000)
            )
            try await stranger.wait { $0.contains("429") }
            let mine = try await self.connect(address)
            try await mine.send(self.request("/v1/status", address))
            try await mine.wait { $0.contains("HTTP/1.1 ") }
            #expect(mine.text.contains("200 OK"))
            stranger.close()
            mine.close()
        }
    }

    @Test("a program that does not read its events is closed")
    func stall() async throws {
        var limits = LocalAPIConnections.Limits()
        limits.stall = .milliseconds(200)
        try await self.serve(limits) { address, events in
            let reader = try await self.connect(address, reads: false)
            try await reader.send(self.request("/v1/events?since=0", address))
            let text = String(repeating: "x", count: 8_000)
            // More than the system's buffers of both ends take.
            for _ in 0..<2_000 { events.publishSystem("peer_lost", details: ["text": text]) }
            // The end is seen by the next byte that is sent to the closed connection.
            while reader.channel.isActive {
                do { try await reader.send("GET /health HTTP/1.1\r\n\r\n") } catch { break }
                try await Task.sleep(for: .milliseconds(20))
            }
            reader.close()
        }
    }
}

/// A connection of a test, with all that came back.
private struct RawConnection: Sendable {
    let channel: any Channel
    let received: NIOLockedValueBox<ByteBuffer>

    var text: String { self.received.withLockedValue { String(buffer: $0) } }

    func send(_ text: String) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(string: text)).get()
    }

    /// Waits until what came back satisfies the condition; the test's time limit ends it.
    func wait(until condition: (String) -> Bool) async throws {
        while !condition(self.text) {
            guard self.channel.isActive else { return #expect(condition(self.text), "the connection has ended") }
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    /// Waits until the other side has closed.
    func ended() async throws { try await self.channel.closeFuture.get() }

    func close() { self.channel.close(promise: nil) }
}

private final class Collecting: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let received: NIOLockedValueBox<ByteBuffer>

    init(_ received: NIOLockedValueBox<ByteBuffer>) { self.received = received }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = Collecting.unwrapInboundIn(data)
        self.received.withLockedValue { _ = $0.writeBuffer(&buffer) }
    }
}

@available(*, unavailable)
extension Collecting: Sendable {}
