import ClinicSyncClinic
import ClinicSyncCore
package import ClinicSyncModel
import ClinicSyncStorage
import DequeModule
import GRDB

/// One simulated PC: a lasting disk and clock, and a node's process that starts and ends.
package final class SimulatedNode {
    /// A node's process: the production core over the production store.
    final class Process {
        var machine: NodeStateMachine
        let writing: WritingExecutor
        let reading: ReadingExecutor
        var timers: [TimerID: UInt64] = [:]
        var lastTimer: UInt64 = 0
        var writes = StoreQueue()
        var reads = StoreQueue()
        /// When the store began to wait for a program's transaction; `nil` when it does not wait.
        var lockedSince: Duration?
        /// Whether the core knows of that.
        var isLockKnown = false

        init(machine: NodeStateMachine, writing: WritingExecutor, reading: ReadingExecutor) {
            self.machine = machine
            self.writing = writing
            self.reading = reading
        }
    }

    /// What keeps a store from writing.
    struct StoreObstacle {
        /// The number of write requests that the store will still refuse.
        var failingWrites = 0
        /// The end of a program's write transaction, for which the store waits.
        var lockedUntil: Duration = .zero
    }

    /// The requests of one of a store's two threads, and the replies that the core has not seen yet.
    struct StoreQueue {
        var requests: Deque<(request: StorageRequest, givenAt: Duration)> = []
        var replies: Deque<StorageReply> = []
        var isBusy = false

        /// Takes the requests that are one group with `request`, which was the first.
        mutating func takeGroup(after request: StorageRequest) -> [StorageRequest] {
            let size = WritingExecutor.groupSize(of: [request] + self.requests.map(\.request)) - 1
            defer { self.requests.removeFirst(size) }
            return self.requests.prefix(size).map(\.request)
        }
    }

    /// Its place in ``SimulatedWorld/nodes``.
    package let index: Int
    /// A letter, for transcripts.
    package var name: String { self.configuration.nodeName }
    /// The address that other nodes dial.
    var address: String { SimulatedNode.address(self.index) }
    /// The node as an author.
    package var origin: Origin { self.configuration.origin }
    /// The disk, which outlives the process.
    package let disk: SimulatedDisk
    /// The PC's clock.
    package let clock: SimulatedClock
    /// Whether the node is host.
    package var isHost: Bool {
        self.process?.machine.standing(at: Now(monotonic: .zero, wallMilliseconds: 0)).role == .host
    }
    /// The epoch of the node's data.
    package var epoch: Epoch? { self.configuration.epoch }
    /// Whether the node's process runs.
    package var isRunning: Bool { self.process != nil }

    /// What each process begins with.
    var configuration: CoreConfiguration
    /// What the store of each process is opened with.
    private let setup: (limits: StoreLimits, schema: StoreSchema, retention: Int64)
    /// The process, if it runs.
    var process: Process?
    /// The number of processes so far; events for an earlier process are ignored.
    var processNumber = 0
    /// The end of the PC's suspension.
    var pausedUntil: Duration = .zero
    /// What keeps the store from writing.
    var obstacle = StoreObstacle()
    /// Whether there is a program's commit without a notice so far.
    var hasUnnoticedCommit = false
    /// Whether the last process stopped in order and closed the file.
    var isClosed = false
    /// Whether the process is asked to stop.
    var isStopping = false

    init(index: Int, options: SimulationOptions, template: MemoryDisk? = nil) throws {
        self.index = index
        self.clock = SimulatedClock(skew: options.skews[index])
        self.disk = try SimulatedDisk(
            missingSync: options.missingSync,
            template: template,
            incarnation: UInt32(1_000 * (index + 1))
        )
        self.setup = (
            SimulatedNode.limits(options),
            try options.hasFewTables ? DiskTemplates.schema() : .clinic,
            options.retentionMilliseconds
        )
        self.configuration = SimulatedNode.configuration(index, options)
    }

    private static func name(_ index: Int) -> String { String(UnicodeScalar(UInt8(65 + index))) }

    private static func address(_ index: Int) -> String { "\(SimulatedNode.name(index)):1" }

    /// The order of ids decides ties, so the first PC has the largest id in half of the runs.
    static func id(_ index: Int, _ options: SimulationOptions) -> NodeID {
        NodeID(high: 0xC11, low: options.seed % 2 == 0 ? UInt64(index + 1) : UInt64(100 - index))
    }

    private static func limits(_ options: SimulationOptions) -> StoreLimits {
        var limits = StoreLimits()
        limits.chunkBytes = options.chunkBytes
        limits.smallBatchBytes = 3 * options.chunkBytes
        limits.pageBytes = options.chunkBytes
        limits.stateAnswerBytes = 2 * options.chunkBytes
        limits.repair.hashesPage = 20
        limits.silenceMilliseconds = options.silenceMilliseconds
        limits.sliceMarks = 100
        return limits
    }

    private static func configuration(_ index: Int, _ options: SimulationOptions) -> CoreConfiguration {
        let others = (0..<options.nodes).filter { $0 != index }
        var configuration = CoreConfiguration(
            origin: Origin(node: SimulatedNode.id(index, options)),
            nodeName: SimulatedNode.name(index),
            clinicID: "clinic",
            clinicName: "Clinic",
            softwareVersion: "1",
            addresses: [SimulatedNode.address(index)],
            priority: options.priorities[index],
            hints: others.map {
                let node = SimulatedNode.id($0, options)
                return PeerHint(address: SimulatedNode.address($0), node: node, source: .remembered)
            },
            members: KnownMembers(
                present: (options.areStrangers ? [index] : Array(0..<options.nodes)).map {
                    SimulatedNode.id($0, options)
                }
            ),
            randomSeed: options.seed &+ UInt64(index)
        )
        configuration.reconcileInterval = options.reconcileInterval
        configuration.handshakeLimit = .seconds(3)
        configuration.redialDelayMax = .seconds(2)
        configuration.roundLimit = .seconds(4)
        configuration.syncLimit = .seconds(6)
        configuration.storageRetryDelay = .milliseconds(500)
        configuration.housekeepingInterval = .seconds(2)
        configuration.creditBytes = options.creditBytes
        configuration.logReadBytes = 3 * options.chunkBytes
        return configuration
    }

    /// Starts a process over the disk's content.
    ///
    /// - Returns: The first input of the core.
    func start() throws -> StoreState {
        let clock = self.clock
        let writer = try ReplicaWriter(
            database: self.disk.memory.openStore(SimulatedDisk.file),
            origin: self.origin,
            place: self.disk.place(),
            schema: self.setup.schema,
            limits: self.setup.limits,
            storeExtension: ClinicExtension()
        ) { clock.milliseconds }
        self.configuration.origin = writer.origin
        self.processNumber += 1
        self.isStopping = false
        self.isClosed = false
        self.hasUnnoticedCommit = false
        self.process = Process(
            machine: NodeStateMachine(configuration: self.configuration),
            writing: WritingExecutor(writer, retentionMilliseconds: self.setup.retention),
            reading: ReadingExecutor(try ReplicaReader(beside: writer))
        )
        return try writer.state()
    }

    /// Ends the PC and closes its files, so that thousands of runs fit into memory.
    func close() {
        self.process?.reading.reader.close()
        _ = Result { try self.process?.writing.writer.close() }
        _ = Result { try self.disk.database.close() }
        self.process = nil
    }

    /// One of the store's two queues.
    static func queue(isRead: Bool) -> ReferenceWritableKeyPath<Process, StoreQueue> {
        isRead ? \.reads : \.writes
    }

    /// The applied batches, as the disk has them.
    package func committedVector() throws -> VersionVector {
        try self.disk.committedVector()
    }
}
