import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// SQLite lets a program write anything into a column that is declared INTEGER.
@Suite("Counters that are no whole numbers")
struct CounterSettingTests {
    private static let row = "SELECT quote(selectionCount) FROM clinic_services WHERE id = 's'"

    private func stores(_ count: Int = 3, showing number: Int = 3) throws -> [TestStore] {
        let stores = try (1...count).map { try TestStore(UInt64($0)) }
        try stores[0].sql(
            "INSERT INTO clinic_services(id, serviceName, selectionCount) VALUES('s', 'ECG', \(number))"
        )
        try converge(stores)
        return stores
    }

    private func expect(_ stores: [TestStore], _ value: String, _ location: SourceLocation = #_sourceLocation) throws {
        try converge(stores)
        try expectEqual(stores, location)
        for store in stores { #expect(try store.value(String.self, Self.row) == value, sourceLocation: location) }
    }

    private func write(_ value: String, _ store: TestStore) throws {
        store.now += 1_000
        try store.sql("UPDATE clinic_services SET selectionCount = \(value) WHERE id = 's'")
        try store.collect()
    }

    @Test(
        "a value that is no whole number is the same on every PC, and so is the next whole number",
        arguments: ["''", "'abc'", "1.5", "x'00'", "1e30"]
    )
    func values(value: String) throws {
        let stores = try self.stores()
        let shown = try #require(try stores[0].value(String.self, "SELECT quote(\(value))"))
        try self.write(value, stores[0])
        // What others count meanwhile is hidden by the value.
        try self.write("selectionCount + 2", stores[1])
        try self.expect(stores, shown)
        try self.write("8", stores[2])
        try self.expect(stores, "8")
        for store in stores { try self.write("selectionCount + 1", store) }
        try self.expect(stores, "11")

        try stores[1].sql("INSERT INTO clinic_services(id, serviceName, selectionCount) VALUES('n', 'New', \(value))")
        try converge(stores)
        try expectEqual(stores)
        let new = "SELECT quote(selectionCount) FROM clinic_services WHERE id = 'n'"
        for store in stores { #expect(try store.value(String.self, new) == shown) }
    }

    @Test("of two such values the later shows and the earlier is in the journal, which brings it back")
    func journal() throws {
        let stores = try self.stores()
        try self.write("'first'", stores[0])
        stores[1].now += 1_000
        try self.write("'second'", stores[1])
        try self.expect(stores, "'second'")
        let lost = "SELECT count(*) FROM clinicsync_conflict WHERE kind = 'value' AND columnName = 'selectionCount'"
        for store in stores { #expect(try store.value(Int.self, lost) == 1) }
        let entry = try #require(try stores[2].reader.journal(openOnly: true).first)
        #expect(entry.other.value == .string("first"))
    }

    @Test("a whole number comes after a value with a stamp that lies in the future")
    func future() throws {
        let stores = try self.stores()
        stores[0].now += 400 * 86_400_000
        try self.write("'abc'", stores[0])
        try self.expect(stores, "'abc'")
        try self.write("4", stores[1])
        try self.expect(stores, "4")
    }

    @Test("a row keeps such a value when it is deleted and comes back, and loses it when it is made again")
    func deleted() throws {
        let stores = try self.stores()
        try self.write("'abc'", stores[0])
        try converge(stores)
        // An edit that the deleter had not seen keeps the row.
        try stores[0].sql("DELETE FROM clinic_services WHERE id = 's'")
        try stores[1].sql("UPDATE clinic_services SET description = 'new' WHERE id = 's'")
        try self.expect(stores, "'abc'")
        try stores[2].sql("DELETE FROM clinic_services WHERE id = 's'")
        try converge(stores)
        try stores[0].sql("INSERT INTO clinic_services(id, serviceName, selectionCount) VALUES('s', 'ECG', 5)")
        try self.write("selectionCount + 1", stores[0])
        try self.expect(stores, "6")
    }

    @Test("rows that are one show the newest such value, and a whole number counts for all of them")
    func merged() throws {
        let stores = [try TestStore(1), try TestStore(2)]
        try stores[0].sql("INSERT INTO clinic_services(id, serviceName, selectionCount) VALUES('s', 'ECG', 3)")
        try stores[0].collect()
        stores[1].now += 1_000
        try stores[1].sql("INSERT INTO clinic_services(id, serviceName, selectionCount) VALUES('t', 'ECG', 'abc')")
        try self.expect(stores, "'abc'")
        try self.write("8", stores[1])
        try self.expect(stores, "8")
        try self.write("selectionCount + 1", stores[0])
        try self.expect(stores, "9")
    }

    @Test("a node that lost its rows gets the same from another one")
    func reconciled() throws {
        let stores = try self.stores()
        try self.write("'abc'", stores[0])
        try self.write("selectionCount + 2", stores[1])
        try converge(stores)
        try stores[2].lose("clinic_services")
        #expect(try stores[2].merge(statesOf: stores[1]).contains("clinic_services"))
        try self.expect(stores, "'abc'")
        try self.write("8", stores[0])
        try converge(stores)
        try stores[1].lose("clinic_services")
        _ = try stores[1].merge(statesOf: stores[2])
        try self.write("selectionCount + 1", stores[1])
        try self.expect(stores, "9")
    }
}
