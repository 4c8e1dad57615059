import CSQLiteShim
package import ClinicSyncModel
import Foundation
import GRDB
import GRDBSQLite

// This file is the only one that begins, commits, syncs or switches `synchronous`. `Connection`, `WriteTransaction` and `Statement`
// stand together in it so that no other file can make a write transaction or prepare a statement that writes.

/// How safe a committed transaction is from a power cut.
package enum Durability: Sendable, Hashable {
    /// The transaction is on the disk before any connection can see it, readers of the same file included.
    case durable
    /// A power cut may lose the transaction until the next durable commit or checkpoint.
    ///
    /// Use it for what other nodes can send again, or the node can derive again.
    ///
    /// Parts that write something that must not be lost (``WriteTransaction/requireDurability()``) make it durable all the same.
    case relaxed

    /// What makes SQLite commit so: in WAL mode `FULL` syncs the write-ahead log before the commit becomes visible.
    fileprivate var pragma: String {
        switch self {
        case .durable: "PRAGMA synchronous = FULL"
        case .relaxed: "PRAGMA synchronous = NORMAL"
        }
    }
}

/// What the body of a write transaction returns: its result, and how durably the transaction is committed.
package struct Ending<Result> {
    /// The result of the transaction.
    let result: Result
    /// How durably it is committed.
    let durability: Durability

    /// Commits; the transaction is on the disk when it has ended.
    package static func durable(_ result: Result) -> Ending { Ending(result: result, durability: .durable) }

    /// Commits; a power cut may lose the transaction.
    package static func relaxed(_ result: Result) -> Ending { Ending(result: result, durability: .relaxed) }
}

extension Ending where Result == Void {
    /// Commits without a result; the transaction is on the disk when it has ended.
    package static var durable: Ending { .durable(()) }

    /// Commits without a result; a power cut may lose the transaction.
    package static var relaxed: Ending { .relaxed(()) }
}

/// Thrown inside a relaxed transaction when it must be durable: the transaction is rolled back and its body runs again.
struct DurabilityRequired: Error {}

/// One write transaction of the store's file, while it is open.
///
/// Only a write transaction gives statements that write. Parts of the store take it as a parameter. It cannot be copied, and is
/// passed as `borrowing`, so no part can keep it and write after its end.
package struct WriteTransaction: ~Copyable {
    /// The connection, for queries.
    package let connection: Connection
    /// Whether the commit will be on the disk when it has ended.
    let isDurable: Bool

    fileprivate init(_ connection: Connection, isDurable: Bool) {
        self.connection = connection
        self.isDurable = isDurable
    }

    /// The prepared statement of `sql`, which may write; from the cache after the first call.
    package func statement(_ sql: String) throws -> Statement { try self.connection.prepared(sql) }

    /// Runs one or more statements without parameters or results.
    package func execute(_ sql: String) throws { try self.connection.execute(sql) }

    /// The number of rows that the latest INSERT, UPDATE or DELETE changed.
    package var changes: Int { Int(sqlite3_changes(self.connection.handle)) }

    /// Has copies of programs' triggers run on this connection from now on, in place of those before.
    ///
    /// When a statement fails while the copies run, it is repeated without them. If it then succeeds, the failure was theirs:
    /// the row is written, and the failure is counted.
    func run(_ copies: [TriggerCopy]) throws { try self.connection.run(copies) }

    /// Says that this transaction must be on the disk when it has ended, whatever its end says.
    ///
    /// In a transaction that began as relaxed this throws: the transaction is rolled back and its body runs again, in a durable
    /// one, because SQLite cannot change `synchronous` inside a transaction.
    ///
    /// - Throws: ``DurabilityRequired``, which the body must pass on.
    func requireDurability() throws {
        guard self.isDurable else { throw DurabilityRequired() }
    }

    /// Runs `body`; when `body` throws, undoes in the file what it wrote.
    func savepoint<Result>(_ body: () throws -> Result) throws -> Result {
        try self.execute("SAVEPOINT clinicsync")
        do {
            let result = try body()
            try self.execute("RELEASE clinicsync")
            return result
        } catch {
            // After some errors (disk full, I/O) SQLite has rolled the whole transaction back.
            if self.connection.isInTransaction { try self.execute("ROLLBACK TO clinicsync; RELEASE clinicsync") }
            throw error
        }
    }
}

