import ClinicSchema
package import GRDB

/// Brings a database to the newest schema.
package struct ClinicMigrator: Sendable {
    /// The migrations of this program.
    package static let clinic = ClinicMigrator(ClinicSchema.migrations)

    /// The names of the migrations, in order: `mNNNN_what`.
    package let names: [String]

    private let statements: [String]

    /// Makes a migrator; tests add migrations of their own.
    package init(_ migrations: [(name: String, sql: String)]) {
        self.names = migrations.map(\.name)
        self.statements = migrations.map(\.sql)
    }

    /// The number of the newest migration.
    package var schemaVersion: UInt32 {
        self.names.last.map(Self.number(of:)) ?? 0
    }

    /// Applies the migrations that the database lacks, each in its own transaction.
    ///
    /// A migration's changes are the same on every node and are no local edits: the capture triggers are
    /// dropped in its transaction. Install them again afterwards (``CaptureTriggers/install(for:in:)``) and
    /// compare the tables with what the node knew, since programs may have written in between.
    ///
    /// - Returns: whether anything was applied.
    /// - Throws: ``SchemaError/newerDatabase(migration:)``, having changed nothing;
    ///   ``SchemaError/migrationFailed(migration:reason:)``, the migrations before it being applied.
    @discardableResult
    package func migrate(_ database: any DatabaseWriter) throws -> Bool {
        try database.read(self.checkIsNotNewer)
        var migrator = DatabaseMigrator().disablingDeferredForeignKeyChecks()
        for (name, sql) in zip(self.names, self.statements) {
            migrator.registerMigration(name) { db in
                do {
                    try CaptureTriggers.drop(in: db)
                    try db.execute(sql: sql)
                } catch let error as DatabaseError where Self.isFault(of: sql, error) {
                    throw SchemaError.migrationFailed(migration: name, reason: error.message ?? "no reason given")
                }
            }
        }
        let isCurrent = try database.read { [migrator] db in try migrator.hasCompletedMigrations(db) }
        if isCurrent { return false }
        try migrator.migrate(database)
        return true
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

    /// A full disk or a lock is no fault of the migration: those errors stay what they are.
    private static func isFault(of sql: String, _ error: DatabaseError) -> Bool {
        [.SQLITE_ERROR, .SQLITE_CONSTRAINT, .SQLITE_MISMATCH].contains(error.resultCode)
    }

    private static func number(of name: String) -> UInt32 {
        UInt32(name.drop { !$0.isNumber }.prefix { $0.isNumber }) ?? 0
    }
}
