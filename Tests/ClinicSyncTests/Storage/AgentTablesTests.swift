import ClinicSchema
import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("The tables that nodes fill themselves")
struct AgentTablesTests {
    static let tables = [
        "clinicsync_conflict", "clinicsync_grant", "clinicsync_horizon", "clinicsync_lapse", "clinicsync_node",
        "clinicsync_notice", "clinicsync_probe", "clinicsync_probe_answer", "clinicsync_provisional",
        "clinicsync_resolution", "clinicsync_revocation",
    ]

    private func node(_ id: String, _ name: String, at: Int64 = 7) -> [String: SQLiteValue] {
        ["id": .string(id), "name": .string(name), "certificate": .blob([1, 2, 3]), "joinedAt": .integer(at)]
    }

    @Test("what a node writes about itself reaches the others like any edit")
    func replication() throws {
        let stores = try (1...3).map { try TestStore($0) }
        #expect(try stores[0].writer.putAgentRow(table: "clinicsync_node", values: self.node("n1", "Front")))
        let grant: [String: SQLiteValue] = ["node": .string("n1"), "certificate": .blob([4])]
        #expect(try stores[0].writer.putAgentRow(table: "clinicsync_grant", values: grant))
        let entry: [String: SQLiteValue] = ["node": .string("n9"), "number": .integer(1), "entry": .blob([5, 0])]
        #expect(try stores[1].writer.putAgentRow(table: "clinicsync_revocation", values: entry))
        let events = try stores[0].collect().events
        #expect(events.map(\.change?.category) == [.system, .system])
        #expect(Set(events.compactMap(\.change?.table)) == ["clinicsync_grant", "clinicsync_node"])
        try converge(stores)
        try expectEqual(stores)
        for store in stores {
            let row = try #require(try store.reader.agentRows("clinicsync_node").first)
            #expect(row["name"] == .string("Front"))
            #expect(row["certificate"] == .blob([1, 2, 3]))
            #expect(row["address"] == .string(""))
            #expect(row["joinedAt"] == .integer(7))
            #expect(try store.reader.agentRows("clinicsync_grant").map { $0["certificate"] } == [.blob([4])])
            #expect(try store.reader.agentRows("clinicsync_revocation").map { $0["entry"] } == [.blob([5, 0])])
        }
    }

    @Test("identical values are no edit, and columns that are not named keep theirs")
    func repeatedPut() throws {
        let store = try TestStore(1)
        #expect(try store.writer.putAgentRow(table: "clinicsync_node", values: self.node("n1", "Front")))
        try store.collect()
        let vector = try store.vector
        #expect(try !store.writer.putAgentRow(table: "clinicsync_node", values: self.node("n1", "Front")))
        #expect(try store.value(Int.self, "SELECT count(*) FROM clinicsync_dirty") == 0)
        #expect(try store.collect().logged.isEmpty)
        #expect(try store.vector == vector)
        let part: [String: SQLiteValue] = ["id": .string("n1"), "certificate": .text([1, 2, 3])]
        #expect(try store.writer.putAgentRow(table: "clinicsync_node", values: part))
        #expect(try store.collect().events.map(\.change?.columns) == [["certificate"]])
        #expect(try store.reader.agentRows("clinicsync_node").map { $0["name"] } == [.string("Front")])
        #expect(try !store.writer.putAgentRow(table: "clinicsync_node", values: ["id": .string("n1")]))
    }

    @Test("nodes and meddling programs converge in every order", arguments: 0..<20)
    func randomHistories(seed: UInt64) throws {
        var random = TestRandom(seed: seed)
        let stores = try (1...3).map { try TestStore($0, like: TortureSchema.clinic.get()) }
        for _ in 0..<60 {
            let store = stores[Int.random(in: 0..<3, using: &random)]
            store.now += Int64.random(in: -50...100, using: &random)
            if Int.random(in: 0..<4, using: &random) == 0 {
                try store.send(to: stores[Int.random(in: 0..<3, using: &random)])
            } else {
                try self.act(on: store, using: &random)
                if Bool.random(using: &random) { try store.collect() }
            }
        }
        try converge(stores)
        try expectEqual(stores)
    }

    private func act(on store: TestStore, using random: inout TestRandom) throws {
        let id = Int.random(in: 0..<4, using: &random)
        let value = Int.random(in: 0..<5, using: &random)
        switch Int.random(in: 0..<7, using: &random) {
        case 0, 1:
            try store.writer.putAgentRow(table: "clinicsync_node", values: self.node("n\(id)", "v\(value)"))
        case 2, 3:
            let values: [String: SQLiteValue] = [
                "node": .string("n\(id)"), "number": .integer(Int64(value)), "entry": .blob([UInt8(value)]),
            ]
            try store.writer.putAgentRow(table: "clinicsync_revocation", values: values)
        case 4: try store.sql("DELETE FROM clinicsync_revocation WHERE node = 'n\(id)'")
        case 5: try store.sql("UPDATE clinicsync_node SET name = 'x\(value)', certificate = NULL WHERE id = 'n\(id)'")
        default: try store.sql("INSERT OR REPLACE INTO clinicsync_node(id, name) VALUES('n\(id)', 'y\(value)')")
        }
    }

