import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncWire
import Glibc
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL

extension PeerTransport {
    /// Opens a WebSocket to `address`.
    ///
    /// The method posts exactly one of `connectionOpened` and `dialFailed`, both with `address` as given; and before it
    /// `dialAnswered` when the PC there has accepted the socket. The dial also
    /// fails for an address that is malformed or not allowed, and for a node that is not a member. The log then gives
    /// the reason.
    package func dial(_ address: String) {
        let loop = self.group.next()
        let attempt = DialAttempt { self.post(.dialFailed(address: address, $0)) }
        let target: PeerAddress
        let socketAddress: SocketAddress
        do {
            target = try PeerAddress(address)
            socketAddress = try target.socketAddress(isLANOnly: self.isLANOnly)
        } catch {
            self.logger.warning("Address cannot be dialled", metadata: ["error.message": "\(error)"])
            // Do not post from this call: the caller may be the thread that takes the input.
            return loop.execute { attempt.settlement.settle { attempt.onFailure(.notAllowed) } }
        }
        let connected = ClientBootstrap(group: loop)
            .connectTimeout(self.limits.upgradeTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.recvAllocator, value: TransportLimits.readAllocator)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.prepare(channel, for: attempt, to: target, address) }
            }
            .connect(to: socketAddress)
        connected.whenSuccess { _ in
            attempt.connected()
            if !attempt.settlement.isSettled { self.post(.dialAnswered(address: address)) }
        }
        connected.whenFailure { error in
            attempt.settlement.settle { attempt.onFailure(DialFailure(connecting: error)) }
        }
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
            let settle: @Sendable () -> Void = {
                attempt.settlement.settle { self.finish(attempt, address: address, channel: channel, result: result) }
            }
            // The upgrade of a socket that did not connect fails first. Later in this turn of the loop the socket says why.
            if attempt.isConnected { settle() } else { channel.eventLoop.execute(settle) }
        }
        self.limitUpgrade(of: channel) {
            attempt.settlement.settle {
                attempt.onFailure(attempt.isConnected ? .silent : .timedOut)
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
            attempt.onFailure(DialFailure(of: standing))
            SocketHandler.abort(channel)
        }
    }
}

extension DialFailure {
    /// Says why no socket was opened.
    init(connecting error: any Error) {
        switch error {
        case ChannelError.connectTimeout: self = .timedOut
        case let error as IOError: self.init(errno: error.errnoCode)
        default: self = .other
        }
    }

    private init(errno: CInt) {
        switch errno {
        case ECONNREFUSED: self = .refused
        case ETIMEDOUT: self = .timedOut
        // A LAN without a router, and a firewall that says so.
        case EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN, EADDRNOTAVAIL, EACCES, EPERM: self = .unreachable
        default: self = .other
        }
    }

    /// Says why the handshake or the upgrade failed; `standing` is what the certificate at the address proved, `nil`
    /// when there was none.
    fileprivate init(of standing: PeerStanding?) {
        switch standing {
        case nil: self = .notANode
        case .member: self = .turnedAway
        case .expired: self = .expired
        case .revoked: self = .revoked
        case .refused(.foreign), .applicant: self = .foreign
        case .refused: self = .certificate
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
    let onFailure: @Sendable (DialFailure) -> Void
    private let connection = NIOLockedValueBox(false)

    init(onFailure: @escaping @Sendable (DialFailure) -> Void) {
        self.onFailure = onFailure
    }

    /// Whether a program took the connection.
    var isConnected: Bool { self.connection.withLockedValue { $0 } }

    /// A program took the connection.
    func connected() { self.connection.withLockedValue { $0 = true } }
}

/// Makes sure that an operation has exactly one outcome.
final class Settlement: Sendable {
    private let settled = NIOLockedValueBox(false)

    /// Whether the outcome was set.
    var isSettled: Bool { self.settled.withLockedValue { $0 } }

    /// Runs `outcome` if no other outcome was set before.
    func settle(_ outcome: () throws -> Void) rethrows {
        let isFirst = self.settled.withLockedValue { isSettled in
            defer { isSettled = true }
            return !isSettled
        }
        if isFirst { try outcome() }
    }
}
