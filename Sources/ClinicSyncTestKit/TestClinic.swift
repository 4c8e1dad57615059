import ClinicSync
public import Foundation
public import Logging

/// A clinic of real nodes in one process, for tests: real sockets on loopback, real files, real time.
///
/// ```swift
/// try await TestClinic.start(nodes: 3) { clinic in
///     try clinic.nodes[1].database.sql("INSERT INTO patients (fullName) VALUES ('Ana')")
///     try await clinic.converge(within: .seconds(10))
///     #expect(try clinic.nodes[2].database.value("SELECT fullName FROM patients") == "Ana")
/// }
/// ```
///
/// The first node is the host. The nodes run as child tasks of the call of ``start(nodes:reconcileEvery:logger:_:)``;
/// when it returns, all have stopped and their files are gone.
public final class TestClinic: Sendable {
    /// Nodes a clinic can have, late joiners included.
    public static let nodesMax = 64

    private let directory: URL
    private let reconcileEvery: Duration
    private let logger: Logger
    private let members: TestMembers

    /// All nodes in the order in which they were made; the first is the host.
    public var nodes: [TestNode] { self.members.all }

    /// The node that hosts.
    public var host: TestNode { self.nodes[0] }

    /// All nodes but the host.
    public var clients: [TestNode] { Array(self.nodes.dropFirst()) }

    private init(directory: URL, reconcileEvery: Duration, logger: Logger) {
        self.directory = directory
        self.reconcileEvery = reconcileEvery
        self.logger = logger
        self.members = TestMembers()
    }

    /// Makes a clinic, starts its nodes, runs `body`, stops everything and removes the files.
    ///
    /// - Parameters:
    ///   - nodes: how many, at least 1.
    ///   - reconcileEvery: the time between two periodic reconciliations, at least a second.
    ///   - logger: where the nodes log; nowhere if left out.
    ///   - body: the test; the nodes run and are connected when it begins.
    /// - Returns: The result of `body`.
    /// - Throws: The error of `body`; ``TestClinicError`` when a node ended by itself.
    public static func start<Result>(
        nodes: Int = 3,
        reconcileEvery: Duration = .seconds(30),
        logger: Logger = Logger(label: "test-clinic", factory: { _ in SwiftLogNoOpLogHandler() }),
        _ body: (TestClinic) async throws -> Result
    ) async throws -> Result {
        precondition((1...TestClinic.nodesMax).contains(nodes), "a clinic has 1 to \(TestClinic.nodesMax) nodes")
        let name = "clinicsync-\(ProcessInfo.processInfo.processIdentifier)-\(UInt32.random(in: .min ... .max))"
        let directory = FileManager.default.temporaryDirectory.appending(path: name)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer {
            // A directory that cannot be removed is left to the system's clean-up of temporary files.
            _ = Swift.Result { try FileManager.default.removeItem(at: directory) }
        }
        let clinic = TestClinic(directory: directory, reconcileEvery: reconcileEvery, logger: logger)
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await clinic.members.run() }
            defer { clinic.members.end() }
            for _ in 0..<nodes { try await clinic.addNode() }
            let result = try await body(clinic)
            try await clinic.shutdown()
            return result
        }
    }

    /// Adds a node: it joins by a code, starts and connects.
    ///
    /// - Throws: ``ClinicSyncError``, when it cannot; ``TestClinicError`` when it does not connect in time.
    @discardableResult
    public func addNode() async throws -> TestNode {
        let number = self.nodes.count
        let folder = self.directory.appending(path: "node\(number)")
        if number == 0 {
            try ClinicNode.create(in: folder, clinicName: "Test clinic", nodeName: "node0")
        } else {
            let code = try await self.host.invite()
            try await ClinicNode.join(code, in: folder, nodeName: "node\(number)")
        }
        return try await self.adoptNode(name: "node\(number)", directory: folder)
    }

    /// Starts a node that joined by other means than ``addNode()``, and waits until it is connected.
    ///
    /// - Parameters:
    ///   - name: its name in messages of the test kit.
    ///   - directory: its files.
    /// - Returns: The node.
    /// - Throws: ``ClinicSyncError``, when it cannot start; ``TestClinicError`` when it does not connect in time.
    @discardableResult
    public func adoptNode(name: String, directory: URL) async throws -> TestNode {
        let node = try TestNode(
            name: name,
            directory: directory,
            reconcileEvery: self.reconcileEvery,
            logger: self.logger
        )
        self.members.add(node)
        try await node.start()
        try await self.wait(for: "\(node.name) to connect") { try await node.isConnected }
        return node
    }

    /// A join code, for a node outside of this clinic's process.
    ///
    /// - Throws: ``ClinicSyncError`` when the host does not run.
    public func invite() async throws -> String { try await self.host.invite() }

    /// Stops all nodes that run, gracefully and at once.
    ///
    /// - Throws: ``TestClinicError`` when a node had ended by itself or ended with an error.
    public func shutdown() async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for node in self.nodes { tasks.addTask { try await node.stop() } }
            try await tasks.waitForAll()
        }
    }

    /// Waits until every node that runs and is not cut off has the same batches applied and the same tables.
    ///
    /// Judges by the files alone: no mark waits to be collected, the vectors are equal, and so are digests computed
    /// from every row of every table.
    ///
    /// - Throws: ``TestClinicError`` with the differences, when the time is over.
    public func converge(within limit: Duration = .seconds(30)) async throws {
        let nodes = self.nodes.filter { $0.isRunning && !$0.isCut }
        try await Convergence(databases: nodes.map { ($0.name, $0.database) }).wait(within: limit)
    }

    /// Waits until `condition` holds.
    ///
    /// - Parameters:
    ///   - what: completes the sentence "waited in vain for".
    ///   - limit: how long at most.
    ///   - condition: asked again and again, after ever longer pauses of at most 50 ms.
    /// - Throws: ``TestClinicError`` when the time is over; the error of `condition`.
    public func wait(
        for what: String,
        within limit: Duration = .seconds(30),
        until condition: () async throws -> Bool
    ) async throws {
        try await Condition.wait(for: what, within: limit, until: condition)
    }
}

/// Why a test clinic gave up.
public struct TestClinicError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The error, in a sentence or two.
    public let description: String

    /// Makes an error.
    public init(_ description: String) { self.description = description }
}
