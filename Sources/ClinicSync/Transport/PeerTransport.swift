package import ClinicSyncCore
package import ClinicSyncModel
import ClinicSyncWire
import Glibc
package import Logging
import NIOConcurrencyHelpers
package import NIOCore

/// All WebSockets of one node: listens, dials, sends, and posts what happens as inputs of the core.
///
/// Every method may be called from any thread and none blocks. `post` is called on event loops and must not block
/// either. For each connection it is called in this order: `connectionOpened`, then its messages as they came, then
/// exactly one `connectionClosed`. Until connections are encrypted, only loopback addresses are used.
package final class PeerTransport: Sendable {
    let group: any EventLoopGroup
    let limits: TransportLimits
    let logger: Logger
    let post: @Sendable (Input) -> Void
    let registry = NIOLockedValueBox(ConnectionRegistry())
    /// Connections written to since the last flush.
    private let unflushed = NIOLockedValueBox<[PeerConnection]>([])

    /// Makes a transport that has nothing open yet.
    package init(
        group: any EventLoopGroup,
        limits: TransportLimits,
        logger: Logger,
        post: @escaping @Sendable (Input) -> Void
    ) {
        self.group = group
        self.limits = limits
        self.logger = logger
        self.post = post
    }

    /// Encodes `message` once and queues it for each of `connections`; ``flush()`` sends it.
    ///
    /// Connections that are closed or closing are passed over. One whose peer takes nothing is dropped when
    /// ``TransportLimits/outboundBytesMax`` is exceeded.
    package func send(_ message: Message, term: UInt64 = 0, over connections: [ConnectionID]) {
        let receivers = self.registry.withLockedValue { registry in
            connections.compactMap { registry.connections[$0] }
        }
        guard !receivers.isEmpty else { return }
        let bytes = MessageCodec.encodeBuffer(message, term: term)
        for receiver in receivers {
            switch receiver.enqueue(bytes) {
            case .first: self.unflushed.withLockedValue { $0.append(receiver) }
            case .added, .ended: break
            case .overflow:
                self.logger.info(
                    "Peer takes no messages, connection dropped",
                    metadata: ["connection.id": "\(receiver.id.rawValue)"]
                )
                receiver.drop()
            }
        }
    }

    /// Sends what was queued since the last flush, with one wake-up of each event loop concerned.
    package func flush() {
        let connections = self.unflushed.withLockedValue { unflushed in
            defer { unflushed.removeAll(keepingCapacity: true) }
            return unflushed
        }
        let byLoop = Dictionary(grouping: connections) { ObjectIdentifier($0.channel.eventLoop) }
        for group in byLoop.values {
            group[0].channel.eventLoop.execute {
                for connection in group { connection.writePending() }
            }
        }
    }

    /// Sends what is queued, a goodbye and a close frame with code 4000 + `reason`, and closes.
    ///
    /// The peer has ``TransportLimits/closeTimeout`` to answer. `connectionClosed` follows in any case.
    package func close(_ connection: ConnectionID, reason: CloseReason) {
        guard let connection = self.registry.withLockedValue({ $0.connections[connection] }) else { return }
        let goodbye = MessageCodec.encodeBuffer(.goodbye(reason), term: 0)
        connection.channel.eventLoop.execute { connection.close(reason, goodbye: goodbye) }
    }

    /// Says that the driver has handled one message of `connection`, so that another may be read.
    package func consumed(_ connection: ConnectionID) {
        self.registry.withLockedValue { $0.connections[connection] }?.consumed()
    }

    /// Bytes queued for `connection` that its peer has not taken; 0 when it is not open.
    package func outboundBytes(of connection: ConnectionID) -> Int {
        self.registry.withLockedValue { $0.connections[connection] }?.outboundBytes ?? 0
    }

    /// Resets every connection at once, as a crash or a pulled cable would end it; for tests.
    package func cutAll() {
        for channel in self.registry.withLockedValue({ $0.channels }) { self.reset(channel) }
    }

    /// Resets every connection and opens and takes none from now on until ``heal()``; for tests.
    package func cut() {
        let channels = self.registry.withLockedValue { registry in
            registry.isCut = true
            return registry.channels
        }
        for channel in channels { self.reset(channel) }
    }

    /// Ends ``cut()``.
    package func heal() { self.registry.withLockedValue { $0.isCut = false } }

    /// Stops listening, says goodbye on every connection and returns when all are closed.
    ///
    /// Dials that are under way fail. The event loops stay the caller's.
    package func shutdown() async {
        let listeners = self.registry.withLockedValue { $0.shutDown() }
        let connections = self.registry.withLockedValue { Array($0.connections.values) }
        let opened = Set(connections.map { ObjectIdentifier($0.channel) })
        let channels = self.registry.withLockedValue { $0.channels }
        for connection in connections { self.close(connection.id, reason: .shuttingDown) }
        for channel in listeners { channel.close(promise: nil) }
        for channel in channels where !opened.contains(ObjectIdentifier(channel)) { channel.close(promise: nil) }
        for channel in listeners + channels {
            await withCheckedContinuation { continuation in
                channel.closeFuture.whenComplete { _ in continuation.resume() }
            }
        }
    }

    /// Makes a WebSocket's pipeline and tells the core; on the channel's event loop.
    ///
    /// - Throws: When the socket is closed already.
    func open(_ channel: any Channel, dialled: String?) throws {
        guard channel.isActive else { throw WebSocketUpgrade.Failure.closed }
        let id = self.registry.withLockedValue { $0.nextID() }
        let isClient = dialled != nil
        let connection = PeerConnection(id: id, channel: channel, isClient: isClient, limits: self.limits)
        try WebSocketUpgrade.addFrameHandlers(channel, isPeerClient: !isClient, limits: self.limits)
        try channel.pipeline.syncOperations.addHandler(
            PeerConnectionHandler(
                connection: connection,
                limits: self.limits.wire,
                logger: self.logger,
                post: self.post
            )
        )
        channel.pipeline.removeHandler(name: UpgradeErrorHandler.name, promise: nil)
        try channel.syncOptions?.setOption(.autoRead, value: false)
        self.registry.withLockedValue { $0.add(connection) }
        channel.closeFuture.whenComplete { _ in self.registry.withLockedValue { $0.remove(id) } }
        self.post(.connectionOpened(id, dialled: dialled))
        channel.read()
    }

    private func reset(_ channel: any Channel) {
        guard let options = channel as? any SocketOptionProvider else { return channel.close(promise: nil) }
        options.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in
            channel.close(promise: nil)
        }
    }
}
