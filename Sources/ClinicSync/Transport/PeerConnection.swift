import ClinicSyncCore
import ClinicSyncModel
import NIOConcurrencyHelpers
import NIOCore
import NIOWebSocket

/// One open WebSocket to a peer, for use from any thread.
///
/// Messages to be sent are collected by the caller's thread and written by the connection's event loop, so that a
/// turn of the driver costs each event loop one wake-up and each socket one flush.
final class PeerConnection: Sendable {
    /// The connection's name in the core.
    let id: ConnectionID
    /// The socket.
    let channel: any Channel
    /// Whether we dialled, so that our frames are masked (RFC 6455, 5.3).
    private let isClient: Bool
    private let limits: TransportLimits
    private let state = NIOLockedValueBox(State())

    /// The outcome of ``enqueue(_:)``.
    enum EnqueueResult {
        /// It is the first since the last write: the connection must be flushed.
        case first
        /// It goes with those before it.
        case added
        /// The connection is ending; nothing more is sent.
        case ended
        /// Too many bytes wait, because the peer does not read.
        case overflow
    }

    private struct State {
        /// Messages not yet given to the socket.
        var pending: [ByteBuffer] = []
        var pendingBytes = 0
        /// Bytes of messages not yet taken by the kernel, `pending` included.
        var outboundBytes = 0
        var unconsumed = 0
        /// Whether the handler waits for ``PeerConnection/consumed()`` before it reads on.
        var isReadPaused = false
        /// Whether our close frame is on its way, or the connection is to be dropped.
        var isEnding = false
    }

    init(id: ConnectionID, channel: any Channel, isClient: Bool, limits: TransportLimits) {
        self.id = id
        self.channel = channel
        self.isClient = isClient
        self.limits = limits
    }

    /// Whether our close frame is on its way, so that whatever still arrives is discarded.
    var isEnding: Bool { self.state.withLockedValue { $0.isEnding } }

    /// Bytes that wait for the peer to take them.
    var outboundBytes: Int { self.state.withLockedValue { $0.outboundBytes } }

    // MARK: - Sending

    /// Takes a message to be sent by the next ``writePending()``.
    func enqueue(_ message: ByteBuffer) -> EnqueueResult {
        self.state.withLockedValue { state in
            guard !state.isEnding else { return .ended }
            guard state.outboundBytes + message.readableBytes <= self.limits.outboundBytesMax else {
                state.isEnding = true
                return .overflow
            }
            state.pending.append(message)
            state.pendingBytes += message.readableBytes
            state.outboundBytes += message.readableBytes
            return state.pending.count == 1 ? .first : .added
        }
    }

