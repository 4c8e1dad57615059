import NIOCore
import NIOWebSocket

/// One WebSocket of a program: does what ``EventSocketStateMachine`` decides, keeps the times, writes events.
///
/// The last handler of the pipeline.
final class EventSocketHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    private let limits: EventSocketLimits
    private let subscription: EventSubscription
    private var machine: EventSocketStateMachine
    private var context: ChannelHandlerContext?
    /// Events that passed an earlier filter are not written any more.
    private var generation: UInt64 = 0
    private var hasAnsweredPing = true
    private var timers: [Scheduled<Void>] = []
    private var pings: RepeatedTask?

    init(limits: EventSocketLimits, machine: EventSocketStateMachine, subscription: EventSubscription) {
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
        // The program's end of the connection is closed: it will take nothing more.
        if case .inputClosed? = event as? ChannelEvent { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        // Who does not read answers is asked nothing more, and then the ping finds it dead.
        context.channel.setOption(.autoRead, value: context.channel.isWritable).whenFailure { _ in }
        context.fireChannelWritabilityChanged()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = EventSocketHandler.unwrapInboundIn(data)
        self.hasAnsweredPing = true
        switch frame.opcode {
        case .text:
            self.perform(self.machine.received(Array(frame.unmaskedData.readableBytesView), at: .now()))
        case .binary:
            self.perform(self.machine.receivedBinary())
        case .ping:
            self.perform(self.machine.receivedControl(at: .now()))
            if self.machine.isOpen { self.write(.pong, frame.unmaskedData) }
        case .pong:
            self.perform(self.machine.receivedControl(at: .now()))
        case .connectionClose:
            self.receivedClose(frame.unmaskedData)
        default:
            self.close(EventSocketCloseCode.protocolError, "reserved frame")
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
        case is NIOWebSocketError, is NIOWebSocketFrameAggregator.Error, is ClientFrameViolation:
            self.close(EventSocketCloseCode.protocolError, "broken frame")
        default:
            context.close(promise: nil)
        }
    }

    // MARK: - For the one who brings events

    /// Writes events, in one flush, and calls `done` when the socket took them, or at once when the program wants others by now.
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

    /// Says goodbye because the node stops.
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
            // Strings and numbers can always be written as JSON.
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
            // The answer carries the program's own code, as RFC 6455 section 5.5.1 wants it.
            _ = self.machine.close(code: EventSocketCloseCode.goingAway, reason: "")
            self.write(
                .connectionClose,
                data.getSlice(at: data.readerIndex, length: min(2, data.readableBytes)) ?? data
            )
            context.flush()
        }
        context.close(promise: nil)
    }

    /// Nothing more will happen.
    private func end() {
        self.context = nil
        self.subscription.cancel()
        self.pings?.cancel()
        self.pings = nil
        for timer in self.timers { timer.cancel() }
        self.timers = []
    }

    // MARK: - Time

    private func ping() {
        guard let context = self.context, self.machine.isOpen else { return }
        guard self.hasAnsweredPing else { return context.close(promise: nil) }
        self.hasAnsweredPing = false
        self.write(.ping, ByteBuffer())
        context.flush()
    }

    private func stalled() {
        self.close(EventSocketCloseCode.stalled, "events were not taken")
        // The goodbye waits behind what was not taken; there is no use in waiting with it.
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

/// A frame that a client must not send.
enum ClientFrameViolation: Error {
    /// It is not masked.
    case unmasked
    /// It uses bits that nobody agreed on.
    case reservedBits
}

/// Refuses frames that RFC 6455 forbids a client and the decoder lets pass; stands before the aggregator, which unmasks.
final class ClientFrameHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias InboundOut = WebSocketFrame

    private var isBroken = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Nothing after a violation is to be trusted, the rest of the same read included.
        guard !self.isBroken else { return }
        let frame = ClientFrameHandler.unwrapInboundIn(data)
        if frame.maskKey == nil {
            self.isBroken = true
            context.fireErrorCaught(ClientFrameViolation.unmasked)
        } else if frame.rsv1 || frame.rsv2 || frame.rsv3 {
            self.isBroken = true
            context.fireErrorCaught(ClientFrameViolation.reservedBits)
        } else {
            context.fireChannelRead(data)
        }
    }
}

@available(*, unavailable)
extension ClientFrameHandler: Sendable {}
