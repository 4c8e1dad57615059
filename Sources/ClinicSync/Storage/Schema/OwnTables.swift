import GRDB

/// The node's own tables in a file: they are made again when a program dropped some.
///
/// Without one of them nothing works: triggers name `clinicsync_dirty`, and every request reads others.
package struct OwnTables {
    /// The migrations, which say what the tables look like.
    let migrations: [(name: String, sql: String)]

    /// All of them, without `clinicsync_`.
    package static let names = [
        "aside", "claim", "conflict", "context", "counter", "digest", "dirty", "event", "grant", "guard", "horizon",
        "lapse", "log", "member", "node", "notice", "origin", "pin", "probe", "probe_answer", "provisional",
        "resolution", "revocation", "row", "session", "setting", "shadow", "stage", "sum", "table", "told", "tombstone",
        "transfer", "unread", "unshared", "waiting",
    ]

    /// Selects the names of the node's tables that a file has.
    private static let presentSQL = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'clinicsync_*'"

    /// Whether a file that was opened has lost one of the tables since.
    ///
    /// - Throws: what SQLite reports.
    static func areIncomplete(on connection: Connection) throws -> Bool {
        var present: Set<String> = []
        try connection.query(OwnTables.presentSQL).forEach { present.insert($0.string(0)) }
        return OwnTables.names.contains { !present.contains("clinicsync_" + $0) }
    }

    /// Makes the tables again that are missing, with their indexes and the rows that a new file has.
    ///
    /// - Parameter db: the file, in a transaction, with all migrations applied that are not held back.
    /// - Returns: The names of the tables, without `clinicsync_`; none when nothing was missing.
    /// - Throws: what SQLite reports.
    func restore(in db: Database) throws -> [String] {
        let present = try Set(String.fetchAll(db, sql: OwnTables.presentSQL))
        let missing = OwnTables.names.filter { !present.contains("clinicsync_" + $0) }
        guard !missing.isEmpty else { return [] }
        let model = try DatabaseQueue()
        // Migrations that wait for other nodes make no tables of the node's own.
        try ClinicMigrator(self.migrations).migrate(model) { _, _, _ in false }
        return try model.read { model in
            try missing.filter { try OwnTables.copy("clinicsync_" + $0, from: model, to: db) }
        }
    }

    /// Copies a table with its content.
    ///
    /// - Returns: Whether there is such a table in the schema.
    private static func copy(_ table: String, from model: Database, to db: Database) throws -> Bool {
        let definitions = try String.fetchAll(
            model,
            sql: """
                SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND type IN ('table', 'index') AND sql IS NOT NULL
                ORDER BY type = 'index'
                """,
            arguments: [table]
        )
        guard !definitions.isEmpty else { return false }
        for definition in definitions { try db.execute(sql: definition) }
        for row in try Row.fetchAll(model, sql: "SELECT * FROM \(SQLText.name(table))") {
            let values = row.databaseValues
            let places = Array(repeating: "?", count: values.count).joined(separator: ", ")
            try db.execute(
                sql: "INSERT INTO \(SQLText.name(table)) VALUES (\(places))",
                arguments: StatementArguments(values)
            )
        }
        return true
    }
}
