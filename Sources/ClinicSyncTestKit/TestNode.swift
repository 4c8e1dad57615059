public import ClinicSync
import ClinicSyncCore
public import Foundation
import Logging
import NIOConcurrencyHelpers
import ServiceLifecycle

/// One node of a ``TestClinic``.
public final class TestNode: Sendable {
    /// The node's name for people: `node0` and so on.
    public let name: String
    /// The node's files.
    public let directory: URL
    /// The node's SQLite file, open for the test in the role of a program.
    public let database: TestDatabase

    private struct State {
        var node: ClinicNode?
        var services: ServiceGroup?
        var starting: CheckedContinuation<Void, any Error>?
        /// The callers that wait for the end of the run.
        var ending: [CheckedContinuation<Void, Never>] = []
        /// Whether the run was asked to end.
        var isEndWanted = false
        /// Why the last run ended, when it was not asked to.
        var failure: TestClinicError?
        var port: Int
        var hasServed = false
        var isCut = false
        var skewMilliseconds: Int64 = 0
    }

    private let reconcileEvery: Duration
    private let logger: Logger
    private let state: NIOLockedValueBox<State>
    private let starts: AsyncStream<Void>
    private let wantStart: AsyncStream<Void>.Continuation

    init(name: String, directory: URL, reconcileEvery: Duration, logger: Logger) throws {
        self.name = name
        self.directory = directory
        self.reconcileEvery = reconcileEvery
        var logger = logger
        logger[metadataKey: "test.node"] = "\(name)"
        self.logger = logger
        let state = NIOLockedValueBox(State(port: TestNode.randomPort()))
        self.state = state
        self.database = try TestDatabase(url: directory.appending(path: "clinic.db")) {
            state.withLockedValue { $0.skewMilliseconds }
        }
        (self.starts, self.wantStart) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: - Life

    /// Whether the node runs.
    public var isRunning: Bool { self.state.withLockedValue { $0.node != nil } }

    /// Starts the node, which must not run, and returns when it serves.
    ///
    /// It listens on the same port as before.
    ///
    /// - Throws: ``ClinicSyncError`` when the node cannot start.
    public func start() async throws {
        precondition(!self.isRunning, "\(self.name) runs already")
        for _ in 0..<20 {
            do {
                return try await self.startOnce()
            } catch let error as ClinicSyncError where error.code == .portInUse {
                // Somebody else's: the first start decides on the port, later ones have to have the same.
                self.state.withLockedValue { if !$0.hasServed { $0.port = TestNode.randomPort() } }
            }
        }
        throw TestClinicError("\(self.name) found no free port.")
    }

    /// Stops the node gracefully, as SIGTERM does; nothing happens when it does not run.
    ///
    /// - Throws: ``TestClinicError`` when the node ended by itself before, or with an error now.
    public func stop() async throws {
        let services = self.state.withLockedValue { state in
            if state.services != nil { state.isEndWanted = true }
            return state.services
        }
        await services?.triggerGracefulShutdown()
        await self.ended()
        // Told once: a test that expects it has then dealt with it.
        let failure = self.state.withLockedValue { state in
            defer { state.failure = nil }
            return state.failure
        }
        if let failure { throw failure }
    }

    /// Ends the node as `kill -9` or a power cut would: no goodbye, sockets reset, the open transaction lost.
    ///
    /// Returns when nothing of it is left but its files.
    public func kill() async {
        let node = self.state.withLockedValue { state in
            if state.node != nil { state.isEndWanted = true }
            return state.node
        }
        node?.kill()
        await self.ended()
    }

    /// Starts the node again after ``kill()`` or ``stop()``, stopping it gracefully first if it runs.
    ///
    /// - Throws: ``ClinicSyncError`` when the node cannot start; ``TestClinicError`` when it had ended by itself.
    public func restart() async throws {
        if self.isRunning { try await self.stop() }
        try await self.start()
    }

    // MARK: - Faults

    /// Whether the node is cut off.
    public var isCut: Bool { self.state.withLockedValue { $0.isCut } }

    /// Resets all connections of the node and lets none come up until ``heal()``, also across restarts.
    public func cut() {
        let node = self.state.withLockedValue { state in
            state.isCut = true
            return state.node
        }
        node?.cutConnections()
    }

    /// Lets the node connect again.
    public func heal() {
        let node = self.state.withLockedValue { state in
            state.isCut = false
            return state.node
        }
        node?.healConnections()
    }

    /// Sets the PC's clock forward, or back when negative; effects add up.
    ///
    /// The node's clock and the times at which ``database`` writes are shifted; other processes' are not.
    public func skewClock(by duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let milliseconds = seconds * 1_000 + attoseconds / 1_000_000_000_000_000
        self.state.withLockedValue { $0.skewMilliseconds += milliseconds }
    }

    // MARK: - Questions

    /// Returns the node's status, as `clinic-node status` shows it.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notReachable` when the node does not run.
    public func status() async throws -> NodeStatus { try await self.running().status() }

    /// Compares and repairs all tables, as `clinic-node sync` does.
    ///
    /// - Throws: ``ClinicSyncError``.
    @discardableResult
    public func sync(table: String? = nil, timeout: Duration = .seconds(60)) async throws -> SyncSummary {
        try await self.running().sync(table: table, timeout: timeout)
    }

    /// The node's events from now on.
    ///
    /// - Parameters:
    ///   - categories: `billing`, `patient`, `user`, `data`, `system`; empty: all.
    ///   - tables: changes of these tables only; empty: all.
    /// - Returns: The stream.
    /// - Throws: ``ClinicSyncError``.
    public func events(categories: Set<String> = [], tables: Set<String> = []) async throws -> EventSubscription {
        try await self.running().events(categories: categories, tables: tables)
    }

    /// Returns the members, as `clinic-node nodes` shows them.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notReachable` when the node does not run.
    public func nodes() async throws -> NodesSummary { try await self.running().nodes() }

    /// Revokes a member, as `clinic-node nodes revoke` does.
    ///
    /// - Throws: ``ClinicSyncError``.
    public func revoke(_ node: String) async throws { try await self.running().revoke(node: node) }

    /// Lets a member sign, as `clinic-node nodes grant` does.
    ///
    /// - Throws: ``ClinicSyncError``.
    public func grant(_ node: String) async throws { try await self.running().grant(node: node) }

    /// Gives a member another name.
    ///
    /// - Throws: ``ClinicSyncError``, ``TestClinicError``.
    public func rename(_ node: String, to name: String) async throws {
        try await self.running().rename(node: node, to: name)
    }

    /// Sends a notice, as `clinic-node notify` does.
    ///
    /// - Returns: The notice's id.
    /// - Throws: ``ClinicSyncError``, ``TestClinicError``.
    @discardableResult
    public func notify(_ text: String, node: String? = nil, user: String? = nil) async throws -> String {
        try await self.running().notify(text, node: node, user: user)
    }

    /// Measures how long a change takes to arrive, as `clinic-node probe` does.
    ///
    /// - Throws: ``ClinicSyncError``, ``TestClinicError``.
    public func probe(timeout: Duration = .seconds(10)) async throws -> ProbeSummary {
        try await self.running().probe(timeout: timeout)
    }

    /// Lets a member be host in the present host's place.
    ///
    /// - Throws: ``ClinicSyncError``, ``TestClinicError``.
    public func transferHost(to node: String) async throws {
        try await self.running().transferHost(to: node)
    }

    /// Returns values that lost to others; see `ClinicNode.conflicts(includingResolved:)`.
    ///
    /// - Throws: `ClinicSyncError`.
    public func conflicts(includingResolved: Bool = false) async throws -> ConflictsSummary {
        try await self.running().conflicts(includingResolved: includingResolved)
    }

    /// Returns the author of each value of a row; see `ClinicNode.why(_:)`.
    ///
    /// - Throws: `ClinicSyncError`.
    public func why(_ path: String) async throws -> WhySummary { try await self.running().why(path) }

    /// Resolves a conflict; see `ClinicNode.resolveConflict(_:keepOther:expected:)`.
    ///
    /// - Throws: `ClinicSyncError`.
    @discardableResult
    public func resolveConflict(
        _ id: String,
        keepOther: Bool,
        expected: ConflictValue? = nil
    ) async throws -> ConflictSummary {
        try await self.running().resolveConflict(id, keepOther: keepOther, expected: expected)
    }

    /// A join code of this node, which must be one that may sign.
    ///
    /// - Throws: ``ClinicSyncError``.
    public func invite() async throws -> String { try await self.running().invite() }

    /// Where the node listens for others.
    public var address: String { "127.0.0.1:\(self.state.withLockedValue { $0.port })" }

    /// Whether the node has the host, or is the host.
    public var isConnected: Bool {
        get async throws {
            let role = try await self.status().role
            return role == .client || role == .host
        }
    }

    private func running() throws -> ClinicNode {
        guard let node = self.state.withLockedValue({ $0.node }) else {
            throw ClinicSyncError(.notReachable, "\(self.name) does not run: start it.")
        }
        return node
    }
}

// MARK: - The run

extension TestNode {
    /// Runs the node as often as it is started; returns after ``end()``.
    func run() async {
        for await _ in self.starts { await self.runOnce() }
    }

