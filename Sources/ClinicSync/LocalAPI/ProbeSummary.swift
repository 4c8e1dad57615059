/// The answer of `clinic-node probe --json` and `POST /v1/probe`.
public struct ProbeSummary: Sendable, Hashable, Codable {
    /// A node that answered.
    public struct Node: Sendable, Hashable, Codable {
        /// Its id.
        public var id: String
        /// Its name for people.
        public var name: String
        /// The time from the change here until the change was in that node's database.
        ///
        /// The value uses the clinic's time, which is accurate to a few milliseconds. It never exceeds the round trip.
        public var milliseconds: Double
        /// The time from the change here until the node's answer arrived here, by this PC's own clock.
        public var roundTripMilliseconds: Double
    }

    /// A connected node that did not answer in time.
    public struct Missing: Sendable, Hashable, Codable {
        /// Its id.
        public var id: String
        /// Its name for people.
        public var name: String
    }

    /// The nodes that answered, the fastest first.
    public var nodes: [Node]
    /// The connected nodes that did not answer.
    public var missing: [Missing]
    /// Whether every connected node answered.
    public var complete: Bool

    /// Makes a summary.
    package init(nodes: [Node], missing: [Missing], complete: Bool) {
        self.nodes = nodes
        self.missing = missing
        self.complete = complete
    }
}
