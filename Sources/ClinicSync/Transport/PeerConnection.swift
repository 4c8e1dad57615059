import ClinicSyncCore
import ClinicSyncModel
import NIOConcurrencyHelpers
import NIOCore
import NIOWebSocket

/// One open WebSocket to a peer, for use from any thread.
///
/// The caller's thread collects outgoing messages, and the connection's event loop writes them. So each turn of the
/// driver costs one wake-up per event loop and one flush per socket.
final class PeerConnection: Sendable {
    /// The connection's id in the core.
    let id: ConnectionID
    /// The socket.
    let channel: any Channel
    /// Whether this node dialled, so that its frames are masked (RFC 6455, section 5.3).
    private let isClient: Bool
    private let limits: TransportLimits
    private let state = NIOLockedValueBox(State())

    /// The outcome of ``enqueue(_:)``.
    enum EnqueueResult {
        /// The message is the first since the last write.
        ///
        /// The caller must flush the connection.
        case first
        /// The message joins the earlier messages in the queue.
        case added
        /// The connection is ending and sends nothing more.
        case ended
        /// Too many bytes wait, because the peer does not read.
        case overflow
    }

    private struct State {
        /// Messages that the socket has not received yet.
        var pending: [ByteBuffer] = []
        var pendingBytes = 0
        /// Bytes of messages that the kernel has not accepted yet, including `pending`.
        var outboundBytes = 0
        var unconsumed = 0
        /// Units of work that the handler has not measured yet; see ``WorkMeter``.
        var unmeasured: Double = 0
        /// Whether the handler waits for ``PeerConnection/consumed()`` before it continues to read.
        var isReadPaused = false
        /// Whether this node has sent its close frame, or drops the connection.
        var isEnding = false
    }

    init(id: ConnectionID, channel: any Channel, isClient: Bool, limits: TransportLimits) {
        self.id = id
        self.channel = channel
        self.isClient = isClient
        self.limits = limits
    }

    /// Whether this node has sent its close frame.
    ///
    /// The node then discards everything that still arrives.
    var isEnding: Bool { self.state.withLockedValue { $0.isEnding } }

    /// Bytes that wait until the peer accepts them.
    var outboundBytes: Int { self.state.withLockedValue { $0.outboundBytes } }

    // MARK: - Sending

    /// Queues a message for the next ``writePending()``.
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

    /// Writes the queued messages to the socket and flushes it; on the connection's event loop.
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
    /// A control frame counts like a message. So the node also drops a peer that sends pings and reads nothing.
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

    /// Adds the work of a message of `bytes` that no other limit holds; from any thread.
    func meter(bytes: Int) {
        self.state.withLockedValue { $0.unmeasured += WorkMeter.units(of: bytes) }
    }

    /// Returns the work that was added since the last call.
    func takeUnmeasured() -> Double {
        self.state.withLockedValue { state in
            defer { state.unmeasured = 0 }
            return state.unmeasured
        }
    }

    /// Returns whether the handler may read the socket; if not, ``consumed()`` resumes reading.
    func mayRead() -> Bool {
        self.state.withLockedValue { state in
            // The connection discards everything that arrives while it ends, so no limit is necessary.
            guard !state.isEnding, state.unconsumed >= self.limits.unconsumedMessagesMax else { return true }
            state.isReadPaused = true
            return false
        }
    }

    /// Counts a message as handled, and resumes reading when half of the limit is free again.
    func consumed() {
        let resumes = self.state.withLockedValue { state in
            // A driver that consumes more messages than the connection posted must not widen the window.
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

    /// Sends the queued messages and `last`, then closes gracefully; on the connection's event loop.
    ///
    /// Only the first call has an effect.
    func close(_ code: WebSocketErrorCode, last: ByteBuffer) {
        guard self.beginEnding() else { return }
        self.writePending()
        self.finish(code, last: [last])
    }

    /// Drops the queued messages, sends `last` and closes gracefully; from any thread.
    ///
    /// From this call on, the connection sends and receives nothing else. Only the first call has an effect.
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

    /// Writes the last messages and the close frame, and waits a limited time for the peer's close frame.
    ///
    /// The socket stays open until the peer's close frame arrives. Closing a socket with unread bytes resets the
    /// connection, and the peer might lose the goodbye.
    private func finish(_ code: WebSocketErrorCode, last: [ByteBuffer]) {
        for message in last { self.channel.write(self.frame(.binary, message), promise: nil) }
        var payload = ByteBuffer()
        payload.write(webSocketErrorCode: code)
        self.channel.writeAndFlush(self.frame(.connectionClose, payload), promise: nil)
        self.channel.read()
        self.limitClosing()
    }

    /// Closes the socket when the peer answers neither the close frame nor the TLS close alert.
    private func limitClosing() {
        let channel = self.channel
        let deadline = channel.eventLoop.scheduleTask(in: self.limits.closeTimeout) {
            SocketHandler.abort(channel)
        }
        channel.closeFuture.whenComplete { _ in deadline.cancel() }
    }

    /// Returns whether the caller is the first to end the connection.
    private func beginEnding() -> Bool {
        self.state.withLockedValue { state in
            defer { state.isEnding = true }
            return !state.isEnding
        }
    }

    /// Answers the peer's close frame with its own code and closes; on the connection's event loop.
    func closeInAnswer(to payload: ByteBuffer) {
        // The peer answered this node's close frame, so both sides have finished.
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
