import ClinicSyncModel
import NIOConcurrencyHelpers
import NIOCore
import NIOSSL
import NIOTLS

/// The peer as the TLS handshake of one connection showed it.
///
/// The record is empty until the node has judged the peer. A handshake can complete without a judgement, because a
/// resumed TLS session asks for no certificate. So the node must send nothing to a peer without a standing.
final class HandshakeRecord: Sendable {
    /// A peer that was judged.
    struct Peer: Sendable {
        var standing: PeerStanding
        /// Its certificate in DER.
        var certificate: [UInt8]
    }

    private let box = NIOLockedValueBox<Peer?>(nil)

    /// The peer; `nil` when the node has not judged it.
    var peer: Peer? { self.box.withLockedValue { $0 } }

    /// The callback in which TLS checks the certificates of the peer.
    ///
    /// It records the standing that `judge` returns and fails the handshake unless the standing `suffices`.
    ///
    /// This callback replaces all certificate checks of TLS. `completeWithTask` is NIO's bridge to asynchronous code
    /// and starts one task for each handshake. The limits on pending connections bound the number of tasks, and no task
    /// outlives its judgement. When the socket closes first, the judgement is dropped with its promise.
    func callback(
        judge: @escaping @Sendable ([NIOSSLCertificate]) async -> PeerStanding,
        suffices: @escaping @Sendable (PeerStanding) -> Bool
    ) -> NIOSSLCustomVerificationCallback {
        { chain, verdict in
            verdict.completeWithTask {
                guard let certificate = try chain.first?.toDERBytes() else { return .failed }
                let standing = await judge(chain)
                self.box.withLockedValue { $0 = Peer(standing: standing, certificate: certificate) }
                return suffices(standing) ? .certificateVerified : .failed
            }
        }
    }
}

/// Waits for the end of the TLS handshake of an accepted socket, then removes itself from the pipeline.
final class HandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let onCompleted: () -> Void
    private let onFailed: (_ hasLeft: Bool) -> Void

    /// Makes a handler that calls exactly one of the two callbacks.
    ///
    /// `hasLeft`: the peer closed the connection in place of going on with the handshake.
    init(onCompleted: @escaping () -> Void, onFailed: @escaping (_ hasLeft: Bool) -> Void) {
        self.onCompleted = onCompleted
        self.onFailed = onFailed
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted = event {
            // Call this before the first decrypted byte, so that the next handlers are ready for it.
            self.onCompleted()
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.onFailed(HandshakeHandler.isEnd(error))
    }

    private static func isEnd(_ error: any Error) -> Bool {
        switch error {
        case is IOError, is ChannelError: true
        case NIOSSLError.handshakeFailed(.sslError([.eofDuringHandshake])): true
        default: false
        }
    }
}

@available(*, unavailable)
extension HandshakeHandler: Sendable {}
