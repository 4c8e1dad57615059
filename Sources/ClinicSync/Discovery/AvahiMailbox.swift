import CAvahi
import NIOConcurrencyHelpers

/// The state that the session's thread shares with other threads.
final class AvahiMailbox: Sendable {
    /// The event loop to wake.
    ///
    /// The pointer is Sendable, because other threads make only one call with it: `avahi_simple_poll_wakeup`. That
    /// function is meant for other threads; it only writes to a pipe and sets a flag. The lock protects against use
    /// after free: the session removes the pointer from the mailbox before it frees the loop.
    private struct PollReference: @unchecked Sendable {
        var pointer: OpaquePointer
    }

    private struct State: Sendable {
        var advertisement: Advertisement?
        var poll: PollReference?
        var isStopped = false
        var onEvent: (@Sendable (DiscoveryEvent) -> Void)?
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state: NIOLockedValueBox<State>

    /// Makes the mailbox of a session that announces `advertisement`; with `nil`, the session only searches.
    init(_ advertisement: Advertisement?) {
        self.state = NIOLockedValueBox(State(advertisement: advertisement))
    }

    /// The advertisement to announce.
    var advertisement: Advertisement? { self.state.withLockedValue { $0.advertisement } }

    /// Whether the session must end.
    var isStopped: Bool { self.state.withLockedValue { $0.isStopped } }

    /// Replaces the announced advertisement.
    func update(_ advertisement: Advertisement) {
        self.state.withLockedValue { state in
            guard state.advertisement != advertisement else { return }
            state.advertisement = advertisement
            AvahiMailbox.wake(state)
        }
    }

    /// Ends the session.
    ///
    /// The call also ends ``wait(onEvent:begin:)`` at once, because a daemon that hangs must not keep the node from
    /// stopping.
    func stop() {
        let waiter = self.state.withLockedValue { state in
            state.isStopped = true
            state.onEvent = nil
            AvahiMailbox.wake(state)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Waits for ``stop()``; `begin` starts the session.
    func wait(onEvent: @escaping @Sendable (DiscoveryEvent) -> Void, begin: @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            let isStopped = self.state.withLockedValue { state in
                if !state.isStopped {
                    state.onEvent = onEvent
                    state.waiter = continuation
                }
                return state.isStopped
            }
            isStopped ? continuation.resume() : begin()
        }
    }

    /// Reports an event, unless the session must end; called by the session.
    func tell(_ event: DiscoveryEvent) { self.state.withLockedValue { $0.onEvent }?(event) }

    /// Sets `poll` as the loop to wake; the session passes `nil` before it frees the loop.
    func attach(_ poll: OpaquePointer?) {
        self.state.withLockedValue { $0.poll = poll.map { PollReference(pointer: $0) } }
    }

    private static func wake(_ state: State) {
        if let poll = state.poll { avahi_simple_poll_wakeup(poll.pointer) }
    }
}
