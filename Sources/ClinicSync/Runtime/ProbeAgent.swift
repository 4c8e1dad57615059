import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Logging
import NIOConcurrencyHelpers

/// Measures how long a change takes to arrive at the other nodes, and answers their measurements.
///
/// A measurement is a row in a replicated table, so it takes the path of every change: captured, logged, streamed by the host,
/// applied. Every node that applies it answers with a message, which the core brings to the node that measures
/// (`ProbeStateMachine`). Nodes of older versions answer with rows.
final class ProbeAgent: Sendable {
    /// The parts that the agent uses.
    struct Surroundings: Sendable {
        var logger: Logger
        var own: NodeID
        var storage: StorageService
        /// Called after rows were written, so that the collector makes a batch of them.
        var wrote: @Sendable () -> Void
        /// The clinic's host; `nil` when none is known.
        var host: @Sendable () -> NodeID?
        /// A snapshot of the core; `nil` when the run ends.
        var status: @Sendable () async -> CoreStatus?
        /// The members of the clinic.
        var members: @Sendable () -> [NodeID]
        /// Gives this node's answer to the core.
        var answer: @Sendable (ProbeAnswers) -> Void
        /// The clinic's time on this PC, in milliseconds since 1970.
        var corrected: @Sendable () -> Int64
        /// A monotonic clock.
        var monotonic: @Sendable () -> Duration
    }

    /// The measurement in progress.
    private struct Active: Sendable {
        var number: Int64
        var startedAt: Int64
        var begin: Duration
        var answers: [NodeID: ProbeOutcome.Answer] = [:]
        /// The nodes connected with the host, according to the host's answer.
        var connectedWithHost: Set<NodeID>?
        var signal: AsyncStream<Void>.Continuation
    }

    /// What waits for the agent's next look.
    private struct Waiting: Sendable {
        /// The nodes whose measurements may be new; `nil`: any member's.
        var probers: Set<NodeID>? = nil
        /// Answers of other nodes that must become rows.
        var toRecord: [ProbeAnswer] = []
    }

    /// The agent does not answer older measurements, because their nodes have stopped waiting.
    private static let answeredMilliseconds: Int64 = 300_000
    /// The largest number of answers that wait to become rows; further ones are dropped.
    private static let toRecordMax = 1_024