/// A database connection's raw handle with its prepared statements, for hot loops.
///
/// A connection belongs to one GRDB queue and may be used only inside that queue's closures. Statements are prepared once
/// and live as long as the connection.
package final class Connection {
    /// SQLite's handle.
    let handle: OpaquePointer
    /// The durability for which `synchronous` is set; `nil` before the first write transaction.
    private var durability: Durability?
    private var statements: [StatementText: Statement] = [:]
    /// The copies of programs' triggers that run now.
    private var triggers: [TriggerCopy] = []
    private var triggerFailures = 0
    /// How long a write transaction waits for its lock; `nil`: as long as every statement does.
    private var lockWait: (any LockWait)?
    /// Learns when a durable transaction commits; `nil` in the simulator.
    private var syncWatch: (any SyncWatch)?
    /// How long every other statement waits for locks.
    private var busyTimeoutMilliseconds: Int32 = 0

    /// Wraps the handle of `database`.
    init(_ database: Database) throws {
        guard let handle = database.sqliteConnection else {
            throw SQLiteFailure(code: SQLITE_MISUSE, message: "the database is closed")
        }
        self.handle = handle
    }

    // MARK: - Reading

    /// The prepared statement of `sql`, which must not write; from the cache after the first call.
    package func query(_ sql: String) throws -> Statement {
        let statement = try self.prepared(sql)
        precondition(statement.isReadOnly, "only a write transaction may write: \(sql)")
        return statement
    }

    /// A prepared statement of `sql`, which must not write, for its caller alone: it may be read while ``query(_:)`` is used.
    func separateQuery(_ sql: String) throws -> Statement {
        let statement = try Statement(sql, on: self)
        precondition(statement.isReadOnly, "only a write transaction may write: \(sql)")
        return statement
    }

    /// Whether the file has a table of that name.
    func hasTable(_ name: String) throws -> Bool {
        try self.query("SELECT 1 FROM sqlite_schema WHERE name = ?1").bind(1, text: name).first { _ in true } ?? false
    }

    /// Whether a transaction is open.
    var isInTransaction: Bool { sqlite3_get_autocommit(self.handle) == 0 }

    /// Runs `body` in one read snapshot.
    func readSnapshot<Result>(_ body: () throws -> Result) throws -> Result {
        // Inside a transaction of the writer (a store in memory has one connection) the snapshot is there already.
        guard !self.isInTransaction else { return try body() }
        try self.beginSnapshot()
        do {
            let result = try body()
            try self.endSnapshot()
            return result
        } catch {
            if self.isInTransaction { try self.execute("ROLLBACK") }
            throw error
        }
    }

    /// Begins a read snapshot that outlives the call; ``endSnapshot()`` ends it.
    func beginSnapshot() throws { try self.execute("BEGIN") }

    /// Ends a read snapshot.
    func endSnapshot() throws { try self.execute("COMMIT") }

    // MARK: - Writing

    /// Runs `body` in a write transaction, which takes the write lock at once; rolls back when `body` throws.
    ///
    /// - Parameters:
    ///   - durability: how the transaction begins.
    ///   - body: what to do; its end says how durably to commit.
    /// - Returns: The result of `body`.
    /// - Throws: ``DurabilityRequired`` when the transaction began as relaxed and its end asks for more; it is rolled back then.
    func write<Result>(
        _ durability: Durability,
        _ body: (borrowing WriteTransaction) throws -> Ending<Result>
    ) throws -> Result {
        if durability != self.durability {
            try self.execute(durability.pragma)
            self.durability = durability
        }
        try self.begin()
        do {
            let transaction = WriteTransaction(self, isDurable: durability == .durable)
            let ending = try body(transaction)
            if ending.durability == .durable, durability == .relaxed { throw DurabilityRequired() }
            try self.commit(durability)
            return ending.result
        } catch {
            // After some errors (disk full, I/O) SQLite has rolled back by itself.
            if self.isInTransaction { try self.execute("ROLLBACK") }
            throw error
        }
    }

    private func commit(_ durability: Durability) throws {
        guard durability == .durable, let watch = self.syncWatch else { return try self.execute("COMMIT") }
        watch.syncBegan()
        defer { watch.syncEnded() }
        try self.execute("COMMIT")
    }

    /// Begins a write transaction; waits for other programs' transactions as long as ``lockWait`` says.
    private func begin() throws {
        guard let wait = self.lockWait else { return try self.execute("BEGIN IMMEDIATE") }
        sqlite3_busy_timeout(self.handle, LockWaiting.sliceMilliseconds)
        defer { sqlite3_busy_timeout(self.handle, self.busyTimeoutMilliseconds) }
        while true {
            let code = sqlite3_exec(self.handle, "BEGIN IMMEDIATE", nil, nil, nil)
            if code == SQLITE_OK { return wait.ended() }
            guard code & 0xff == SQLITE_BUSY, wait.goesOn() else { throw self.failure(code) }
        }
    }

    /// Lets `wait` decide from now on how long a write transaction waits for its lock.
    func setLockWait(_ wait: any LockWait, busyTimeoutMilliseconds: Int32) {
        self.lockWait = wait
        self.busyTimeoutMilliseconds = busyTimeoutMilliseconds
    }

    /// Tells `watch` of every durable commit from now on.
    func setSyncWatch(_ watch: any SyncWatch) { self.syncWatch = watch }

    /// The prepared statement of any SQL.
    fileprivate func prepared(_ sql: String) throws -> Statement {
        let text = StatementText(sql)
        if let statement = self.statements[text] { return statement }
        let statement = try Statement(sql, on: self)
        self.statements[text] = statement
        return statement
    }

    fileprivate func execute(_ sql: String) throws {
        let code = sqlite3_exec(self.handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw self.failure(code) }
    }

    // MARK: - Programs' triggers

    fileprivate func run(_ copies: [TriggerCopy]) throws {
        try self.dropTriggers()
        self.triggers = copies
        try self.createTriggers()
    }

    /// Makes the copies; one that SQLite refuses counts as a failure, and does not run.
    private func createTriggers() throws {
        for copy in self.triggers {
            do { try self.execute(copy.sql) } catch let failure as SQLiteFailure {
                guard self.isInTransaction else { throw failure }
                self.triggerFailures += 1
            }
        }
    }

    private func dropTriggers() throws {
        var names: [String] = []
        // A statement of its own: another schema can have another result at each call.
        try self.separateQuery("SELECT name FROM sqlite_temp_schema WHERE type = 'trigger'")
            .forEach { names.append($0.string(0)) }
        for name in names { try self.execute("DROP TRIGGER temp.\(SchemaCopy.quoted(name))") }
    }

    /// Repeats a failed statement without the copies of programs' triggers.
    ///
    /// - Returns: Whether the statement succeeded, so that the copies had failed.
    /// - Throws: what SQLite reports about the copies.
    fileprivate func succeedsWithoutTriggers(_ failure: SQLiteFailure, _ body: () -> Bool) throws -> Bool {
        // After some errors (disk full, I/O) SQLite has rolled the whole transaction back.
        guard !self.triggers.isEmpty, self.isInTransaction,
            !self.triggers.contains(where: { $0.cannotCause(failure) })
        else { return false }
        try self.dropTriggers()
        let succeeds = body()
        try self.createTriggers()
        if succeeds { self.triggerFailures += 1 }
        return succeeds
    }

    /// The number of statements since the last call that programs' triggers made fail.
    func takeTriggerFailures() -> Int {
        defer { self.triggerFailures = 0 }
        return self.triggerFailures
    }

    // MARK: - The connection itself

    /// Forgets every prepared statement; needed before the connection is closed, and after a change of schema.
    func finalizeStatements() { self.statements.removeAll() }

    /// The failure that the handle reports now.
    func failure(_ code: Int32) -> SQLiteFailure {
        let known = sqlite3_extended_errcode(self.handle)
        return SQLiteFailure(
            code: self.cause(of: known == SQLITE_OK ? code : known),
            message: String(cString: sqlite3_errmsg(self.handle))
        )
    }

    /// The code of a failure, with what the system says about a write that failed.
    ///
    /// SQLite reports an I/O error when a file system became read-only, or an account's share of the disk is used up.
    private func cause(of code: Int32) -> Int32 {
        guard code & 0xff == SQLITE_IOERR else { return code }
        // A failed commit leaves the system's error with the file alone: the write-ahead log, or the database.
        let errors = [SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_FILE_POINTER].map { self.systemError(of: $0) }
        if errors.contains(EROFS) { return SQLITE_READONLY }
        return errors.contains(EDQUOT) ? SQLITE_FULL : code
    }

    /// The number of the system's last error with a file; 0 when there was none, or SQLite does not tell.
    private func systemError(of pointer: Int32) -> Int32 {
        var file: UnsafeMutablePointer<sqlite3_file>?
        var number: Int32 = 0
        guard sqlite3_file_control(self.handle, "main", pointer, &file) == SQLITE_OK, let file,
            let control = file.pointee.pMethods?.pointee.xFileControl,
            control(file, SQLITE_FCNTL_LAST_ERRNO, &number) == SQLITE_OK
        else { return 0 }
        return number
    }

    /// Switches triggers off for this connection alone; other programs' connections fire theirs.
    func disableTriggers() throws {
        let code = clinicsync_enable_triggers(self.handle, 0)
        guard code == SQLITE_OK else { throw self.failure(code) }
    }

    /// Gives the page cache this size.
    func setCache(kibibytes: Int) throws { try self.execute("PRAGMA cache_size = -\(kibibytes)") }

    /// Gives back the memory of the page cache.
    func shrinkMemory() throws { try self.execute("PRAGMA shrink_memory") }

    /// Moves what it can of the write-ahead log into the file.
    ///
    /// A log that is larger than `framesMax` pages is cut back to nothing, unless a program reads or writes now.
    func checkpoint(framesMax: Int, busyTimeoutSeconds: Double) throws {
        let frames = try self.prepared("PRAGMA wal_checkpoint(PASSIVE)").first { $0.int(1) } ?? 0
        guard frames > framesMax else { return }
        // Gives up at once when a program reads or writes: the next checkpoint will do.
        try self.execute("PRAGMA busy_timeout = 0")
        _ = try self.prepared("PRAGMA wal_checkpoint(TRUNCATE)").first { $0.int(0) }
        try self.execute("PRAGMA busy_timeout = \(Int(busyTimeoutSeconds * 1_000))")
    }
}

