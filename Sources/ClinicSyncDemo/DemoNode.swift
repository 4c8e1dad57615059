import ClinicSync
import ClinicSyncStorage
import Foundation
import GRDB
import Glibc
import Logging
import NIOConcurrencyHelpers
import NIOPosix
import ServiceLifecycle

/// One PC of a demonstration: a real node with its own files, and the programs that write and read its SQLite file.
final class DemoNode: Sendable {
    /// Starting, joining and stopping must each be over by then.
    static let patience = Duration.seconds(30)

    /// From 1, as people count.
    let number: Int
    /// The room the PC stands in.
    let name: String
    let directory: NodeDirectory

    private struct State {
        var services: ServiceGroup?
        var node: ClinicNode?
        var listen: String?
        var failure: (any Error)?
        var database: DemoDatabase?
    }

    private let state = NIOLockedValueBox(State())
    private let starts: AsyncStream<Void>
    private let wantStart: AsyncStream<Void>.Continuation

    init(number: Int, name: String, directory: NodeDirectory) {
        self.number = number
        self.name = name
        self.directory = directory
        (self.starts, self.wantStart) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Where the node listens for others, while it runs.
    var listen: String? { self.state.withLockedValue { $0.listen } }
    /// Whether the node serves.
    var isRunning: Bool { self.listen != nil }

    /// The node, while it runs.
    func running() throws -> ClinicNode {
        guard let node = self.state.withLockedValue({ $0.node }) else {
            throw DemoError(message: "\(self.name) does not run.")
        }
        return node
    }

    /// The programs' connections; open from the first start to ``closeDatabase()``.
    func database() throws -> DemoDatabase {
        guard let database = self.state.withLockedValue({ $0.database }) else {
            throw DemoError(message: "\(self.name) has no database yet.")
        }
        return database
    }

    // MARK: - Life

    /// Runs the node as often as it is started, until ``end()``.
    func run() async {
        for await _ in self.starts { await self.runOnce() }
    }

    /// Starts the node and returns when it serves.
    func start() async throws {
        self.wantStart.yield()
        try await self.wait(for: "start") { $0.listen != nil }
        guard self.state.withLockedValue({ $0.database == nil }) else { return }
        let database = try DemoDatabase(path: self.directory.databaseURL.path)
        self.state.withLockedValue { $0.database = database }
    }

    /// Stops the node in order; its programs keep their file.
    func stop() async throws {
        await self.state.withLockedValue { $0.services }?.triggerGracefulShutdown()
        try await self.wait(for: "stop") { $0.services == nil }
    }

    /// Lets nothing be started any more.
    func end() { self.wantStart.finish() }

    /// Closes the programs' connections.
    func closeDatabase() throws {
        let database = self.state.withLockedValue { state in
            defer { state.database = nil }
            return state.database
        }
        try database?.close()
    }

    private func runOnce() async {
        do {
            var configuration = NodeConfiguration()
            configuration.listen = NetworkAddress(host: "127.0.0.1", port: 0)
            configuration.api = NetworkAddress(host: "127.0.0.1", port: 0)
            configuration.discovery = .off
            let logger = Logger(label: "demo") { _ in SwiftLogNoOpLogHandler() }
            let node = try ClinicNode(
                directory: self.directory,
                configuration: configuration,
                logger: logger,
                onReady: { ready in self.state.withLockedValue { $0.listen = ready.listen } }
            )
            let services = ServiceGroup(
                configuration: ServiceGroupConfiguration(
                    services: [.init(service: node, successTerminationBehavior: .gracefullyShutdownGroup)],
                    logger: logger
                )
            )
            self.state.withLockedValue { state in
                state.services = services
                state.node = node
            }
            try await services.run()
            self.finishRun(nil)
        } catch {
            self.finishRun(error)
        }
    }

    private func finishRun(_ error: (any Error)?) {
        self.state.withLockedValue { state in
            state.services = nil
            state.node = nil
            state.listen = nil
            state.failure = error
        }
    }

    /// Waits for a state of the run; a node that ended with an error is no use any more.
    private func wait(for what: String, until condition: (State) -> Bool) async throws {
        let clock = ContinuousClock()
        let deadline = clock.now + DemoNode.patience
        while true {
            let state = self.state.withLockedValue { $0 }
            if let failure = state.failure { throw failure }
            if condition(state) { return }
            guard clock.now < deadline else {
                throw DemoError(message: "\(self.name) did not \(what) within \(DemoNode.patience).")
            }
            try await Task.sleep(for: .milliseconds(1))
        }
    }
}

/// Why a demonstration cannot go on; one sentence.
package struct DemoError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The sentence.
    package var message: String

    /// The sentence.
    package var description: String { self.message }
}

/// A question whose answer tells how much of a transaction a file shows: 0 nothing, 1 a part, 2 all of it.
struct DemoProbe: Sendable {
    var sql: String
    var arguments: [String]

    init(_ sql: String, _ arguments: String...) {
        self.sql = sql
        self.arguments = arguments
    }
}

/// A node's SQLite file as two plain programs see it: one that writes, one that only looks.
final class DemoDatabase: Sendable {
    /// Between two looks, in microseconds.
    static let lookMicroseconds: UInt32 = 200
    private static let busyTimeoutSeconds: Double = 10

    private let program: DatabaseQueue
    private let observer: DatabaseQueue

    init(path: String) throws {
        var configuration = Configuration()
        configuration.busyMode = .timeout(DemoDatabase.busyTimeoutSeconds)
        self.program = try DatabaseQueue(path: path, configuration: configuration)
        configuration.readonly = true
        self.observer = try DatabaseQueue(path: path, configuration: configuration)
    }

    /// Runs `body` in a transaction and returns its result and when COMMIT returned.
    func write<Result>(_ body: (Database) throws -> Result) throws -> (Result, ContinuousClock.Instant) {
        let result = try self.program.writeWithoutTransaction { db in
            var result: Result?
            try db.inTransaction(.immediate) {
                result = try body(db)
                return .commit
            }
            return result
        }
        let now = ContinuousClock.now
        guard let result else { throw DemoError(message: "A program's transaction was not committed.") }
        return (result, now)
    }

    /// Reads as a program does.
    func read<Result>(_ body: (Database) throws -> Result) throws -> Result { try self.observer.read(body) }

    /// How much one read of a program finds.
    func look(_ probe: DemoProbe) throws -> Int {
        try self.observer.unsafeRead { db in
            let statement = try db.cachedStatement(sql: probe.sql)
            return try Int.fetchOne(statement, arguments: StatementArguments(probe.arguments)) ?? 0
        }
    }

    /// Looks again and again until all of it is there.
    ///
    /// - Returns: when it was there, `nil` if not before `deadline`; and how many looks found only a part of it.
    func wait(
        for probe: DemoProbe,
        until deadline: ContinuousClock.Instant
    ) throws -> (at: ContinuousClock.Instant?, partial: Int) {
        var partial = 0
        while true {
            let found = try self.look(probe)
            let now = ContinuousClock.now
            if found >= 2 { return (now, partial) }
            if found == 1 { partial += 1 }
            guard now < deadline else { return (nil, partial) }
            usleep(DemoDatabase.lookMicroseconds)
        }
    }

    /// Closes both connections.
    func close() throws {
        try self.observer.close()
        try self.program.close()
    }
}
