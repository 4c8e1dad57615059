import ClinicSyncCore
import GRDB

/// A part of the store that keeps something in memory beside its tables.
///
/// A part belongs to one ``Transactions``. What it keeps in memory changes only inside write transactions and is put back
/// when one is rolled back, so that memory and tables always agree.
protocol TransactionPart: AnyObject {
    /// Returns a closure that puts back what the part has in memory now.
    func memory() -> () -> Void

    /// Called at the beginning of each write transaction.
    func didBegin(_ transaction: borrowing WriteTransaction) throws

    /// Called before each commit: writes what the part has only in memory so far.
    func willCommit(_ transaction: borrowing WriteTransaction) throws

    /// Called after each commit.
    func didCommit()
}

extension TransactionPart {
    func didBegin(_ transaction: borrowing WriteTransaction) throws {}

    func willCommit(_ transaction: borrowing WriteTransaction) throws {}

    func didCommit() {}
}

/// Thrown by a write transaction that finds another schema than the one that the plans were made of; nothing was written.
struct SchemaChanged: Error {}

/// Runs the write transactions and the reads of a store's writing connection.
///
/// Everything that the node writes into its file passes here. Not `Sendable`: it belongs to the writing thread.
package final class Transactions {
    /// A part, which the store owns: parts hold the transactions, so the transactions may not hold them.
    private struct Part {
        unowned let value: any TransactionPart
    }

    /// The connections.
    let database: StoreDatabase
    /// The raw writing connection.
    let connection: Connection
    /// The parts with something in memory, in the order in which they write before a commit.
    private var parts: [Part] = []
    /// Repairs damage that a transaction found in the node's own tables, and says whether that was possible.
    private var repair: ((OwnDamage) -> Bool)?
    /// `PRAGMA schema_version` for which the tables' plans hold; `nil` until the store is open.
    private var schemaVersion: Int64?
    /// How often one transaction is run again after a repair.
    private static let repairsMax = 8

    /// The writing connection's page cache: 32 MiB, filled only by large batches and given back after them.
    ///
    /// With SQLite's 2 MiB a large transaction spills its pages into the write-ahead log and reads them back.
    private static let cacheKibibytes = 32 << 10
    /// The cache for rows that come in the order of their keys: 8 MiB.
    ///
    /// SQLite sorts the entries of a new index in as much.
    private static let smallCacheKibibytes = 8 << 10

    /// Prepares the writing connection of `database`.
    ///
    /// - Throws: ``StoreError``.
    init(_ database: StoreDatabase) throws {
        self.database = database
        self.connection = try StoreError.mapping {
            try database.writer.writeWithoutTransaction { db in
                let connection = try Connection(db)
                if database.snapshots != nil {
                    try connection.disableTriggers()
                    try connection.setCache(kibibytes: Transactions.cacheKibibytes)
                }
                if let wait = database.lockWait {
                    connection.setLockWait(wait, busyTimeoutMilliseconds: StoreDatabase.busyTimeoutMilliseconds)
                }
                if let watch = database.syncWatch { connection.setSyncWatch(watch) }
                return connection
            }
        }
    }

    /// Adds a part, which must live as long as transactions run; parts write before a commit in the order in which they were
    /// added.
    func add(_ part: any TransactionPart) { self.parts.append(Part(value: part)) }

    /// Repairs damage by `repair` from now on, before a transaction runs again.
    func onDamage(_ repair: @escaping (OwnDamage) -> Bool) { self.repair = repair }

    /// Has every write transaction from now on find the schema in this version, or fail with ``SchemaChanged``.
    func expectSchema(_ version: Int64) { self.schemaVersion = version }

    /// The version of the schema, which every program's change of the schema counts up.
    static func schemaVersion(on connection: Connection) throws -> Int64 {
        try connection.query("PRAGMA schema_version").first { $0.int64(0) } ?? 0
    }

    // MARK: - Reading

    /// Runs `body` with the writing connection, outside of a transaction.
    func read<Result>(_ body: (Connection) throws -> Result) throws -> Result {
        try StoreError.mapping { try self.database.writer.writeWithoutTransaction { _ in try body(self.connection) } }
    }

    /// Runs `body` in one read snapshot of the writing connection.
    func readSnapshot<Result>(_ body: (Connection) throws -> Result) throws -> Result {
        try self.read { connection in try connection.readSnapshot { try body(connection) } }
    }

    // MARK: - Writing

    /// Runs `body` in one write transaction, with capture off.
    ///
    /// When `body` throws, the file and the memory of every part are as before. `body` may run twice: a transaction that began
    /// as relaxed and turns out to need durability is rolled back and runs again as a durable one. So `body` returns its
    /// results and changes nothing outside. It also runs again after damage that it found in the node's own tables was repaired.
    ///
    /// - Parameters:
    ///   - durability: how the transaction begins. Say `.durable` when that is known, which saves the second run.
    ///   - isOnce: whether `body` reads what can be read only once, so that it must not run again after a repair.
    ///   - body: what to do; its end says how durably to commit.
    /// - Returns: The result of `body`.
    /// - Throws: ``StoreError``, ``OwnDamage``, and what `body` throws.
    func write<Result>(
        _ durability: Durability = .relaxed,
        isOnce: Bool = false,
        _ body: (borrowing WriteTransaction) throws -> Ending<Result>
    ) throws -> Result {
        var repairs = 0
        while true {
            do {
                return try self.writeOnce(durability, body)
            } catch let damage as OwnDamage {
                guard !isOnce, repairs < Transactions.repairsMax, self.repair?(damage) == true else { throw damage }
                repairs += 1
            }
        }
    }

    private func writeOnce<Result>(
        _ durability: Durability,
        _ body: (borrowing WriteTransaction) throws -> Ending<Result>
    ) throws -> Result {
        try self.read { _ in
            do {
                return try self.attempt(durability, body)
            } catch is DurabilityRequired {
                return try self.attempt(.durable, body)
            }
        }
    }

    /// Runs `body` in a write transaction that changes triggers or tables.
    ///
    /// - Parameter body: what to do, with GRDB's view of the writing connection too.
    /// - Returns: The result of `body`.
    /// - Throws: ``StoreError``, and what `body` throws; nothing is changed then.
    func changeSchema<Result>(
        _ body: (Database, borrowing WriteTransaction) throws -> Ending<Result>
    ) throws -> Result {
        let expected = self.schemaVersion
        self.schemaVersion = nil
        defer { self.schemaVersion = expected }
        return try StoreError.mapping {
            try self.database.writer.writeWithoutTransaction { db in
                try self.attempt(.durable) { transaction in try body(db, transaction) }
            }
        }
    }

    private func attempt<Result>(
        _ durability: Durability,
        _ body: (borrowing WriteTransaction) throws -> Ending<Result>
    ) throws -> Result {
        let restore = self.memory()
        do {
            let result = try self.connection.write(durability) { transaction in
                try self.checkSchema(on: transaction.connection)
                try self.guardCapture(true, in: transaction)
                for part in self.parts { try part.value.didBegin(transaction) }
                let ending = try body(transaction)
                for part in self.parts { try part.value.willCommit(transaction) }
                try self.guardCapture(false, in: transaction)
                return ending
            }
            for part in self.parts { part.value.didCommit() }
            return result
        } catch let failure as SQLiteFailure where failure.isOfIndex {
            restore()
            throw OwnDamage.index(of: nil)
        } catch {
            restore()
            throw error
        }
    }

    /// Refuses to write by plans that no longer hold: the transaction has the lock, so no program can change the schema any more.
    private func checkSchema(on connection: Connection) throws {
        guard let expected = self.schemaVersion, try Transactions.schemaVersion(on: connection) != expected else {
            return
        }
        throw SchemaChanged()
    }

    /// Runs `body`; when it throws, undoes what it did in the file and in the memory of the parts.
    func savepoint<Result>(in transaction: borrowing WriteTransaction, _ body: () throws -> Result) throws -> Result {
        let restore = self.memory()
        do {
            return try transaction.savepoint(body)
        } catch {
            restore()
            throw error
        }
    }

    /// Returns a closure that puts back what all parts have in memory now.
    func memory() -> () -> Void {
        let restores = self.parts.map { $0.value.memory() }
        return { for restore in restores { restore() } }
    }

    /// Keeps the capture triggers from marking what the node itself writes.
    ///
    /// A file's writing connection has its triggers off altogether, which halves the cost of a large batch. A store in memory
    /// shares its connection with the programs of the simulation, so there the triggers' guard does it.
    private func guardCapture(_ isApplying: Bool, in transaction: borrowing WriteTransaction) throws {
        guard self.database.snapshots == nil else { return }
        try transaction.statement("UPDATE clinicsync_guard SET applying = ?1").bind(1, isApplying ? 1 : 0).run()
    }

    // MARK: - The file

    /// The write-ahead log is cut back to nothing when it is larger than this many pages and no program reads it: 4 MiB.
    private static let idleLogFramesMax = 1_024

    /// Moves the write-ahead log into the file, so that programs need not.
    func checkpoint() throws {
        guard self.database.snapshots != nil else { return }
        try self.read {
            try $0.checkpoint(
                framesMax: Transactions.idleLogFramesMax,
                busyTimeoutSeconds: StoreDatabase.busyTimeoutSeconds
            )
        }
    }

    /// The number of statements since the last call that programs' triggers made fail.
    func takeTriggerFailures() -> Int { self.connection.takeTriggerFailures() }

    /// Runs `body` with a small page cache, if `isSmall`: for work that needs its pages in order.
    ///
    /// - Throws: ``StoreError``, and what `body` throws.
    func withSmallCache<Result>(_ isSmall: Bool, _ body: () throws -> Result) throws -> Result {
        guard isSmall, self.database.snapshots != nil else { return try body() }
        try self.read { try $0.setCache(kibibytes: Transactions.smallCacheKibibytes) }
        let result = Swift.Result { try body() }
        try self.read { try $0.setCache(kibibytes: Transactions.cacheKibibytes) }
        return try result.get()
    }

    /// Gives back the memory that a large batch took.
    func shrinkMemory() throws { try self.read { try $0.shrinkMemory() } }

    /// Closes the connections.
    func close() throws {
        self.database.writer.writeWithoutTransaction { _ in self.connection.finalizeStatements() }
        try self.database.close()
    }
}
