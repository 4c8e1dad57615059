import ClinicSchema
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

@Suite("Columns that a CHECK speaks of together")
struct CheckUnitTests {
    private static let entry = #"""
        "spans": { "category": "data" }, "clinicsync_conflict": { "category": "system" },
        "clinicsync_resolution": { "category": "system" }
        """#
    private static let schema = StoreSchema(
        migrations: ClinicSchema.migrations + [
            (
                "m9000_spans",
                """
                CREATE TABLE spans (
                    id TEXT PRIMARY KEY NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL, note TEXT,
                    CHECK (low < high)
                );
                """
            )
        ],
        manifest: #"{"format": 1, "tables": {\#(CheckUnitTests.entry)}}"#
    )

    @Test("edits of two columns of a CHECK on two PCs never make a row that it refuses", arguments: [true, false])
    func merge(isSecondLater: Bool) throws {
        let stores = [try TestStore(1, schema: Self.schema), try TestStore(2, schema: Self.schema)]
        let (a, b) = (stores[0], stores[1])
        try a.sql("INSERT INTO spans (id, low, high) VALUES ('s', 1, 10)")
        try converge(stores)
        if isSecondLater { b.now += 1_000 } else { a.now += 1_000 }
        // Each edit satisfies the CHECK on its own PC. Together they would be 8 < 3.
        try a.sql("UPDATE spans SET low = 8 WHERE id = 's'")
        try b.sql("UPDATE spans SET high = 3 WHERE id = 's'")
        try b.sql("UPDATE spans SET note = 'kept' WHERE id = 's'")
        try converge(stores)
        try expectEqual(stores)
        let shown = try a.value(String.self, "SELECT low || '<' || high || ' ' || ifnull(note, '') FROM spans")
        #expect(shown == (isSecondLater ? "1<3 kept" : "8<10 kept"))
        for store in stores {
            #expect(try store.value(Int.self, "SELECT count(*) FROM clinicsync_waiting") == 0)
            #expect(try store.reader.summary().openConflicts > 0, "the edit that lost is in the journal")
        }
    }

    @Test("an event names the column that changed, not those that were sent with it")
    func events() throws {
        let a = try TestStore(1, schema: Self.schema)
        try a.sql("INSERT INTO spans (id, low, high) VALUES ('s', 1, 10)")
        try a.collect()
        try a.sql("UPDATE spans SET low = 2 WHERE id = 's'")
        #expect(try a.collect().events.map(\.change?.columns) == [["low"]])
    }

    @Test("CHECKs of columns and tables make units, joined where they overlap, whatever the text looks like")
    func units() throws {
        let sql = """
            CREATE TABLE t (
                id TEXT PRIMARY KEY NOT NULL CHECK (length(id) > 0 AND id <> a),
                a INTEGER CHECK (a > 0 /* b */ AND a <> 7 -- c
                ),
                "b b" INTEGER, [C] INTEGER CHECK ("c" < "b b"),
                d INTEGER GENERATED ALWAYS AS (e * 2) VIRTUAL, e INTEGER, f INTEGER,
                g TEXT DEFAULT 'check (a < e)',
                CHECK (D < (F + 1)),
                CONSTRAINT x CHECK (g IN ('a', 'e') OR `a` IS NULL)
            );
            """
        let tables = try SchemaText.read(sql, entry: #""t": { "category": "data" }"#)
        let table = try #require(tables["t"])
        let units = table.units.map { $0.compactMap { table.column(slot: $0)?.name } }
        #expect(Set(units) == [["b b", "C"], ["e", "f"], ["a", "g"]])
    }

    @Test("a counter in a CHECK with other columns is refused with a sentence that says what to do")
    func counter() {
        #expect(throws: SchemaError.counterInCheck(table: "t", column: "n")) {
            try SchemaText.read(
                "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL, m INTEGER, CHECK (n < m));",
                entry: #""t": { "category": "data", "counters": ["n"] }"#
            )
        }
        #expect(throws: Never.self) {
            try SchemaText.read(
                "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL CHECK (n > -100), m INTEGER);",
                entry: #""t": { "category": "data", "counters": ["n"] }"#
            )
        }
    }

    @Test("a counter that does not begin with 0 is refused")
    func counterDefault() {
        #expect(throws: SchemaError.unusableCounter(table: "t", column: "n")) {
            try SchemaText.read(
                "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL DEFAULT 5);",
                entry: #""t": { "category": "data", "counters": ["n"] }"#
            )
        }
    }
}
