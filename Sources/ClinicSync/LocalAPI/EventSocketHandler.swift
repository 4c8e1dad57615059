import NIOCore
import NIOWebSocket

/// One WebSocket of a program: carries out what ``EventSocketStateMachine`` decides, runs the timers and writes events.
///
/// The last handler of the pipeline.
final class EventSocketHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    private let limits: EventSocketLimits
    private let subscription: EventSubscription
    private let onAuthorized: () -> Bool
    private var machine: EventSocketStateMachine
    private var context: ChannelHandlerContext?
    /// The current filter generation.
    ///
    /// The handler no longer writes events that passed an earlier filter.
    private var generation: UInt64 = 0
    private var hasAnsweredPing = true
    private var timers: [Scheduled<Void>] = []
    private var pings: RepeatedTask?

    /// `onAuthorized` is called when the program sends the token in a message; it returns whether there is room.
    init(
        limits: EventSocketLimits,
        machine: EventSocketStateMachine,
        subscription: EventSubscription,
        onAuthorized: @escaping () -> Bool
    ) {
        self.onAuthorized = onAuthorized
        self.limits = limits
        self.machine = machine
        self.subscription = subscription
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.schedule(self.limits.authorizationTime) { $0.perform($0.machine.authorizationTimedOut()) }
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        let interval = self.limits.pingInterval
        self.pings = context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            handler.value.ping()
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.end() }

    func channelInactive(context: ChannelHandlerContext) {
        self.end()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // The program has closed its end of the connection, so it no longer reads.
        if case .inputClosed? = event as? ChannelEvent { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        // While the program does not read, the node reads nothing more from it. The next ping then finds the program
        // unresponsive.
        context.channel.setOption(.autoRead, value: context.channel.isWritable).whenFailure { _ in }
        context.fireChannelWritabilityChanged()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = EventSocketHandler.unwrapInboundIn(data)
        self.hasAnsweredPing = true
        switch frame.opcode {
        case .text:
            let wasOpen = self.machine.isOpen
            self.perform(self.machine.received(Array(frame.unmaskedData.readableBytesView), at: EventSocketHandler.now))
            if !wasOpen, self.machine.isOpen, !self.onAuthorized() {
                self.close(EventSocketCloseCode.policy, "too many sockets")
            }
        case .binary:
            self.perform(self.machine.receivedBinary())
        case .ping:
            self.perform(self.machine.receivedControl(at: EventSocketHandler.now))
            if self.machine.isOpen { self.write(.pong, frame.unmaskedData) }
        case .pong:
            self.perform(self.machine.receivedControl(at: EventSocketHandler.now))
        case .connectionClose:
            self.receivedClose(frame.unmaskedData)
        default:
            // ``FrameRuleHandler`` passes no other opcode, and the aggregator passes no fragment.
            break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.flush()
        context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case NIOWebSocketError.invalidFrameLength, NIOWebSocketFrameAggregator.Error.accumulatedFrameSizeIsTooLarge:
            self.close(EventSocketCloseCode.tooLarge, "message too large")
        case is NIOWebSocketError, is NIOWebSocketFrameAggregator.Error, is FrameViolation:
            self.close(EventSocketCloseCode.protocolError, "broken frame")
        default:
            context.close(promise: nil)
        }
    }

    // MARK: - For the task that delivers events

    /// Writes events in one flush.
    ///
    /// Calls `done` when the socket has accepted the events, or immediately when the filter has changed.
    func deliver(_ messages: [ByteBuffer], generation: UInt64, done: EventLoopPromise<Void>) {
        guard let context = self.context else { return done.fail(ChannelError.ioOnClosedChannel) }
        guard self.machine.isOpen, generation == self.generation, !messages.isEmpty else { return done.succeed() }
        for message in messages.dropLast() { self.write(.text, message) }
        self.write(.text, messages[messages.count - 1], promise: done)
        context.flush()
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        let stall = context.eventLoop.scheduleTask(in: self.limits.stallTime) { handler.value.stalled() }
        done.futureResult.whenComplete { _ in stall.cancel() }
    }

    /// Sends a close frame because the node stops.
    func goAway() { self.close(EventSocketCloseCode.goingAway, "the node stops") }

    // MARK: - Private

    private func perform(_ action: EventSocketStateMachine.Action) {
        switch action {
        case .none: break
        case .subscribe(let filter):
            let start = self.subscription.replace(with: filter)
            self.generation = start.generation
            self.reply(.subscribed(filter, after: start.position))
        case .unsubscribe:
            self.generation = self.subscription.replace(with: nil).generation
            self.reply(.unsubscribed)
        case .pong: self.reply(.pong)
        case .refuse(let error): self.reply(.refused(error))
        case .close(let code, let reason): self.sayGoodbye(code, reason)
        }
    }

    private func reply(_ reply: EventSocketReply) {
        guard let context = self.context else { return }
        do {
            self.write(.text, ByteBuffer(bytes: try APICoding.encode(reply)))
            context.flush()
        } catch {
            // JSON can always represent strings and numbers.
            context.close(promise: nil)
        }
    }

    private func write(_ opcode: WebSocketOpcode, _ data: ByteBuffer, promise: EventLoopPromise<Void>? = nil) {
        guard let context = self.context else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        let frame = WebSocketFrame(fin: true, opcode: opcode, data: data)
        context.write(EventSocketHandler.wrapOutboundOut(frame), promise: promise)
    }

    // MARK: - The end

    private func close(_ code: UInt16, _ reason: String) {
        self.perform(self.machine.close(code: code, reason: reason))
    }

    private func sayGoodbye(_ code: UInt16, _ reason: String) {
        guard let context = self.context else { return }
        var data = context.channel.allocator.buffer(capacity: 2 + reason.utf8.count)
        data.writeInteger(code)
        data.writeString(reason)
        self.write(.connectionClose, data)
        context.flush()
        self.subscription.cancel()
        self.schedule(self.limits.goodbyeTime) { $0.context?.close(promise: nil) }
    }

    private func receivedClose(_ data: ByteBuffer) {
        guard let context = self.context else { return }
        if !self.machine.isClosed {
            // The answer repeats the program's code, as RFC 6455 section 5.5.1 requires.
            _ = self.machine.close(code: EventSocketCloseCode.goingAway, reason: "")
            self.write(
                .connectionClose,
                data.getSlice(at: data.readerIndex, length: min(2, data.readableBytes)) ?? data
            )
            context.flush()
        }
        context.close(promise: nil)
    }

    /// Marks the connection as ended and stops its timers.
    private func end() {
        self.context = nil
        self.subscription.cancel()
        self.pings?.cancel()
        self.pings = nil
        for timer in self.timers { timer.cancel() }
        self.timers = []
    }

    // MARK: - Time

    private static var now: Duration { .nanoseconds(Int64(clamping: NIODeadline.now().uptimeNanoseconds)) }

    private func ping() {
        self.perform(self.machine.pingDue())
        guard let context = self.context, self.machine.isOpen else { return }
        guard self.hasAnsweredPing else { return context.close(promise: nil) }
        self.hasAnsweredPing = false
        self.write(.ping, ByteBuffer())
        context.flush()
    }

    private func stalled() {
        self.close(EventSocketCloseCode.stalled, "events were not read")
        // The close frame waits behind events that the program does not read. Waiting for an answer is useless.
        self.context?.close(promise: nil)
    }

    private func schedule(_ delay: TimeAmount, _ body: @escaping @Sendable (EventSocketHandler) -> Void) {
        guard let context = self.context else { return }
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        self.timers.append(context.eventLoop.scheduleTask(in: delay) { body(handler.value) })
    }
}

@available(*, unavailable)
extension EventSocketHandler: Sendable {}
