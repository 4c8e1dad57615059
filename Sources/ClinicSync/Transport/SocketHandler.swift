import NIOCore

/// The first handler of a connection, before TLS: limits the bytes of unknown peers, and can close the socket at once.
///
/// An ordinary close sends a TLS close alert and waits for the peer's alert, which a hostile peer never sends.
/// ``abort(_:)`` closes the socket below TLS.
final class SocketHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let name = "clinicsync.socket"

    /// The bytes that the peer may still send before ``endLimit(of:)``; `nil` means no limit.
    private var bytesLeft: Int?
    private let onOverflow: () -> Void
    private let onInactive: () -> Void

    private init(bytesMax: Int, onOverflow: @escaping () -> Void, onInactive: @escaping () -> Void) {
        self.bytesLeft = bytesMax
        self.onOverflow = onOverflow
        self.onInactive = onInactive
    }

    /// Adds the handler to the empty pipeline of `channel`; on its event loop.
    ///
    /// The handler calls `onOverflow` when more than `bytesMax` bytes arrive. It calls `onInactive` when the socket is
    /// closed, before any other handler receives the event.
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

    /// Removes the limit after the peer is known; on the channel's event loop.
    static func endLimit(of channel: any Channel) throws {
        try channel.pipeline.syncOperations.handler(type: SocketHandler.self).bytesLeft = nil
    }

    /// Closes the socket immediately, with or without TLS; from any thread.
    static func abort(_ channel: any Channel) {
        channel.eventLoop.execute {
            do {
                try channel.pipeline.syncOperations.context(name: SocketHandler.name).close(promise: nil)
            } catch {
                // The channel is closed and its pipeline is empty, or the pipeline is not set up, so no TLS handler
                // exists to bypass.
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
