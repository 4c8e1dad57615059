import ClinicSyncCore
import ClinicSyncModel
import Logging
import NIOConcurrencyHelpers
import NIOCore

/// Runs one node: takes inputs one after another, passes them to the core, and executes the core's effects in order.
///
/// The core is a local variable of ``run()``: there is no lock around it and no suspension inside it.
final class NodeDriver: Sendable {
    /// The parts that the driver uses.
    struct Surroundings: Sendable {
        var state: NodeState
        var inbox: Inbox
        var transport: PeerTransport
        var storage: StorageService
        var events: EventBroadcaster
        var telemetry: NodeTelemetry
        var metrics: NodeMetrics
        var loop: any EventLoop
        var clock: NodeClock
        /// Called with what a peer sent and that counts only if it is signed; must not block.
        var onSignedEntry: @Sendable (SignedEntry) -> Void = { _ in }
        /// Returns the certificates that prove a node's membership, if this node has them; must not block.
        var proof: @Sendable (NodeID) -> [[UInt8]]? = { _ in nil }
        /// Called when rows of tables that nodes write themselves have changed; must not block.
        var onAgentTablesChanged: @Sendable (AgentChanges) -> Void = { _ in }
        /// Called with answers to this node's probe; must not block.
        var onProbeAnswered: @Sendable (ProbeAnswers) -> Void = { _ in }
        /// Called with answers to another node's probe that must become rows; must not block.
        var onAnswersToRecord: @Sendable (ProbeAnswers) -> Void = { _ in }
        /// Called when the node's term or host role has changed; must not block.
        var onRoleChanged: @Sendable (_ term: UInt64, _ isHost: Bool) -> Void = { _, _ in }
    }

    private struct Shared {
        var replies: [RequestID: Waiting] = [:]
        var nextRequest: UInt64 = 1
        var isStopped = false
    }

    private let configuration: CoreConfiguration
    private let surroundings: Surroundings
    /// The callers that wait for answers.
    private struct Waiting {
        let command: Command
        let continuation: CheckedContinuation<CommandReply, Never>
    }

    private let shared = NIOLockedValueBox(Shared())

    /// Makes a driver, which does nothing before ``run()``.
    init(configuration: CoreConfiguration, surroundings: Surroundings) {
        self.configuration = configuration
        self.surroundings = surroundings
    }

    /// Passes a command to the core and waits for its answer; `nil` when the node stops first.
    func perform(_ command: Command) async -> CommandReply {
        await withCheckedContinuation { continuation in
            let request: RequestID? = self.shared.withLockedValue { shared in
                guard !shared.isStopped else { return nil }
                let id = RequestID(rawValue: shared.nextRequest)
                shared.nextRequest += 1
                shared.replies[id] = Waiting(command: command, continuation: continuation)
                return id
            }
            if let request {
                self.surroundings.inbox.post(.commandReceived(request, command))
            } else {
                continuation.resume(returning: NodeDriver.stoppedReply(to: command))
            }
        }
    }

    /// Drives the node until the core says that it has stopped.
    ///
    /// `started` must be the inbox's first item.
    ///
    /// - Returns: Why the core has stopped.
    func run() async -> StopReason {
        var machine = NodeStateMachine(configuration: self.configuration)
        var timers = Timers()
        let surroundings = self.surroundings
        var isRunning = true
        var stopReason = StopReason.requested
        for await items in surroundings.inbox {
            for item in items {
                guard isRunning else {
                    item.drop()
                    continue
                }
                let input: Input
                switch item {
                case .input(let given):
                    input = given
                case .timer(let id, let generation):
                    // Race: a timer was set again or cancelled after it had fired. This check drops the late firing.
                    guard timers.take(id, generation: generation) else { continue }
                    input = .timerFired(id)
                case .statusRequested(let waiter):
                    waiter.resume(returning: machine.status(at: surroundings.clock.now))
                    continue
                }
                for effect in machine.handle(input, at: surroundings.clock.now) {
                    if case .stopped(let reason) = effect { (isRunning, stopReason) = (false, reason) }
                    self.execute(effect, term: machine.term, timers: &timers)
                }
                if case .messageReceived(let connection, _, _) = input { surroundings.transport.consumed(connection) }
            }
            surroundings.transport.flush()
            self.note(machine.standing(at: surroundings.clock.now))
            if !isRunning { break }
        }
        surroundings.inbox.finish()
        timers.cancelAll()
        self.stop()
        return stopReason
    }

    private func note(_ standing: CoreStanding) {
        let before = self.surroundings.state.noted(standing)
        let isHost = standing.role == .host
        guard before?.term != standing.term || before.map({ $0.role == .host }) != isHost else { return }
        self.surroundings.onRoleChanged(standing.term, isHost)
    }

    private func stop() {
        self.surroundings.state.stopped()
        let waiting = self.shared.withLockedValue { shared in
            shared.isStopped = true
            defer { shared.replies = [:] }
            return shared.replies.values.map { $0 }
        }
        for caller in waiting { caller.continuation.resume(returning: NodeDriver.stoppedReply(to: caller.command)) }
    }

