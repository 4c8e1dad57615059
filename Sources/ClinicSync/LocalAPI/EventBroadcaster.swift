package import ClinicSyncModel
import NIOConcurrencyHelpers
import NIOCore

/// Reads at most a given number of events after a position from the node's log.
package typealias EventHistory = @Sendable (_ after: UInt64, _ limit: Int) async throws -> EventPage

/// Some events for one subscriber, in their order.
package struct EventBatch: Sendable, Hashable {
    /// The events, at least one.
    package var events: [NodeEvent]
    /// The generation of the subscriber's filter that the events passed; see ``EventBroadcaster/Start/generation``.
    package var generation: UInt64
}

/// Gives every event to every subscriber whose filter matches, and never waits for a subscriber.
///
/// A subscriber that resumes first reads the log, page by page, up to the event that was the newest when it subscribed.
/// Meanwhile, new events wait in the subscriber's buffer. A page and the buffer (``EventBuffer``) bound the memory of
/// each subscriber.
package final class EventBroadcaster: Sendable {
    /// The start of a subscription.
    package struct Start: Sendable, Hashable {
        /// The subscription's events come after this position.
        package var position: UInt64
        /// The number of the subscriber's current filter.
        package var generation: UInt64
    }

    fileprivate enum Phase {
        /// The subscriber reads the log from `after` through `through`, then becomes live.
        ///
        /// `nil` means a position that the log does not have.
        case reading(after: UInt64?, through: UInt64)
        /// The subscriber receives new events directly.
        case live
    }

    fileprivate struct Subscriber {
        /// The filter; `nil` means that the subscriber wants no events now.
        var filter: EventFilter?
        var generation: UInt64 = 0
        var phase = Phase.live
        /// Events that the subscriber read from the log and has not taken yet.
        var backlog = CircularBuffer<NodeEvent>()
        var buffer: EventBuffer
        /// The reader that waits for events; `nil` while events are available.
        var waiter: CheckedContinuation<Void, Never>?
    }

    fileprivate struct State {
        var position: UInt64
        var history: EventHistory?
        var subscribers: [UInt64: Subscriber] = [:]
        var nextSubscriber: UInt64 = 0
        var isFinished = false
    }

    fileprivate enum Step {
        case deliver(EventBatch)
        case read(after: UInt64?, through: UInt64, generation: UInt64, history: EventHistory?)
        case wait
        case end
    }

    /// The JSON of events, for all subscribers.
    let encodings = EventEncodings()
    private let bufferMax: Int
    private let pageMax: Int
    private let wallMilliseconds: @Sendable () -> Int64
    private let state: NIOLockedValueBox<State>

    /// Makes a broadcaster that has no log until ``attach(lastPosition:history:)``.
    package init(
        lastPosition: UInt64 = 0,
        bufferMax: Int = 1_024,
        pageMax: Int = 500,
        wallMilliseconds: @escaping @Sendable () -> Int64
    ) {
        self.bufferMax = bufferMax
        self.pageMax = pageMax
        self.wallMilliseconds = wallMilliseconds
        self.state = NIOLockedValueBox(State(position: lastPosition))
    }

    /// Gives the broadcaster the node's log, whose newest event has `lastPosition`.
    package func attach(lastPosition: UInt64, history: @escaping EventHistory) {
        self.state.withLockedValue { state in
            state.position = lastPosition
            state.history = history
        }
    }

    /// The position of the newest event.
    package var lastPosition: UInt64 { self.state.withLockedValue { $0.position } }

    /// Delivers events that are in the log, in this order.
    package func publish(_ events: [LoggedEvent]) {
        let events = events.map { NodeEvent($0) }
        let waiters: [CheckedContinuation<Void, Never>] = self.state.withLockedValue { state in
            guard !state.isFinished else { return [] }
            var waiters: [CheckedContinuation<Void, Never>] = []
            // This array is a copy. A view of the dictionary's keys would make each change copy all buffers.
            let ids = Array(state.subscribers.keys)
            for event in events {
                state.position = max(state.position, event.position)
                for id in ids {
                    if let waiter = EventBroadcaster.offer(event, to: id, in: &state) { waiters.append(waiter) }
                }
            }
            return waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Subscribes; events published after this call are not missed.
    ///
    /// A `nil` filter wants nothing until ``EventSubscription/replace(with:)``.
    package func subscribe(_ filter: EventFilter?) -> EventSubscription {
        let (id, start) = self.state.withLockedValue { state in
            let id = state.nextSubscriber
            state.nextSubscriber += 1
            if !state.isFinished { state.subscribers[id] = Subscriber(buffer: EventBuffer(limit: self.bufferMax)) }
            return (id, EventBroadcaster.replace(filter, of: id, in: &state))
        }
        return EventSubscription(id: id, startPosition: start.position, broadcaster: self)
    }

    /// Ends all subscriptions.
    ///
    /// The broadcaster publishes nothing afterwards.
    package func finish() {
        let waiters = self.state.withLockedValue { state in
            state.isFinished = true
            let waiters = state.subscribers.values.compactMap(\.waiter)
            state.subscribers = [:]
            return waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    // MARK: - For subscriptions

    /// Replaces a subscriber's filter and drops the waiting events.
    func replace(_ filter: EventFilter?, of id: UInt64) -> Start {
        let (start, waiter) = self.state.withLockedValue { state in
            let start = EventBroadcaster.replace(filter, of: id, in: &state)
            return (start, state.subscribers[id]?.takeWaiter())
        }
        waiter?.resume()
        return start
    }

    /// Returns the next events, at most `max`, when some are available; `nil` at the end.
    func next(_ max: Int, of id: UInt64) async -> EventBatch? {
        await withTaskCancellationHandler {
            while true {
                switch self.state.withLockedValue({ $0.step(id, max) }) {
                case .deliver(let batch): return batch
                case .end: return nil
                case .wait: await self.wait(id)
                case .read(let after, let through, let generation, let history):
                    let page = await self.read(after, through: through, from: history)
                    self.state.withLockedValue { state in
                        state.subscribers[id]?.took(page, through: through, generation: generation)
                    }
                }
            }
        } onCancel: {
            self.remove(id)
        }
    }

    func remove(_ id: UInt64) {
        let waiter = self.state.withLockedValue { $0.subscribers.removeValue(forKey: id)?.waiter }
        waiter?.resume()
    }

    // MARK: - Private

    /// A page of the log for one subscriber.
    fileprivate struct Reading {
        var events: [NodeEvent]
        /// The page contains every event up to this position.
        var through: UInt64
    }

    private func wait(_ id: UInt64) async {
        await withCheckedContinuation { continuation in
            let isOver = self.state.withLockedValue { state in
                guard state.subscribers[id]?.isIdle == true else { return true }
                precondition(state.subscribers[id]?.waiter == nil, "a subscription has one reader")
                state.subscribers[id]?.waiter = continuation
                return false
            }
            if isOver { continuation.resume() }
        }
    }

    private func read(_ after: UInt64?, through: UInt64, from history: EventHistory?) async -> Reading {
        let now = HybridTimestamp(milliseconds: self.wallMilliseconds())
        let page: EventPage
        do {
            guard let history else { throw CancellationError() }
            page = try await history(after ?? 0, self.pageMax)
        } catch {
            // The log cannot be read: the subscriber must read the tables.
            return Reading(events: [.resyncRequired(oldest: through.nextPosition, at: now)], through: through)
        }
        var reading = Reading(events: [], through: through)
        // A subscriber misses events that were pruned between two pages, as it misses events pruned before the first
        // page.
        if after.map({ $0.nextPosition < page.oldest }) ?? true {
            reading.events.append(.resyncRequired(oldest: min(page.oldest, through.nextPosition), at: now))
        }
        reading.events += page.events.lazy.filter { $0.position <= through }.map { NodeEvent($0) }
        if let last = page.events.last?.position { reading.through = min(last, through) }
        return reading
    }

    private static func offer(
        _ event: NodeEvent,
        to id: UInt64,
        in state: inout State
    ) -> CheckedContinuation<Void, Never>? {
        guard state.subscribers[id]?.filter?.matches(event) == true else { return nil }
        state.subscribers[id]?.add(event)
        return state.subscribers[id]?.takeWaiter()
    }

    private static func replace(_ filter: EventFilter?, of id: UInt64, in state: inout State) -> Start {
        guard var subscriber = state.subscribers[id] else { return Start(position: state.position, generation: 0) }
        subscriber.generation += 1
        subscriber.filter = filter
        subscriber.backlog.removeAll()
        subscriber.buffer.removeAll()
        subscriber.phase = .live
        var start = state.position
        if let since = filter?.since {
            start = min(since, start)
            // A position from the future comes from another copy of the file, so the log cannot say what followed it.
            subscriber.phase = .reading(after: since > state.position ? nil : since, through: state.position)
        }
        state.subscribers[id] = subscriber
        return Start(position: start, generation: subscriber.generation)
    }
}

extension EventBroadcaster.State {
    /// The next step of a subscriber that asks for events.
    fileprivate mutating func step(_ id: UInt64, _ max: Int) -> EventBroadcaster.Step {
        // The subscription was cancelled, perhaps just before this call, or all subscriptions have ended.
        guard let subscriber = self.subscribers[id] else { return .end }
        let generation = subscriber.generation
        if !subscriber.backlog.isEmpty {
            let events = Array(subscriber.backlog.prefix(max))
            self.subscribers[id]?.backlog.removeFirst(events.count)
            return .deliver(EventBatch(events: events, generation: generation))
        }
        if case .reading(let after, let through) = subscriber.phase {
            return .read(after: after, through: through, generation: generation, history: self.history)
        }
        guard let events = self.subscribers[id]?.buffer.take(max), !events.isEmpty else { return .wait }
        return .deliver(EventBatch(events: events, generation: generation))
    }
}

extension EventBroadcaster.Subscriber {
    /// Whether the subscriber has nothing to take and nothing to read.
    fileprivate var isIdle: Bool {
        guard case .live = self.phase else { return false }
        return self.backlog.isEmpty && self.buffer.isEmpty
    }

    fileprivate mutating func takeWaiter() -> CheckedContinuation<Void, Never>? {
        defer { self.waiter = nil }
        return self.waiter
    }

    /// Stores the events that were read from the log, unless the filter was replaced meanwhile.
    fileprivate mutating func took(_ reading: EventBroadcaster.Reading, through: UInt64, generation: UInt64) {
        guard self.generation == generation, let filter = self.filter, case .reading(_, let end) = self.phase else {
            return
        }
        self.backlog.append(contentsOf: reading.events.filter { filter.matches($0) })
        // The buffer may have overflowed during the read; then the subscriber has more to read now.
        self.phase = reading.through >= end ? .live : .reading(after: reading.through, through: end)
    }

    /// Keeps an event.
    ///
    /// The subscriber later reads from the log what the buffer cannot hold without loss.
    fileprivate mutating func add(_ event: NodeEvent) {
        switch self.phase {
        case .reading(let after, _):
            // The subscriber reads the log anyway, so the buffer does not need to merge events.
            guard self.buffer.isFull else { break }
            self.phase = .reading(after: after, through: event.position)
            return self.buffer.removeAll()
        case .live:
            break
        }
        guard !self.buffer.append(event) else { return }
        self.phase = .reading(after: self.buffer.positionBefore ?? event.position, through: event.position)
        self.buffer.removeAll()
    }
}
