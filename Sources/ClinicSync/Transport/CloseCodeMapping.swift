import ClinicSyncModel
import ClinicSyncWire
import Glibc
import NIOCore
import NIOWebSocket

/// The only mapping between close reasons, WebSocket close codes and failures.
enum CloseCodeMapping {
    /// The first code that RFC 6455 leaves to applications.
    private static let base: UInt16 = 4_000

    /// Returns the code of the close frame for `reason`.
    static func code(of reason: CloseReason) -> WebSocketErrorCode {
        // 4000 and above are `unknown` to NIO, which writes the number as it is.
        WebSocketErrorCode(codeNumber: Int(CloseCodeMapping.base + reason.rawValue))
    }

    /// Returns the reason for a close frame's code.
    ///
    /// A code of another program means that the connection was lost.
    static func reason(of code: WebSocketErrorCode?) -> CloseReason {
        guard let code else { return .connectionLost }
        let number = UInt16(webSocketErrorCode: code)
        guard number >= CloseCodeMapping.base else { return .connectionLost }
        return CloseReason(rawValue: number - CloseCodeMapping.base) ?? .connectionLost
    }

    /// Returns whether `error` on a connection means a protocol violation by the peer; otherwise the socket failed.
    static func isViolation(_ error: any Error) -> Bool {
        error is NIOWebSocketError || error is NIOWebSocketFrameAggregator.Error
            || error is WireDecodingError || error is FrameViolation
    }

    /// The error for a port on which the node cannot listen.
    static func listenFailure(_ error: any Error, address: PeerAddress) -> ClinicSyncError {
        switch (error as? IOError)?.errnoCode {
        case EADDRINUSE:
            ClinicSyncError(
                .portInUse,
                "Another program listens on \(address): stop it, or choose another port.",
                cause: error
            )
        case EACCES:
            ClinicSyncError(
                .permission,
                "This account may not listen on \(address): choose a port above 1023.",
                cause: error
            )
        default:
            ClinicSyncError(
                .addressNotAllowed,
                "This PC cannot listen on \(address): use one of its own addresses and a free port.",
                cause: error
            )
        }
    }
}
