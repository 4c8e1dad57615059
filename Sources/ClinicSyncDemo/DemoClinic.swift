import ClinicSync
import ClinicSyncClinic
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import NIOConcurrencyHelpers
import NIOPosix

/// The PCs of a demonstration, and the measurements while programs write on them.
///
/// Rows are visible on a PC when a program there can read them: a connection to that PC's file asks for the rows with plain
/// SQL every 0.2 ms. The time runs from the return of COMMIT in the program that wrote.
final class DemoClinic: Sendable {
    /// The rooms PCs stand in, in the order in which they are used.
    private static let rooms = [
        "Front desk", "Doctor", "Laboratory", "Cashier", "Doctor 2", "Nurses", "Pharmacy", "X-ray", "Records", "Office",
        "Ward 1", "Ward 2", "Ward 3", "Dentist", "Midwife", "Reception",
    ]
    /// PCs a demonstration can have.
    static let nodesMax = rooms.count
    /// A change that is not everywhere by then counts as a failed check.
    static let arrivalLimit = Duration.seconds(15)
    /// How many patients there are before the morning begins.
    static let patients = 60

    private struct Tally {
        var transactions = 0
        var milliseconds: [Double] = []
        var partialLooks = 0
        var failedChecks = 0
    }

    let nodes: [DemoNode]
    private let threads: NIOThreadPool
    private let tally = NIOLockedValueBox(Tally())
    private let show: @Sendable (DemoEvent) throws -> Void
    private let began = ContinuousClock.now

    /// Names the PCs and where their files go; nothing is made yet.
    init(
        nodes count: Int,
        directory: String,
        threads: NIOThreadPool,
        show: @escaping @Sendable (DemoEvent) throws -> Void
    ) throws {
        self.nodes = try (0..<count).map { index in
            let path = "\(directory)/pc\(index + 1)"
            let place = try NodeDirectory.locate(flag: path, environment: [:], isRoot: false)
            return DemoNode(number: index + 1, name: DemoClinic.rooms[index], directory: place)
        }
        self.threads = threads
        self.show = show
    }

    /// Milliseconds since the demonstration began.
    private var elapsed: Double { (ContinuousClock.now - self.began).demoMilliseconds }

