package import NIOCore
package import NIOHTTP1
import NIOPosix
package import NIOWebSocket

/// A WebSocket client of a node's local API, for tests and benchmarks.
package struct EventSocketClient: Sendable {
    /// The node answered the request but did not open a WebSocket.
    package struct Refused: Error {}

    /// What the client receives over the socket.
    package enum Incoming: Sendable, Hashable {
        /// A message.
        case text(String)
        /// A close frame with its code.
        case goodbye(UInt16?)
    }

    package typealias Channel = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>

    private let address: NetworkAddress
    private let headers: HTTPHeaders

    /// Makes a client.
    ///
    /// - Parameters:
    ///   - address: where the local API is.
    ///   - token: goes into the `Authorization` header; `nil`: none does.
    ///   - headers: further headers of the request.
    package init(address: NetworkAddress, token: String?, headers: HTTPHeaders = [:]) {
        self.address = address
        var headers = headers
        if let token { headers.add(name: "Authorization", value: "Bearer \(token)") }
        self.headers = headers
    }

    /// Opens a socket, runs `body` with it, and closes it.
    ///
    /// - Throws: ``Refused``, what the connection throws, and what `body` throws.
    package func run<Result: Sendable>(
        _ body: (inout Session) async throws -> Result
    ) async throws -> Result {
        let upgrader = NIOTypedWebSocketClientUpgrader<Channel>(
            maxFrameSize: 1 << 20,
            enableAutomaticErrorHandling: false,
            upgradePipelineHandler: { channel, _ in
                channel.eventLoop.makeCompletedFuture { try Channel(wrappingChannelSynchronously: channel) }
            }
        )
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/ws", headers: self.headers)
        head.headers.add(name: "Host", value: self.address.description)
        var configuration = NIOUpgradableHTTPClientPipelineConfiguration<Channel>(
            upgradeConfiguration: .init(
                upgradeRequestHead: head,
                upgraders: [upgrader],
                notUpgradingCompletionHandler: { $0.eventLoop.makeFailedFuture(Refused()) }
            )
        )
        configuration.leftOverBytesStrategy = .forwardBytes
        let final = configuration
        let upgraded = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .connect(host: self.address.host, port: self.address.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(configuration: final)
                }
            }
        return try await upgraded.get().executeThenClose { inbound, outbound in
            var session = Session(iterator: inbound.makeAsyncIterator(), outbound: outbound)
            return try await body(&session)
        }
    }

    /// An open socket.
    package struct Session {
        fileprivate var iterator: NIOAsyncChannelInboundStream<WebSocketFrame>.AsyncIterator
        fileprivate let outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>

        /// Whether pings are answered.
        package var answersPings = true

        /// Sends a message.
        package func send(_ text: String) async throws {
            try await self.write(.text, ByteBuffer(string: text))
        }

        /// Sends a frame of any kind.
        package func write(_ opcode: WebSocketOpcode, _ data: ByteBuffer, isFinal: Bool = true) async throws {
            let frame = WebSocketFrame(fin: isFinal, opcode: opcode, maskKey: .random(), data: data)
            try await self.outbound.write(frame)
        }

        /// Returns the next message or close frame; `nil` when the connection is closed.
        package mutating func next() async throws -> Incoming? {
            while let frame = try await self.iterator.next(isolation: #isolation) {
                var data = frame.unmaskedData
                switch frame.opcode {
                case .text:
                    return .text(String(buffer: data))
                case .connectionClose:
                    return .goodbye(data.readInteger(as: UInt16.self))
                case .ping where self.answersPings:
                    try await self.write(.pong, data)
                default:
                    continue
                }
            }
            return nil
        }

        /// Returns the next message; `nil` when the node sent a close frame or the connection is closed.
        package mutating func nextText() async throws -> String? {
            if case .text(let text)? = try await self.next() { text } else { nil }
        }

        /// Returns the next message, which must be an event.
        package mutating func nextEvent() async throws -> NodeEvent? {
            guard let text = try await self.nextText() else { return nil }
            return try APICoding.decode(NodeEvent.self, from: Array(text.utf8))
        }
    }
}
