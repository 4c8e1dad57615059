import ClinicSyncModel
import ClinicSyncWire
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL

extension PeerTransport {
    /// Listens on `address`, where port 0 lets the system choose one.
    ///
    /// - Returns: The address with the real port.
    /// - Throws: ``ClinicSyncError``: `malformedAddress`, `addressNotAllowed`, `portInUse`, `permission`.
    package func listen(on address: String) async throws -> String {
        let wanted = try PeerAddress(address)
        let socketAddress = try wanted.listenAddress(isLANOnly: self.isLANOnly)
        let channel: any Channel
        do {
            channel = try await self.listenerBootstrap().bind(to: socketAddress).get()
        } catch {
            throw CloseCodeMapping.listenFailure(error, address: wanted)
        }
        guard self.registry.withLockedValue({ $0.listen(channel) }), let port = channel.localAddress?.port else {
            channel.close(promise: nil)
            throw ClinicSyncError(.refused, "The node is stopping: start it again to listen on \(wanted).")
        }
        return PeerAddress(wanted, port: port).description
    }

    private func listenerBootstrap() -> ServerBootstrap {
        ServerBootstrap(group: self.group)
            .serverChannelOption(.backlog, value: self.limits.backlog)
            // The node can listen again on a port whose last connections are still in TIME_WAIT after a restart.
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.recvAllocator, value: TransportLimits.readAllocator)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.accept(channel) }
            }
    }

    /// Prepares an accepted socket; throwing closes it.
    private func accept(_ channel: any Channel) throws {
        guard let remote = channel.remoteAddress, let address = remote.ipAddress else {
            throw WebSocketUpgrade.Failure.closed
        }
        guard !self.isLANOnly || LocalNetwork.contains(remote) else {
            self.noteRefusal(.outsideNetwork, address: address)
            throw WebSocketUpgrade.Failure.refused
        }
        try self.admit(channel, acceptedFrom: address)
        let arrival = Arrival(channel: channel, address: address)
        try SocketHandler.add(
            to: channel,
            bytesMax: self.limits.pendingBytesMax,
            onOverflow: { self.refuse(arrival, .tooManyBytes) },
            // The socket leaves the registry before the core learns of the end, because the peer may reconnect at once.
            onInactive: { self.registry.withLockedValue { $0.dismiss(channel) } }
        )
        let authenticator = self.authenticator
        try channel.pipeline.syncOperations.addHandlers([
            NIOSSLServerHandler(
                context: authenticator.serverContext,
                customVerificationCallback: arrival.record.callback(
                    judge: { await authenticator.judge($0) },
                    suffices: { if case .refused = $0 { false } else { true } }
                )
            ),
            RecordHandler(),
            HandshakeHandler(
                onCompleted: { self.receive(arrival) },
                onFailed: { hasLeft in
                    let reason = hasLeft ? RefusalReason.leftEarly : .handshakeFailed
                    self.refuse(arrival, arrival.record.peer.map { .init($0.standing) } ?? reason)
                }
            ),
        ])
        self.limitUpgrade(of: channel) { self.refuse(arrival, .tooSlow) }
    }

    /// Waits for the request of a peer after its handshake.
    private func receive(_ arrival: Arrival) {
        // This is a resumed TLS session. The node did not judge the peer, so the peer receives nothing.
        guard let peer = arrival.record.peer else { return self.refuse(arrival, .unjudged) }
        let routes = self.routes(for: peer.standing)
        guard !routes.isEmpty else { return self.refuse(arrival, .init(peer.standing)) }
        do {
            try WebSocketUpgrade.serve(
                arrival.channel,
                routes: routes,
                // A frame of a non-member is never larger than a request to join.
                frameBytesMax: peer.standing.isMember
                    ? self.limits.wire.messageBytesMax : self.limits.wire.enrollmentRequestBytesMax
            ).whenComplete { result in
                guard case .success(let route?) = result else {
                    return self.refuse(arrival, .init(peer.standing))
                }
                arrival.settlement.settle { self.begin(route, arrival, peer) }
            }
        } catch {
            self.refuse(arrival, .wrongRequest)
        }
    }

    /// The routes that a peer may use.
    private func routes(for standing: PeerStanding) -> Set<WebSocketUpgrade.Route> {
        let enrollment: Set<WebSocketUpgrade.Route> = self.enrollment == nil ? [] : [.enrollment]
        return switch standing {
        case .member: enrollment.union([.peer])
        case .expired, .applicant: enrollment
        // A revoked peer receives its revocation on the route where it expects messages.
        case .revoked: [.peer]
        case .refused: []
        }
    }

    /// Starts the requested and permitted route; on the channel's event loop.
    private func begin(_ route: WebSocketUpgrade.Route, _ arrival: Arrival, _ peer: HandshakeRecord.Peer) {
        do {
            switch route {
            case .peer:
                if case .revoked = peer.standing { self.noteRefusal(.revoked, address: arrival.address) }
                try self.open(arrival.channel, dialled: nil, as: peer.standing)
            case .enrollment:
                try self.beginEnrollment(
                    arrival.channel,
                    EnrollmentPeer(
                        standing: peer.standing,
                        certificate: peer.certificate,
                        address: arrival.address
                    )
                )
            }
        } catch {
            SocketHandler.abort(arrival.channel)
        }
    }

    // MARK: - Refusing

    /// Closes an accepted socket without an answer, unless the arrival already has an outcome.
    private func refuse(_ arrival: Arrival, _ reason: RefusalReason) {
        arrival.settlement.settle {
            self.noteRefusal(reason, address: arrival.address)
            SocketHandler.abort(arrival.channel)
        }
    }

    /// Counts and logs that a peer at the remote IP `address` was refused.
    func noteRefusal(_ reason: RefusalReason, address: String) {
        self.refusals.note(reason, of: address, "Connection refused", to: self.logger)
    }

    /// Counts and logs that this node refused the dialled node at `address`, or that the dialled node refused this
    /// node.
    func noteRefusal(_ reason: RefusalReason, dialled address: String) {
        self.refusals.note(reason, of: address, "Dialled node refused this node, or is no member", to: self.logger)
    }

    /// Admits a socket.
    ///
    /// - Throws: An error when the transport accepts no sockets, or no more.
    func admit(_ channel: any Channel, acceptedFrom remote: String?) throws {
        let limits = self.limits
        switch self.registry.withLockedValue({ $0.admit(channel, acceptedFrom: remote, limits) }) {
        case .admitted:
            channel.closeFuture.whenComplete { _ in self.registry.withLockedValue { $0.dismiss(channel) } }
        case .ended:
            throw WebSocketUpgrade.Failure.closed
        case .full:
            if let remote { self.noteRefusal(.tooManyConnections, address: remote) }
            throw WebSocketUpgrade.Failure.refused
        }
    }

    /// Calls `onTimeout` when the time limit expires before the socket's handshake and upgrade are complete.
    func limitUpgrade(of channel: any Channel, onTimeout: @escaping @Sendable () -> Void) {
        let deadline = channel.eventLoop.scheduleTask(in: self.limits.upgradeTimeout, onTimeout)
        channel.closeFuture.whenComplete { _ in deadline.cancel() }
    }
}

/// An accepted socket during handshake and upgrade.
private final class Arrival: Sendable {
    let channel: any Channel
    /// The remote IP address.
    let address: String
    /// The peer as shown in the handshake.
    let record = HandshakeRecord()
    /// Makes sure that the socket is either refused or started, and is counted once.
    let settlement = Settlement()

    init(channel: any Channel, address: String) {
        self.channel = channel
        self.address = address
    }
}
