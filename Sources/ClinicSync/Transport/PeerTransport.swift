package import ClinicSyncCore
package import ClinicSyncModel
import ClinicSyncWire
import Glibc
package import Logging
import NIOConcurrencyHelpers
package import NIOCore
import NIOWebSocket

/// Manages all WebSockets between one node and its peers: listens, dials, sends, and posts inputs to the core.
///
/// Every method may be called from any thread and none blocks. `post` is called on event loops and must not block
/// either. For each connection, the calls have this order: `connectionOpened`, then its messages as they came, then
/// exactly one `connectionClosed`.
///
/// Every connection is mutual TLS. The peer's certificate decides what the peer may do (``PeerStanding``); the core
/// learns only of members. A refused peer gets no answer. ``refusedConnections`` counts it, and the log names it at
/// most once a minute for each address.
package final class PeerTransport: Sendable {
    let group: any EventLoopGroup
    let limits: TransportLimits
    let logger: Logger
    let authenticator: any PeerAuthenticator
    let enrollment: (any EnrollmentService)?
    let isLANOnly: Bool
    let post: @Sendable (Input) -> Void
    let refusals = NIOLockedValueBox(RefusalLog())
    private let violations = NIOLockedValueBox(LineLimiter(burst: 3))
    let registry = NIOLockedValueBox(ConnectionRegistry())
    /// Connections with new data since the last flush.
    private let unflushed = NIOLockedValueBox<[PeerConnection]>([])

    /// Makes a transport without open sockets.
    ///
    /// Without `enrollment`, no node can join or renew a certificate here. With `isLANOnly`, the transport neither
    /// accepts nor dials peers outside the local network (loopback, private, link-local).
    package init(
        group: any EventLoopGroup,
        limits: TransportLimits,
        authenticator: any PeerAuthenticator,
        enrollment: (any EnrollmentService)?,
        isLANOnly: Bool,
        logger: Logger,
        post: @escaping @Sendable (Input) -> Void
    ) {
        self.group = group
        self.limits = limits
        self.logger = logger
        self.authenticator = authenticator
        self.enrollment = enrollment
        self.isLANOnly = isLANOnly
        self.post = post
    }

    /// Encodes `message` once and queues it for each of `connections`; ``flush()`` sends it.
    ///
    /// The method skips connections that are closed or closing. It drops a connection whose queue exceeds
    /// ``TransportLimits/outboundBytesMax`` because the peer does not read.
    package func send(_ message: Message, term: UInt64, over connections: [ConnectionID]) {
        let receivers = self.receivers(connections)
        guard !receivers.isEmpty else { return }
        self.enqueue(MessageCodec.encodeBuffer(message, term: term), for: receivers)
    }

    /// Queues bytes as one WebSocket message, whatever they are; for tests of how other nodes take them.
    package func send(bytes: [UInt8], over connections: [ConnectionID]) {
        self.enqueue(ByteBuffer(bytes: bytes), for: self.receivers(connections))
    }

    private func receivers(_ connections: [ConnectionID]) -> [PeerConnection] {
        self.registry.withLockedValue { registry in connections.compactMap { registry.connection($0) } }
    }

    private func enqueue(_ bytes: ByteBuffer, for receivers: [PeerConnection]) {
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

    /// Sends the messages queued since the last flush, with one wake-up per event loop.
    package func flush() {
        let connections = self.unflushed.withLockedValue { unflushed in
            defer { unflushed.removeAll(keepingCapacity: true) }
            return unflushed
        }
        let byLoop = Dictionary(grouping: connections) { ObjectIdentifier($0.channel.eventLoop) }
        for group in byLoop.values {
            let loop = group[0].channel.eventLoop
            // The driver usually runs on the loop of its connections.
            guard !loop.inEventLoop else {
                for connection in group { connection.writePending() }
                continue
            }
            loop.execute {
                for connection in group { connection.writePending() }
            }
        }
    }

    /// Sends the queued messages, a goodbye and a close frame with code 4000 + `reason`, then closes the connection.
    ///
    /// With `retryAfter`, the goodbye asks the peer to come back after this time. The peer has
    /// ``TransportLimits/closeTimeout`` to answer. `connectionClosed` follows in any case.
    package func close(_ connection: ConnectionID, reason: CloseReason, retryAfter: Duration? = nil) {
        guard let connection = self.registry.withLockedValue({ $0.connection(connection) }) else { return }
        let goodbye = MessageCodec.encodeBuffer(.goodbye(reason, retryAfter: retryAfter), term: 0)
        connection.channel.eventLoop.execute {
            connection.close(CloseCodeMapping.code(of: reason), last: goodbye)
        }
    }

    /// Reports that the driver has handled one message of `connection`, so that the transport may read another.
    package func consumed(_ connection: ConnectionID) {
        self.registry.withLockedValue { $0.connection(connection) }?.consumed()
    }

    /// Counts a message of `connection` of so many bytes that costs the peer no credit; see ``WorkMeter``.
    package func meter(_ connection: ConnectionID, bytes: Int) {
        self.registry.withLockedValue { $0.connection(connection) }?.meter(bytes: bytes)
    }

    /// Returns the number of bytes queued for `connection` that its peer has not accepted; 0 when it is not open.
    package func outboundBytes(of connection: ConnectionID) -> Int {
        self.registry.withLockedValue { $0.connection(connection) }?.outboundBytes ?? 0
    }

    /// The number of connections that this node has refused, both accepted and dialled.
    package var refusedConnections: UInt64 { self.refusals.withLockedValue { $0.total } }

    /// Judges the peer of every open connection again, after a revocation or when certificates expire.
    ///
    /// From this call on, the transport sends nothing to former members and accepts nothing from them. A revoked peer
    /// receives its revocation. A peer with an expired certificate receives the goodbye `notAMember`. The transport
    /// closes both kinds of connections.
    package func reviewPeers() {
        let members = self.registry.withLockedValue { Array($0.members.values) }
        for member in members {
            self.dismiss(member.connection, as: self.authenticator.review(member.credential))
        }
    }

    /// Resets every connection immediately, as after a crash or a pulled cable; for tests.
    package func cutAll() {
        for channel in self.registry.withLockedValue({ $0.channels }) { self.reset(channel) }
    }

    /// Resets every connection and refuses new connections until ``heal()``; for tests.
    package func cut() {
        let channels = self.registry.withLockedValue { registry in
            registry.isCut = true
            return registry.channels
        }
        for channel in channels { self.reset(channel) }
    }

    /// Ends ``cut()``.
    package func heal() { self.registry.withLockedValue { $0.isCut = false } }

    /// Stops listening, sends a goodbye on every connection, and returns when all connections are closed.
    ///
    /// Dials in progress fail. The caller keeps ownership of the event loops.
    package func shutdown() async {
        let listeners = self.registry.withLockedValue { $0.shutDown() }
        let connections = self.registry.withLockedValue { $0.members.values.map(\.connection) }
        let opened = Set(connections.map { ObjectIdentifier($0.channel) })
        let channels = self.registry.withLockedValue { $0.channels }
        for connection in connections { self.close(connection.id, reason: .shuttingDown) }
        for channel in listeners { channel.close(promise: nil) }
        for channel in channels where !opened.contains(ObjectIdentifier(channel)) { SocketHandler.abort(channel) }
        for channel in listeners + channels {
            await withCheckedContinuation { continuation in
                channel.closeFuture.whenComplete { _ in continuation.resume() }
            }
        }
    }

    /// Makes a WebSocket's pipeline and informs the core; on the channel's event loop.
    ///
    /// A revoked peer that dialled this node gets its revocation; the core does not learn of this connection.
    ///
    /// - Throws: An error when the socket is already closed, or the dialled node is no longer a member.
    func open(_ channel: any Channel, dialled: String?, as standing: PeerStanding) throws {
        guard channel.isActive else { throw WebSocketUpgrade.Failure.closed }
        let credential: PeerCredential
        switch standing {
        case .member(let shown), .revoked(let shown, _): credential = shown
        case .expired, .applicant, .refused: throw WebSocketUpgrade.Failure.notAMember
        }
        let id = self.registry.withLockedValue { $0.nextID() }
        let isClient = dialled != nil
        let connection = PeerConnection(id: id, channel: channel, isClient: isClient, limits: self.limits)
        self.registry.withLockedValue { $0.add(connection, credential) }
        channel.closeFuture.whenComplete { _ in self.registry.withLockedValue { $0.remove(id) } }
        // Review again: a revocation between the handshake and this line found no connection to end.
        let present = standing.isMember ? self.authenticator.review(credential) : standing
        if isClient, !present.isMember { throw WebSocketUpgrade.Failure.notAMember }
        try SocketHandler.endLimit(of: channel)
        try channel.pipeline.syncOperations.addFrameHandlers(
            isPeerClient: !isClient,
            allowsText: false,
            self.limits.message(bytesMax: self.limits.wire.messageBytesMax)
        )
        // The core learns only of members.
        let post: @Sendable (Input) -> Void
        if present.isMember { post = self.post } else { post = { _ in } }
        try channel.pipeline.syncOperations.addHandler(
            PeerConnectionHandler(
                connection: connection,
                limits: self.limits,
                logger: self.logger,
                onViolation: { self.noteViolation(by: credential.node, $0) },
                post: post
            )
        )
        channel.pipeline.removeHandler(name: UpgradeErrorHandler.name, promise: nil)
        try channel.syncOptions?.setOption(.autoRead, value: false)
        if present.isMember {
            self.post(.connectionOpened(id, dialled: dialled, peer: credential.node))
        } else {
            self.dismiss(connection, as: present)
        }
        channel.read()
    }

    /// Ends `connection` unless its peer is still a member.
    private func dismiss(_ connection: PeerConnection, as standing: PeerStanding) {
        switch standing {
        case .member: break
        case .revoked(_, let notice):
            let messages: [Message] = [.revocation(notice), .goodbye(.revoked)]
            let last = messages.map { MessageCodec.encodeBuffer($0, term: 0) }
            connection.dismiss(CloseCodeMapping.code(of: .revoked), last: last)
        case .expired, .applicant, .refused:
            let goodbye = MessageCodec.encodeBuffer(.goodbye(.notAMember), term: 0)
            connection.dismiss(CloseCodeMapping.code(of: .notAMember), last: [goodbye])
        }
    }

    /// Logs that a peer broke the protocol, unless there were many such lines about this peer.
    private func noteViolation(by node: NodeID, _ error: any Error) {
        let now = Duration.nanoseconds(Int64(clamping: NIODeadline.now().uptimeNanoseconds))
        guard let omitted = self.violations.withLockedValue({ $0.admit(node.description, at: now) }) else { return }
        // Decoding errors name fields, and never a value of a row.
        var metadata: Logger.Metadata = ["peer.id": "\(node)", "error.code": "\(error)"]
        if omitted > 0 { metadata["log.omitted"] = "\(omitted)" }
        self.logger.info("Peer broke the protocol", metadata: metadata)
    }

    private func reset(_ channel: any Channel) {
        guard let options = channel as? any SocketOptionProvider else { return SocketHandler.abort(channel) }
        options.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in
            SocketHandler.abort(channel)
        }
    }
}

extension PeerStanding {
    /// Whether the peer is a member in good standing.
    var isMember: Bool {
        if case .member = self { true } else { false }
    }
}
