import ClinicSyncWire
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// The HTTP upgrade that opens every connection, from both sides.
enum WebSocketUpgrade {
    /// The path that is upgraded.
    static let path = "/clinicsync"
    /// The subprotocol both sides must name.
    static let subprotocol = "clinicsync.v1"

    /// Why an upgrade came to nothing.
    enum Failure: Error {
        /// The peer does not upgrade, or not to our subprotocol.
        case refused
        /// The socket was closed meanwhile.
        case closed
    }

    /// Makes `channel` answer one upgrade request.
    ///
    /// - Returns: Whether the upgrade took place; if not, the peer was answered 400 and the channel closes. What the
    ///   peer sent behind its request is read when the future's callbacks have run: they add the handlers for it.
    static func serve(
        _ channel: any Channel,
        limits: TransportLimits
    ) throws -> EventLoopFuture<Bool> {
        let upgrader = NIOTypedWebSocketServerUpgrader<Bool>(
            maxFrameSize: limits.wire.messageBytesMax,
            enableAutomaticErrorHandling: false,
            shouldUpgrade: { channel, request in
                channel.eventLoop.makeSucceededFuture(WebSocketUpgrade.response(to: request))
            },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededFuture(true) }
        )
        var configuration = NIOUpgradableHTTPServerPipelineConfiguration<Bool>(
            upgradeConfiguration: .init(
                upgraders: [upgrader],
                notUpgradingCompletionHandler: { channel in WebSocketUpgrade.refuse(channel).map { false } }
            )
        )
        // One request each connection: there is nothing to pipeline.
        configuration.enablePipelining = false
        let upgraded = try channel.pipeline.syncOperations.configureUpgradableHTTPServerPipeline(
            configuration: configuration
        )
        try channel.pipeline.syncOperations.addHandler(UpgradeErrorHandler(), name: UpgradeErrorHandler.name)
        return upgraded
    }

    /// Makes `channel`, not yet connected, ask `host` for the upgrade.
    ///
    /// - Returns: Fails when the peer refuses or does not choose our subprotocol. Only from its callbacks on can
    ///   be written: earlier writes fail, because the upgrade is not over.
    static func request(
        _ channel: any Channel,
        host: PeerAddress,
        limits: TransportLimits
    ) throws -> EventLoopFuture<Void> {
        let upgrader = NIOTypedWebSocketClientUpgrader<Void>(
            maxFrameSize: limits.wire.messageBytesMax,
            enableAutomaticErrorHandling: false,
            upgradePipelineHandler: { channel, response in
                guard response.headers["Sec-WebSocket-Protocol"] == [WebSocketUpgrade.subprotocol] else {
                    return channel.eventLoop.makeFailedFuture(Failure.refused)
                }
                return channel.eventLoop.makeSucceededVoidFuture()
            }
        )
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: WebSocketUpgrade.path)
        head.headers.add(name: "Host", value: host.description)
        head.headers.add(name: "Sec-WebSocket-Protocol", value: WebSocketUpgrade.subprotocol)
        var configuration = NIOUpgradableHTTPClientPipelineConfiguration<Void>(
            upgradeConfiguration: .init(
                upgradeRequestHead: head,
                upgraders: [upgrader],
                notUpgradingCompletionHandler: { $0.eventLoop.makeFailedFuture(Failure.refused) }
            )
        )
        // The server may say hello in the same packet as its upgrade response.
        configuration.leftOverBytesStrategy = .forwardBytes
        let upgraded = try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(
            configuration: configuration
        )
        try channel.pipeline.syncOperations.addHandler(UpgradeErrorHandler(), name: UpgradeErrorHandler.name)
        return upgraded
    }

    /// Adds what both sides' pipelines have between the frame decoder and the last handler.
    static func addFrameHandlers(_ channel: any Channel, isPeerClient: Bool, limits: TransportLimits) throws {
        try channel.pipeline.syncOperations.addHandlers([
            FrameRuleHandler(isPeerClient: isPeerClient),
            NIOWebSocketFrameAggregator(
                minNonFinalFragmentSize: limits.fragmentBytesMin,
                maxAccumulatedFrameCount: limits.fragmentsMax,
                maxAccumulatedFrameSize: limits.wire.messageBytesMax
            ),
        ])
    }

    /// The headers that accept `request`; `nil` refuses it.
    private static func response(to request: HTTPRequestHead) -> HTTPHeaders? {
        guard
            request.method == .GET,
            request.uri == WebSocketUpgrade.path,
            request.headers[canonicalForm: "Sec-WebSocket-Protocol"].contains(Substring(WebSocketUpgrade.subprotocol))
        else { return nil }
        return HTTPHeaders([("Sec-WebSocket-Protocol", WebSocketUpgrade.subprotocol)])
    }

    private static func refuse(_ channel: any Channel) -> EventLoopFuture<Void> {
        let headers = HTTPHeaders([("Connection", "close"), ("Content-Length", "0")])
        let head = HTTPResponseHead(version: .http1_1, status: .badRequest, headers: headers)
        channel.write(HTTPServerResponsePart.head(head), promise: nil)
        return channel.writeAndFlush(HTTPServerResponsePart.end(nil)).always { _ in
            channel.close(promise: nil)
        }
    }
}

/// Closes a connection whose upgrade went wrong in a way the upgrade handlers only report.
final class UpgradeErrorHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    /// The handler's name in its pipeline, by which it is removed after the upgrade.
    static let name = "clinicsync.upgrade-errors"

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A refused upgrade is still to be answered with 400, which closes by itself.
        if !(error is NIOWebSocketUpgradeError) { context.close(promise: nil) }
        context.fireErrorCaught(error)
    }
}

@available(*, unavailable)
extension UpgradeErrorHandler: Sendable {}
