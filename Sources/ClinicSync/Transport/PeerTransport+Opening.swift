import ClinicSyncCore
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

extension PeerTransport {
    /// Listens on `address`, where port 0 lets the system choose one.
    ///
    /// - Returns: The address with the real port.
    /// - Throws: ``ClinicSyncError``: `malformedAddress`, `addressNotAllowed`, `portInUse`, `permission`.
    package func listen(on address: String) async throws -> String {
        let wanted = try PeerAddress(loopback: address)
        let channel: any Channel
        do {
            channel = try await self.listenerBootstrap().bind(to: try wanted.socketAddress()).get()
        } catch {
            throw CloseCodeMapping.listenFailure(error, address: wanted)
        }
        guard self.registry.withLockedValue({ $0.listen(channel) }), let port = channel.localAddress?.port else {
            channel.close(promise: nil)
            throw ClinicSyncError(.refused, "The node is stopping: start it again to listen on \(wanted).")
        }
        return PeerAddress(wanted, port: port).description
    }

    /// Opens a WebSocket to `address`.
    ///
    /// Posts exactly one of `connectionOpened` and `dialFailed`, both with `address` as given. An address that is
    /// malformed or not allowed fails too, and the log says why.
    package func dial(_ address: String) {
        let loop = self.group.next()
        let attempt = DialAttempt { self.post(.dialFailed(address: address)) }
        let target: PeerAddress
        let socketAddress: SocketAddress
        do {
            target = try PeerAddress(loopback: address)
            socketAddress = try target.socketAddress()
        } catch {
            self.logger.warning("Address cannot be dialled", metadata: ["error.message": "\(error)"])
            // Not from here: the caller may be the one that takes the input.
            return loop.execute { attempt.fail() }
        }
        let connected = ClientBootstrap(group: loop)
            .connectTimeout(self.limits.upgradeTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try self.admit(channel, acceptedFrom: nil)
                    try WebSocketUpgrade.request(channel, host: target, limits: self.limits).whenComplete {
                        self.finish(attempt, address: address, channel: channel, result: $0)
                    }
                    self.limitUpgrade(of: channel) { attempt.isSettled }
                }
            }
            .connect(to: socketAddress)
        connected.whenFailure { _ in attempt.fail() }
    }

    /// Gives the dial its outcome when the upgrade is over; on the channel's event loop.
    private func finish(
        _ attempt: DialAttempt,
        address: String,
        channel: any Channel,
        result: Result<Void, any Error>
    ) {
        // Settled already: the time was over.
        guard attempt.settle() else { return channel.close(promise: nil) }
        do {
            try result.get()
            try self.open(channel, dialled: address)
        } catch {
            self.post(.dialFailed(address: address))
            channel.close(promise: nil)
        }
    }

    private func listenerBootstrap() -> ServerBootstrap {
        ServerBootstrap(group: self.group)
            .serverChannelOption(.backlog, value: self.limits.backlog)
            // A port whose last connections are still in TIME_WAIT can be listened on after a restart.
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.accept(channel) }
            }
    }

    /// Prepares an accepted socket; throwing closes it.
    private func accept(_ channel: any Channel) throws {
        guard let remote = channel.remoteAddress?.ipAddress, PeerAddress.isLoopback(remote) else {
            throw WebSocketUpgrade.Failure.refused
        }
        try self.admit(channel, acceptedFrom: remote)
        let isOpen = NIOLockedValueBox(false)
        try WebSocketUpgrade.serve(channel, limits: self.limits).whenComplete { result in
            do {
                guard try result.get() else { return }
                isOpen.withLockedValue { $0 = true }
                try self.open(channel, dialled: nil)
            } catch {
                channel.close(promise: nil)
            }
        }
        self.limitUpgrade(of: channel) { isOpen.withLockedValue { $0 } }
    }

    private func admit(_ channel: any Channel, acceptedFrom remote: String?) throws {
        let limits = self.limits
        guard self.registry.withLockedValue({ $0.admit(channel, acceptedFrom: remote, limits) }) else {
            self.logger.debug("Connection beyond the limits closed")
            throw WebSocketUpgrade.Failure.refused
        }
        channel.closeFuture.whenComplete { _ in self.registry.withLockedValue { $0.dismiss(channel) } }
    }

    /// Closes the channel unless `isOpen` when the time for the upgrade is over.
    private func limitUpgrade(of channel: any Channel, isOpen: @escaping @Sendable () -> Bool) {
        let deadline = channel.eventLoop.scheduleTask(in: self.limits.upgradeTimeout) {
            if !isOpen() { channel.close(promise: nil) }
        }
        channel.closeFuture.whenComplete { _ in deadline.cancel() }
    }
}

/// A dial under way; makes sure that it has one outcome.
private final class DialAttempt: Sendable {
    private let settled = NIOLockedValueBox(false)
    private let onFailure: @Sendable () -> Void

    init(onFailure: @escaping @Sendable () -> Void) {
        self.onFailure = onFailure
    }

    /// Whether the dial has its outcome.
    var isSettled: Bool { self.settled.withLockedValue { $0 } }

    /// Settles the dial as failed, unless it has its outcome.
    func fail() {
        if self.settle() { self.onFailure() }
    }

    /// Whether the caller is the first, and so decides the outcome.
    func settle() -> Bool {
        self.settled.withLockedValue { settled in
            defer { settled = true }
            return !settled
        }
    }
}
