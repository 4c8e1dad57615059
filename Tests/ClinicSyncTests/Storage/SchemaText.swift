import ClinicSchema
import ClinicSyncStorage
import Foundation
import GRDB

/// Schemas and manifests given as text.
enum SchemaText {
    /// The manifest of the product.
    static func clinicManifest() throws -> Manifest {
        try Manifest(json: ClinicSchema.manifest)
    }

    /// A manifest with one entry besides those of the product.
    static func manifest(adding entry: String) throws -> Manifest {
        let end = ClinicSchema.manifest.range(of: "\n    }\n}")
        let text = end.map { ClinicSchema.manifest.replacingCharacters(in: $0, with: ",\n\(entry)\n    }\n}") }
        return try Manifest(json: text ?? "")
    }

    /// Reads the definitions of a database with one table of its own.
    static func read(_ sql: String, entry: String) throws -> ClinicTables {
        let database = try DatabaseQueue()
        let capture = ClinicSchema.migrations.filter { $0.name == "m0002_capture" }
        try ClinicMigrator(capture + [("m9999_test", sql)]).migrate(database)
        let manifest = try Manifest(json: #"{"format": 1, "tables": {\#(entry)}}"#)
        return try database.write { db in try ClinicTables.read(from: db, manifest: manifest) }
    }
}
