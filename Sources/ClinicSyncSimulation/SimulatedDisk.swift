package import ClinicSyncModel
import ClinicSyncStorage
import Foundation
package import GRDB
import NIOConcurrencyHelpers

/// The disk of one simulated PC: the files of its node, which outlive the node's process.
///
/// SQLite works on it as on a real disk: in WAL mode, with the three connections of a node, and one of the PC's programs.
package final class SimulatedDisk {
    /// The database's name.
    static let file = "clinic.db"
    /// The name of the file that witnesses the highest number used.
    static let witness = "clinic.db-numbers"

    /// The disk as it is.
    private(set) var memory: MemoryDisk
    /// The connection of the PC's programs.
    package private(set) var database: DatabaseQueue
    /// The epoch that the node follows at its next start; `nil` when its data has the greatest that it knows.
    var following: Epoch?
    /// The sync that this run leaves out, to see that it is missed.
    private let missingSync: MissingSync?
    /// How often the PC was started.
    private(set) var boots = 0
    /// In how many operations the power goes, what is left then, and drawn from what.
    private var plannedCut: (operations: Int, loss: MemoryDisk.Loss, seed: UInt64)?
    /// Which copy of the PC's files this is: a copy has another place than the file it was made of.
    private(set) var copy: UInt8 = 1
    /// The number of the newest incarnation that a store on this disk began.
    private let incarnation: NIOLockedValueBox<UInt32>
    /// What the planned power cut left, once it has happened.
    private var remains: Result<MemoryDisk, any Error>?

    /// Makes a disk.
    ///
    /// - Parameters:
    ///   - missingSync: the sync that is left out, if any.
    ///   - template: what is on it; by default nothing.
    ///   - incarnation: new incarnations get the numbers behind this one.
    /// - Throws: ``StoreError`` without memory.
    package init(missingSync: MissingSync? = nil, template: MemoryDisk? = nil, incarnation: UInt32 = 0) throws {
        let memory = try template?.afterPowerCut(losing: .nothing) ?? MemoryDisk()
        self.missingSync = missingSync
        self.incarnation = NIOLockedValueBox(incarnation)
        self.memory = memory
        self.database = try SimulatedDisk.open(memory)
    }

    private static func open(_ memory: MemoryDisk) throws -> DatabaseQueue {
        try DatabaseQueue(path: memory.uri(self.file), configuration: StoreDatabase.configuration(isFile: false))
    }

    /// Where the node's file is, as the node sees it.
    func place() -> StorePlace {
        var place = StorePlace(
            fingerprint: [self.copy],
            witness: MemoryWitness(self.memory, file: SimulatedDisk.witness),
            boot: "\(self.boots)"
        )
        let incarnation = self.incarnation
        place.incarnations = {
            incarnation.withLockedValue { number in
                number &+= 1
                return number
            }
        }
        return place
    }

    // MARK: - Copies

    /// The files as they are; only while no process writes.
    func files() throws -> MemoryDisk { try self.memory.afterPowerCut(losing: .nothing) }

    /// Other files take the place of those that are there; no process may be using the disk.
    func exchange(_ files: MemoryDisk, copy: UInt8) throws {
        try self.restart(with: files)
        self.copy = copy
    }

    // MARK: - Power

    /// What the disk would hold after a power cut now.
    func remains(losing loss: MemoryDisk.Loss, seed: UInt64) throws -> MemoryDisk {
        try self.memory.afterPowerCut(losing: loss, seed: seed)
    }

    /// The power goes just before the operation of that number from now on, while a node's store works.
    func planCut(after operations: Int, losing loss: MemoryDisk.Loss, seed: UInt64) {
        self.plannedCut = (operations, loss, seed)
    }

    /// Lets a node's store work.
    ///
    /// The power may go while it does. Then the work goes on, on a disk that is no more.
    ///
    /// - Parameters:
    ///   - kind: the sync that is left out meanwhile, if this is the one that the run leaves out.
    ///   - body: the work.
    /// - Returns: What `body` returned, and what the disk holds now if the power went.
    /// - Throws: What `body` throws.
    func working<Value>(
        _ kind: MissingSync?,
        _ body: () throws -> Value
    ) throws -> (value: Value, remains: MemoryDisk?) {
        if let missingSync, missingSync == kind || missingSync.isOfEveryWork {
            self.memory.ignoreSyncs(of: missingSync.file)
        }
        defer { self.memory.ignoreSyncs(of: nil) }
        if self.plannedCut != nil { self.memory.observe { [unowned self] _, _ in self.countDown() } }
        defer { self.memory.observe(nil) }
        let value = try body()
        defer { self.remains = nil }
        return (value, try self.remains?.get())
    }

    private func countDown() {
        guard var plan = self.plannedCut else { return }
        plan.operations -= 1
        self.plannedCut = plan.operations > 0 ? plan : nil
        guard plan.operations <= 0 else { return }
        self.remains = Result { try self.remains(losing: plan.loss, seed: plan.seed) }
    }

    /// The PC starts again with what a power cut left; no process may be using the disk.
    func restart(with remains: MemoryDisk) throws {
        try self.database.close()
        self.plannedCut = nil
        self.memory = remains
        self.boots += 1
        self.database = try SimulatedDisk.open(remains)
    }

    /// What is wrong with the file that a node made; `nil` when nothing is.
    func damage() -> String? {
        do {
            return try self.read { db in
                let found = try String.fetchAll(db, sql: "PRAGMA integrity_check")
                if found != ["ok"] { return found.joined(separator: "; ") }
                return try db.tableExists("clinicsync_origin") ? nil : "its tables are gone"
            }
        } catch {
            return "\(error)"
        }
    }

    // MARK: - Programs

    /// For each author the largest number that is no longer in the log.
    func floors() throws -> VersionVector {
        try self.read { db in
            let rows = try Row.fetchAll(db, sql: "SELECT node, incarnation, floor FROM clinicsync_origin")
            return VersionVector(rows.map { SimulatedDisk.entry($0) })
        }
    }

    /// Runs a program's transaction.
    ///
    /// Marks carry SQLite's idea of the time, which is not simulated: they get `wallMilliseconds`.
    ///
    /// - Returns: Whether it was committed; not when a constraint refused it.
    package func transaction(
        wallMilliseconds: Int64,
        _ body: (Database) throws -> Void
    ) throws -> Bool {
        do {
            try self.database.inTransaction(.immediate) { db in
                try body(db)
                // Simulated clocks show years in the past.
                try db.execute(
                    sql: "UPDATE clinicsync_dirty SET writtenAt = ? WHERE writtenAt > ?",
                    arguments: [wallMilliseconds, SimulatedClock.realMillisecondsMin]
                )
                return .commit
            }
            return true
        } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
            return false
        }
    }

    /// Reads the database.
    package func read<Result>(_ body: (Database) throws -> Result) throws -> Result {
        try self.database.read(body)
    }

    /// The applied batches, from the committed tables.
    package func committedVector() throws -> VersionVector {
        try self.read { db in
            let rows = try Row.fetchAll(db, sql: "SELECT node, incarnation, sequence FROM clinicsync_origin")
            return VersionVector(rows.map { SimulatedDisk.entry($0) })
        }
    }

    /// Whether the chunk is in the log, or was in the log and is applied.
    package func hasChunk(_ chunk: BatchChunk) throws -> Bool {
        let isLogged = try self.read { db in
            try Bool.fetchOne(
                db,
                sql: """
                    SELECT 1 FROM clinicsync_log l JOIN clinicsync_origin o ON o.id = l.origin
                    WHERE o.node = ? AND l.sequence = ? AND l.chunk = ? AND l.checksum = ?
                    """,
                arguments: [
                    SimulatedDisk.bytes(of: chunk.batch.origin.node), Int64(chunk.batch.sequence),
                    Int64(chunk.index), Int64(bitPattern: chunk.checksum),
                ]
            )
        }
        return try isLogged ?? (self.committedVector()[chunk.batch.origin] >= chunk.batch.sequence)
    }

    /// The largest number of a batch of `origin` with a chunk in the log; 0 when there is none.
    func newestLogged(of origin: Origin) throws -> UInt64 {
        let number = try self.read { db in
            try Int64.fetchOne(
                db,
                sql: """
                    SELECT max(l.sequence) FROM clinicsync_log l JOIN clinicsync_origin o ON o.id = l.origin
                    WHERE o.node = ? AND o.incarnation = ?
                    """,
                arguments: [SimulatedDisk.bytes(of: origin.node), origin.incarnation]
            )
        }
        return UInt64(number ?? 0)
    }

    /// Whether there are writes of programs that are not collected.
    package func hasMarks() throws -> Bool {
        try self.read { try Bool.fetchOne($0, sql: "SELECT 1 FROM clinicsync_dirty LIMIT 1") ?? false }
    }

    private static func entry(_ row: Row) -> VersionVector.Entry {
        let node: Data = row[0]
        let halves = [node.prefix(8), node.suffix(8)].map { $0.reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
        return VersionVector.Entry(
            origin: Origin(node: NodeID(high: halves[0], low: halves[1]), incarnation: row[1]),
            sequence: UInt64(row[2] as Int64)
        )
    }

    private static func bytes(of node: NodeID) -> Data {
        Data(
            [node.high, node.low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * $0)) } }
        )
    }

    /// Every replicated table's rows as text, storage classes included, in order.
    package func dump(without excluded: [String] = []) throws -> [String: [String]] {
        try self.read { db in
            var tables: [String: [String]] = [:]
            for table in try String.fetchAll(db, sql: "SELECT name FROM clinicsync_table ORDER BY name")
            where !excluded.contains(table) {
                tables[table] = try SimulatedDisk.rows(of: table, db)
            }
            return tables
        }
    }

    /// One replicated table's rows as text, storage classes included, in order.
    package func dump(of table: String) throws -> [String] {
        try self.read { try SimulatedDisk.rows(of: table, $0) }
    }

    private static func rows(of table: String, _ db: Database) throws -> [String] {
        let columns = try db.columns(in: table).map { "quote(\"\($0.name)\")" }.joined(separator: "||'|'||")
        return try String.fetchAll(db, sql: "SELECT \(columns) FROM \"\(table)\"").sorted()
    }
}
