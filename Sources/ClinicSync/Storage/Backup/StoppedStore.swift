import ClinicSyncCore
package import ClinicSyncModel

/// Opens the database of a node that does not run, for one piece of work.
package struct StoppedStore {
    /// The database.
    package let path: String
    /// The node.
    package let node: NodeID
    /// The schema of this program.
    package let schema: StoreSchema
    /// This PC's time, milliseconds since 1970.
    package let wallClock: @Sendable () -> Int64

    /// Describes the database at `path`.
    package init(
        path: String,
        node: NodeID,
        schema: StoreSchema = .clinic,
        wallClock: @escaping @Sendable () -> Int64
    ) {
        self.path = path
        self.node = node
        self.schema = schema
        self.wallClock = wallClock
    }

    /// Makes batches of what programs wrote, and counts them as shared, so that the file can be copied by a backup.
    ///
    /// - Throws: ``StoreError``, also for a database of an older version: a backup changes no schema.
    package func prepareCopy() throws {
        // Before anything reads the file: beside the log of another time it would read a mixture.
        _ = try StaleLog(databasePath: self.path).setAside(at: self.wallClock())
        let isOutdated = try DatabaseCopy.reading(self.path) { db in
            try ClinicMigrator(self.schema.migrations).hasPending(db)
        }
        guard !isOutdated else {
            throw StoreError(
                code: .schema,
                message: "\(self.path) has the schema of an older version: make the backup with that version, "
                    + "or start the node once."
            )
        }
        try self.run { writer in
            // A program that writes on marks rows again; the copy itself says whether it has marks.
            _ = try writer.prepareCopy()
        }
    }

    /// Opens the database, collects what programs wrote, runs `body`, and closes the database.
    func run<Result>(_ body: (ReplicaWriter) throws -> Result) throws -> Result {
        _ = try StaleLog(databasePath: self.path).setAside(at: self.wallClock())
        let writer = try ReplicaWriter(
            database: try StoreDatabase.open(path: self.path),
            origin: Origin(node: self.node),
            place: try StorePlace.of(databasePath: self.path),
            schema: self.schema,
            wallClock: self.wallClock
        )
        let result = Swift.Result {
            while try writer.collect(clockOffsetMilliseconds: 0).hasMore {}
            return try body(writer)
        }
        try writer.close()
        return try result.get()
    }
}
