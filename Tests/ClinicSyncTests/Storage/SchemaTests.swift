import ClinicSchema
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("The clinic's schema")
struct SchemaTests {
    private func migrated(_ migrator: ClinicMigrator = .clinic) throws -> DatabaseQueue {
        let database = try DatabaseQueue()
        try migrator.migrate(database)
        return database
    }

    private func tables(_ database: DatabaseQueue, _ manifest: Manifest) throws -> ClinicTables {
        try database.write { db in try ClinicTables.read(from: db, manifest: manifest) }
    }

    @Test("the thirteen tables have the categories that programs subscribe to")
    func categories() throws {
        let tables = try self.tables(self.migrated(), SchemaText.clinicManifest())
        let names = { (category: EventCategory) in tables.tables.filter { $0.category == category }.map(\.name) }
        #expect(tables.clinical.count == 13)
        #expect(names(.system) == AgentTablesTests.tables)
        #expect(tables.clinical.allSatisfy { $0.category != .system })
        #expect(names(.billing) == ["bill_items", "patient_bills", "payments"])
        #expect(names(.patient) == ["medical_records", "patient_history", "patients"])
        #expect(names(.user) == ["user_activity_log", "user_sessions", "users"])
        #expect(names(.data) == ["active_patient_queue", "appointments", "clinic_services", "patient_queue"])
    }

    @Test("definitions carry the rules of the manifest and the DDL")
    func definitions() throws {
        let tables = try self.tables(self.migrated(), SchemaText.clinicManifest())
        let services = try #require(tables["clinic_services"])
        #expect(services.counters == ["selectionCount"])
        #expect(services.uniqueKeys.map(\.columns) == [["serviceName"]])
        #expect(services.uniqueKeys.map(\.policy) == [.merge])
        #expect(tables[services.number] == services)
        let queue = try #require(tables["active_patient_queue"])
        #expect(queue.keyColumn == "queueEntryId")
        #expect(queue.keySlot == 0)
        #expect(queue.columns.map(\.slot) == Array(0..<21))
        #expect(queue.deletePolicy == .win)
        #expect(tables["patient_history"]?.isAppendOnly == true)
        let records = try #require(tables["medical_records"])
        #expect(records.foreignKeys.map(\.columns) == [["appointmentId"], ["doctorId"], ["patientId"], ["serviceId"]])
        #expect(records.foreignKeys.map(\.policy) == [.null, .revive, .revive, .null])
        #expect(tables["patient"] == nil)
    }

    @Test("the rows of a new database are exactly the seed rows of the manifest")
    func seeds() throws {
        let database = try self.migrated()
        for table in try self.tables(database, SchemaText.clinicManifest()).tables {
            let keys = try database.read { db in
                try String.fetchSet(db, sql: "SELECT \(table.keyColumn) FROM \(table.name)")
            }
            #expect(Set(keys.map(SQLiteValue.string)) == table.seedKeys, "\(table.name)")
        }
    }

    @Test("numbers and slots are given once and never again")
    func numbersStay() throws {
        let database = try self.migrated()
        let first = try self.tables(database, SchemaText.clinicManifest())
        #expect(try self.tables(database, SchemaText.clinicManifest()) == first)
    }

    @Test("a fourteenth table is a migration and a manifest entry")
    func fourteenthTable() throws {
        let database = try self.migrated()
        let before = try self.tables(database, SchemaText.clinicManifest())
        let added = (name: "m9000_rooms", sql: "CREATE TABLE rooms(id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE);")
        let migrator = ClinicMigrator(ClinicSchema.migrations + [added])
        #expect(migrator.schemaVersion == 9000)
        #expect(try migrator.migrate(database).isMigrated)
        let manifest = try SchemaText.manifest(
            adding: #""rooms": {"category": "data", "duplicates": {"name": "suffix"}}"#
        )
        let after = try self.tables(database, manifest)
        #expect(after.clinical.count == 14)
        for table in before.tables { #expect(after[table.name] == table) }
        try database.write { db in
            try CaptureTriggers.install(for: after, in: db)
            try db.execute(sql: "INSERT INTO rooms(id) VALUES ('r')")
        }
        let marks = try database.read { db in try Int.fetchAll(db, sql: "SELECT tableId FROM clinicsync_dirty") }
        #expect(marks == [after["rooms"]?.number])
    }

    @Test("keys made by default sort by time and do not repeat")
    func defaultKeys() throws {
        let database = try self.migrated()
        try database.write { db in
            try db.execute(
                sql: """
                    WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 1000)
                    INSERT INTO patients(fullName) SELECT n FROM i
                    """
            )
        }
        let keys = try database.read { db in try String.fetchSet(db, sql: "SELECT id FROM patients") }
        let now = Int64(Date.now.timeIntervalSince1970 * 1000)
        #expect(keys.count == 1000)
        #expect(keys.allSatisfy { abs(now - (Int64($0.prefix(12), radix: 16) ?? 0)) < 60_000 })
    }

    @Test("a database from a newer version is refused and not changed")
    func newerDatabase() throws {
        let newer = ClinicMigrator(ClinicSchema.migrations + [(name: "m9000_new", sql: "CREATE TABLE n(i);")])
        let database = try self.migrated(newer)
        #expect(throws: SchemaError.newerDatabase(migration: "m9000_new")) {
            try ClinicMigrator.clinic.migrate(database)
        }
    }

    @Test("a migration that fails says which, and leaves nothing of it")
    func failedMigration() throws {
        let broken = ClinicMigrator([(name: "m0001_a", sql: "CREATE TABLE a(i); CREATE TABLE a(i);")])
        let database = try DatabaseQueue()
        #expect(throws: SchemaError.migrationFailed(migration: "m0001_a", reason: "table a already exists")) {
            try broken.migrate(database)
        }
        #expect(try database.read { db in try db.tableExists("a") } == false)
    }

    @Test("migrating a current database does nothing")
    func currentDatabase() throws {
        #expect(try ClinicMigrator.clinic.migrate(self.migrated()).isMigrated == false)
    }

    @Test("a new database has small pages, which keep bulk imports under triggers cheap")
    func pages() throws {
        let directory = try TemporaryDirectory()
        let file = directory.file("clinic.db")
        try SQLiteReplicaStore.create(at: file, origin: Origin(node: NodeID(high: 1, low: 2)))
        #expect(try Program.sqlite3(file, "PRAGMA page_size; PRAGMA journal_mode;") == "2048\nwal")
    }

    @Test("schema.sql is what the migrations make; CLINICSYNC_UPDATE_SNAPSHOTS=1 rewrites it")
    func snapshot() throws {
        let statements = try self.migrated().read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'grdb%'
                    ORDER BY tbl_name, type = 'index', name
                    """
            )
        }
        let text =
            "-- Made from the migrations by a test (schema/README.md); not read by anything.\n\n"
            + statements.map { $0 + ";\n" }.joined(separator: "\n")
        let file = URL(filePath: #filePath).appending(path: "../../../../schema/schema.sql").standardized
        if ProcessInfo.processInfo.environment["CLINICSYNC_UPDATE_SNAPSHOTS"] == "1" {
            try Data(text.utf8).write(to: file)
        }
        #expect(String(decoding: try Data(contentsOf: file), as: UTF8.self) == text)
    }
}
