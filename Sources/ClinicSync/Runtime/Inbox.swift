import ClinicSyncCore
import NIOConcurrencyHelpers

/// An item for the driver.
enum DriverItem: Sendable {
    /// An input of the core.
    case input(Input)
    /// A timer fired.
    ///
    /// Its `generation` says which setting of a timer this firing belongs to.
    case timer(TimerID, generation: UInt64)
    /// Somebody waits for a snapshot of the core.
    case statusRequested(CheckedContinuation<CoreStatus?, Never>)

    /// Answers whoever waits for the item, which nobody will handle.
    func drop() {
        if case .statusRequested(let waiter) = self { waiter.resume(returning: nil) }
    }
}

/// The queue in front of a node's one driver: many producers, one consumer, in order of arrival.
///
/// The queue itself has no limit, because the sources limit all items: unconsumed messages for each connection
/// (`TransportLimits`), one reply for each storage request, one item for each timer, command and request for the status.
final class Inbox: AsyncSequence, Sendable {
    typealias Element = [DriverItem]

    private struct State {
        var items: [DriverItem] = []
        var waiter: CheckedContinuation<[DriverItem]?, Never>?
        var isFinished = false
    }

    private let state = NIOLockedValueBox(State())

    /// Adds an item without blocking; from any thread.
    func post(_ item: DriverItem) {
        let (waiter, isFinished) = self.state.withLockedValue { state in
            guard !state.isFinished, state.waiter == nil else {
                defer { state.waiter = nil }
                return (state.waiter, state.isFinished)
            }
            state.items.append(item)
            return (nil, false)
        }
        if isFinished { item.drop() } else { waiter?.resume(returning: [item]) }
    }

    /// Adds an input.
    func post(_ input: Input) { self.post(.input(input)) }

    /// Returns a snapshot of the core, made by the driver after all items that were added before.
    ///
    /// - Returns: The snapshot; `nil` when the run ends first.
    func status() async -> CoreStatus? {
        await withCheckedContinuation { self.post(.statusRequested($0)) }
    }

    /// Ends the sequence and drops the queued items.
    func finish() {
        let (waiter, items) = self.state.withLockedValue { state in
            state.isFinished = true
            defer { (state.waiter, state.items) = (nil, []) }
            return (state.waiter, state.items)
        }
        for item in items { item.drop() }
        waiter?.resume(returning: nil)
    }

    func makeAsyncIterator() -> Iterator { Iterator(inbox: self) }

    /// Takes all queued items at once, so that one flush serves many inputs.
    struct Iterator: AsyncIteratorProtocol {
        let inbox: Inbox

        func next() async -> [DriverItem]? {
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let ready: [DriverItem]?? = self.inbox.state.withLockedValue { state in
                        if !state.items.isEmpty {
                            defer { state.items.removeAll(keepingCapacity: true) }
                            return .some(state.items)
                        }
                        if state.isFinished { return .some(nil) }
                        precondition(state.waiter == nil, "an inbox has one consumer")
                        state.waiter = continuation
                        return nil
                    }
                    if let ready { continuation.resume(returning: ready) }
                }
            } onCancel: {
                self.inbox.finish()
            }
        }
    }
}
