package import ClinicSyncModel
import NIOConcurrencyHelpers
import NIOCore

/// Hands every event to every subscriber that wants it, and never waits for one.
///
/// Numbers events, remembers the newest for subscribers that come back, and keeps a bounded buffer for
/// each subscriber. A subscriber that does not keep up gets its waiting events merged, one for each table,
/// operation and source, so it learns that something happened though not each record's name.
package final class EventBroadcaster: Sendable {
    private struct Subscriber {
        var filter: EventFilter
        /// What was there when it subscribed; bounded by the history.
        var backlog = CircularBuffer<NodeEvent>()
        /// What came since; bounded by the buffer limit.
        var buffer = CircularBuffer<NodeEvent>()
        /// Somebody waits for the next event; both buffers are empty then.
        var waiter: CheckedContinuation<NodeEvent?, Never>?
    }

    private struct State {
        var position: UInt64
        var history = CircularBuffer<NodeEvent>()
        var subscribers: [UInt64: Subscriber] = [:]
        var nextSubscriber: UInt64 = 0
        var isFinished = false
    }

    private typealias Wake = (waiter: CheckedContinuation<NodeEvent?, Never>, event: NodeEvent?)

    private let bufferMax: Int
    private let historyMax: Int
    private let wallMilliseconds: @Sendable () -> Int64
    private let state: NIOLockedValueBox<State>

    /// Makes a broadcaster whose first event gets the position after `lastPosition`.
    ///
    /// `lastPosition` must not be smaller than any position an earlier process of this node gave out.
    package init(
        lastPosition: UInt64,
        bufferMax: Int = 1_024,
        historyMax: Int = 10_000,
        wallMilliseconds: @escaping @Sendable () -> Int64
    ) {
        self.bufferMax = bufferMax
        self.historyMax = historyMax
        self.wallMilliseconds = wallMilliseconds
        self.state = NIOLockedValueBox(State(position: lastPosition))
    }

    /// The position of the newest event.
    package var lastPosition: UInt64 { self.state.withLockedValue { $0.position } }

    /// Tells of committed changes, in this order.
    package func publish(_ changes: [ChangeEvent]) {
        self.append(changes.count) { index, position in NodeEvent(changes[index], position: position) }
    }

    /// Tells of something about the node itself, for instance `peer_lost`.
    package func publishSystem(_ name: String, details: [String: String] = [:]) {
        let now = UTCTimestamp(milliseconds: self.wallMilliseconds())
        self.append(1) { _, position in NodeEvent(system: name, details: details, at: now, position: position) }
    }

    /// Subscribes; events published after this call are not missed.
    package func subscribe(_ filter: EventFilter) -> EventSubscription {
        let now = UTCTimestamp(milliseconds: self.wallMilliseconds())
        let id = self.state.withLockedValue { state in
            let id = state.nextSubscriber
            state.nextSubscriber += 1
            guard !state.isFinished else { return id }
            var subscriber = Subscriber(filter: filter)
            if let since = filter.since {
                subscriber.backlog = EventBroadcaster.backlog(after: since, filter: filter, state: state, now: now)
            }
            state.subscribers[id] = subscriber
            return id
        }
        return EventSubscription(id: id, broadcaster: self)
    }

    /// Ends all subscriptions; nothing is published afterwards.
    package func finish() {
        let waiters = self.state.withLockedValue { state in
            state.isFinished = true
            let waiters = state.subscribers.values.compactMap(\.waiter)
            state.subscribers = [:]
            return waiters
        }
        for waiter in waiters { waiter.resume(returning: nil) }
    }

    // MARK: - For subscriptions

    func next(of id: UInt64) async -> NodeEvent? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let wake: Wake? = self.state.withLockedValue { state in
                    // Gone: cancelled, perhaps just before this call got here, or everything has ended.
                    guard var subscriber = state.subscribers[id] else { return (continuation, nil) }
                    defer { state.subscribers[id] = subscriber }
                    precondition(subscriber.waiter == nil, "a subscription has one reader")
                    if let event = subscriber.backlog.popFirst() ?? subscriber.buffer.popFirst() {
                        return (continuation, event)
                    }
                    subscriber.waiter = continuation
                    return nil
                }
                if let wake { wake.waiter.resume(returning: wake.event) }
            }
        } onCancel: {
            self.remove(id)
        }
    }

    func remove(_ id: UInt64) {
        let waiter = self.state.withLockedValue { $0.subscribers.removeValue(forKey: id)?.waiter }
        waiter?.resume(returning: nil)
    }

    // MARK: - Private

    private func append(_ count: Int, make: (_ index: Int, _ position: UInt64) -> NodeEvent) {
        let wakes: [Wake] = self.state.withLockedValue { state in
            guard !state.isFinished else { return [] }
            var wakes = [Wake]()
            for index in 0..<count {
                state.position += 1
                let event = make(index, state.position)
                state.history.append(event)
                if state.history.count > self.historyMax { state.history.removeFirst() }
                for id in state.subscribers.keys {
                    if let wake = self.offer(event, to: id, in: &state) { wakes.append(wake) }
                }
            }
            return wakes
        }
        for wake in wakes { wake.waiter.resume(returning: wake.event) }
    }

    private func offer(_ event: NodeEvent, to id: UInt64, in state: inout State) -> Wake? {
        guard state.subscribers[id]?.filter.matches(event) == true else { return nil }
        if let waiter = state.subscribers[id]?.waiter {
            state.subscribers[id]?.waiter = nil
            return (waiter, event)
        }
        state.subscribers[id]?.buffer.append(event)
        if let buffer = state.subscribers[id]?.buffer, buffer.count > self.bufferMax {
            state.subscribers[id]?.buffer = EventBroadcaster.merged(buffer)
        }
        return nil
    }

    /// The remembered events after `since`, led by `resync_required` when some are not remembered.
    private static func backlog(
        after since: UInt64,
        filter: EventFilter,
        state: State,
        now: UTCTimestamp
    ) -> CircularBuffer<NodeEvent> {
        let forgotten = state.position - UInt64(state.history.count)
        var backlog = CircularBuffer<NodeEvent>()
        // A position from the future belongs to another node or a restored copy: nothing is known of it.
        let isKnown = since >= forgotten && since <= state.position
        if !isKnown {
            backlog.append(
                NodeEvent(
                    system: NodeEvent.resyncRequired,
                    details: ["oldestPosition": String(forgotten + 1)],
                    at: now,
                    position: forgotten
                )
            )
        }
        for event in state.history where (!isKnown || event.position > since) && filter.matches(event) {
            backlog.append(event)
        }
        return backlog
    }

    private struct MergeKey: Hashable {
        var type: String
        var table: String?
        var operation: String?
        var source: String?
    }

    /// One event for each kind, table, operation and source: the newest, standing for all rows of its like.
    private static func merged(_ events: CircularBuffer<NodeEvent>) -> CircularBuffer<NodeEvent> {
        var indices = [MergeKey: Int]()
        var newestFirst = [NodeEvent]()
        for event in events.reversed() {
            let key = MergeKey(
                type: event.type,
                table: event.table,
                operation: event.operation,
                source: event.source
            )
            guard let index = indices[key] else {
                indices[key] = newestFirst.count
                newestFirst.append(event)
                continue
            }
            guard event.table != nil else { continue }
            newestFirst[index].absorb(event)
        }
        return CircularBuffer(newestFirst.reversed())
    }
}

extension NodeEvent {
    /// Makes this event stand for the rows of an older one of its kind as well.
    fileprivate mutating func absorb(_ older: NodeEvent) {
        self.rows = (self.rows ?? 1) + (older.rows ?? 1)
        self.recordId = nil
        self.transaction = nil
        if self.origin != older.origin { self.origin = nil }
        if let columns = self.columns, let others = older.columns {
            self.columns = columns + others.filter { !columns.contains($0) }
        }
    }
}