/// A prepared statement of SQLite.
///
/// The order of calls is bind, step, read, reset. Parameters count from 1, columns from 0.
package final class Statement {
    /// Whether the statement only reads.
    let isReadOnly: Bool
    private let pointer: OpaquePointer
    private unowned let connection: Connection

    /// Prepares `sql` for many executions.
    fileprivate init(_ sql: String, on connection: Connection) throws {
        var pointer: OpaquePointer?
        let code = sqlite3_prepare_v3(connection.handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &pointer, nil)
        guard code == SQLITE_OK, let pointer else { throw connection.failure(code) }
        self.pointer = pointer
        self.connection = connection
        self.isReadOnly = sqlite3_stmt_readonly(pointer) != 0
    }

    deinit { sqlite3_finalize(self.pointer) }

    /// Binds an integer.
    @discardableResult
    package func bind(_ index: Int32, _ number: some BinaryInteger) -> Self {
        sqlite3_bind_int64(self.pointer, index, Int64(truncatingIfNeeded: number))
        return self
    }

    /// Binds a value whose bytes stay where they are until the statement is reset.
    @inline(__always)
    @discardableResult
    func bind(_ index: Int32, _ value: ValueRef) -> Self {
        switch value {
        case .null:
            sqlite3_bind_null(self.pointer, index)
        case .integer(let number):
            sqlite3_bind_int64(self.pointer, index, number)
        case .real(let bits):
            sqlite3_bind_double(self.pointer, index, Double(bitPattern: bits))
        case .text(let bytes):
            // An empty buffer may have no address, which SQLite would take for NULL.
            if let base = bytes.baseAddress, !bytes.isEmpty {
                sqlite3_bind_text(
                    self.pointer,
                    index,
                    base.assumingMemoryBound(to: CChar.self),
                    Int32(bytes.count),
                    nil
                )
            } else {
                sqlite3_bind_text(self.pointer, index, "", 0, Statement.transient)
            }
        case .blob(let bytes):
            if let base = bytes.baseAddress, !bytes.isEmpty {
                sqlite3_bind_blob(self.pointer, index, base, Int32(bytes.count), nil)
            } else {
                sqlite3_bind_zeroblob(self.pointer, index, 0)
            }
        }
        return self
    }

    /// Binds a value, letting SQLite copy it.
    @discardableResult
    package func bind(_ index: Int32, _ value: SQLiteValue) -> Self {
        switch value {
        case .null: sqlite3_bind_null(self.pointer, index)
        case .integer(let number): sqlite3_bind_int64(self.pointer, index, number)
        case .real(let bits): sqlite3_bind_double(self.pointer, index, Double(bitPattern: bits))
        case .text(let bytes):
            bytes.withUnsafeBytes { bytes -> Void in
                if let base = bytes.baseAddress, !bytes.isEmpty {
                    sqlite3_bind_text(
                        self.pointer,
                        index,
                        base.assumingMemoryBound(to: CChar.self),
                        Int32(bytes.count),
                        Statement.transient
                    )
                } else {
                    sqlite3_bind_text(self.pointer, index, "", 0, Statement.transient)
                }
            }
        case .blob(let bytes): self.bind(index, blob: bytes)
        }
        return self
    }

    /// Binds bytes, letting SQLite copy them.
    @discardableResult
    package func bind(_ index: Int32, blob bytes: [UInt8]) -> Self {
        bytes.withUnsafeBytes { bytes -> Void in
            if let base = bytes.baseAddress, !bytes.isEmpty {
                sqlite3_bind_blob(self.pointer, index, base, Int32(bytes.count), Statement.transient)
            } else {
                sqlite3_bind_zeroblob(self.pointer, index, 0)
            }
        }
        return self
    }

    /// Binds text, letting SQLite copy it.
    @discardableResult
    package func bind(_ index: Int32, text: String) -> Self {
        self.bind(index, SQLiteValue.string(text))
    }

    /// Binds NULL.
    @discardableResult
    package func bindNull(_ index: Int32) -> Self {
        sqlite3_bind_null(self.pointer, index)
        return self
    }

    /// Goes to the next row; `false` when there is none, and the statement is reset then.
    @inline(__always)
    func step() throws -> Bool {
        let code = sqlite3_step(self.pointer)
        if code == SQLITE_ROW { return true }
        let failure = code == SQLITE_DONE ? nil : self.connection.failure(code)
        sqlite3_reset(self.pointer)
        if let failure { try self.recover(from: failure) }
        return false
    }

    private func recover(from failure: SQLiteFailure) throws {
        guard !self.isReadOnly else { throw failure }
        let succeeds = try self.connection.succeedsWithoutTriggers(failure) {
            defer { sqlite3_reset(self.pointer) }
            return sqlite3_step(self.pointer) == SQLITE_DONE
        }
        guard succeeds else { throw failure }
    }

    /// Executes a statement that returns no rows.
    package func run() throws {
        while try self.step() {}
    }

    /// Makes the statement ready for new parameters, ending a result that was not read to its end.
    func reset() { sqlite3_reset(self.pointer) }

    /// Runs `body` on the first row, if there is one, and resets.
    package func first<Result>(_ body: (Statement) throws -> Result) throws -> Result? {
        guard try self.step() else { return nil }
        defer { self.reset() }
        return try body(self)
    }

    /// Runs `body` on every row.
    package func forEach(_ body: (Statement) throws -> Void) throws {
        defer { self.reset() }
        while try self.step() { try body(self) }
    }

    /// An integer column; 0 for NULL.
    package func int64(_ column: Int32) -> Int64 { sqlite3_column_int64(self.pointer, column) }

    /// The 64 bits of an integer column: for checksums, hashes and sets of bits, with which nothing is computed.
    package func unsigned(_ column: Int32) -> UInt64 { UInt64(bitPattern: self.int64(column)) }

    /// An integer column.
    package func int(_ column: Int32) -> Int { Int(self.int64(column)) }

    /// Whether the column has a whole number, or NULL.
    func isWhole(_ column: Int32) -> Bool {
        let type = sqlite3_column_type(self.pointer, column)
        return type == SQLITE_INTEGER || type == SQLITE_NULL
    }

    /// Whether the column is NULL.
    package func isNull(_ column: Int32) -> Bool { sqlite3_column_type(self.pointer, column) == SQLITE_NULL }

    /// A text column; empty for NULL.
    package func string(_ column: Int32) -> String {
        // The length is needed because a text may have the character NUL.
        let base = UnsafeRawPointer(sqlite3_column_text(self.pointer, column))
        let bytes = UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(self.pointer, column)))
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The bytes of a blob column, valid until the next step or reset.
    @inline(__always)
    func blob(_ column: Int32) -> UnsafeRawBufferPointer {
        let base = sqlite3_column_blob(self.pointer, column)
        return UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(self.pointer, column)))
    }

    /// The value of a column, copied.
    package func value(_ column: Int32) -> SQLiteValue { self.ref(column).value }

    /// The value of a column in SQLite's memory; valid until the next step or reset.
    @inline(__always)
    func ref(_ column: Int32) -> ValueRef {
        switch sqlite3_column_type(self.pointer, column) {
        case SQLITE_INTEGER:
            return .integer(sqlite3_column_int64(self.pointer, column))
        case SQLITE_FLOAT:
            return .real(sqlite3_column_double(self.pointer, column).bitPattern)
        case SQLITE_TEXT:
            let base = UnsafeRawPointer(sqlite3_column_text(self.pointer, column))
            return .text(
                UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(self.pointer, column)))
            )
        case SQLITE_BLOB:
            return .blob(self.blob(column))
        default:
            return .null
        }
    }

    private static let transient = unsafeBitCast(-1 as Int, to: sqlite3_destructor_type.self)
}
