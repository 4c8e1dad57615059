/// The clinic's schema as text in the binary: numbered SQL migrations and the manifest of merge rules.
package enum ClinicSchema {
    /// The text of `schema/clinic.json`.
    package static var manifest: String { EmbeddedSchema.manifest }

    /// The migrations in the order of their numbers.
    ///
    /// Each has the name of its file without the extension.
    package static var migrations: [(name: String, sql: String)] {
        EmbeddedSchema.migrations.map { (name: $0.name, sql: $0.text) }
    }
}
