/// Answers of nodes to one probe, the measurement of how long a change takes.
///
/// A client sends its own answer to its host. The host gathers the answers of its clients, and sends them to the node that
/// measures.
package struct ProbeAnswers: Sendable, Hashable {
    /// One node's answer.
    package struct Answer: Sendable, Hashable {
        /// The node that had the change.
        package var node: NodeID
        /// When it had the change: the clinic's time, milliseconds since 1970.
        package var milliseconds: Int64

        /// Makes an answer.
        package init(node: NodeID, milliseconds: Int64) {
            self.node = node
            self.milliseconds = milliseconds
        }
    }

    /// The node that measures.
    package var prober: NodeID
    /// The number of its measurement.
    package var number: Int64
    /// The answers, at most one of each node.
    package var answers: [Answer]
    /// From a host, the nodes that are connected with it; from a client, empty.
    package var connected: [NodeID]

    /// Makes answers.
    package init(prober: NodeID, number: Int64, answers: [Answer], connected: [NodeID] = []) {
        self.prober = prober
        self.number = number
        self.answers = answers
        self.connected = connected
    }
}
