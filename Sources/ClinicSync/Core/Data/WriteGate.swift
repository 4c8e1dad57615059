import ClinicSyncModel
import DequeModule

/// Keeps other writes out of a collection that takes several requests.
///
/// A large import is collected in slices. Between two slices the batch is open, and nothing may be applied, merged or
/// swept. Only the reply says whether a collection has another slice, so every collection closes the gate. The senders
/// bound what waits: the sweeps of one sync, ``CoreLimits/repairPagesMax`` pages of each peer, and
/// ``CoreLimits/loginsHeldMax`` logins. Of the requests to discard batches only the newest waits.
package struct WriteGate: Sendable, Hashable {
    /// The state of the gate.
    package enum State: Sendable, Hashable {
        /// No collection and no sweep is in progress. Entered at the start. Can transition to `collecting`, `sweeping`.
        case open
        /// The store collects a slice. `isBatchOpen`: a slice came before it. Can transition to `open`, `interrupted`.
        case collecting(isBatchOpen: Bool)
        /// The store sweeps tables. Can transition to `open`, `collecting`.
        case sweeping
        /// A slice failed while the batch was open; only a new attempt may follow. Can transition to `collecting`.
        case interrupted
    }

    /// What follows a reply.
    package enum Next: Sendable, Hashable {
        /// Collect the next slice.
        case collect
        /// The gate is open: give the store what waited, then collect again if `collectAgain`.
        case release(collectAgain: Bool)
    }

    /// The state of the gate.
    package private(set) var state: State = .open
    private var isCollectWanted = false
    private var waiting: Deque<StorageRequest> = []

    /// Starts open.
    package init() {}

    /// Whether writes of others may go to the store.
    package var isOpen: Bool { self.state == .open }

    /// Asks for a collection.
    ///
    /// - Returns: Whether to collect now; otherwise a collection follows the work in progress.
    package mutating func requestCollect() -> Bool {
        switch self.state {
        case .open:
            self.state = .collecting(isBatchOpen: false)
            return true
        case .collecting, .sweeping:
            self.isCollectWanted = true
            return false
        case .interrupted:
            // The retry timer runs.
            return false
        }
    }

    /// Asks for a collection after a failure.
    package mutating func retryCollect() -> Bool {
        guard self.state == .interrupted else { return self.requestCollect() }
        self.state = .collecting(isBatchOpen: true)
        return true
    }

    /// A collection or a sweep is done.
    package mutating func finished(hasMore: Bool) -> Next {
        if hasMore {
            self.state = .collecting(isBatchOpen: true)
            return .collect
        }
        return self.open()
    }

    /// A collection or a sweep failed; after a failed collection the retry timer runs.
    ///
    /// - Returns: What follows; `nil` when a batch is open.
    package mutating func failed() -> Next? {
        switch self.state {
        case .collecting(isBatchOpen: true):
            self.state = .interrupted
            return nil
        case .collecting(isBatchOpen: false):
            self.isCollectWanted = false
            return self.open()
        case .sweeping:
            return self.open()
        case .open, .interrupted:
            preconditionFailure("a failure was reported while the gate was \(self.state)")
        }
    }

    /// Lets a request pass, or keeps it until the gate opens.
    ///
    /// - Returns: Whether the request may go to the store now.
    package mutating func pass(_ request: StorageRequest) -> Bool {
        guard self.isOpen else {
            // One comes every 10 s, also while a failing disk keeps the gate closed. The newest has the newest members.
            if case .discard = request { self.waiting.removeAll { if case .discard = $0 { true } else { false } } }
            self.waiting.append(request)
            return false
        }
        if case .sweep = request { self.state = .sweeping }
        return true
    }

    /// Takes the next waiting request, if the gate is open.
    package mutating func nextWaiting() -> StorageRequest? {
        guard self.isOpen, let request = self.waiting.popFirst() else { return nil }
        if case .sweep = request { self.state = .sweeping }
        return request
    }

    /// Forgets decisions on logins that wait.
    ///
    /// - Parameter connection: Whose logins; `nil`: all, because this node may decide no more. The requester asks the next host.
    package mutating func withdrawLogins(of connection: ConnectionID?) {
        self.waiting.removeAll { request in
            guard case .decideLogin(let decision) = request else { return false }
            guard let connection else { return true }
            return decision.requester.connection == connection
        }
    }

    private mutating func open() -> Next {
        self.state = .open
        defer { self.isCollectWanted = false }
        return .release(collectAgain: self.isCollectWanted)
    }
}
