import NIOCore

/// A WebSocket of a program: delivers its events.
struct EventSocket: Sendable {
    private let channel: any Channel
    private let subscription: EventSubscription
    private let handler: NIOLoopBound<EventSocketHandler>

    /// Adds the handlers of a WebSocket to `channel`; on its event loop.
    ///
    /// `onAuthorized` is called when the program sends the token in a message; it returns whether there is room.
    ///
    /// - Throws: `ChannelError` when the channel is closed.
    init(
        adding machine: EventSocketStateMachine,
        to channel: any Channel,
        subscription: EventSubscription,
        limits: EventSocketLimits,
        onAuthorized: @escaping @Sendable () -> Bool
    ) throws {
        let handler = EventSocketHandler(
            limits: limits,
            machine: machine,
            subscription: subscription,
            onAuthorized: onAuthorized
        )
        self.channel = channel
        self.subscription = subscription
        self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
        // Binary messages pass this check, so that the node can tell the program to send text.
        let messages = MessageLimits(
            bytesMax: limits.messageBytesMax,
            fragmentsMax: limits.fragmentsMax,
            fragmentBytesMin: 1
        )
        try channel.pipeline.syncOperations.addFrameHandlers(isPeerClient: true, allowsText: true, messages)
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    /// Delivers events until the socket is closed.
    ///
    /// Takes new events only after the socket has accepted the previous events.
    func run() async {
        do {
            let feed = EventFeed(subscription: self.subscription)
            while let batch = try await feed.next() {
                try await self.deliver(batch.objects, generation: batch.generation)
            }
        } catch {
            // The socket is closed, so the node cannot inform the program.
        }
        self.goAway()
        do {
            try await self.channel.closeFuture.get()
        } catch {
            // A channel's close future does not fail.
        }
    }

    /// Sends a close frame because the node stops.
    ///
    /// Safe to call from any thread.
    func goAway() {
        let handler = self.handler
        self.channel.eventLoop.execute { handler.value.goAway() }
    }

    private func deliver(_ messages: [ByteBuffer], generation: UInt64) async throws {
        let handler = self.handler
        let loop = self.channel.eventLoop
        let done = loop.makePromise(of: Void.self)
        loop.execute { handler.value.deliver(messages, generation: generation, done: done) }
        try await done.futureResult.get()
    }
}
