import ClinicSchema
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

@Suite("Columns that hold their default")
struct DefaultTests {
    private static func schema(_ columns: String) -> StoreSchema {
        StoreSchema(
            migrations: ClinicSchema.migrations + [
                ("m9000_things", "CREATE TABLE things (id TEXT PRIMARY KEY NOT NULL, name TEXT\(columns));")
            ],
            manifest: #"{"format": 1, "tables": {"things": { "category": "data" }}}"#
        )
    }

    private func digest(_ store: TestStore) throws -> Digest {
        try store.collect()
        return try #require(try store.reader.digests().tables.first { $0.name == "things" }).digest
    }

    @Test(
        "a column that holds its default changes no digest, whatever the default is",
        arguments: [
            "n INTEGER DEFAULT 7", "n INTEGER NOT NULL DEFAULT -3", "n REAL DEFAULT 0", "n TEXT DEFAULT 'it''s'",
            "n TEXT DEFAULT \"word\"", "n TEXT DEFAULT word", "n BLOB DEFAULT x'00ff'", "n TEXT DEFAULT 5",
            "n INTEGER DEFAULT '12'", "n DEFAULT (1.5e+3)", "n DEFAULT NULL", "n DEFAULT TRUE",
            "n INTEGER DEFAULT 0x1F",
        ]
    )
    func constant(column: String) throws {
        let (plain, wide) = (
            try TestStore(1, schema: Self.schema("")), try TestStore(2, schema: Self.schema(", \(column)"))
        )
        for store in [plain, wide] { try store.sql("INSERT INTO things (id, name) VALUES ('t', 'x')") }
        #expect(try self.digest(plain) == self.digest(wide))
        try wide.sql("UPDATE things SET n = 99")
        #expect(try self.digest(plain) != self.digest(wide))
        try wide.verify()
    }

    @Test("NULL in a column whose default is something else is a value like any other")
    func null() throws {
        let (plain, wide) = (
            try TestStore(1, schema: Self.schema("")), try TestStore(2, schema: Self.schema(", n DEFAULT 7"))
        )
        for store in [plain, wide] { try store.sql("INSERT INTO things (id) VALUES ('t')") }
        try wide.collect()
        try wide.sql("UPDATE things SET n = NULL")
        #expect(try wide.collect().events.map(\.change?.columns) == [["n"]])
        #expect(try self.digest(plain) != self.digest(wide))
        try wide.sql("UPDATE things SET n = 7")
        #expect(try wide.collect().events.map(\.change?.columns) == [["n"]])
        #expect(try self.digest(plain) == self.digest(wide))
    }

    @Test(
        "a default that is computed for each row counts as a value",
        arguments: [
            "n DEFAULT (hex(randomblob(4)))", "n DEFAULT CURRENT_TIMESTAMP", "n DEFAULT (strftime('%s', 'now'))",
            "n DEFAULT (current_date)",
        ]
    )
    func computed(column: String) throws {
        let (plain, wide) = (
            try TestStore(1, schema: Self.schema("")), try TestStore(2, schema: Self.schema(", \(column)"))
        )
        for store in [plain, wide] { try store.sql("INSERT INTO things (id) VALUES ('t')") }
        #expect(try self.digest(plain) != self.digest(wide))
        try wide.verify()
    }

    @Test("digests from the real tables leave defaults out as the bookkeeping does")
    func realDigests() throws {
        let a = try TestStore(1)
        try a.sql(
            "INSERT INTO patients (id, fullName) VALUES ('p', 'Ana'); INSERT INTO users (id, username) VALUES ('u', 'ana')"
        )
        try a.collect()
        let (real, known) = (try a.reader.realDigests(table: nil), try a.reader.clinicDigests())
        #expect(real.map(\.name) == known.map(\.name))
        #expect(real.map(\.rows) == known.map(\.rows))
        #expect(real.map(\.digest) == known.map(\.digest))
    }

    @Test("an insertion by a node whose schema lacks a column gives it the default, and both are equal")
    func insertionWithoutTheColumn() throws {
        let old = try TestStore(1, schema: Self.schema(""))
        let new = try TestStore(2, schema: Self.schema(", n INTEGER DEFAULT 7, s TEXT NOT NULL DEFAULT 'none'"))
        try old.sql("INSERT INTO things (id, name) VALUES ('t', 'x')")
        try old.send(to: new)
        #expect(try new.value(String.self, "SELECT name || n || s FROM things") == "x7none")
        #expect(try self.digest(old) == self.digest(new))
        try new.verify()
        // The change takes the long way, into the state of a deleted row.
        try old.sql("DELETE FROM things")
        try old.send(to: new)
        try old.sql("INSERT INTO things (id, name) VALUES ('t', 'again')")
        try old.send(to: new)
        #expect(try new.value(String.self, "SELECT name || n || s FROM things") == "again7none")
        #expect(try self.digest(old) == self.digest(new))
        try new.verify()
    }
}
