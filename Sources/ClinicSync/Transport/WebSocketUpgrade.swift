import ClinicSyncWire
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// The HTTP upgrade that opens every connection, from both sides.
enum WebSocketUpgrade {
    /// The purpose of a connection, which the path of its request names.
    enum Route: Sendable, Hashable, CaseIterable {
        /// Messages between members.
        case peer
        /// An enrollment: how a PC becomes a member and how members renew their certificates.
        case enrollment

        /// The path of the request.
        var path: String {
            switch self {
            case .peer: "/clinicsync"
            case .enrollment: "/clinicsync/enroll"
            }
        }

        /// The subprotocol both sides must name.
        var subprotocol: String {
            switch self {
            case .peer: "clinicsync.v1"
            case .enrollment: "clinicsync.enroll.v1"
            }
        }
    }

    /// Why an upgrade failed.
    enum Failure: Error {
        /// The peer does not upgrade, or does not choose this node's subprotocol.
        case refused
        /// The peer's certificate expired or was revoked during the upgrade.
        case notAMember
        /// The socket was closed during the upgrade.
        case closed
    }

    /// Makes `channel` answer one upgrade request, if it is for one of `routes`.
    ///
    /// Every other request gets no answer, so that a refused peer learns nothing about this node.
    ///
    /// - Returns: The route of the upgrade. The future fails or is `nil` when there was no upgrade; then the caller
    ///   closes the channel. The channel reads the bytes after the request when the future's callbacks have run,
    ///   because they add the handlers for these bytes.
    static func serve(
        _ channel: any Channel,
        routes: Set<Route>,
        frameBytesMax: Int
    ) throws -> EventLoopFuture<Route?> {
        let upgrader = NIOTypedWebSocketServerUpgrader<Route?>(
            maxFrameSize: frameBytesMax,
            enableAutomaticErrorHandling: false,
            shouldUpgrade: { channel, request in
                let route = WebSocketUpgrade.route(of: request, among: routes)
                let headers = route.map { HTTPHeaders([("Sec-WebSocket-Protocol", $0.subprotocol)]) }
                return channel.eventLoop.makeSucceededFuture(headers)
            },
            upgradePipelineHandler: { channel, request in
                channel.eventLoop.makeSucceededFuture(WebSocketUpgrade.route(of: request, among: routes))
            }
        )
        var configuration = NIOUpgradableHTTPServerPipelineConfiguration<Route?>(
            upgradeConfiguration: .init(
                upgraders: [upgrader],
                notUpgradingCompletionHandler: { $0.eventLoop.makeSucceededFuture(nil) }
            )
        )
        // Each connection carries one request, so pipelining is unnecessary.
        configuration.enablePipelining = false
        // NIO's error handling would answer invalid bytes with status 400.
        configuration.enableErrorHandling = false
        let upgraded = try channel.pipeline.syncOperations.configureUpgradableHTTPServerPipeline(
            configuration: configuration
        )
        try channel.pipeline.syncOperations.addHandler(UpgradeErrorHandler(), name: UpgradeErrorHandler.name)
        return upgraded
    }

    /// Makes `channel`, not yet connected, ask `host` for the upgrade to `route`.
    ///
    /// - Returns: A future that fails when the peer refuses or does not choose this node's subprotocol. Write only from
    ///   its callbacks on: earlier writes fail, because the upgrade is not complete.
    static func request(
        _ channel: any Channel,
        host: PeerAddress,
        route: Route,
        frameBytesMax: Int
    ) throws -> EventLoopFuture<Void> {
        let upgrader = NIOTypedWebSocketClientUpgrader<Void>(
            maxFrameSize: frameBytesMax,
            enableAutomaticErrorHandling: false,
            upgradePipelineHandler: { channel, response in
                guard response.headers["Sec-WebSocket-Protocol"] == [route.subprotocol] else {
                    return channel.eventLoop.makeFailedFuture(Failure.refused)
                }
                return channel.eventLoop.makeSucceededVoidFuture()
            }
        )
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: route.path)
        head.headers.add(name: "Host", value: host.hostHeader)
        head.headers.add(name: "Sec-WebSocket-Protocol", value: route.subprotocol)
        var configuration = NIOUpgradableHTTPClientPipelineConfiguration<Void>(
            upgradeConfiguration: .init(
                upgradeRequestHead: head,
                upgraders: [upgrader],
                notUpgradingCompletionHandler: { $0.eventLoop.makeFailedFuture(Failure.refused) }
            )
        )
        // The server may send its hello in the same packet as its upgrade response.
        configuration.leftOverBytesStrategy = .forwardBytes
        let upgraded = try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(
            configuration: configuration
        )
        try channel.pipeline.syncOperations.addHandler(UpgradeErrorHandler(), name: UpgradeErrorHandler.name)
        return upgraded
    }

    /// Returns the route of `request`; `nil` means that the node refuses the request.
    private static func route(of request: HTTPRequestHead, among routes: Set<Route>) -> Route? {
        guard request.method == .GET else { return nil }
        let offered = request.headers[canonicalForm: "Sec-WebSocket-Protocol"]
        return routes.first { $0.path == request.uri && offered.contains(Substring($0.subprotocol)) }
    }
}

/// Closes a connection when its handshake or upgrade fails with an error that earlier handlers only report.
final class UpgradeErrorHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    /// The handler's name in its pipeline; the upgrade removes the handler by this name.
    static let name = "clinicsync.upgrade-errors"

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        SocketHandler.abort(context.channel)
        context.fireErrorCaught(error)
    }
}

@available(*, unavailable)
extension UpgradeErrorHandler: Sendable {}
