import ClinicSchema
import ClinicSyncStorage
import Foundation
import GRDB

/// A real database file with the thirteen tables and their triggers.
///
/// Other processes write to it.
final class CaptureFixture: Sendable {
    let directory: TemporaryDirectory
    let database: DatabaseQueue
    let tables: ClinicTables

    init() throws {
        self.directory = try TemporaryDirectory()
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        configuration.journalMode = .wal
        configuration.busyMode = .timeout(10)
        self.database = try DatabaseQueue(
            path: self.directory.file("clinic.db").path(),
            configuration: configuration
        )
        try ClinicMigrator.clinic.migrate(self.database)
        let manifest = try Manifest(json: ClinicSchema.manifest)
        self.tables = try self.database.write { db in
            let tables = try ClinicTables.read(from: db, manifest: manifest)
            try CaptureTriggers.install(for: tables, in: db)
            return tables
        }
    }

    var file: URL { self.directory.file("clinic.db") }

    /// Lets the `sqlite3` program write.
    @discardableResult
    func write(_ sql: String) throws -> String {
        try Program.sqlite3(self.file, sql)
    }

    /// Writes rows without leaving marks, as if they had been collected.
    func prepare(_ sql: String) throws {
        try self.write(sql)
        try self.forget()
    }

    /// Removes all marks and last values.
    func forget() throws {
        try self.database.write { db in
            try db.execute(sql: "DELETE FROM clinicsync_dirty")
            for table in self.tables.tables {
                try db.execute(sql: "DELETE FROM \(CaptureTriggers.lastTable(for: table))")
            }
        }
    }

    /// The marks as `table/key×n`, sorted.
    func marks() throws -> [String] {
        try self.database.read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT t.name || '/' || d.pk || '×' || d.n
                    FROM clinicsync_dirty d JOIN clinicsync_table t ON t.id = d.tableId ORDER BY 1
                    """
            )
        }
    }

    /// The marked keys, as `table/key`, sorted.
    func markedKeys() throws -> [String] {
        try self.marks().map { String($0.prefix { $0 != "×" }) }
    }

    /// The newest last values of each key of a table, as SQL literals of the columns named.
    func last(_ table: String, _ columns: String...) throws -> [String] {
        let list = columns.map { "quote(\"\($0)\")" }.joined(separator: " || ' ' || ")
        let key = self.tables[table]?.keyColumn ?? "id"
        return try self.database.read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT \(list) FROM clinicsync_last_\(table)
                    WHERE rowid IN (SELECT max(rowid) FROM clinicsync_last_\(table) GROUP BY \(key)) ORDER BY 1
                    """
            )
        }
    }
}
