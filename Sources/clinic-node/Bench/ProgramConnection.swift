import ClinicSync
import GRDBSQLite

/// A connection as a program in C would open it: SQLite's own interface and nothing between.
///
/// A wrapper's cost would hide the differences that the benchmarks measure. A connection belongs to one thread.
final class ProgramConnection {
    /// How much a commit waits for the disk.
    enum Synchronous: String {
        case normal = "NORMAL"
        case full = "FULL"
    }

    /// The connection in SQLite's interface.
    let handle: OpaquePointer

    /// Opens the file at `path`, making it if it is missing, in WAL mode.
    init(path: String, synchronous: Synchronous) throws {
        var handle: OpaquePointer?
        let code = sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nil)
        guard code == SQLITE_OK, let handle else {
            sqlite3_close(handle)
            throw ClinicSyncError(.storage, "SQLite cannot open \(path) (code \(code)): look at its permissions.")
        }
        self.handle = handle
        sqlite3_busy_timeout(handle, 30_000)
        try self.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = \(synchronous.rawValue)")
    }

    deinit { sqlite3_close_v2(self.handle) }

    /// Runs statements without parameters or results.
    func execute(_ sql: String) throws {
        let code = sqlite3_exec(self.handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw self.failure(code) }
    }

    /// Prepares a statement for many executions.
    func prepare(_ sql: String) throws -> ProgramStatement { try ProgramStatement(sql, on: self) }

    /// The texts of the first column of a query.
    func texts(_ sql: String) throws -> [String] {
        let statement = try self.prepare(sql)
        var texts: [String] = []
        while try statement.step() { texts.append(statement.text(0)) }
        return texts
    }

    /// The first integer of a query.
    func integer(_ sql: String) throws -> Int {
        let statement = try self.prepare(sql)
        defer { statement.reset() }
        return try statement.step() ? statement.integer(0) : 0
    }

    fileprivate func failure(_ code: Int32) -> ClinicSyncError {
        ClinicSyncError(
            .storage,
            "SQLite reports '\(String(cString: sqlite3_errmsg(self.handle)))' (code \(code)): check the disk and try again."
        )
    }
}

/// A prepared statement.
///
/// Parameters count from 1, columns from 0.
final class ProgramStatement {
    private let pointer: OpaquePointer
    private let connection: ProgramConnection

    fileprivate init(_ sql: String, on connection: ProgramConnection) throws {
        var pointer: OpaquePointer?
        let code = sqlite3_prepare_v3(connection.handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &pointer, nil)
        guard code == SQLITE_OK, let pointer else { throw connection.failure(code) }
        self.pointer = pointer
        self.connection = connection
    }

    deinit { sqlite3_finalize(self.pointer) }

    /// Binds text that stays where it is until the statement was executed.
    @inline(__always)
    func bind(_ index: Int32, text: UnsafeRawBufferPointer) {
        sqlite3_bind_text(
            self.pointer,
            index,
            text.baseAddress?.assumingMemoryBound(to: CChar.self),
            Int32(text.count),
            nil
        )
    }

    /// Goes to the next row; `false` at the end, and the statement is reset then.
    @inline(__always)
    func step() throws -> Bool {
        let code = sqlite3_step(self.pointer)
        if code == SQLITE_ROW { return true }
        defer { sqlite3_reset(self.pointer) }
        guard code == SQLITE_DONE else { throw self.connection.failure(code) }
        return false
    }

    /// Executes a statement without results.
    @inline(__always)
    func run() throws { while try self.step() {} }

    /// Ends a result that was not read to its end.
    func reset() { sqlite3_reset(self.pointer) }

    /// An integer column.
    func integer(_ column: Int32) -> Int { Int(sqlite3_column_int64(self.pointer, column)) }

    /// A text column.
    func text(_ column: Int32) -> String {
        guard let text = sqlite3_column_text(self.pointer, column) else { return "" }
        return String(cString: text)
    }
}
