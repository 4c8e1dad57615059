import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import ClinicSyncStorage
import GRDB
import Testing

/// A program dropped one of the node's own tables while the node was stopped.
@Suite("Own tables that are gone")
struct OwnTablesTests {
    @Test("the names are those of the schema")
    func names() throws {
        let store = try TestStore(1)
        let names = try store.queue.read { db in
            try String.fetchAll(
                db,
                sql:
                    "SELECT substr(name, 12) FROM sqlite_schema WHERE type = 'table' AND name GLOB 'clinicsync_*' ORDER BY 1"
            )
        }
        #expect(names.filter { !$0.hasPrefix("last_") } == OwnTables.names)
    }

    @Test("each is made again and named; the node starts, loses nothing and doubles nothing, and both nodes are equal")
    func dropped() throws {
        let other = try TestStore(2)
        var store = try TestStore(1)
        let count = "UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id = 'service-urinalysis'"
        try store.sql("INSERT INTO users (id, username) VALUES ('u', 'ana')")
        // In memory every transaction needs the guard; see below.
        let all = OwnTables.names.filter { $0 != "guard" }
        let sample = Set(StoreScenario.places(of: all.count, count: 6).map { all[$0 - 1] } + ["dirty", "log", "row"])
        for (number, table) in all.filter({ sample.contains($0) }).enumerated() {
            try store.sql("INSERT INTO patients (id, fullName) VALUES ('a\(number)', 'Ana'), ('d\(number)', 'Dora')")
            try other.sql("INSERT INTO patients (id, fullName) VALUES ('b\(number)', 'Bea')")
            try store.sql(count)
            try converge([store, other])
            try store.sql("DELETE FROM patients WHERE id = 'd\(number)'; \(count)")
            try converge([store, other])
            try store.sql("DROP TABLE clinicsync_\(table)")
            store = try TestStore(reopening: store, schema: .clinic)
            let repairs = store.writer.takeNotice().repairs
            #expect(
                repairs.contains { $0.reason == "the table clinicsync_\(table) was missing" },
                "\(table): \(repairs)"
            )
            try store.sql("INSERT INTO patients (id, fullName) VALUES ('c\(number)', 'Cleo')")
            try store.sql(count)
            try self.settle(store, other)
            try expectEqual([store, other])
            let patients = try store.value(Int.self, "SELECT count(*) FROM patients")
            #expect(patients == 3 * (number + 1), "\(table)")
            let counted = try store.value(
                Int.self,
                "SELECT selectionCount FROM clinic_services WHERE id = 'service-urinalysis'"
            )
            #expect(counted == 3 * (number + 1), "\(table)")
        }
    }

    @Test("a table that a program drops while the node runs is noticed")
    func droppedWhileRunning() throws {
        let store = try TestStore(1)
        #expect(try !store.writer.lacksOwnTables())
        try store.sql("DROP TABLE clinicsync_tombstone")
        #expect(try store.writer.lacksOwnTables())
    }

    @Test("the guard of the triggers is made again with its row, and programs' writes are marked")
    func guardTable() throws {
        let first = try DiskStore(1)
        let disk = try first.disk.afterPowerCut(losing: .nothing)
        let program = try DatabaseQueue(path: disk.uri("clinic.db"))
        try program.writeWithoutTransaction { try $0.execute(sql: "DROP TABLE clinicsync_guard") }
        let store = try DiskStore(1, on: disk, collects: false)
        try store.insert("p1")
        #expect(try store.writer.collect(clockOffsetMilliseconds: 0).logged.count == 1)
        #expect(try store.value(Int.self, "SELECT applying FROM clinicsync_guard") == 0)
    }

    /// Collects, sends, and compares until both have all.
    private func settle(_ store: TestStore, _ other: TestStore) throws {
        while try store.writer.collect(clockOffsetMilliseconds: 0).hasMore {}
        try store.send(to: other)
        try other.send(to: store)
        let run = RoundRun(client: store, host: other)
        run.sweep()
        var results: [ReconciliationResult?] = []
        for _ in 0..<4 where results.last != .equal { results.append(try run.round()) }
        #expect(results.last == .equal, "\(results)")
    }
}
