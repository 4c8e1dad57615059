/// A stream of events for one reader.
///
/// The stream ends when the caller cancels it, when the reading task is cancelled, and when the node stops. Releasing
/// the subscription cancels it.
public final class EventSubscription: AsyncSequence, Sendable {
    /// The elements of the stream.
    public typealias Element = NodeEvent

    private let id: UInt64
    private let broadcaster: EventBroadcaster

    /// The events of the first filter come after this position.
    package let startPosition: UInt64

    init(id: UInt64, startPosition: UInt64, broadcaster: EventBroadcaster) {
        self.id = id
        self.startPosition = startPosition
        self.broadcaster = broadcaster
    }

    deinit { self.broadcaster.remove(self.id) }

    /// Ends the stream and drops unread events.
    public func cancel() { self.broadcaster.remove(self.id) }

    /// Starts reading.
    ///
    /// A subscription has one reader at a time.
    public func makeAsyncIterator() -> Iterator { Iterator(subscription: self) }

    /// Replaces the filter from now on and drops unread events.
    ///
    /// - Parameter filter: the new filter; `nil`: no events.
    /// - Returns: The position after which events come, and the number that their batches carry.
    package func replace(with filter: EventFilter?) -> EventBroadcaster.Start {
        self.broadcaster.replace(filter, of: self.id)
    }

    /// The JSON of events, which all subscribers share.
    var encodings: EventEncodings { self.broadcaster.encodings }

    /// Returns the next events, at most `max`, when some are available; `nil` at the end.
    package func nextBatch(_ max: Int) async -> EventBatch? { await self.broadcaster.next(max, of: self.id) }

    /// Reads the events one after the other.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let subscription: EventSubscription

        /// The next event; `nil` at the end.
        public mutating func next() async -> NodeEvent? { await self.subscription.nextBatch(1)?.events.first }
    }
}
