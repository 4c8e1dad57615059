import GRDB

/// Reads the replicated tables of an open store's file, at the start and after each change that a program makes to the schema.
struct SchemaReading: Sendable {
    /// The rules that apply to the file.
    let manifest: Manifest
    /// What migrations renamed and dropped.
    let history: SchemaHistory
    /// The migrations that are applied.
    let migrations: [(name: String, sql: String)]

    /// Reads the tables; those that a program removed or made unfit are in ``ClinicTables/absent``.
    ///
    /// - Throws: ``SchemaError`` when a table that nodes fill does not fit, or one that was never replicated.
    func tables(in db: Database) throws -> ClinicTables {
        var scratch: DatabaseQueue?
        defer { _ = Result { try scratch?.close() } }
        return try ClinicTables.read(
            from: db,
            manifest: self.manifest,
            history: self.history,
            isForgiving: true,
            common: { table in
                let migrated = try scratch ?? self.migrated()
                scratch = migrated
                return try migrated.read { db in
                    // A table that no migration made is this file's own matter.
                    try db.tableExists(table) ? CommonColumns(try TableDDL(name: table, in: db)) : CommonColumns()
                }
            }
        )
    }

    /// The clinic's tables as the migrations alone make them, empty and in memory.
    private func migrated() throws -> DatabaseQueue {
        var configuration = GRDB.Configuration()
        configuration.foreignKeysEnabled = false
        let scratch = try DatabaseQueue(configuration: configuration)
        try ClinicMigrator(self.migrations).migrate(scratch)
        return scratch
    }
}
