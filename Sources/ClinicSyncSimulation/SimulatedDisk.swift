package import ClinicSyncModel
import ClinicSyncStorage
import Foundation
package import GRDB

/// The disk of one simulated PC: a SQLite database in memory that outlives the node's process.
///
/// A second database holds the content that survives a power cut. A node's own batches and programs' transactions are
/// on the disk when their commit returns. Batches of others are on the disk only after such a commit (`synchronous =
/// NORMAL`).
package final class SimulatedDisk {
    /// The database that processes see.
    package let database: DatabaseQueue
    private let durable: DatabaseQueue?

    /// Makes an empty disk; power cuts are an option, because they need a copy at each durable commit.
    package init(keepsDurableCopy: Bool) throws {
        self.database = try DatabaseQueue(configuration: StoreDatabase.configuration(isFile: false))
        self.durable = keepsDurableCopy ? try DatabaseQueue() : nil
    }

    /// Flushes: every committed change now survives a power cut.
    package func flush() throws {
        if let durable { try self.database.backup(to: durable) }
    }

    /// Restores the content that survives a power cut; no process may use the disk.
    package func losePower() throws {
        if let durable { try durable.backup(to: self.database) }
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
            try self.flush()
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
                let columns = try db.columns(in: table).map { "quote(\"\($0.name)\")" }.joined(separator: "||'|'||")
                tables[table] = try String.fetchAll(db, sql: "SELECT \(columns) FROM \"\(table)\"").sorted()
            }
            return tables
        }
    }
}
