import NIOConcurrencyHelpers
import NIOCore

/// The open connections of the local API, so that senders without the token cannot keep out those that have it.
///
/// Every account of the PC can open connections. A connection is a *stranger* until it has sent the token or the
/// dashboard's cookie. Strangers are few: when there are too many, the oldest one is closed for the newest. So a
/// program that has the token always gets in, because it sends the token with its first request.
final class LocalAPIConnections: Sendable {
    /// The limits; tests use smaller ones.
    struct Limits: Sendable {
        /// The largest number of strangers.
        var strangersMax = 64
        /// The largest number of connections that have shown the token; further ones count as strangers.
        var trustedMax = 256
        /// How long a stranger may send nothing before it is closed.
        ///
        /// A socket that says nothing is closed before that, with the reason: see ``EventSocketLimits``.
        var silence = TimeAmount.seconds(8)
        /// How long a program may leave its answer unread before its connection is closed.
        var stall = TimeAmount.seconds(30)
    }

    private struct State {
        /// The strangers, the oldest first.
        var strangers: [(id: ObjectIdentifier, channel: any Channel)] = []
        var trusted: Set<ObjectIdentifier> = []
    }

    let limits: Limits
    private let state = NIOLockedValueBox(State())

    init(_ limits: Limits = Limits()) { self.limits = limits }

    /// Counts an accepted connection as a stranger, and closes the oldest one if there are too many.
    func admit(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        let oldest: (any Channel)? = self.state.withLockedValue { state in
            state.strangers.append((id, channel))
            guard state.strangers.count > self.limits.strangersMax else { return nil }
            return state.strangers.removeFirst().channel
        }
        oldest?.close(promise: nil)
        channel.closeFuture.whenComplete { _ in
            self.state.withLockedValue { state in
                state.strangers.removeAll { $0.id == id }
                state.trusted.remove(id)
            }
        }
    }

    /// The sender of the connection has shown that it may use the API.
    func trust(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        self.state.withLockedValue { state in
            // A connection that was closed meanwhile is in neither list.
            guard state.trusted.count < self.limits.trustedMax,
                let index = state.strangers.firstIndex(where: { $0.id == id })
            else { return }
            state.strangers.remove(at: index)
            state.trusted.insert(id)
        }
    }

    /// Whether the sender has shown that it may use the API.
    func isTrusted(_ channel: any Channel) -> Bool {
        self.state.withLockedValue { $0.trusted.contains(ObjectIdentifier(channel)) }
    }

    /// The connection whose request the current task handles.
    @TaskLocal static var current: Connection?

    /// A connection, for the handlers of its requests.
    struct Connection: Sendable {
        let channel: any Channel
        let connections: LocalAPIConnections

        /// The sender has shown that it may use the API.
        func trust() { self.connections.trust(self.channel) }
    }
}

/// Closes a connection whose sender is a stranger and says nothing, or does not read what it asked for.
///
/// The first handler of the pipeline.
final class ConnectionWatch: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let connections: LocalAPIConnections
    private var lastRead = NIODeadline.now()
    private var silence: Scheduled<Void>?
    private var stall: Scheduled<Void>?
    /// Whether the connection is a WebSocket, which has limits of its own for programs that do not read.
    private var isSocket = false

    init(_ connections: LocalAPIConnections) { self.connections = connections }

    /// The connection is a WebSocket.
    func becomeSocket() {
        self.isSocket = true
        self.stall?.cancel()
    }

    func handlerAdded(context: ChannelHandlerContext) { self.watch(context, for: self.connections.limits.silence) }

    func handlerRemoved(context: ChannelHandlerContext) { self.end() }

    func channelInactive(context: ChannelHandlerContext) {
        self.end()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.lastRead = .now()
        context.fireChannelRead(data)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.stall?.cancel()
        self.stall = nil
        if !context.channel.isWritable, !self.isSocket {
            let channel = context.channel
            self.stall = context.eventLoop.scheduleTask(in: self.connections.limits.stall) {
                channel.close(promise: nil)
            }
        }
        context.fireChannelWritabilityChanged()
    }

    private func watch(_ context: ChannelHandlerContext, for time: TimeAmount) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        self.silence = context.eventLoop.scheduleTask(in: time) {
            let (watch, context) = bound.value
            watch.look(context)
        }
    }

    private func look(_ context: ChannelHandlerContext) {
        let limit = self.connections.limits.silence
        let silent = NIODeadline.now() - self.lastRead
        // Other limits hold for those that have the token.
        if self.connections.isTrusted(context.channel) { return self.watch(context, for: limit) }
        guard silent < limit else { return context.close(promise: nil) }
        self.watch(context, for: limit - silent)
    }

    private func end() {
        self.silence?.cancel()
        self.stall?.cancel()
    }
}

@available(*, unavailable)
extension ConnectionWatch: Sendable {}
