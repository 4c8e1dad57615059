import ClinicSyncModel
import DequeModule

/// Keeps other writes out of a collection that goes on over several requests.
///
/// A large import is collected in slices; between two of them the batch is open, and nothing may be applied,
/// merged or swept. Whether a collection goes on is known only from its reply, so every one closes the gate.
/// What waits is bounded by its senders: the sweeps of one sync, and ``CoreLimits/repairPagesMax`` of each peer.
package struct WriteGate: Sendable, Hashable {
    /// What the store is doing behind the gate.
    package enum State: Sendable, Hashable {
        /// Nothing that excludes others. Can transition to `collecting`, `sweeping`.
        case open
        /// A slice is being collected. Can transition to `open`, `interrupted`.
        case collecting(isBatchOpen: Bool)
        /// Tables are being swept. Can transition to `open`, `collecting`.
        case sweeping
        /// A slice failed while the batch was open; nothing but a new attempt may follow. Can transition to
        /// `collecting`.
        case interrupted
    }

    /// What follows a reply.
    package enum Next: Sendable, Hashable {
        /// Collect the next slice.
        case collect
        /// The gate is open: hand over what waited, then collect again if told to.
        case release(collectAgain: Bool)
    }

    /// What the store is doing behind the gate.
    package private(set) var state: State = .open
    private var isCollectWanted = false
    private var waiting: Deque<StorageRequest> = []

    /// Starts open.
    package init() {}

    /// Whether writes of others may go to the store.
    package var isOpen: Bool { self.state == .open }

    /// Asks for a collection.
    ///
    /// - Returns: Whether to collect now; otherwise it follows the work in progress.
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

    /// Takes the reply of a collection or a sweep.
    package mutating func finished(hasMore: Bool) -> Next {
        if hasMore {
            self.state = .collecting(isBatchOpen: true)
            return .collect
        }
        return self.open()
    }

    /// Takes the failure of a collection or a sweep; after one of a collection the retry timer runs.
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

    /// Lets `request` pass, or keeps it until the gate opens.
    package mutating func pass(_ request: StorageRequest) -> Bool {
        guard self.isOpen else {
            self.waiting.append(request)
            return false
        }
        if case .sweep = request { self.state = .sweeping }
        return true
    }

    /// Takes the next request that waits, if the gate is open.
    package mutating func nextWaiting() -> StorageRequest? {
        guard self.isOpen, let request = self.waiting.popFirst() else { return nil }
        if case .sweep = request { self.state = .sweeping }
        return request
    }

    private mutating func open() -> Next {
        self.state = .open
        defer { self.isCollectWanted = false }
        return .release(collectAgain: self.isCollectWanted)
    }
}
