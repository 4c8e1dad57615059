package import GRDB

extension CaptureTriggers {
    /// Returns the tables whose triggers or last-values table are missing or differ from ours.
    ///
    /// A migration that recreates a table silently drops its triggers. So can a person with a SQL shell. The node does
    /// not know what programs wrote to such a table since then: compare the whole table after installing.
    package static func missing(of tables: ClinicTables, in db: Database) throws -> [TableDefinition] {
        try tables.tables.filter { try !self.isInstalled(for: $0, in: db) }
    }

    /// Installs what ``missing(of:in:)`` finds; leaves tables alone that have correct triggers.
    ///
    /// - Returns: the tables that were repaired.
    @discardableResult
    package static func install(for tables: ClinicTables, in db: Database) throws -> [TableDefinition] {
        try self.dropStrays(of: tables, in: db)
        let missing = try self.missing(of: tables, in: db)
        for table in missing {
            for name in try self.installed(on: table.name, in: db).keys {
                try db.execute(sql: "DROP TRIGGER \(SQLText.name(name))")
            }
            try self.installLastTable(for: table, in: db)
            for statement in self.statements(for: table) {
                try db.execute(sql: statement.sql)
            }
        }
        return missing
    }

    /// Drops our triggers on tables that are not replicated.
    ///
    /// SQLite moves a table's triggers along when the table is renamed. There they would mark what is no row of the clinic,
    /// and the table that takes the old name could not get triggers of these names.
    private static func dropStrays(of tables: ClinicTables, in db: Database) throws {
        let names = Set(tables.tables.map { $0.name.lowercased() })
        for trigger in try self.all(in: db) where !names.contains(trigger.table.lowercased()) {
            try db.execute(sql: "DROP TRIGGER \(SQLText.name(trigger.name))")
        }
    }

    /// The tables that were renamed with our triggers on them: the present names by the former ones.
    package static func moved(in db: Database) throws -> [String: String] {
        let suffix = "_delete"
        var moved: [String: String] = [:]
        for trigger in try self.all(in: db) where trigger.name.hasSuffix(suffix) {
            let former = String(trigger.name.dropFirst(self.prefix.count).dropLast(suffix.count))
            if former.lowercased() != trigger.table.lowercased() { moved[former] = trigger.table }
        }
        return moved
    }

    /// The columns of a table that its last-values table does not have: they were added since the triggers were installed.
    package static func newColumns(of table: TableDefinition, in db: Database) throws -> [ColumnDefinition] {
        let known = try self.columns(of: self.lastTable(for: table), in: db)
        return known.isEmpty ? [] : table.presentColumns.filter { !known.contains($0.name) }
    }

    /// What tells a table from another of its name: SQLite gives a table that is made again another row of the schema.
    package static func identities(in db: Database) throws -> [String: Int64] {
        let rows = try Row.fetchAll(db, sql: "SELECT name, rowid FROM sqlite_schema WHERE type = 'table'")
        return Dictionary(rows.map { ($0["name"], $0["rowid"]) }, uniquingKeysWith: { first, _ in first })
    }

    /// Whether a table has any of our triggers.
    package static func exist(on table: String, in db: Database) throws -> Bool {
        try !self.installed(on: table, in: db).isEmpty
    }

    private static func all(in db: Database) throws -> [(name: String, table: String)] {
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT name, tbl_name FROM sqlite_schema
                WHERE type = 'trigger' AND substr(name, 1, ?) = ? ORDER BY name
                """,
            arguments: [self.prefix.utf8.count, self.prefix]
        )
        return rows.map { ($0["name"], $0["tbl_name"]) }
    }

    /// Drops all capture triggers of the database; the last-values tables stay.
    package static func drop(in db: Database) throws {
        let names = try String.fetchAll(
            db,
            sql: "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND substr(name, 1, ?) = ?",
            arguments: [self.prefix.utf8.count, self.prefix]
        )
        for name in names {
            try db.execute(sql: "DROP TRIGGER \(SQLText.name(name))")
        }
    }

    private static func isInstalled(for table: TableDefinition, in db: Database) throws -> Bool {
        let ours = Dictionary(
            self.statements(for: table).map { ($0.name, $0.sql) },
            uniquingKeysWith: { first, _ in first }
        )
        guard try self.installed(on: table.name, in: db) == ours else { return false }
        let last = self.lastTable(for: table)
        let columns = try self.columns(of: last, in: db)
        let hasIndex = try Bool.fetchOne(
            db.cachedStatement(sql: "SELECT EXISTS(SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?)"),
            arguments: [last + "_key"]
        )
        return hasIndex == true && table.presentColumns.allSatisfy { columns.contains($0.name) }
    }

    /// The texts of our triggers on a table, as the database has them.
    private static func installed(on table: String, in db: Database) throws -> [String: String] {
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT name, sql FROM sqlite_schema
                    WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE AND substr(name, 1, ?) = ?
                    """
            ),
            arguments: [table, self.prefix.utf8.count, self.prefix]
        )
        return Dictionary(rows.map { ($0["name"], $0["sql"] ?? "") }, uniquingKeysWith: { first, _ in first })
    }

    /// Installs the last-values table of a table and keeps its rows: deletions that are not collected yet need them.
    private static func installLastTable(for table: TableDefinition, in db: Database) throws {
        let last = self.lastTable(for: table)
        let columns = try self.columns(of: last, in: db)
        if columns.isEmpty {
            for statement in self.lastTableStatements(for: table) { try db.execute(sql: statement) }
            return
        }
        for column in table.presentColumns where !columns.contains(column.name) {
            try db.execute(sql: "ALTER TABLE \(SQLText.name(last)) ADD COLUMN \(SQLText.name(column.name))")
        }
        let index = SQLText.name(last + "_key")
        try db.execute(sql: "DROP INDEX IF EXISTS \(index)")
        try db.execute(sql: "CREATE INDEX \(index) ON \(SQLText.name(last)) (\(SQLText.name(table.keyColumn)))")
    }

    private static func columns(of table: String, in db: Database) throws -> Set<String> {
        let statement = try db.cachedStatement(sql: "SELECT name FROM pragma_table_info(?)")
        return Set(try String.fetchAll(statement, arguments: [table]))
    }
}
