/// A stream of events for one reader.
///
/// Ends when it is cancelled, when the reading task is cancelled, and when the node stops. Letting it go
/// cancels it.
public final class EventSubscription: AsyncSequence, Sendable {
    /// What the stream is made of.
    public typealias Element = NodeEvent

    private let id: UInt64
    private let broadcaster: EventBroadcaster

    init(id: UInt64, broadcaster: EventBroadcaster) {
        self.id = id
        self.broadcaster = broadcaster
    }

    deinit { self.broadcaster.remove(self.id) }

    /// Ends the stream; events not yet read are dropped.
    public func cancel() { self.broadcaster.remove(self.id) }

    /// Starts reading; a subscription has one reader at a time.
    public func makeAsyncIterator() -> Iterator { Iterator(subscription: self) }

    /// Reads the events one after the other.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let subscription: EventSubscription

        /// The next event; `nil` at the end.
        public mutating func next() async -> NodeEvent? {
            await self.subscription.broadcaster.next(of: self.subscription.id)
        }
    }
}