    private let surroundings: Surroundings
    private let active = NIOLockedValueBox<Active?>(nil)
    /// At the start the measurement of any member may wait for an answer.
    private let waiting = NIOLockedValueBox(Waiting())
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// Makes an agent, which answers nothing before ``run()``.
    init(_ surroundings: Surroundings) {
        self.surroundings = surroundings
        (self.wakes, self.wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.wake.yield()
    }

    /// Reports that tables have changed; from any thread.
    func tablesChanged(_ changes: AgentChanges) {
        if changes.tables.contains(AgentTables.probes) {
            self.waiting.withLockedValue { waiting in
                guard let probers = changes.probers else { return waiting.probers = nil }
                waiting.probers?.formUnion(probers)
            }
            self.wake.yield()
        } else if changes.tables.contains(AgentTables.probeAnswers), self.isMeasuring {
            self.wake.yield()
        }
    }

    /// Whether a measurement of this node is in progress.
    private var isMeasuring: Bool { self.active.withLockedValue { $0 != nil } }

    /// Answers measurements and receives answers until cancelled.
    func run() async throws {
        var pace = ProbePace()
        for await _ in self.wakes {
            do {
                try await self.look(pace: &pace)
            } catch let error as ClinicSyncError {
                // A full disk may have room at the next change. Replication does not depend on this.
                self.surroundings.logger.warning(
                    "A probe could not be answered",
                    metadata: ["error.code": "\(error.code)"]
                )
            }
        }
    }

    /// Answers the measurements in the tables, and receives rows that answer this node's measurement.
    private func look(pace: inout ProbePace) async throws {
        // Take the times for the answer before any other work.
        let (at, now) = (self.surroundings.corrected(), self.surroundings.monotonic())
        let waiting = self.waiting.withLockedValue { waiting in
            defer { waiting = Waiting(probers: []) }
            return waiting
        }
        try await StorageErrors.mapping {
            let own = self.surroundings.own
            let members = Set(self.surroundings.members())
            let probers = (waiting.probers?.intersection(members) ?? members).subtracting([own]).sorted()
            // Nodes of older versions answer with rows.
            let answerers = self.isMeasuring ? members.subtracting([own]) : []
            // Rows are looked up by their keys, so no number of forged rows is ever read.
            let (probes, answers) = try await self.surroundings.storage.read { reader in
                (
                    try probers.compactMap { try reader.agentRow(AgentTables.probes, key: AgentTables.key($0)) },
                    try answerers.compactMap { node in
                        let id = ProbeAnswer.id(of: own, from: node)
                        return try reader.agentRow(AgentTables.probeAnswers, key: .string(id))
                    }
                )
            }
            for answer in answers.compactMap(ProbeAnswer.init) where members.contains(answer.answerer) {
                self.take(answer, at: now)
            }
            self.answer(probes, members: members, at: at, now: now, pace: &pace)
            try await self.record(waiting.toRecord)
        }
    }

    // MARK: - Answering

    private func answer(
        _ probes: [[String: SQLiteValue]],
        members: Set<NodeID>,
        at corrected: Int64,
        now: Duration,
        pace: inout ProbePace
    ) {
        let own = self.surroundings.own
        for row in probes {
            guard let prober = AgentTables.node(row["node"]), prober != own, members.contains(prober),
                let number = AgentTables.integer(row["number"]),
                let startedAt = AgentTables.integer(row["startedAt"]),
                (corrected - ProbeAgent.answeredMilliseconds...corrected + ProbeAgent.answeredMilliseconds)
                    .contains(startedAt),
                pace.admits(prober, at: now)
            else { continue }
            let answer = ProbeAnswers.Answer(node: own, milliseconds: Bounds.milliseconds(clamping: corrected))
            self.surroundings.answer(ProbeAnswers(prober: prober, number: number, answers: [answer]))
        }
    }

    /// Takes answers that must become rows, because a node on their way is of an older version; from any thread.
    func mustRecord(_ answers: ProbeAnswers) {
        let rows = answers.answers.map { answer in
            ProbeAnswer(
                prober: answers.prober,
                answerer: answer.node,
                number: answers.number,
                at: answer.milliseconds,
                connected: []
            )
        }
        self.waiting.withLockedValue { waiting in
            waiting.toRecord += rows.prefix(max(0, ProbeAgent.toRecordMax - waiting.toRecord.count))
        }
        self.wake.yield()
    }

    private func record(_ answers: [ProbeAnswer]) async throws {
        guard !answers.isEmpty else { return }
        var answers = answers
        let connected = await self.connected()
        for index in answers.indices where answers[index].answerer == self.surroundings.own {
            answers[index].connected = connected
        }
        try await self.surroundings.storage.write { [answers] writer in
            for answer in answers { try writer.putAgentRow(table: AgentTables.probeAnswers, values: answer.values) }
        }
        self.surroundings.wrote()
    }

    private func connected() async -> [NodeID] {
        await self.surroundings.status()?.peers.filter(\.isConnected).map(\.id) ?? []
    }

    // MARK: - Measuring

    /// Takes answers to this node's measurement; from any thread.
    func answered(_ answers: ProbeAnswers) {
        let now = self.surroundings.monotonic()
        let members = Set(self.surroundings.members())
        let own = self.surroundings.own
        for answer in answers.answers where members.contains(answer.node) {
            self.take(
                ProbeAnswer(
                    prober: answers.prober,
                    answerer: answer.node,
                    number: answers.number,
                    at: answer.milliseconds,
                    connected: []
                ),
                at: now
            )
        }
        let connected = Set(answers.connected).intersection(members).subtracting([own])
        guard answers.prober == own, !answers.connected.isEmpty else { return }
        self.active.withLockedValue { active in
            guard active?.number == answers.number else { return }
            active?.connectedWithHost = connected
            active?.signal.yield()
        }
    }

    /// Adds an answer to the measurement in progress, if it is one to it.
    private func take(_ answer: ProbeAnswer, at now: Duration) {
        let host = self.surroundings.host()
        let members = Set(answer.connected.isEmpty ? [] : self.surroundings.members())
        self.active.withLockedValue { active in
            guard let measurement = active, answer.prober == self.surroundings.own,
                answer.number == measurement.number, measurement.answers[answer.answerer] == nil
            else { return }
            active?.answers[answer.answerer] = ProbeOutcome.Answer(
                startedAt: measurement.startedAt,
                at: answer.at,
                roundTrip: now - measurement.begin
            )
            if answer.answerer == host, !answer.connected.isEmpty {
                active?.connectedWithHost = Set(answer.connected).intersection(members)
            }
            measurement.signal.yield()
        }
    }

    /// Measures, and waits at most `timeout` for the answers of all connected nodes.
    ///
    /// - Throws: ``ClinicSyncError``: `refused` while another measurement is in progress; `storage`.
    func probe(timeout: Duration) async throws -> ProbeOutcome {
        let (signals, signal) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let number = Int64.random(in: 1...Int64.max)
        let startedAt = self.surroundings.corrected()
        let isFirst = self.active.withLockedValue { active in
            guard active == nil else { return false }
            active = Active(
                number: number,
                startedAt: startedAt,
                begin: self.surroundings.monotonic(),
                signal: signal
            )
            return true
        }
        guard isFirst else {
            throw ClinicSyncError(.refused, "A probe is under way already: try again when it is done.")
        }
        defer { self.active.withLockedValue { $0 = nil } }
        try await self.write(number, startedAt)
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                if await self.outcome().isComplete { return }
                for await _ in signals where await self.outcome().isComplete { return }
            }
            tasks.addTask {
                // The task is cancelled when all nodes have answered. Cancelling also ends the measurement.
                do { try await Task.sleep(for: timeout) } catch { return }
            }
            await tasks.next()
            tasks.cancelAll()
        }
        return await self.outcome()
    }

    private func write(_ number: Int64, _ startedAt: Int64) async throws {
        let values: [String: SQLiteValue] = [
            "node": .text(Array(self.surroundings.own.description.utf8)),
            "number": .integer(number),
            "startedAt": .integer(startedAt),
        ]
        _ = try await StorageErrors.mapping {
            try await self.surroundings.storage.writeForPeople {
                try $0.putAgentRow(table: AgentTables.probes, values: values)
            }
        }
        self.surroundings.wrote()
    }

    /// Returns the answers so far.
    ///
    /// A client learns only from the host's answer which nodes are connected with the host.
    private func outcome() async -> ProbeOutcome {
        let own = self.surroundings.own
        let host = self.surroundings.host()
        let active = self.active.withLockedValue { $0 }
        var expected = Set(await self.connected()).union(active?.connectedWithHost ?? [])
        expected.remove(own)
        let answers = active?.answers ?? [:]
        let knowsAll = host == nil || host == own || active?.connectedWithHost != nil
        return ProbeOutcome(answers: answers, missing: expected.subtracting(answers.keys), knowsAll: knowsAll)
    }
}
