import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Testing

/// Faults that users of such systems report, if no other scenario covers them.
@Suite("Torture: what bites in the field")
struct FieldTortureTests {
    private func stores(_ count: UInt64, _ start: String) throws -> [TestStore] {
        let stores = try (1...count).map { try TestStore($0, like: TortureSchema.references.get()) }
        try stores[0].sql(start)
        try converge(stores)
        return stores
    }

    @Test("a batch that was refused is applied when it is sent again")
    func refusedBatch() throws {
        let stores = try self.stores(2, "INSERT INTO patient(id, name) VALUES ('p', 'Ana')")
        try stores[0].sql("UPDATE patient SET name = 'Anna'")
        try stores[0].collect()
        let parcel = try #require(try stores[0].parcels().last)
        let chunk = parcel.chunks[0]
        let damaged = BatchChunk(
            batch: chunk.batch,
            index: chunk.index,
            header: chunk.header,
            isLast: true,
            checksum: chunk.checksum,
            payload: chunk.payload.reversed()
        )
        #expect(throws: MalformedChunk.self) { try stores[1].writer.store([damaged], clockOffsetMilliseconds: 0) }
        try stores[1].receive([parcel])
        #expect(try stores[1].column("SELECT name FROM patient") == ["Anna"])
        try expectEqual(stores)
    }

    @Test("what is merged is nobody's new edit")
    func mergedValuesAreNotStamped() throws {
        let stores = try self.stores(2, "INSERT INTO patient(id, name) VALUES ('p', 'Ana')")
        try stores[0].sql("DELETE FROM patient")
        try stores[1].sql("INSERT INTO bill(id, patientId) VALUES ('b', 'p')")
        try converge(stores)
        for store in stores {
            #expect(try store.collect().logged.isEmpty)
            #expect(try store.writer.sweep(table: nil, clockOffsetMilliseconds: 0).escaped == 0)
        }
    }

    @Test("a PC that was away for long does not bring back what was deleted meanwhile")
    func returningDevice() throws {
        let stores = try self.stores(3, "INSERT INTO patient(id, name) VALUES ('p', 'Ana'), ('q', 'Bea')")
        try stores[0].sql("DELETE FROM patient WHERE id = 'p'")
        try stores[0].send(to: stores[1])
        stores[2].now += 60 * 86_400_000
        try stores[2].sql("UPDATE patient SET name = 'Bea B.' WHERE id = 'q'")
        try converge(stores)
        #expect(try stores[0].column("SELECT name FROM patient") == ["Bea B."])
        try expectEqual(stores)
    }

    @Test("tables may be repaired in any order, children before parents")
    func tableOrder() throws {
        let stores = try self.stores(2, "INSERT INTO patient(id, name) VALUES ('p', 'Ana')")
        try stores[0].sql("DELETE FROM patient")
        try stores[1].sql(
            """
            INSERT INTO bill(id, patientId) VALUES ('b', 'p'); INSERT INTO item(id, billId) VALUES ('i', 'b');
            INSERT INTO patient(id, name) VALUES ('q', 'Bea'); INSERT INTO bill(id, patientId) VALUES ('c', 'q')
            """
        )
        for store in stores { try store.collect() }
        let late = try TestStore(7, like: TortureSchema.references.get())
        // A node takes the states of rows only when it knows the batches that made them.
        for source in stores { try late.receive(source.parcels()) }
        for table in ["item", "bill", "patient"] { try late.lose(table) }
        for source in stores { try late.merge(statesOf: source, reversed: true) }
        try converge(stores)
        let clinical = { (store: TestStore) in try store.dump().filter { !$0.hasPrefix("clinicsync") } }
        #expect(try clinical(late) == clinical(stores[0]))
        try late.receive(stores[0].parcels())
        try expectEqual(stores + [late])
    }

    @Test("counters are exact on a restored node that goes on in a new incarnation", arguments: [1, 4])
    func restoredNode(increments: Int) throws {
        let stores = try self.stores(2, "INSERT INTO patient(id, name, n) VALUES ('p', 'Ana', 10)")
        let backup = try stores[0].snapshot()
        // The other PC has the changes that the backup lacks.
        try stores[0].sql("UPDATE patient SET n = n + 100")
        try converge(stores)
        try stores[0].rewind(to: backup)
        let restored = try stores[0].copy(incarnation: 7)
        for _ in 0..<increments {
            try restored.sql("UPDATE patient SET n = n + 1")
            try restored.collect()
        }
        try stores[1].sql("UPDATE patient SET n = n - 5")
        try converge([restored, stores[1]])
        #expect(try restored.column("SELECT n FROM patient") == ["\(10 + 100 + increments - 5)"])
        try restored.merge(statesOf: stores[1])
        try expectEqual([restored, stores[1]])
    }
}
