import ClinicSyncCore
import ClinicSyncModel
import Foundation
import GRDB
import Testing

@testable import ClinicSyncStorage

/// A batch of a node, with the batches that must come before it.
struct Parcel {
    let id: BatchID
    let needs: VersionVector
    let chunks: [BatchChunk]
}

/// A database that was opened once, as a template: it has migrations, seed rows and triggers.
///
/// Copying takes a hundredth of the time of opening an empty database.
struct StoreTemplate: Sendable {
    fileprivate let schema: StoreSchema
    fileprivate let database: DatabaseQueue
    private static let number: UInt64 = 99

    init(_ schema: StoreSchema) throws {
        let store = try TestStore(Self.number, schema: schema)
        self.schema = schema
        self.database = store.queue
    }

    /// A copy in which `number` has the place of the node that opened the template.
    fileprivate func database(for number: UInt64) throws -> DatabaseQueue {
        let queue = try TestStore.copy(of: self.database)
        try queue.write { db in
            try db.execute(sql: "DELETE FROM clinicsync_setting WHERE name = 'node'")
            try db.execute(
                sql: "UPDATE clinicsync_origin SET node = ? WHERE node = ?",
                arguments: [Self.bytes(of: number), Self.bytes(of: Self.number)]
            )
        }
        return queue
    }

    private static func bytes(of number: UInt64) -> Data {
        let node = TestStore.node(number)
        return Data(
            withUnsafeBytes(of: node.high.bigEndian, Array.init) + withUnsafeBytes(of: node.low.bigEndian, Array.init)
        )
    }
}

/// The content of a store at a moment.
struct StoreSnapshot {
    fileprivate let database: DatabaseQueue
    /// Puts back what the store's parts had in memory.
    fileprivate let restoreMemory: () -> Void
    fileprivate let now: Int64
}

extension TestStore {
    /// An empty store of the template's schema.
    convenience init(_ number: UInt64, like template: StoreTemplate) throws {
        try self.init(number, schema: template.schema, over: template.database(for: number))
    }

    /// A copy of the node in its present state; with an `incarnation`, like a restored backup.
    func copy(incarnation: UInt32? = nil) throws -> TestStore {
        let copy = try TestStore(
            self.origin.node.low,
            schema: self.schema,
            incarnation: incarnation ?? self.origin.incarnation,
            over: try Self.copy(of: self.queue)
        )
        copy.now = self.now
        return copy
    }

    /// Saves the store's content, on the disk and in memory.
    func snapshot() throws -> StoreSnapshot {
        StoreSnapshot(
            database: try Self.copy(of: self.queue),
            restoreMemory: self.writer.transactions.memory(),
            now: self.now
        )
    }

    /// Restores the store's saved content, much faster than opening a copy.
    func rewind(to snapshot: StoreSnapshot) throws {
        try snapshot.database.backup(to: self.queue)
        snapshot.restoreMemory()
        self.now = snapshot.now
        let version = try self.writer.transactions.read { try Transactions.schemaVersion(on: $0) }
        try self.writer.collecting.repair.noteChecked(version)
        try self.renewReader()
    }

    /// Runs a program's statement on a connection that enforces foreign keys, and collects the changes.
    func program(_ sql: String) throws {
        try self.sql("PRAGMA foreign_keys = ON")
        defer { #expect(throws: Never.self) { try self.sql("PRAGMA foreign_keys = OFF") } }
        try self.sql(sql)
    }

    /// The batches in the log, in the order in which they came.
    func parcels() throws -> [Parcel] {
        var parcels: [Parcel] = []
        var chunks: [BatchChunk] = []
        for chunk in try self.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk) {
            chunks.append(chunk)
            guard chunk.isLast else { continue }
            let needs = try #require(chunks.first?.header).dependencies
            parcels.append(Parcel(id: chunk.batch, needs: needs, chunks: chunks))
            chunks = []
        }
        return parcels
    }

    /// Receives batches in one message.
    @discardableResult
    func receive(_ parcels: [Parcel]) throws -> StoreOutcome {
        try self.sql("UPDATE clinicsync_dirty SET writtenAt = ?", [self.now])
        var outcome = try self.writer.store(parcels.flatMap(\.chunks), clockOffsetMilliseconds: self.offset)
        if outcome.isApplyPending { outcome = try self.writer.applyStored(clockOffsetMilliseconds: self.offset) }
        return outcome
    }

    /// Merges the states of all rows that `other` knows, deleted rows included, as a reconciliation may.
    ///
    /// `reversed`: the tables come in the reverse order of their names. Returns the tables whose row states changed.
    @discardableResult
    func merge(statesOf other: TestStore, reversed: Bool = false) throws -> [String] {
        var changed: [String] = []
        let order = reversed ? "DESC" : "ASC"
        for table in try other.column("SELECT name FROM clinicsync_table ORDER BY name \(order)") {
            let keys = try other.knownKeys(of: table)
            guard !keys.isEmpty else { continue }
            for page in try other.reader.rowStates(round: 1, table: table, keys: keys) {
                let outcome = try self.writer.merge(page, clockOffsetMilliseconds: self.offset)
                if outcome.changedRows > 0 { changed.append(table) }
            }
        }
        return changed
    }

    /// The keys of which the store has a state, shown or not.
    private func knownKeys(of table: String) throws -> [SQLiteValue] {
        try self.queue.read { db in
            let sources = ["row", "tombstone", "shadow"].map { "SELECT tableId, pk FROM clinicsync_\($0)" }
            let sql = sources.joined(separator: " UNION ")
            return try String.fetchAll(
                db,
                sql:
                    "SELECT pk FROM (\(sql)) s JOIN clinicsync_table t ON t.id = s.tableId WHERE t.name = ? ORDER BY 1",
                arguments: [table]
            ).map(SQLiteValue.string)
        }
    }

    /// The first column of a query as text.
    func column(_ sql: String) throws -> [String] {
        try self.queue.read { try Row.fetchAll($0, sql: sql).map { Self.text($0[0]) } }
    }

    /// A value as text for people.
    static func text(_ value: DatabaseValue) -> String {
        switch value.storage {
        case .null: "NULL"
        case .int64(let value): "\(value)"
        case .double(let value): "\(value)"
        case .string(let value): value
        case .blob(let value): "x'\(value.map { String($0, radix: 16) }.joined())'"
        }
    }
}