    /// Gives what was enqueued to the socket and flushes it; on the connection's event loop.
    func writePending() {
        let (messages, bytes) = self.state.withLockedValue { state in
            defer {
                state.pending.removeAll()
                state.pendingBytes = 0
            }
            return (state.pending, state.pendingBytes)
        }
        guard let last = messages.last else { return }
        for message in messages.dropLast() {
            self.channel.write(self.frame(.binary, message), promise: nil)
        }
        let written = self.channel.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in self.wrote(bytes) }
        self.channel.writeAndFlush(self.frame(.binary, last), promise: written)
    }

    /// Writes a control frame without flushing; on the connection's event loop.
    ///
    /// Counts like a message, so that a peer that sends pings and reads nothing is dropped as well.
    func writeControl(_ opcode: WebSocketOpcode, _ payload: ByteBuffer) {
        let bytes = payload.readableBytes + 2
        let isOverflow = self.state.withLockedValue { state in
            state.outboundBytes += bytes
            return state.outboundBytes > self.limits.outboundBytesMax
        }
        guard !isOverflow else { return self.drop() }
        let written = self.channel.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in self.wrote(bytes) }
        self.channel.write(self.frame(opcode, payload), promise: written)
    }

    private func wrote(_ bytes: Int) {
        self.state.withLockedValue { $0.outboundBytes -= bytes }
    }

    private func frame(_ opcode: WebSocketOpcode, _ payload: ByteBuffer) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: opcode, maskKey: self.isClient ? .random() : nil, data: payload)
    }

    // MARK: - Receiving

    /// Counts a message that was posted.
    func posted() {
        self.state.withLockedValue { $0.unconsumed += 1 }
    }

    /// Whether the socket may be read; if not, ``consumed()`` resumes reading.
    func mayRead() -> Bool {
        self.state.withLockedValue { state in
            // What arrives while ending is discarded, so it needs no limit.
            guard !state.isEnding, state.unconsumed >= self.limits.unconsumedMessagesMax else { return true }
            state.isReadPaused = true
            return false
        }
    }

    /// Counts a message as handled and reads on when half of the limit is free again.
    func consumed() {
        let resumes = self.state.withLockedValue { state in
            // A driver that consumes more than was posted must not widen the window.
            state.unconsumed = max(0, state.unconsumed - 1)
            guard state.isReadPaused, state.unconsumed <= self.limits.unconsumedMessagesMax / 2 else {
                return false
            }
            state.isReadPaused = false
            return true
        }
        if resumes { self.channel.read() }
    }

    // MARK: - Ending

    /// Sends what is queued and `last`, and closes in order; on the connection's event loop.
    ///
    /// Once only: later calls do nothing.
    func close(_ code: WebSocketErrorCode, last: ByteBuffer) {
        guard self.beginEnding() else { return }
        self.writePending()
        self.finish(code, last: [last])
    }

    /// Closes in order after `last`, without what is queued, and from now on sends and takes nothing; from any thread.
    ///
    /// Once only: later calls do nothing.
    func dismiss(_ code: WebSocketErrorCode, last: [ByteBuffer]) {
        let isFirst = self.state.withLockedValue { state in
            guard !state.isEnding else { return false }
            state.isEnding = true
            state.outboundBytes -= state.pendingBytes
            state.pending.removeAll()
            state.pendingBytes = 0
            return true
        }
        guard isFirst else { return }
        self.channel.eventLoop.execute { self.finish(code, last: last) }
    }

    /// Writes the last messages and the close frame, and waits for the peer's for a while.
    ///
    /// The socket stays open until the peer's close frame arrives. Closing a socket with unread bytes resets it, and the peer might
    /// lose the goodbye.
    private func finish(_ code: WebSocketErrorCode, last: [ByteBuffer]) {
        for message in last { self.channel.write(self.frame(.binary, message), promise: nil) }
        var payload = ByteBuffer()
        payload.write(webSocketErrorCode: code)
        self.channel.writeAndFlush(self.frame(.connectionClose, payload), promise: nil)
        self.channel.read()
        self.limitClosing()
    }

    /// Closes the socket when the peer answers neither the close frame nor the TLS goodbye.
    private func limitClosing() {
        let channel = self.channel
        let deadline = channel.eventLoop.scheduleTask(in: self.limits.closeTimeout) {
            SocketHandler.abort(channel)
        }
        channel.closeFuture.whenComplete { _ in deadline.cancel() }
    }

    /// Whether the caller is the first to end the connection.
    private func beginEnding() -> Bool {
        self.state.withLockedValue { state in
            defer { state.isEnding = true }
            return !state.isEnding
        }
    }

    /// Answers the peer's close frame with its own code and closes; on the connection's event loop.
    func closeInAnswer(to payload: ByteBuffer) {
        // The peer answered our close frame: both are done.
        guard self.beginEnding() else { return self.channel.close(promise: nil) }
        let channel = self.channel
        channel.writeAndFlush(self.frame(.connectionClose, payload)).whenComplete { _ in
            channel.close(promise: nil)
        }
        self.limitClosing()
    }

    /// Closes the socket at once, without a close frame.
    func drop() {
        self.state.withLockedValue { $0.isEnding = true }
        SocketHandler.abort(self.channel)
    }
}
