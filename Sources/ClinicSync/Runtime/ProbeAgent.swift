import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Logging
import NIOConcurrencyHelpers

/// Measures how long a change takes to arrive at the other nodes, and answers their measurements.
///
/// A measurement is a row in a replicated table; every node that applies it answers with a row of its own. So a
/// measurement takes the path of every change: captured, logged, streamed by the host, applied.
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

    /// The agent does not answer older measurements, because their nodes have stopped waiting.
    private static let answeredMilliseconds: Int64 = 300_000

    private let surroundings: Surroundings
    private let active = NIOLockedValueBox<Active?>(nil)
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// Makes an agent, which answers nothing before ``run()``.
    init(_ surroundings: Surroundings) {
        self.surroundings = surroundings
        (self.wakes, self.wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.wake.yield()
    }

    /// Reports that these tables have changed; from any thread.
    func tablesChanged(_ tables: Set<String>) {
        if tables.contains(AgentTables.probes) || tables.contains(AgentTables.probeAnswers) { self.wake.yield() }
    }

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

    /// Answers the measurements in the tables, and receives the answers to this node's measurement.
    private func look(pace: inout ProbePace) async throws {
        // Take the times for the answer before any other work.
        let (at, now) = (self.surroundings.corrected(), self.surroundings.monotonic())
        try await StorageErrors.mapping {
            let own = self.surroundings.own
            let members = self.surroundings.members()
            // Rows are looked up by their keys, so no number of forged rows is ever read.
            let (probes, answers) = try await self.surroundings.storage.read { reader in
                let others = members.filter { $0 != own }
                let ids = others.flatMap { [ProbeAnswer.id(of: own, from: $0), ProbeAnswer.id(of: $0, from: own)] }
                return (
                    try others.compactMap { try reader.agentRow(AgentTables.probes, key: AgentTables.key($0)) },
                    try ids.compactMap { try reader.agentRow(AgentTables.probeAnswers, key: .string($0)) }
                )
            }
            let known = answers.compactMap(ProbeAnswer.init)
            self.take(known, members: Set(members), at: now)
            try await self.answer(probes, known: known, members: Set(members), at: at, now: now, pace: &pace)
        }
    }

    // MARK: - Answering

    private func answer(
        _ probes: [[String: SQLiteValue]],
        known: [ProbeAnswer],
        members: Set<NodeID>,
        at corrected: Int64,
        now: Duration,
        pace: inout ProbePace
    ) async throws {
        let own = self.surroundings.own
        let answered = Dictionary(
            known.filter { $0.answerer == own }.map { ($0.prober, $0.number) },
            uniquingKeysWith: { first, _ in first }
        )
        var replies: [ProbeAnswer] = []
        let connected = probes.isEmpty ? [] : await self.connected()
        for row in probes {
            guard let prober = AgentTables.node(row["node"]), prober != own, members.contains(prober),
                let number = AgentTables.integer(row["number"]), answered[prober] != number,
                let startedAt = AgentTables.integer(row["startedAt"]),
                (corrected - ProbeAgent.answeredMilliseconds...corrected + ProbeAgent.answeredMilliseconds)
                    .contains(startedAt),
                pace.admits(prober, at: now)
            else { continue }
            replies.append(
                ProbeAnswer(
                    prober: prober,
                    answerer: own,
                    number: number,
                    at: corrected,
                    connected: connected
                )
            )
        }
        guard !replies.isEmpty else { return }
        try await self.surroundings.storage.write { [replies] writer in
            for reply in replies { try writer.putAgentRow(table: AgentTables.probeAnswers, values: reply.values) }
        }
        self.surroundings.wrote()
    }

    private func connected() async -> [NodeID] {
        await self.surroundings.status()?.peers.filter(\.isConnected).map(\.id) ?? []
    }

    // MARK: - Measuring

    /// Adds the new answers to the measurement in progress.
    private func take(_ known: [ProbeAnswer], members: Set<NodeID>, at now: Duration) {
        let own = self.surroundings.own
        let host = self.surroundings.host()
        let signal: AsyncStream<Void>.Continuation? = self.active.withLockedValue { active in
            guard let number = active?.number, let startedAt = active?.startedAt, let begin = active?.begin else {
                return nil
            }
            for answer in known
            where answer.prober == own && answer.number == number && members.contains(answer.answerer) {
                guard active?.answers[answer.answerer] == nil else { continue }
                active?.answers[answer.answerer] = ProbeOutcome.Answer(
                    startedAt: startedAt,
                    at: answer.at,
                    roundTrip: now - begin
                )
                if answer.answerer == host {
                    active?.connectedWithHost = Set(answer.connected).intersection(members)
                }
            }
            return active?.signal
        }
        signal?.yield()
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