    @Test("a comparison of whole tables repairs them, and a sweep finds what was written past the triggers")
    func repair() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.writer.putAgentRow(table: "clinicsync_node", values: self.node("n1", "Front"))
        try converge([a, b])
        try b.lose("clinicsync_node")
        #expect(try a.reader.digests().tables != b.reader.digests().tables)
        #expect(try a.reader.clinicDigests() == b.reader.clinicDigests())
        let page = try b.reader.rowHashes(round: 1, table: "clinicsync_node", after: nil)
        for answer in try a.reader.compare(page) {
            let outcome = try b.writer.merge(answer, clockOffsetMilliseconds: 0)
            #expect(outcome.events.map(\.change?.category) == [.system])
        }
        try expectEqual([a, b])
        try b.sql(
            """
            UPDATE clinicsync_guard SET applying = 1; DELETE FROM clinicsync_node;
            UPDATE clinicsync_guard SET applying = 0
            """
        )
        #expect(try b.writer.sweep(table: nil, clockOffsetMilliseconds: 0).escaped == 1)
    }

    @Test("people and programs see the clinic's thirteen tables alone")
    func invisible() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        for (store, name) in [(a, "Front"), (b, "Back")] {
            try store.writer.putAgentRow(table: "clinicsync_node", values: self.node("n1", name))
            try store.collect()
        }
        try converge([a, b])
        #expect(a.reader.clinicTables.count == 13)
        #expect(a.reader.clinicTables.allSatisfy { !$0.hasPrefix("clinicsync_") })
        #expect(try a.reader.clinicDigests().map(\.name) == a.reader.clinicTables)
        #expect(try a.reader.realDigests(table: nil).map(\.name) == a.reader.clinicTables)
        #expect(try a.reader.digests().tables.count == 13 + Self.tables.count)
        for table in Self.tables {
            #expect(throws: UnknownTable(name: table)) { try a.reader.realDigests(table: table) }
        }
        // The two names were a conflict that people must not see.
        #expect(try a.value(Int.self, "SELECT count(*) FROM clinicsync_conflict") == 0)
        #expect(try a.reader.summary().openConflicts == 0)
    }

    @Test("a row that a node has put and not collected survives the node's death")
    func death() throws {
        let file = try TemporaryStore()
        try file.open { writer, _ in
            try writer.putAgentRow(table: "clinicsync_node", values: self.node("n1", "Front"))
            // Copies the file and its log unchanged, as a disk has them after a power cut or a kill.
            try file.copyToRestart()
        }
        try file.openCopy { writer, reader in
            #expect(try reader.agentRows("clinicsync_node").map { $0["name"] } == [.string("Front")])
            let outcome = try writer.collect(clockOffsetMilliseconds: 0)
            #expect(outcome.logged.count == 1)
            #expect(outcome.events.map(\.change?.table) == ["clinicsync_node"])
        }
    }

    @Test("how far the host is with a node's own batches is known after a restart")
    func acknowledged() throws {
        let file = try TemporaryStore()
        let host = NodeID(high: 9, low: 9)
        try file.open { writer, _ in
            #expect(try writer.state().acknowledgedByHost == 0)
            for name in ["Front", "Back"] {
                try writer.putAgentRow(table: "clinicsync_node", values: self.node("n1", name))
                _ = try writer.collect(clockOffsetMilliseconds: 0)
            }
            let vector = VersionVector([.init(origin: TemporaryStore.origin, sequence: 1)])
            try writer.recordAcknowledged([
                MemberProgress(node: host, vector: vector, seenMilliseconds: 1),
                MemberProgress(node: NodeID(high: 9, low: 8), vector: VersionVector(), seenMilliseconds: 2),
            ])
        }
        try file.open { writer, _ in
            let state = try writer.state()
            #expect(state.vector[TemporaryStore.origin] == 2)
            #expect(state.acknowledgedByHost == 1)
        }
    }

    @Test("a file of the version before gets the tables, keeps what it has, and goes on replicating")
    func upgrade() throws {
        let file = try TemporaryStore()
        try file.open(schema: Self.schemaBefore()) { writer, _ in #expect(writer.schemaVersion == 3) }
        try Program.sqlite3(file.url, "INSERT INTO patients(id, fullName) VALUES ('p1', 'Ana'), ('p2', 'Bea');")
        var before = VersionVector()
        try file.open(schema: Self.schemaBefore()) { writer, _ in
            #expect(try writer.collect(clockOffsetMilliseconds: 0).logged.count == 1)
            before = try writer.state().vector
        }
        try Program.sqlite3(
            file.url,
            """
            INSERT INTO clinicsync_invitation VALUES (x'00', 1, 1); DROP TABLE clinicsync_unshared; DROP TABLE clinicsync_event;
            ALTER TABLE clinicsync_origin DROP COLUMN floor; DROP TABLE clinicsync_horizon; DROP TABLE clinicsync_lapse;
            DROP TABLE clinicsync_stage; DROP TABLE clinicsync_transfer; DROP TABLE clinicsync_pin;
            DELETE FROM patients WHERE id = 'p2';
            """
        )
        let digest = try DatabaseDigest.compute(path: file.url.path, table: "patients")
        #expect(digest.map(\.rows) == [1])
        try file.open { writer, reader in
            #expect(writer.schemaVersion == 25)
            #expect(try writer.state().vector == before)
            #expect(try writer.collect(clockOffsetMilliseconds: 0).events.map(\.change?.operation) == [.delete])
            #expect(try reader.realDigests(table: "patients") == digest)
            try writer.putAgentRow(table: "clinicsync_node", values: self.node("n1", "Front"))
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            let fresh = try TestStore(2)
            let chunks = try reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
            var outcome = try fresh.writer.store(chunks, clockOffsetMilliseconds: 0)
            if outcome.isApplyPending { outcome = try fresh.writer.applyStored(clockOffsetMilliseconds: 0) }
            #expect(try fresh.reader.digests().tables == reader.digests().tables)
            #expect(try fresh.value(String.self, "SELECT group_concat(fullName) FROM patients") == "Ana")
            #expect(try fresh.reader.agentRows("clinicsync_node").count == 1)
            #expect(try writer.sweep(table: nil, clockOffsetMilliseconds: 0).escaped == 0)
        }
        let left = "SELECT count(*) FROM sqlite_master WHERE name = 'clinicsync_invitation';"
        #expect(try Program.sqlite3(file.url, left) == "0")
    }

    @Test("sample data asks about the clinic's tables alone")
    func sampleData() throws {
        let file = try TemporaryStore()
        try file.open { writer, _ in
            try writer.putAgentRow(table: "clinicsync_node", values: self.node("n1", "Front"))
        }
        #expect(try SampleData.isEmpty(path: file.url.path))
        let digests = try DatabaseDigest.compute(path: file.url.path, table: nil)
        #expect(digests.count == 13)
        #expect(throws: UnknownTable(name: "clinicsync_node")) {
            try DatabaseDigest.compute(path: file.url.path, table: "clinicsync_node")
        }
    }

    /// Three migrations and thirteen tables.
    private static func schemaBefore() throws -> StoreSchema {
        let text = Data(ClinicSchema.manifest.utf8)
        var manifest = try #require(try JSONSerialization.jsonObject(with: text) as? [String: Any])
        let entries = try #require(manifest["tables"] as? [String: Any])
        manifest["tables"] = entries.filter { !$0.key.hasPrefix("clinicsync_") }
        let json = try JSONSerialization.data(withJSONObject: manifest)
        // The present program needs the tables of m0005, m0007, m0016 and m0017 to open a file. They are dropped below.
        let later = ["m0016_log_floor", "m0017_state_transfer", "m0023_forgotten"]
        var migrations = Array(ClinicSchema.migrations.prefix(3))
        migrations[2].sql += ClinicSchema.migrations[4].sql + ClinicSchema.migrations[6].sql
        migrations[2].sql += ClinicSchema.migrations.filter { later.contains($0.name) }.map(\.sql).joined()
        return StoreSchema(
            migrations: migrations,
            manifest: String(decoding: json, as: UTF8.self)
        )
    }
}

