import ClinicSyncModel

/// A node's answer to a measurement, as a row.
struct ProbeAnswer: Sendable, Hashable {
    var prober: NodeID
    var answerer: NodeID
    var number: Int64
    /// When the answering node had the change, in corrected milliseconds since 1970.
    var at: Int64
    /// The nodes connected with the answering node.
    var connected: [NodeID]

    /// The largest examined size in bytes of the list of connected nodes, enough for about 1,000 nodes.
    private static let connectedBytesMax = 32_768

    init(prober: NodeID, answerer: NodeID, number: Int64, at: Int64, connected: [NodeID]) {
        self.prober = prober
        self.answerer = answerer
        self.number = number
        self.at = at
        self.connected = connected
    }

    /// Reads a row; `nil` when a program has written invalid values.
    init?(_ row: [String: SQLiteValue]) {
        guard let prober = AgentTables.node(row["prober"]), let answerer = AgentTables.node(row["answerer"]),
            AgentTables.text(row["id"]) == ProbeAnswer.id(of: prober, from: answerer),
            let number = AgentTables.integer(row["number"]),
            let at = AgentTables.integer(row["at"])
        else { return nil }
        let text = AgentTables.text(row["connected"]) ?? ""
        let words = text.utf8.count <= ProbeAnswer.connectedBytesMax ? text.split(separator: " ") : []
        self.init(
            prober: prober,
            answerer: answerer,
            number: number,
            at: at,
            connected: words.compactMap { NodeID(String($0)) }
        )
    }

    /// The key of the answer of `answerer` to measurements of `prober`.
    static func id(of prober: NodeID, from answerer: NodeID) -> String { "\(prober):\(answerer)" }

    /// The row's values.
    var values: [String: SQLiteValue] {
        func text(_ text: String) -> SQLiteValue { .text(Array(text.utf8)) }
        return [
            "id": text(ProbeAnswer.id(of: self.prober, from: self.answerer)),
            "prober": text(self.prober.description),
            "answerer": text(self.answerer.description),
            "number": .integer(self.number),
            "at": .integer(self.at),
            "connected": text(self.connected.map(\.description).joined(separator: " ")),
        ]
    }
}

/// The outcome of a measurement.
struct ProbeOutcome: Sendable, Hashable {
    /// One node's answer.
    struct Answer: Sendable, Hashable {
        /// The time from the change until the node had it, by the clinic's clock.
        ///
        /// The value is limited to the possible range: never negative, and never more than the round trip.
        var oneWay: Duration
        /// The time from the change until the answer arrived, by this PC's clock.
        var roundTrip: Duration

        init(startedAt: Int64, at: Int64, roundTrip: Duration) {
            // Any program can write the row, even with an impossible time.
            let (difference, isTooFar) = at.subtractingReportingOverflow(startedAt)
            let oneWay = isTooFar ? roundTrip : Duration.milliseconds(difference)
            self.oneWay = min(max(oneWay, .zero), roundTrip)
            self.roundTrip = roundTrip
        }
    }

    /// The answers of the nodes.
    var answers: [NodeID: Answer]
    /// Connected nodes that have not answered.
    var missing: Set<NodeID>
    /// Whether all connected nodes are known.
    var knowsAll: Bool

    /// Whether every connected node answered.
    var isComplete: Bool { self.knowsAll && self.missing.isEmpty }

    /// Returns the outcome for people, with the fastest node first.
    func summary(names: [NodeID: String]) -> ProbeSummary {
        let nodes = self.answers.sorted { ($0.value.oneWay, $0.key) < ($1.value.oneWay, $1.key) }.map { id, answer in
            ProbeSummary.Node(
                id: id.description,
                name: names[id] ?? "",
                milliseconds: answer.oneWay / .milliseconds(1),
                roundTripMilliseconds: answer.roundTrip / .milliseconds(1)
            )
        }
        let missing = self.missing.sorted().map {
            ProbeSummary.Missing(id: $0.description, name: names[$0] ?? "")
        }
        return ProbeSummary(nodes: nodes, missing: missing, complete: self.isComplete)
    }
}

/// Limits the answers to one node to ten per second, because any program can write measurements.
struct ProbePace: Sendable, Hashable {
    /// The largest number of answers to one node in a second.
    static let answersMax = 10
    /// The largest number of remembered nodes.
    ///
    /// Beyond it, the node answered longest ago is forgotten.
    static let nodesMax = 1_024

    private var answers: [NodeID: [Duration]] = [:]

    /// The number of remembered nodes.
    var count: Int { self.answers.count }

    /// Returns whether the agent may answer a measurement of `node` now, and if so, counts the answer.
    mutating func admits(_ node: NodeID, at now: Duration) -> Bool {
        let recent = (self.answers[node] ?? []).filter { now - $0 < .seconds(1) }
        guard recent.count < ProbePace.answersMax else { return false }
        self.answers[node] = recent + [now]
        if self.answers.count > ProbePace.nodesMax,
            let oldest = self.answers.filter({ $0.key != node })
                .min(by: { ($0.value.last ?? .zero) < ($1.value.last ?? .zero) })
        {
            self.answers[oldest.key] = nil
        }
        return true
    }
}
