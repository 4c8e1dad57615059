/// Whether this node exchanges changes with others.
///
/// A PC that was alone may have stamped its changes with a wrong clock. When it meets the clinic, the store first
/// stamps again the changes that no other node has; only then does the exchange begin. See
/// `docs/design/0006-clocks-and-clones.md`.
package struct IsolationStateMachine: Sendable, Hashable {
    /// Where the node stands.
    package enum State: Sendable, Hashable {
        /// There is no connection, or the clinic's time is not known yet; nothing is exchanged. Entered at the start
        /// and with the loss of the last connection. Can transition to `ending`.
        case isolated
        /// The store stamps again what no other node has; nothing is exchanged yet. Entered when the clinic's time is
        /// known. Can transition to `over`, `isolated`.
        case ending
        /// Changes are exchanged. Entered with the store's last reply. Can transition to `isolated`.
        case over
    }

    /// Where the node stands.
    package private(set) var state: State = .isolated
    /// Restamp requests that the store has not answered.
    private var unansweredRestamps = 0

    /// Starts isolated.
    package init() {}

    /// The last connection is gone.
    ///
    /// - Returns: The request to the store; nothing when the node is isolated already.
    package mutating func begin() -> [Effect] {
        guard self.state != .isolated else { return [] }
        self.state = .isolated
        return [.storage(.beginIsolation)]
    }

    /// The clinic's time is known, or this node's time is the clinic's.
    ///
    /// - Parameter offsetMilliseconds: What the store adds to this PC's time.
    /// - Returns: The request to the store; nothing when the node is not isolated.
    package mutating func end(offsetMilliseconds: Int64) -> [Effect] {
        guard self.state == .isolated else { return [] }
        self.state = .ending
        self.unansweredRestamps += 1
        return [.storage(.restamp(offsetMilliseconds: offsetMilliseconds))]
    }

    /// The store has stamped the changes again.
    ///
    /// - Returns: Whether the exchange begins now.
    package mutating func restamped() -> Bool {
        self.unansweredRestamps -= 1
        // Race: the last connection was lost meanwhile and another one opened. Then a second restamp is on its way, and
        // only its reply counts.
        guard self.state == .ending, self.unansweredRestamps == 0 else { return false }
        self.state = .over
        return true
    }

    /// The store could not stamp the changes again.
    ///
    /// - Returns: Whether all connections must close: without new stamps nothing may be exchanged. The peers connect
    ///   again, and the node tries again.
    package mutating func restampFailed() -> Bool {
        self.unansweredRestamps -= 1
        guard self.state == .ending else { return false }
        self.state = .isolated
        return true
    }
}
