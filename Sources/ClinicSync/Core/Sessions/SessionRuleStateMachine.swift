/// The host's rule that a user has one session: the store restores it whenever rows arrive that break it, and ends
/// sessions that have expired.
package struct SessionRuleStateMachine: Sendable, Hashable {
    /// Where the host stands.
    package enum State: Sendable, Hashable {
        /// Nothing is in progress. Can transition to `keeping`.
        case idle
        /// The store restores the rule; `isOutdated`: rows of the category `user` have changed meanwhile. Can transition to `idle`,
        /// and to itself for a second time.
        case keeping(isOutdated: Bool)
    }

    /// Where the host stands.
    package private(set) var state: State = .idle

    /// Starts idle.
    package init() {}

    /// Rows of the category `user` changed, or the timer fired.
    ///
    /// - Parameters:
    ///   - hearing: Of how many nodes this host has everything, itself included.
    ///   - members: How many members the clinic has.
    ///   - clinicMilliseconds: The clinic's time.
    /// - Returns: The timer of the next look, and the request to the store.
    package mutating func keep(hearing: Int, members: Int, clinicMilliseconds: Int64) -> [Directive] {
        switch self.state {
        case .idle:
            self.state = .keeping(isOutdated: false)
            return [
                .effect(.setTimer(.sessions, after: CoreLimits.sessionsInterval)),
                .submit(
                    .keepSessions(hearing: hearing, members: members, correctedMilliseconds: clinicMilliseconds)
                ),
            ]
        case .keeping:
            self.state = .keeping(isOutdated: true)
            return []
        }
    }

    /// The store restored the rule.
    ///
    /// - Returns: Whether it must look once more.
    package mutating func kept() -> Bool {
        defer { self.state = .idle }
        return self.state == .keeping(isOutdated: true)
    }

    /// The store could not restore the rule; the next change of a session, or the timer, starts it again.
    package mutating func failed() { self.state = .idle }
}