    /// Works with SQLite on a thread of its own: it blocks.
    func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await self.threads.runIfActive(body)
    }

    /// Shows a note.
    func note(_ kind: DemoEvent.Note.Kind, _ text: String) throws {
        if kind == .failed { self.tally.withLockedValue { $0.failedChecks += 1 } }
        try self.show(.noted(DemoEvent.Note(atMilliseconds: self.elapsed, kind: kind, text: text)))
    }

    // MARK: - Start

    /// Makes the clinic on the first PC, lets the others join with codes, and starts all.
    func start(directory: String) async throws {
        let host = self.nodes[0]
        let place = host.directory
        try await self.onThread {
            _ = try NodeSetup.create(directory: place, clinicName: "Santa Clara", nodeName: host.name)
            try SampleData(seed: 1).write(patients: DemoClinic.patients, to: place.databaseURL.path)
        }
        try await host.start()
        for node in self.nodes.dropFirst() {
            let code = try await host.running().invite(ttl: .seconds(60), uses: 1)
            _ = try await NodeSetup.join(
                directory: node.directory,
                code: try JoinCode(parsing: code),
                host: nil,
                nodeName: node.name
            )
            try await node.start()
        }
        try self.show(
            .started(
                DemoEvent.Started(
                    clinic: "Santa Clara",
                    nodes: self.nodes.map { node in
                        DemoEvent.Started.Node(
                            number: node.number,
                            name: node.name,
                            role: node === host ? "host" : "client",
                            address: node.listen ?? "",
                            database: node.directory.databaseURL.path
                        )
                    },
                    directory: directory
                )
            )
        )
    }

    // MARK: - Writing and watching

    /// Commits one transaction as a program on `node`, and measures when the other PCs show the rows.
    ///
    /// `body` runs the statements and returns a question for the rows. The same question is the result, so that PCs that are
    /// cut off now can be asked later.
    @discardableResult
    func write(
        on node: DemoNode,
        _ what: String,
        tables: [String],
        _ body: @escaping @Sendable (Database) throws -> DemoProbe
    ) async throws -> DemoProbe {
        let (probe, committed) = try await self.commit(on: node, body)
        let arrivals = try await self.arrivals(of: probe, from: node, committed: committed)
        try self.show(
            .wrote(
                DemoEvent.Wrote(
                    atMilliseconds: self.elapsed,
                    node: node.number,
                    name: node.name,
                    what: what,
                    tables: tables,
                    arrivals: arrivals
                )
            )
        )
        return probe
    }

    /// Lets a program on `node` commit one transaction.
    func commit<Result: Sendable>(
        on node: DemoNode,
        _ body: @escaping @Sendable (Database) throws -> Result
    ) async throws -> (Result, ContinuousClock.Instant) {
        let database = try node.database()
        let outcome = try await self.onThread { try database.write(body) }
        self.tally.withLockedValue { $0.transactions += 1 }
        return outcome
    }

    private func arrivals(
        of probe: DemoProbe,
        from node: DemoNode,
        committed: ContinuousClock.Instant
    ) async throws -> [DemoEvent.Wrote.Arrival] {
        let others = self.nodes.filter { $0 !== node }
        let reachable = node.isRunning ? others.filter(\.isRunning) : []
        let times = try await self.times(of: probe, on: reachable, since: committed)
        for (other, time) in zip(reachable, times) where time == nil {
            try self.note(.failed, "\(other.name) did not get it within \(DemoClinic.arrivalLimit).")
        }
        self.tally.withLockedValue { $0.milliseconds += times.compactMap(\.self) }
        let measured = Dictionary(zip(reachable.map(\.number), times), uniquingKeysWith: { first, _ in first })
        return others.map { DemoEvent.Wrote.Arrival(node: $0.number, milliseconds: measured[$0.number] ?? nil) }
    }

    /// Reads the files of `nodes` until they show the rows that `probe` asks for.
    ///
    /// - Returns: for each, the milliseconds from `start`, or `nil` when it took too long.
    func times(
        of probe: DemoProbe,
        on nodes: [DemoNode],
        since start: ContinuousClock.Instant
    ) async throws -> [Double?] {
        let deadline = start + DemoClinic.arrivalLimit
        return try await withThrowingTaskGroup(of: (Int, Double?).self) { tasks in
            for (index, node) in nodes.enumerated() {
                let database = try node.database()
                tasks.addTask {
                    let seen = try await self.onThread { try database.wait(for: probe, until: deadline) }
                    self.tally.withLockedValue { $0.partialLooks += seen.partial }
                    return (index, seen.at.map { max(0, ($0 - start).demoMilliseconds) })
                }
            }
            var times = [Double?](repeating: nil, count: nodes.count)
            for try await (index, time) in tasks { times[index] = time }
            return times
        }
    }

    /// Notes whether all of `nodes` show the rows that `probe` asks for in time.
    func check(_ probe: DemoProbe, on nodes: [DemoNode], _ text: String) async throws {
        let start = ContinuousClock.now
        let times = try await self.times(of: probe, on: nodes, since: start)
        try self.note(times.allSatisfy { $0 != nil } ? .checked : .failed, text)
    }

    // MARK: - Proof

    /// Waits until the files are equal or it takes too long, stops every node, and reads every row of every file.
    func prove() async throws -> DemoEvent.Proof {
        let clock = ContinuousClock()
        let deadline = clock.now + DemoClinic.arrivalLimit
        while clock.now < deadline, try await !self.isEqual(self.digests()) {
            try await Task.sleep(for: .milliseconds(20))
        }
        for node in self.nodes { try node.closeDatabase() }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for node in self.nodes { tasks.addTask { try await node.stop() } }
            try await tasks.waitForAll()
        }
        let digests = try await self.digests()
        let tally = self.tally.withLockedValue { $0 }
        let proof = DemoEvent.Proof(
            equal: self.isEqual(digests) && tally.failedChecks == 0 && tally.partialLooks == 0,
            nodes: self.nodes.map(\.name),
            tables: digests[0].indices.map { table in
                DemoEvent.Proof.Table(
                    name: digests[0][table].name,
                    rows: digests.map { $0[table].rows },
                    digests: digests.map { $0[table].digest.description }
                )
            },
            transactions: tally.transactions,
            latency: LatencySummary(tally.milliseconds),
            partialLooks: tally.partialLooks,
            failedChecks: tally.failedChecks
        )
        try self.show(.proved(proof))
        return proof
    }

    private func isEqual(_ digests: [[TableDigest]]) -> Bool { digests.allSatisfy { $0 == digests[0] } }

    private func digests() async throws -> [[TableDigest]] {
        let paths = self.nodes.map(\.directory.databaseURL.path)
        return try await self.onThread { try paths.map { try DatabaseDigest.compute(path: $0, table: nil) } }
    }
}