/// A node's database file that is opened and closed several times.
private final class TemporaryStore {
    static let origin = Origin(node: NodeID(high: 0xC11, low: 1))

    private let directory: TemporaryDirectory
    var url: URL { self.directory.file("clinic.db") }
    private var copy: URL { self.directory.file("copy.db") }

    init() throws {
        self.directory = try TemporaryDirectory()
        try StoreDatabase.create(path: self.url.path).close()
    }

    func open(schema: StoreSchema = .clinic, _ body: (ReplicaWriter, ReplicaReader) throws -> Void) throws {
        try self.open(self.url, schema: schema, body)
    }

    func openCopy(_ body: (ReplicaWriter, ReplicaReader) throws -> Void) throws {
        try self.open(self.copy, schema: .clinic, body)
    }

    func copyToRestart() throws {
        for suffix in ["", "-wal"] {
            try FileManager.default.copyItem(atPath: self.url.path + suffix, toPath: self.copy.path + suffix)
        }
    }

    private func open(
        _ url: URL,
        schema: StoreSchema,
        _ body: (ReplicaWriter, ReplicaReader) throws -> Void
    ) throws {
        let writer = try ReplicaWriter(
            database: try StoreDatabase.open(path: url.path),
            origin: Self.origin,
            schema: schema,
            wallClock: { Int64(Date().timeIntervalSince1970 * 1_000) }
        )
        // The marks that the opening of the file made.
        let reader = try ReplicaReader(beside: writer)
        try body(writer, reader)
        reader.close()
        try writer.close()
    }
}
