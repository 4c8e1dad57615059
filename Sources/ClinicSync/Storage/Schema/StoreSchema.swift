import ClinicSchema

/// The schema that a store is opened with: the clinic's schema, or the schema of a test.
package struct StoreSchema: Sendable {
    /// The migrations in order.
    package var migrations: [(name: String, sql: String)]
    /// The manifest's text.
    package var manifest: String

    /// Makes a schema.
    package init(migrations: [(name: String, sql: String)], manifest: String) {
        self.migrations = migrations
        self.manifest = manifest
    }

    /// The clinic's thirteen tables and the tables that nodes fill themselves.
    package static var clinic: StoreSchema {
        StoreSchema(migrations: ClinicSchema.migrations, manifest: ClinicSchema.manifest)
    }
}
