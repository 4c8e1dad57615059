import ClinicSyncCore
import ClinicSyncWire
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL

extension PeerTransport {
    /// Opens a WebSocket to `address`.
    ///
    /// The method posts exactly one of `connectionOpened` and `dialFailed`, both with `address` as given. The dial also
    /// fails for an address that is malformed or not allowed, and for a node that is not a member. The log then gives
    /// the reason.
    package func dial(_ address: String) {
        let loop = self.group.next()
        let attempt = DialAttempt { self.post(.dialFailed(address: address)) }
        let target: PeerAddress
        let socketAddress: SocketAddress
        do {
            target = try PeerAddress(address)
            socketAddress = try target.socketAddress(isLANOnly: self.isLANOnly)
        } catch {
            self.logger.warning("Address cannot be dialled", metadata: ["error.message": "\(error)"])
            // Do not post from this call: the caller may be the thread that takes the input.
            return loop.execute { attempt.settlement.settle { attempt.onFailure() } }
        }
        let connected = ClientBootstrap(group: loop)
            .connectTimeout(self.limits.upgradeTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.recvAllocator, value: TransportLimits.readAllocator)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.prepare(channel, for: attempt, to: target, address) }
            }
            .connect(to: socketAddress)
        connected.whenFailure { _ in attempt.settlement.settle { attempt.onFailure() } }
    }

    /// Makes the pipeline of a socket that is about to connect; on its event loop.
    private func prepare(
        _ channel: any Channel,
        for attempt: DialAttempt,
        to target: PeerAddress,
        _ address: String
    ) throws {
        try self.admit(channel, acceptedFrom: nil)
        // The host's first message may come with its answer to the upgrade.
        let bytesMax = self.limits.pendingBytesMax + self.limits.wire.controlMessageBytesMax
        try SocketHandler.add(to: channel, bytesMax: bytesMax) { SocketHandler.abort(channel) }
        let authenticator = self.authenticator
        try channel.pipeline.syncOperations.addHandlers([
            // TLS sends and checks no host name: the certificate identifies a node, independent of its address.
            NIOSSLClientHandler(
                context: authenticator.clientContext,
                serverHostname: nil,
                customVerificationCallback: attempt.record.callback(
                    judge: { await authenticator.judge($0) },
                    suffices: { $0.isMember }
                )
            ),
            RecordHandler(),
        ])
        try WebSocketUpgrade.request(
            channel,
            host: target,
            route: .peer,
            frameBytesMax: self.limits.wire.messageBytesMax
        ).whenComplete { result in
            // Otherwise the dial is already settled, because its time limit expired.
            attempt.settlement.settle { self.finish(attempt, address: address, channel: channel, result: result) }
        }
        self.limitUpgrade(of: channel) {
            attempt.settlement.settle {
                attempt.onFailure()
                SocketHandler.abort(channel)
            }
        }
    }

    /// Sets the outcome of the dial after the upgrade; on the channel's event loop.
    private func finish(
        _ attempt: DialAttempt,
        address: String,
        channel: any Channel,
        result: Result<Void, any Error>
    ) {
        // An upgrade proves that the peer also accepted this node. A TLS 1.3 handshake alone does not (RFC 8446,
        // section 4.4.4).
        let standing = attempt.record.peer?.standing
        do {
            try result.get()
            guard let standing, standing.isMember else { throw WebSocketUpgrade.Failure.notAMember }
            try self.open(channel, dialled: address, as: standing)
        } catch {
            if let standing {
                self.noteRefusal(standing.isMember ? .turnedAway : RefusalReason(standing), dialled: address)
            }
            self.logger.debug(
                "Dial failed",
                metadata: ["peer.address": "\(address)", "error.code": "\(error)"]
            )
            attempt.onFailure()
            SocketHandler.abort(channel)
        }
    }
}

/// A dial in progress.
private final class DialAttempt: Sendable {
    /// The peer as shown in the handshake.
    let record = HandshakeRecord()
    /// Makes sure that the dial has one outcome.
    let settlement = Settlement()
    /// Informs the core.
    let onFailure: @Sendable () -> Void

    init(onFailure: @escaping @Sendable () -> Void) {
        self.onFailure = onFailure
    }
}

/// Makes sure that an operation has exactly one outcome.
final class Settlement: Sendable {
    private let isSettled = NIOLockedValueBox(false)

    /// Runs `outcome` if no other outcome was set before.
    func settle(_ outcome: () throws -> Void) rethrows {
        let isFirst = self.isSettled.withLockedValue { isSettled in
            defer { isSettled = true }
            return !isSettled
        }
        if isFirst { try outcome() }
    }
}
