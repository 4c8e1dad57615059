import Glibc
import Hummingbird
import HummingbirdCore
package import Logging
import NIOConcurrencyHelpers
package import NIOCore
import NIOPosix
import ServiceLifecycle

/// The HTTP server for programs on this PC.
///
/// Listens only on loopback, requires the token, and refuses foreign web pages. A graceful shutdown ends streams of
/// events and finishes the answers in progress.
package struct LocalAPIServer: Service {
    private let address: NetworkAddress
    private let routes: LocalAPIRoutes
    private let sockets: EventSocketUpgrade
    private let connections: LocalAPIConnections
    private let group: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable (NetworkAddress) async throws -> Void

    /// Makes a server, which does nothing before ``run()``.
    ///
    /// The server calls `onListening` with the address and the real port before any request arrives. The caller writes
    /// `run/api.json` in this callback. If it throws, the server stops and `run` throws the same error.
    package init(
        address: NetworkAddress,
        token: String,
        programs: ProgramTokens? = nil,
        allowedOrigins: [String] = [],
        control: NodeControl,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        logger: Logger,
        onListening: @escaping @Sendable (NetworkAddress) async throws -> Void
    ) {
        self.init(
            address: address,
            token: token,
            programs: programs,
            allowedOrigins: allowedOrigins,
            control: control,
            socketLimits: EventSocketLimits(),
            connectionLimits: LocalAPIConnections.Limits(),
            group: group,
            logger: logger,
            onListening: onListening
        )
    }

    /// Makes a server with other limits.
    init(
        address: NetworkAddress,
        token: String,
        programs: ProgramTokens? = nil,
        allowedOrigins: [String] = [],
        control: NodeControl,
        socketLimits: EventSocketLimits,
        connectionLimits: LocalAPIConnections.Limits = LocalAPIConnections.Limits(),
        group: any EventLoopGroup,
        logger: Logger,
        onListening: @escaping @Sendable (NetworkAddress) async throws -> Void
    ) {
        self.address = address
        let routes = LocalAPIRoutes(
            control: control,
            token: token,
            programs: programs,
            origins: AllowedOrigins(allowedOrigins)
        )
        self.routes = routes
        self.connections = LocalAPIConnections(connectionLimits)
        self.sockets = EventSocketUpgrade(
            connections: self.connections,
            events: control.events,
            guardian: LoopbackGuard(origins: routes.origins),
            authorization: SocketAuthorization(routes.access),
            limits: socketLimits
        )
        self.group = group
        var logger = logger
        // The framework logs every request and its start, so this line raises its log level. The node logs its own
        // start.
        logger.logLevel = max(logger.logLevel, .warning)
        self.logger = logger
        self.onListening = onListening
    }

    /// Serves until the service group stops it.
    ///
    /// - Throws: ``ClinicSyncError`` of code `addressNotAllowed` or `portInUse`.
    package func run() async throws {
        guard self.address.isLoopback else {
            throw ClinicSyncError(
                .addressNotAllowed,
                "The local API listens on loopback only: use 127.0.0.1 instead of \(self.address.host)."
            )
        }
        let (ports, listening) = AsyncStream<Int>.makeStream(bufferingPolicy: .bufferingNewest(1))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { listening.finish() }
                try await self.serve { listening.yield($0) }
            }
            tasks.addTask {
                for await port in ports {
                    try await self.onListening(NetworkAddress(host: self.address.host, port: port))
                }
            }
            // Do not use `waitForAll`: it would wait for the server before it reported the failure of the other task.
            for try await _ in tasks {}
        }
    }

    private func serve(onPort: @escaping @Sendable (Int) -> Void) async throws {
        let isStopping = NIOLockedValueBox(false)
        var logger = self.logger
        logger.handler = FrameworkLogHandler(logger.handler, isStopping: isStopping)
        let application = Application(
            router: self.routes.makeRouter(),
            server: HTTPServerBuilder { responder in
                let http = HTTP1Channel(
                    responder: responder,
                    configuration: .init(
                        idleTimeout: .seconds(60),
                        httpDecoderConfiguration: .init(
                            maxHeaderFieldSize: 16_384,
                            maxHeaderListSize: 32_768,
                            maxHeaderFieldCount: 64
                        )
                    )
                )
                return LocalAPIChannel(http: http, sockets: self.sockets, connections: self.connections)
            },
            configuration: ApplicationConfiguration(
                // `LocalAPIConnections` limits the connections. A limit here would let strangers fill it.
                address: .hostname(self.address.host, port: self.address.port)
            ),
            onServerRunning: { channel in onPort(channel.localAddress?.port ?? self.address.port) },
            eventLoopGroupProvider: .shared(self.group),
            logger: logger
        )
        do {
            try await withGracefulShutdownHandler {
                try await application.run()
            } onGracefulShutdown: {
                isStopping.withLockedValue { $0 = true }
            }
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw ClinicSyncError(
                .portInUse,
                "Another program uses \(self.address): stop it, or choose another port with --api.",
                cause: error
            )
        }
    }
}
