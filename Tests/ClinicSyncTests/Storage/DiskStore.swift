import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import ClinicSyncStorage
import GRDB
import Testing

/// A store on a disk in memory, with the connections of a node; programs write through one of their own.
final class DiskStore {
    let disk: MemoryDisk
    let origin: Origin
    let writer: ReplicaWriter
    let reader: ReplicaReader
    /// A program's connection.
    let program: DatabaseQueue
    private let limits: StoreLimits

    init(
        _ number: UInt64,
        limits: StoreLimits = .standard,
        on disk: MemoryDisk? = nil,
        boot: String = "1",
        collects: Bool = true
    )
        throws
    {
        let disk = try disk ?? MemoryDisk()
        self.disk = disk
        self.limits = limits
        self.origin = Origin(node: TestStore.node(number))
        self.writer = try ReplicaWriter(
            database: disk.openStore("clinic.db"),
            origin: self.origin,
            place: StorePlace(
                fingerprint: [1],
                witness: MemoryWitness(disk, file: "clinic.db-numbers"),
                boot: boot
            ),
            limits: limits,
            storeExtension: ClinicExtension(),
            wallClock: { DiskStore.now }
        )
        self.reader = try ReplicaReader(beside: self.writer)
        self.program = try DatabaseQueue(path: disk.uri("clinic.db"))
        if collects { _ = try self.writer.collect(clockOffsetMilliseconds: 0) }
    }

    func close() throws {
        self.reader.close()
        try self.writer.close()
    }

    /// The time of every clock.
    private static let now: Int64 = 1_800_000_000_000

    /// A store with a user, in its first own batch.
    static func withUser() throws -> DiskStore {
        let store = try DiskStore(1)
        try store.sql("INSERT INTO users (id, username) VALUES ('u1', 'ana')")
        _ = try store.writer.collect(clockOffsetMilliseconds: 0)
        return store
    }

    /// A login of that user on this PC, to be decided.
    func login(_ session: String) -> LoginDecision {
        LoginDecision(
            requester: .command(RequestID(rawValue: 1)),
            request: LoginRequest(
                sessionID: session,
                userID: "u1",
                username: "ana",
                deviceID: self.origin.node.description,
                deviceName: "Front",
                tokenHash: [UInt8](repeating: 0xAB, count: 32),
                loginMilliseconds: DiskStore.now,
                isForced: false
            ),
            hearing: 1,
            members: 1,
            mayWait: false,
            correctedMilliseconds: DiskStore.now
        )
    }

    /// Another PC's store with a patient.
    static func other(patient: String) throws -> TestStore {
        let other = try TestStore(2)
        try other.sql("INSERT INTO patients (id, firstName, lastName) VALUES (?, 'Ada', 'B')", [patient])
        try other.collect()
        return other
    }

    static func chunks(ofPatient patient: String) throws -> [BatchChunk] {
        try Self.chunks(of: self.other(patient: patient))
    }

    static func chunks(of other: TestStore) throws -> [BatchChunk] {
        try other.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
    }

    func insert(_ patient: String) throws {
        try self.sql("INSERT INTO patients (id, firstName, lastName) VALUES ('\(patient)', 'Ada', 'B')")
    }

    func sql(_ sql: String) throws { try self.program.writeWithoutTransaction { try $0.execute(sql: sql) } }

    func value<Value: DatabaseValueConvertible>(_ type: Value.Type, _ sql: String) throws -> Value? {
        try self.program.read { try Value.fetchOne($0, sql: sql) }
    }

    /// Opens what a power cut now would leave.
    func afterPowerCut<Result>(
        losing loss: MemoryDisk.Loss = .all,
        _ body: (ReplicaWriter) throws -> Result
    ) throws -> Result {
        let cut = try DiskStore(
            self.number,
            on: self.disk.afterPowerCut(losing: loss),
            boot: "after the cut",
            collects: false
        )
        return try body(cut.writer)
    }

    /// What peers are sent of the log of a store.
    func logged(by writer: ReplicaWriter) throws -> [BatchChunk] {
        let reader = try ReplicaReader(beside: writer)
        defer { reader.close() }
        return try reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
    }

    private var number: UInt64 { self.origin.node.low }

    /// Checks that `body` makes own batches up to `sequence`, and that none of them can be read at any moment at which a power
    /// cut would take it.
    func expectDurable(_ sequence: UInt64, _ body: (ReplicaWriter) throws -> Void) throws {
        var seen: [UInt64] = []
        let before = try self.visible()
        self.disk.observe { _, _ in
            // A moment at which everything that can be seen must be on the disk, too.
            if let visible = try? self.visible(), visible > before, self.disk.unsyncedWrites(to: "clinic.db-wal") != 0 {
                seen.append(visible)
            }
        }
        try body(self.writer)
        self.disk.observe(nil)
        #expect(seen == [])
        #expect(try self.visible() == sequence)
        #expect(try self.afterPowerCut { try $0.state().vector[self.origin] } == sequence)
    }

    /// The largest number of an own batch that the connection that serves peers sees.
    private func visible() throws -> UInt64 {
        try self.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk.batch).filter { $0.origin == self.origin }
            .map(\.sequence).max() ?? 0
    }
}
