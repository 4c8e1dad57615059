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

    /// The product's manifest with one more entry.
    static func manifest(adding entry: String) throws -> Manifest {
        try Manifest(json: self.clinicManifest(adding: [entry]))
    }

    /// The text of the product's manifest with more entries.
    static func clinicManifest(adding entries: [String]) -> String {
        guard let end = ClinicSchema.manifest.range(of: "\n    }\n}") else { return "" }
        let added = entries.map { ",\n\($0)" }.joined()
        return ClinicSchema.manifest.replacingCharacters(in: end, with: "\(added)\n    }\n}")
    }

    /// Reads the definitions of a database with tables of its own.
    static func read(_ sql: String, entry: String) throws -> ClinicTables {
        try self.database(sql, entry: entry).tables
    }

    /// Makes a database with tables of its own and their triggers.
    static func installed(_ sql: String, entry: String) throws -> DatabaseQueue {
        let (database, tables) = try self.database(sql, entry: entry)
        try database.write { db in _ = try CaptureTriggers.install(for: tables, in: db) }
        return database
    }

    private static func database(
        _ sql: String,
        entry: String
    ) throws -> (database: DatabaseQueue, tables: ClinicTables) {
        let database = try DatabaseQueue()
        let capture = ClinicSchema.migrations.filter { $0.name == "m0002_capture" }
        try ClinicMigrator(capture + [("m9999_test", sql)]).migrate(database)
        let manifest = try Manifest(json: #"{"format": 1, "tables": {\#(entry)}}"#)
        return (database, try database.write { db in try ClinicTables.read(from: db, manifest: manifest) })
    }
}
