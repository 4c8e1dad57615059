import ClinicSchema
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("Upgrades of files")
struct UpgradeFileTests {
    /// A node's file that several versions of the program open, one after the other.
    private struct NodeFile {
        let url: URL
        let number: UInt64

        func open(_ schema: StoreSchema, _ body: (ReplicaWriter, ReplicaReader) throws -> Void) throws {
            try self.result(schema, body)
        }

        func result<Result>(
            _ schema: StoreSchema,
            _ body: (ReplicaWriter, ReplicaReader) throws -> Result
        ) throws -> Result {
            let writer = try ReplicaWriter(
                database: StoreDatabase.open(path: self.url.path),
                origin: Origin(node: NodeID(high: 0xC11, low: self.number)),
                schema: schema,
                wallClock: { Int64(Date().timeIntervalSince1970 * 1_000) }
            )
            let reader = try ReplicaReader(beside: writer)
            let result = try body(writer, reader)
            reader.close()
            try writer.close()
            return result
        }
    }

    private static let wider = StoreSchema(
        migrations: ClinicSchema.migrations + [
            (
                "m9000_wider",
                """
                ALTER TABLE patients ADD COLUMN language TEXT NOT NULL DEFAULT 'none';
                ALTER TABLE patients ADD COLUMN weight REAL DEFAULT 0;
                CREATE TABLE rooms (id TEXT PRIMARY KEY NOT NULL, label TEXT);
                """
            )
        ],
        manifest: ClinicSchema.manifest.replacing(
            "\"users\": {",
            with: "\"rooms\": { \"category\": \"data\" }, \"users\": {"
        )
    )

    @Test("a clinic of two PCs is upgraded one after the other, with programs that write to the files all the time")
    func onePCAfterTheOther() throws {
        let directory = try TemporaryDirectory()
        let files = try (1...2).map { (number: UInt64) in
            let file = NodeFile(url: directory.file("\(number).db"), number: number)
            try StoreDatabase.create(path: file.url.path).close()
            return file
        }
        for (file, id) in zip(files, ["a", "b"]) {
            try file.open(.clinic) { _, _ in }
            try Program.sqlite3(file.url, "INSERT INTO patients(id, fullName) VALUES ('\(id)', 'before');")
        }
        try self.exchange(files, [.clinic, .clinic])

        // The first node: it sends none of its changes again.
        let vector = try self.vector(files[0], .clinic)
        try files[0].open(Self.wider) { (writer, _) throws in
            #expect(try self.collectAll(writer) == 0)
            #expect(try writer.state().vector == vector)
        }
        try Program.sqlite3(
            files[0].url,
            """
            UPDATE patients SET language = 'es' WHERE id = 'b'; INSERT INTO rooms VALUES ('r', 'one');
            INSERT INTO patients(id, fullName, weight) VALUES ('c', 'by new', 3);
            """
        )
        try Program.sqlite3(files[1].url, "INSERT INTO patients(id, fullName) VALUES ('d', 'by old');")
        try self.exchange(files, [Self.wider, .clinic])
        #expect(try self.patients(files[1], "id || fullName") == "abefore,bbefore,cby new,dby old")
        #expect(try self.patients(files[0], "id || language || weight") == "anone0.0,bes0.0,cnone3.0,dnone0.0")

        // The second node: a program writes to its file while the node is off. It has everything at its first start.
        try Program.sqlite3(files[1].url, "UPDATE patients SET fullName = 'off' WHERE id = 'b';")
        try files[1].open(Self.wider) { (writer, reader) throws in
            #expect(try reader.summary().waiting.isEmpty)
            #expect(try self.collectAll(writer) == 0)
        }
        #expect(try self.patients(files[1], "id || language || weight") == "anone0.0,bes0.0,cnone3.0,dnone0.0")
        #expect(try Program.sqlite3(files[1].url, "SELECT label FROM rooms;") == "one")
        try self.exchange(files, [Self.wider, Self.wider])
        let digests = try files.map { try $0.result(Self.wider) { _, reader in try reader.digests().tables } }
        #expect(digests[0] == digests[1])
        #expect(try self.patients(files[0], "fullName") == "before,off,by new,by old")
        for file in files {
            try file.open(Self.wider) { (writer, _) throws in
                #expect(try writer.sweep(table: nil, clockOffsetMilliseconds: 0).escaped == 0)
            }
        }
    }

    // MARK: - Steps

    private func collectAll(_ writer: ReplicaWriter) throws -> Int {
        var logged = 0
        var hasMore = true
        while hasMore {
            let outcome = try writer.collect(clockOffsetMilliseconds: 0)
            logged += outcome.logged.count
            hasMore = outcome.hasMore
        }
        return logged
    }

    private func vector(_ file: NodeFile, _ schema: StoreSchema) throws -> VersionVector {
        try file.result(schema) { writer, _ in
            _ = try self.collectAll(writer)
            return try writer.state().vector
        }
    }

    /// Exchanges the batches of the two files.
    private func exchange(_ files: [NodeFile], _ schemas: [StoreSchema]) throws {
        for (source, target) in [(0, 1), (1, 0)] {
            let vector = try self.vector(files[target], schemas[target])
            let chunks = try files[source].result(schemas[source]) { writer, reader in
                _ = try self.collectAll(writer)
                return try reader.readLog(after: try #require(try reader.locate(vector)), maxBytes: .max).chunks.map(
                    \.chunk
                )
            }
            try files[target].open(schemas[target]) { writer, _ in
                let lacking = chunks.filter { vector[$0.batch.origin] < $0.batch.sequence }
                var outcome = try writer.store(lacking, clockOffsetMilliseconds: 0)
                while outcome.isApplyPending { outcome = try writer.applyStored(clockOffsetMilliseconds: 0) }
            }
        }
    }

    private func patients(_ file: NodeFile, _ columns: String) throws -> String {
        try Program.sqlite3(file.url, "SELECT group_concat(x) FROM (SELECT \(columns) AS x FROM patients ORDER BY id);")
    }
}
