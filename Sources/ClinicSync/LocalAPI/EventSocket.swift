import NIOCore
import NIOHTTP1
import NIOWebSocket

/// A WebSocket of a program that was let in: brings it its events.
struct EventSocket: Sendable {
    private let channel: any Channel
    private let subscription: EventSubscription
    private let handler: NIOLoopBound<EventSocketHandler>
    private let batchMax: Int

    /// Adds the handlers of a WebSocket to `channel`; on its event loop.
    ///
    /// - Throws: `ChannelError` when the channel is closed.
    init(
        adding machine: EventSocketStateMachine,
        to channel: any Channel,
        subscription: EventSubscription,
        limits: EventSocketLimits
    ) throws {
        let handler = EventSocketHandler(limits: limits, machine: machine, subscription: subscription)
        self.channel = channel
        self.subscription = subscription
        self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
        self.batchMax = limits.batchMax
        try channel.pipeline.syncOperations.addHandlers([
            ClientFrameHandler(),
            NIOWebSocketFrameAggregator(
                minNonFinalFragmentSize: 1,
                maxAccumulatedFrameCount: limits.fragmentsMax,
                maxAccumulatedFrameSize: limits.messageBytesMax
            ),
            handler,
        ])
    }

    /// Brings events until the socket is closed; takes new ones only when the socket has taken those before.
    func run() async {
        while let batch = await self.subscription.nextBatch(self.batchMax) {
            do {
                let messages = try batch.events.map { ByteBuffer(bytes: try APICoding.encode($0)) }
                try await self.deliver(messages, generation: batch.generation)
            } catch {
                break
            }
        }
        self.goAway()
        do {
            try await self.channel.closeFuture.get()
        } catch {
            // A channel's close future does not fail.
        }
    }

    /// Says goodbye because the node stops; from any thread.
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
