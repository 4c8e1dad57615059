import ClinicSyncCore
import ClinicSyncModel
import GRDB
import Testing

@testable import ClinicSyncStorage

@Suite("The sizes of what nodes write into their own tables") struct SystemTableTests {
    private func grant(_ id: String, _ bytes: Int) -> [String: SQLiteValue] {
        ["node": .string(id), "certificate": .blob(Array(repeating: 7, count: bytes))]
    }

    @Test("a value that is too large never leaves its PC, and the rest of its transaction does")
    func notCollected() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.writer.putAgentRow(table: "clinicsync_grant", values: self.grant("large", 8_193))
        try a.writer.putAgentRow(table: "clinicsync_grant", values: self.grant("fits", 8_192))
        try a.sql("INSERT INTO patients(id, fullName) VALUES ('p1', ?)", [String(repeating: "x", count: 100_000)])
        try a.collect()
        try a.send(to: b)
        #expect(try b.reader.agentRows("clinicsync_grant").map { $0["node"] } == [.string("fits")])
        #expect(try b.value(Int.self, "SELECT count(*) FROM patients") == 1)
        let note = "SELECT count(*) FROM clinicsync_waiting WHERE reason LIKE 'larger than 8 KiB%'"
        #expect(try a.value(Int.self, note) == 1)
        // A row that is made small again is like any other.
        try a.writer.putAgentRow(table: "clinicsync_grant", values: self.grant("large", 10))
        try a.collect()
        try converge([a, b])
        try expectEqual([a, b])
    }

    @Test(
        "of a batch that an older or hostile node made, every node leaves out the values that are too large, and no more"
    )
    func notApplied() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        let author = Origin(node: NodeID(high: 9, low: 9))
        let stamp = HybridTimestamp(milliseconds: a.now, counter: 0)
        var writer = ChangeChunkWriter(base: stamp)
        func append(_ table: String, _ key: String, _ bytes: Int) throws {
            let plan = try #require(a.writer.plans[table])
            let slot = try #require(plan.slot(of: table == "patients" ? "address" : "certificate"))
            ValueRef.with(.string(key)) { key in
                ValueRef.with(.blob(Array(repeating: 7, count: bytes))) { value in
                    writer.append(.insert, plan: plan, key: key, timestamp: stamp, slots: 1 << UInt64(slot)) { _ in
                        value
                    }
                }
            }
        }
        try append("clinicsync_grant", "large", 8_193)
        try append("clinicsync_grant", "fits", 8_192)
        try append("clinicsync_grant", String(repeating: "k", count: 9_000), 1)
        try append("patients", "p1", 100_000)
        let payload = writer.payload()
        let chunk = BatchChunk(
            batch: BatchID(origin: author, sequence: 1),
            index: 0,
            header: BatchHeader(timestamp: stamp, dependencies: VersionVector(), schemaVersion: 1),
            isLast: true,
            checksum: payload.withUnsafeBytes { SipHash.hash64($0) },
            payload: payload
        )
        _ = try a.writer.store([chunk], clockOffsetMilliseconds: 0)
        try a.send(to: b)
        for store in [a, b] {
            #expect(try store.reader.agentRows("clinicsync_grant").map { $0["node"] } == [.string("fits")])
            #expect(try store.value(Int.self, "SELECT length(address) FROM patients") == 100_000)
            #expect(try store.vector[author] == 1)
        }
        try expectEqual([a, b])
    }

    @Test("a reader gets a bounded part of a table, whatever its rows, and can go on after it")
    func pages() throws {
        let store = try TestStore(1)
        try store.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
            INSERT INTO clinicsync_grant (node, certificate)
            SELECT printf('%04d', i), zeroblob(CASE WHEN i % 2 THEN 8192 ELSE 20000 END) FROM n
            """
        )
        var keys: [SQLiteValue] = []
        var pages = 0
        while true {
            let rows = try store.reader.agentRows("clinicsync_grant", after: keys.last)
            if rows.isEmpty { break }
            pages += 1
            #expect(rows.count <= SystemTableLimits.pageRows)
            let sizes = rows.map { row in if case .blob(let bytes)? = row["certificate"] { bytes.count } else { 0 } }
            #expect(sizes.reduce(0, +) <= SystemTableLimits.pageBytes + 8_192)
            // A value that is too large is left out.
            #expect(sizes.allSatisfy { $0 == 8_192 || $0 == 0 })
            keys += rows.compactMap { $0["node"] }
        }
        #expect(keys == (1...1_000).map { .string(String(10_000 + $0).dropFirst().description) })
        #expect(pages > 3)
        #expect(try store.reader.agentRowCount("clinicsync_grant", limit: 70) == 70)
        #expect(try store.reader.agentRow("clinicsync_grant", key: .string("0002"))?.keys.sorted() == ["node"])
        #expect(try store.reader.agentRow("clinicsync_grant", key: .string("none")) == nil)
    }
}
