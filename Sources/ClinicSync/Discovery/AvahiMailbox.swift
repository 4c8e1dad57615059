import CAvahi
import NIOConcurrencyHelpers

/// The state that the session's thread shares with other threads.
final class AvahiMailbox: Sendable {
    /// The event loop to wake.
    ///
    /// Sendable though a pointer: the one call made with it from other threads is `avahi_simple_poll_wakeup`, which is for
    /// that, writes to a pipe and touches nothing else but a flag. That it has not been freed is for the lock: the session takes it
    /// out of the mailbox before it frees it.
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

    /// Makes the mailbox of a session that announces `advertisement`; `nil`: that only looks.
    init(_ advertisement: Advertisement?) {
        self.state = NIOLockedValueBox(State(advertisement: advertisement))
    }

    /// The advertisement to announce.
    var advertisement: Advertisement? { self.state.withLockedValue { $0.advertisement } }

    /// Whether the session is to end.
    var isStopped: Bool { self.state.withLockedValue { $0.isStopped } }

    /// Has something else announced.
    func update(_ advertisement: Advertisement) {
        self.state.withLockedValue { state in
            guard state.advertisement != advertisement else { return }
            state.advertisement = advertisement
            AvahiMailbox.wake(state)
        }
    }

    /// Ends the session, and ends ``wait(onEvent:begin:)`` at once: a daemon that hangs must not keep the node from stopping.
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

    /// Tells what was noticed, unless the session is to end; called by the session.
    func tell(_ event: DiscoveryEvent) { self.state.withLockedValue { $0.onEvent }?(event) }

    /// Makes `poll` the loop that is woken; `nil` before it is freed.
    func attach(_ poll: OpaquePointer?) {
        self.state.withLockedValue { $0.poll = poll.map { PollReference(pointer: $0) } }
    }

    private static func wake(_ state: State) {
        if let poll = state.poll { avahi_simple_poll_wakeup(poll.pointer) }
    }
}