    /// Ends the run at once and lets the node start no more.
    func end() {
        self.wantStart.finish()
        self.state.withLockedValue { state in
            state.isEndWanted = true
            return state.node
        }?.kill()
    }

    private func startOnce() async throws {
        try await withCheckedThrowingContinuation { continuation in
            self.state.withLockedValue { state in
                state.starting = continuation
                state.isEndWanted = false
                state.failure = nil
            }
            self.wantStart.yield()
        }
    }

    private func runOnce() async {
        do {
            let node = try self.makeNode()
            let services = ServiceGroup(
                configuration: ServiceGroupConfiguration(
                    services: [.init(service: node, successTerminationBehavior: .gracefullyShutdownGroup)],
                    logger: self.logger
                )
            )
            self.state.withLockedValue { state in
                state.node = node
                state.services = services
            }
            try await services.run()
            self.finishRun(nil)
        } catch {
            self.finishRun(error)
        }
    }

    /// A test that sets the clock forward does not wait a minute for the renewal.
    private static let renewalPace: CertificateRenewal.Pace = {
        var pace = CertificateRenewal.Pace()
        pace.interval = .milliseconds(200)
        pace.delayMin = .milliseconds(200)
        pace.delayMax = .seconds(1)
        pace.delayMaxExpired = .seconds(1)
        return pace
    }()

