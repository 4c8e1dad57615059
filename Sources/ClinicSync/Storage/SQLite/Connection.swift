import CSQLiteShim
import ClinicSyncModel
import GRDB
import GRDBSQLite

/// What SQLite said no to.
package struct SQLiteFailure: Error, Hashable, CustomStringConvertible {
    /// SQLite's extended result code.
    package var code: Int32
    /// SQLite's message: names tables and columns, never values.
    package var message: String

    /// Whether a constraint of the schema refused the row.
    package var isConstraint: Bool { self.code & 0xff == SQLITE_CONSTRAINT }

    /// The message and the code.
    package var description: String { "\(self.message) (SQLite \(self.code))" }
}

/// A database connection's raw handle with its prepared statements, for hot loops.
///
/// Belongs to one GRDB queue and may be used only inside that queue's closures. Statements are prepared once and
/// live as long as the connection.
final class Connection {
    /// SQLite's handle.
    let handle: OpaquePointer
    private var statements: [String: Statement] = [:]

    /// Wraps the handle of `database`.
    init(_ database: Database) throws {
        guard let handle = database.sqliteConnection else {
            throw SQLiteFailure(code: SQLITE_MISUSE, message: "the database is closed")
        }
        self.handle = handle
    }

    /// The prepared statement of `sql`, from the cache after the first call.
    func statement(_ sql: String) throws -> Statement {
        if let statement = self.statements[sql] { return statement }
        let statement = try Statement(sql, on: self)
        self.statements[sql] = statement
        return statement
    }

    /// Forgets every prepared statement; needed before the connection is closed, and after a change of schema.
    func finalizeStatements() { self.statements.removeAll() }

    /// Runs one or more statements without parameters or results.
    func execute(_ sql: String) throws {
        let code = sqlite3_exec(self.handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw self.failure(code) }
    }

    /// Rows that the latest INSERT, UPDATE or DELETE touched.
    var changes: Int { Int(sqlite3_changes(self.handle)) }

    /// The failure that the handle reports now.
    func failure(_ code: Int32) -> SQLiteFailure {
        SQLiteFailure(
            code: sqlite3_extended_errcode(self.handle) == SQLITE_OK ? code : sqlite3_extended_errcode(self.handle),
            message: String(cString: sqlite3_errmsg(self.handle))
        )
    }

    /// Switches triggers off for this connection alone; other programs' connections fire theirs.
    func disableTriggers() throws {
        let code = clinicsync_enable_triggers(self.handle, 0)
        guard code == SQLITE_OK else { throw self.failure(code) }
    }

    /// Runs `body` in a transaction that takes the write lock at once; rolls back when it throws.
    func immediateTransaction<Result>(_ body: () throws -> Result) throws -> Result {
        try self.execute("BEGIN IMMEDIATE")
        do {
            let result = try body()
            try self.execute("COMMIT")
            return result
        } catch {
            // After some errors (disk full, I/O) SQLite has rolled back by itself.
            if sqlite3_get_autocommit(self.handle) == 0 { try self.execute("ROLLBACK") }
            throw error
        }
    }

    /// Runs `body` in one read snapshot.
    func readTransaction<Result>(_ body: () throws -> Result) throws -> Result {
        // Inside a transaction of the writer (an in-memory store has one connection) the snapshot is there already.
        guard sqlite3_get_autocommit(self.handle) != 0 else { return try body() }
        try self.execute("BEGIN")
        do {
            let result = try body()
            try self.execute("COMMIT")
            return result
        } catch {
            if sqlite3_get_autocommit(self.handle) == 0 { try self.execute("ROLLBACK") }
            throw error
        }
    }
}

/// A prepared statement.
///
/// Bind, step, read, reset; parameters count from 1, columns from 0.
final class Statement {
    private let pointer: OpaquePointer
    private unowned let connection: Connection

    /// Prepares `sql` for many executions.
    init(_ sql: String, on connection: Connection) throws {
        var pointer: OpaquePointer?
        let code = sqlite3_prepare_v3(connection.handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &pointer, nil)
        guard code == SQLITE_OK, let pointer else { throw connection.failure(code) }
        self.pointer = pointer
        self.connection = connection
    }

    deinit { sqlite3_finalize(self.pointer) }

    /// Binds an integer.
    @inline(__always)
    @discardableResult
    func bind(_ index: Int32, _ number: some BinaryInteger) -> Self {
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
    func bind(_ index: Int32, _ value: SQLiteValue) -> Self {
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
    func bind(_ index: Int32, blob bytes: [UInt8]) -> Self {
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
    func bind(_ index: Int32, text: String) -> Self {
        sqlite3_bind_text(self.pointer, index, text, -1, Statement.transient)
        return self
    }

    /// Binds NULL.
    @discardableResult
    func bindNull(_ index: Int32) -> Self {
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
        if let failure { throw failure }
        return false
    }

    /// Executes a statement that returns no rows.
    @inline(__always)
    func run() throws {
        while try self.step() {}
    }

    /// Makes the statement ready for new parameters, ending a result that was not read to its end.
    func reset() { sqlite3_reset(self.pointer) }

    /// Runs `body` on the first row, if there is one, and resets.
    @inline(__always)
    func first<Result>(_ body: (Statement) throws -> Result) throws -> Result? {
        guard try self.step() else { return nil }
        defer { self.reset() }
        return try body(self)
    }

    /// Runs `body` on every row.
    func forEach(_ body: (Statement) throws -> Void) throws {
        defer { self.reset() }
        while try self.step() { try body(self) }
    }

    /// An integer column; 0 for NULL.
    @inline(__always)
    func int64(_ column: Int32) -> Int64 { sqlite3_column_int64(self.pointer, column) }

    /// An integer column that holds an unsigned number.
    func unsigned(_ column: Int32) -> UInt64 { UInt64(bitPattern: self.int64(column)) }

    /// An integer column.
    func int(_ column: Int32) -> Int { Int(self.int64(column)) }

    /// Whether the column is NULL.
    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(self.pointer, column) == SQLITE_NULL }

    /// A text column; empty for NULL.
    func string(_ column: Int32) -> String {
        guard let text = sqlite3_column_text(self.pointer, column) else { return "" }
        return String(cString: text)
    }

    /// The bytes of a blob column, valid until the next step or reset.
    @inline(__always)
    func blob(_ column: Int32) -> UnsafeRawBufferPointer {
        let base = sqlite3_column_blob(self.pointer, column)
        return UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(self.pointer, column)))
    }

    /// The value of a column where it lies, valid until the next step or reset.
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