    private static func stoppedReply(to command: Command) -> CommandReply {
        switch command {
        case .sync, .members: .synced(SyncReport(id: 0, result: .unreachable, repairedRows: 0, nodes: []))
        case .transferHost: .hostTransferred(.noHost)
        case .login: .loginDecided(.unavailable)
        }
    }

    private func execute(_ effect: Effect, term: UInt64, timers: inout Timers) {
        let surroundings = self.surroundings
        switch effect {
        case .send(let connections, let message):
            surroundings.transport.send(message, term: term, over: connections)
        case .dial(let address):
            surroundings.transport.dial(address)
        case .close(let connection, let reason):
            surroundings.transport.close(connection, reason: reason)
        case .turnAway(let connection, let reason, let retryAfter):
            surroundings.metrics.count(.peersTurnedAway)
            surroundings.transport.close(connection, reason: reason, retryAfter: retryAfter)
        case .setTimer(let id, let delay):
            timers.set(id, after: delay, on: surroundings.loop, inbox: surroundings.inbox)
        case .cancelTimer(let id):
            timers.cancel(id)
        case .storage(let request):
            let (inbox, metrics) = (surroundings.inbox, surroundings.metrics)
            surroundings.storage.submit(request) { reply, took in
                if reply.isOfApplying { metrics.observe(.applyDuration, took) }
                inbox.post(.storageReplied(reply))
            }
        case .publish(let events):
            self.publish(events)
        case .reply(let request, let reply):
            self.shared.withLockedValue { $0.replies.removeValue(forKey: request) }?.continuation.resume(
                returning: reply
            )
        case .learn(let entry):
            surroundings.onSignedEntry(entry)
        case .prove(let nodes, let connection):
            for chain in nodes.compactMap(surroundings.proof) {
                surroundings.transport.send(.memberProof(chain), term: term, over: [connection])
            }
        case .probeAnswered(let answers):
            surroundings.onProbeAnswered(answers)
        case .recordAnswers(let answers):
            surroundings.onAnswersToRecord(answers)
        case .meter(let connection, let bytes):
            surroundings.transport.meter(connection, bytes: bytes)
        case .notify(let notification):
            if case .peerConnected(let peer, let name, _) = notification { surroundings.state.greeted(peer, as: name) }
            if case .captureRepaired(let tables) = notification { surroundings.state.captureRepaired(tables) }
            surroundings.telemetry.record(notification)
        case .stopped:
            break
        }
    }
}

extension NodeDriver {
    /// Reports events of the clinic's tables to programs, and changes of tables that nodes fill to the node.
    private func publish(_ events: [LoggedEvent]) {
        self.measure(events)
        let logged = events.filter { $0.position > 0 }
        if !logged.isEmpty { self.surroundings.events.publish(logged) }
        guard logged.count < events.count else { return }
        self.surroundings.onAgentTablesChanged(AgentChanges(events))
    }
}

extension NodeDriver {
    /// Counts changes of other nodes, and measures how long each batch took until this node committed it.
    private func measure(_ events: [LoggedEvent]) {
        let metrics = self.surroundings.metrics
        let now = self.surroundings.state.correctedMilliseconds
        var measured: BatchID?
        for change in events.lazy.compactMap(\.change) {
            metrics.tableCounts.add(change.rows, of: change.table, isLocal: change.isLocal)
            guard !change.isLocal else { continue }
            metrics.count(.appliedChanges, change.rows)
            guard let batch = change.batch, batch != measured else { continue }
            measured = batch
            metrics.observe(.replicationLag, .milliseconds(max(0, now - change.timestamp.milliseconds)))
        }
    }
}

extension StorageReply {
    /// Whether the reply completes work on batches of other nodes.
    fileprivate var isOfApplying: Bool {
        switch self {
        case .stored, .storedApplied, .discarded: true
        default: false
        }
    }
}

/// The active timers.
private struct Timers {
    private struct Entry {
        var generation: UInt64
        var task: Scheduled<Void>
    }

    private var entries: [TimerID: Entry] = [:]
    private var generation: UInt64 = 0

    mutating func set(_ id: TimerID, after delay: Duration, on loop: any EventLoop, inbox: Inbox) {
        self.entries[id]?.task.cancel()
        self.generation += 1
        let generation = self.generation
        let task = loop.scheduleTask(in: TimeAmount(delay)) { inbox.post(.timer(id, generation: generation)) }
        self.entries[id] = Entry(generation: generation, task: task)
    }

    mutating func cancel(_ id: TimerID) {
        self.entries.removeValue(forKey: id)?.task.cancel()
    }

    mutating func take(_ id: TimerID, generation: UInt64) -> Bool {
        guard self.entries[id]?.generation == generation else { return false }
        self.entries[id] = nil
        return true
    }

    mutating func cancelAll() {
        for entry in self.entries.values { entry.task.cancel() }
        self.entries = [:]
    }
}
