import NIOCore

/// The first handler of a connection, before TLS: limits the bytes of strangers, and can close the socket at once.
///
/// An ordinary close sends a TLS goodbye and waits for the peer's, which a hostile peer never sends. ``abort(_:)`` closes the
/// socket below TLS.
final class SocketHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let name = "clinicsync.socket"

    /// Bytes that may still come before ``endLimit(of:)``; `nil`: no limit.
    private var bytesLeft: Int?
    private let onOverflow: () -> Void
    private let onInactive: () -> Void

    private init(bytesMax: Int, onOverflow: @escaping () -> Void, onInactive: @escaping () -> Void) {
        self.bytesLeft = bytesMax
        self.onOverflow = onOverflow
        self.onInactive = onInactive
    }

    /// Puts the handler in `channel`, whose pipeline is empty; on its event loop.
    ///
    /// It calls `onOverflow` when more than `bytesMax` come, and `onInactive` when the socket is closed, before any
    /// other handler knows.
    static func add(
        to channel: any Channel,
        bytesMax: Int,
        onOverflow: @escaping () -> Void,
        onInactive: @escaping () -> Void = {}
    ) throws {
        try channel.pipeline.syncOperations.addHandler(
            SocketHandler(bytesMax: bytesMax, onOverflow: onOverflow, onInactive: onInactive),
            name: SocketHandler.name
        )
    }

    /// Lifts the limit once the peer is known; on the channel's event loop.
    static func endLimit(of channel: any Channel) throws {
        try channel.pipeline.syncOperations.handler(type: SocketHandler.self).bytesLeft = nil
    }

    /// Closes the socket at once, TLS or not; from any thread.
    static func abort(_ channel: any Channel) {
        channel.eventLoop.execute {
            do {
                try channel.pipeline.syncOperations.context(name: SocketHandler.name).close(promise: nil)
            } catch {
                // Closed, so that its pipeline is empty, or not yet set up, so that there is no TLS to go past.
                channel.close(promise: nil)
            }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.onInactive()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if let left = self.bytesLeft {
            let rest = left - SocketHandler.unwrapInboundIn(data).readableBytes
            self.bytesLeft = max(0, rest)
            guard rest >= 0 else { return self.onOverflow() }
        }
        context.fireChannelRead(data)
    }
}

@available(*, unavailable)
extension SocketHandler: Sendable {}