    private func makeNode() throws -> ClinicNode {
        var configuration = NodeConfiguration()
        configuration.listen = NetworkAddress(host: "127.0.0.1", port: self.state.withLockedValue { $0.port })
        configuration.api = NetworkAddress(host: "127.0.0.1", port: 0)
        configuration.reconcileEvery = self.reconcileEvery
        configuration.discovery = .off
        let state = self.state
        return try ClinicNode(
            directory: NodeDirectory(url: self.directory),
            configuration: configuration,
            logger: self.logger,
            clock: NodeClock { state.withLockedValue { $0.skewMilliseconds } },
            renewalPace: TestNode.renewalPace,
            tuning: { core in
                // A test does not wait for clients that lie low, nor for members that broke the protocol.
                core.redialDelayMax = .milliseconds(500)
                core.backOffMin = .milliseconds(50)
                core.backOffMax = .milliseconds(400)
            },
            onReady: { _ in self.becameReady() }
        )
    }

    private func becameReady() {
        let (starting, cutNode) = self.state.withLockedValue { state in
            defer { state.starting = nil }
            state.hasServed = true
            return (state.starting, state.isCut ? state.node : nil)
        }
        cutNode?.cutConnections()
        starting?.resume()
    }

    private func finishRun(_ error: (any Error)?) {
        let (starting, ending) = self.state.withLockedValue { state in
            let isEndWanted = state.isEndWanted
            if state.starting == nil, !isEndWanted || error != nil {
                state.failure = TestClinicError("\(self.name) ended by itself: \(error.map { "\($0)" } ?? "no error").")
            }
            defer {
                state.starting = nil
                state.ending = []
                state.node = nil
                state.services = nil
            }
            return (state.starting, state.ending)
        }
        let reason = error ?? TestClinicError("\(self.name) ended while it started.")
        starting?.resume(throwing: reason)
        for continuation in ending { continuation.resume() }
    }

    private func ended() async {
        await withCheckedContinuation { continuation in
            let isRunning = self.state.withLockedValue { state in
                if state.node != nil { state.ending.append(continuation) }
                return state.node != nil
            }
            if !isRunning { continuation.resume() }
        }
    }

    /// A port below those that the system gives to outgoing connections, so that a restart finds it free.
    private static func randomPort() -> Int { Int.random(in: 20_000..<32_000) }
}
