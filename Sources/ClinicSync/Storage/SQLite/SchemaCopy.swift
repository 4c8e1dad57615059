import GRDBSQLite

/// An empty copy of a database's schema in memory, which tells what a trigger writes.
///
/// SQLite compiles the triggers of a table into each statement that writes the table, and asks the authorizer about each
/// table that they write. The statements are prepared and never run.
final class SchemaCopy {
    /// A table or a view of the database.
    struct Item {
        let name: String
        /// Its `CREATE` statement, as in `sqlite_schema`.
        let sql: String
    }

    /// What the authorizer heard about one trigger.
    private final class Writes {
        let trigger: String
        var tables: Set<String> = []

        init(trigger: String) { self.trigger = trigger }
    }

    private let handle: OpaquePointer

    /// Copies tables and views, the tables first.
    ///
    /// An item that this library cannot make, for example a virtual table of another program's module, is left out.
    ///
    /// - Throws: ``SQLiteFailure`` when there is no memory.
    init(of items: [Item]) throws {
        var handle: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY
        let code = sqlite3_open_v2(":memory:", &handle, flags, nil)
        guard code == SQLITE_OK, let handle else {
            sqlite3_close(handle)
            throw SQLiteFailure(code: code, message: "no memory for a copy of the schema")
        }
        self.handle = handle
        for item in items { _ = self.execute(item.sql) }
    }

    deinit { sqlite3_close(self.handle) }

    /// Finds the tables that a trigger itself writes.
    ///
    /// What the triggers of those tables write is not included.
    ///
    /// - Parameters:
    ///   - trigger: its name.
    ///   - sql: its `CREATE TRIGGER` statement.
    ///   - table: the table whose rows fire it.
    /// - Returns: The names in small letters; `nil` when SQLite cannot prepare the trigger here.
    func tablesWritten(by trigger: String, _ sql: String, on table: String) -> Set<String>? {
        guard let columns = self.writableColumns(of: table), !columns.isEmpty, self.execute(sql) else { return nil }
        defer { _ = self.execute("DROP TRIGGER \(SchemaCopy.quoted(trigger))") }
        let writes = Writes(trigger: trigger.lowercased())
        let name = SchemaCopy.quoted(table)
        let assignments = columns.map(SchemaCopy.quoted).map { "\($0) = \($0)" }.joined(separator: ", ")
        let statements = [
            "INSERT INTO \(name) DEFAULT VALUES", "UPDATE \(name) SET \(assignments)", "DELETE FROM \(name)",
        ]
        return withExtendedLifetime(writes) {
            sqlite3_set_authorizer(
                self.handle,
                { context, action, table, _, _, trigger in
                    SchemaCopy.note(context, action, table: table, trigger: trigger)
                    return SQLITE_OK
                },
                Unmanaged.passUnretained(writes).toOpaque()
            )
            defer { sqlite3_set_authorizer(self.handle, nil, nil) }
            return statements.allSatisfy(self.prepares) ? writes.tables : nil
        }
    }

    /// Notes a table that a trigger writes.
    private static func note(
        _ context: UnsafeMutableRawPointer?,
        _ action: Int32,
        table: UnsafePointer<CChar>?,
        trigger: UnsafePointer<CChar>?
    ) {
        guard [SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE].contains(action), let context, let table, let trigger else {
            return
        }
        let writes = Unmanaged<Writes>.fromOpaque(context).takeUnretainedValue()
        guard String(cString: trigger).lowercased() == writes.trigger else { return }
        writes.tables.insert(String(cString: table).lowercased())
    }

    /// The columns that are not generated; `nil` when there is no such table.
    private func writableColumns(of table: String) -> [String]? {
        var statement: OpaquePointer?
        defer { sqlite3_finalize(statement) }
        let sql = "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0"
        guard sqlite3_prepare_v2(self.handle, sql, -1, &statement, nil) == SQLITE_OK else { return nil }
        let transient = unsafeBitCast(-1 as Int, to: sqlite3_destructor_type.self)
        sqlite3_bind_text(statement, 1, table, -1, transient)
        var names: [String] = []
        while sqlite3_step(statement) == SQLITE_ROW {
            if let name = sqlite3_column_text(statement, 0) { names.append(String(cString: name)) }
        }
        return names
    }

    private func prepares(_ sql: String) -> Bool {
        var statement: OpaquePointer?
        defer { sqlite3_finalize(statement) }
        return sqlite3_prepare_v2(self.handle, sql, -1, &statement, nil) == SQLITE_OK
    }

    private func execute(_ sql: String) -> Bool { sqlite3_exec(self.handle, sql, nil, nil, nil) == SQLITE_OK }

    /// A name in double quotes.
    static func quoted(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
