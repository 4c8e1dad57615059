import ClinicSchema
package import GRDB

/// Brings a database to the newest schema.
package struct ClinicMigrator: Sendable {
    /// The migrations of this program.
    package static let clinic = ClinicMigrator(ClinicSchema.migrations)

    /// The names of the migrations, in order: `mNNNN_what`.
    package let names: [String]

    private let statements: [String]

    /// The first line of a destructive migration, which drops or renames a table or a column.
    private static let destructiveMark = "-- destructive"

    /// Makes a migrator; tests add migrations of their own.
    package init(_ migrations: [(name: String, sql: String)]) {
        self.names = migrations.map(\.name)
        self.statements = migrations.map(\.sql)
    }

    /// The number of the newest migration.
    package var schemaVersion: UInt32 {
        self.names.last.map(Self.number(of:)) ?? 0
    }

    /// What the migrations renamed and dropped.
    package var history: SchemaHistory { SchemaHistory(of: self.statements) }

    /// What ``migrate(_:permits:)`` did.
    package struct Outcome: Sendable, Hashable {
        /// Whether the database was empty.
        package var isNew: Bool
        /// Whether anything was applied.
        package var isMigrated: Bool
        /// The number of the newest migration that is applied.
        package var schemaVersion: UInt32
        /// The migrations that wait, in order; the first is a destructive migration that `permits` refused.
        package var held: [String]
    }

    /// Applies the migrations that the database lacks, each in its own transaction.
    ///
    /// A migration makes the same changes on every node, so they are not local edits. Its transaction therefore drops
    /// the capture triggers. Install them again afterwards (``CaptureTriggers/install(for:in:)``). Then compare the
    /// tables with the last known state, because programs can write in between.
    ///
    /// A destructive migration has the first line `-- destructive`. When `permits` refuses it, this migration and all
    /// later ones wait. `permits` sees the database after the migrations before this one.
    ///
    /// - Parameters:
    ///   - database: the database.
    ///   - permits: whether the destructive migration with this name and number may be applied.
    /// - Returns: which migrations were applied, and which wait.
    /// - Throws: ``SchemaError/newerDatabase(migration:)``; nothing was changed then.
    ///   ``SchemaError/migrationFailed(migration:reason:)``; the migrations before the failed one stay applied.
    @discardableResult
    package func migrate(
        _ database: any DatabaseWriter,
        permits: (Database, String, UInt32) throws -> Bool = { _, _, _ in true }
    ) throws -> Outcome {
        let applied = try database.read { db in
            try self.checkIsNotNewer(db)
            return try DatabaseMigrator().appliedIdentifiers(db)
        }
        var outcome = Outcome(isNew: applied.isEmpty, isMigrated: false, schemaVersion: 0, held: [])
        var (end, permitted) = (0, 0)
        repeat {
            end = self.nextDestructive(from: permitted, applied: applied)
            outcome.isMigrated = try self.migrate(database, upTo: end) || outcome.isMigrated
            permitted = end + 1
        } while try end < self.names.count
            && database.read { try permits($0, self.names[end], Self.number(of: self.names[end])) }
        outcome.schemaVersion = end == 0 ? 0 : Self.number(of: self.names[end - 1])
        outcome.held = Array(self.names[end...])
        return outcome
    }

    /// Whether ``migrate(_:permits:)`` would change the database, apart from destructive migrations and those after them.
    package func hasPending(_ db: Database) throws -> Bool {
        let applied = try DatabaseMigrator().appliedIdentifiers(db)
        let end = self.nextDestructive(from: 0, applied: applied)
        return self.names[..<end].contains { !applied.contains($0) }
    }

    /// The index of the first destructive migration at or after `start` that is not applied.
    ///
    /// When there is no such migration, returns the number of migrations.
    private func nextDestructive(from start: Int, applied: Set<String>) -> Int {
        self.names.indices.dropFirst(start).first { index in
            !applied.contains(self.names[index]) && self.statements[index].hasPrefix(Self.destructiveMark)
        } ?? self.names.count
    }

    /// Applies those of the first `count` migrations that the database lacks.
    private func migrate(_ database: any DatabaseWriter, upTo count: Int) throws -> Bool {
        try database.writeWithoutTransaction { db in
            let applied = try DatabaseMigrator().appliedIdentifiers(db)
            let pending = zip(self.names.prefix(count), self.statements).filter { !applied.contains($0.0) }
            guard !pending.isEmpty else { return false }
            let connection = try Connection(db)
            defer { connection.finalizeStatements() }
            // A migration that recreates a table must not delete the rows that refer to the table.
            try db.execute(sql: "PRAGMA foreign_keys = OFF")
            defer {
                if db.configuration.foreignKeysEnabled {
                    _ = Result { try db.execute(sql: "PRAGMA foreign_keys = ON") }
                }
            }
            for (name, sql) in pending {
                try connection.write(.durable) { _ in
                    try CaptureTriggers.drop(in: db)
                    try self.apply(name, sql, in: db)
                    return .durable
                }
            }
            return true
        }
    }

    private func apply(_ name: String, _ sql: String, in db: Database) throws {
        do {
            try db.execute(sql: sql)
        } catch let error as DatabaseError where Self.isFault(of: sql, error) {
            throw SchemaError.migrationFailed(migration: name, reason: error.message ?? "no reason given")
        }
        // The table and its rows have the form of GRDB's migrator, which wrote them in files of earlier versions.
        try db.execute(
            sql: "CREATE TABLE IF NOT EXISTS grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY)"
        )
        try db.execute(sql: "INSERT INTO grdb_migrations (identifier) VALUES (?)", arguments: [name])
    }

    /// Checks that this program knows every migration of the database.
    ///
    /// - Throws: ``SchemaError/newerDatabase(migration:)``.
    package func checkIsNotNewer(_ db: Database) throws {
        let applied = try DatabaseMigrator().appliedIdentifiers(db)
        if let unknown = applied.subtracting(self.names).max() {
            throw SchemaError.newerDatabase(migration: unknown)
        }
    }

    /// Whether the migration's SQL caused the error; other errors, such as a full disk or a lock, are thrown unchanged.
    private static func isFault(of sql: String, _ error: DatabaseError) -> Bool {
        [.SQLITE_ERROR, .SQLITE_CONSTRAINT, .SQLITE_MISMATCH].contains(error.resultCode)
    }

    private static func number(of name: String) -> UInt32 {
        UInt32(name.drop { !$0.isNumber }.prefix { $0.isNumber }) ?? 0
    }
}
