import ClinicSchema
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// Schemas that follow one another, of a clinic with one small table.
private enum Versions {
    static func schema(_ later: [String], manifest: String = #""things": { "category": "data" }"#) -> StoreSchema {
        let first = "CREATE TABLE things (id TEXT PRIMARY KEY NOT NULL, name TEXT, word TEXT);"
        let migrations = ([first] + later).enumerated().map { (name: "m900\($0)_test", sql: $1) }
        return StoreSchema(
            migrations: ClinicSchema.migrations + migrations,
            manifest: #"{"format": 1, "tables": {\#(manifest), \#(Versions.agents)}}"#
        )
    }

    private static let agents = ["node", "revocation", "conflict", "resolution"]
        .map { #""clinicsync_\#($0)": { "category": "system" }"# }
        .joined(separator: ", ")

    static let first = schema([])
    static let wider = schema(["ALTER TABLE things ADD COLUMN n INTEGER NOT NULL DEFAULT 7;"])
    static let twoTables = schema(
        ["CREATE TABLE rooms (id TEXT PRIMARY KEY NOT NULL, label TEXT);"],
        manifest: #""things": { "category": "data" }, "rooms": { "category": "data" }"#
    )
    static let dropped = schema(["-- destructive\nALTER TABLE things DROP COLUMN word;"])
    static let renamed = schema(["-- destructive\nALTER TABLE things RENAME COLUMN word TO term;"])
}

@Suite("Nodes of different schema versions")
struct SchemaDifferenceTests {
    private func things(_ store: TestStore, _ columns: String = "name || n") throws -> [String] {
        try store.queue.read { try String.fetchAll($0, sql: "SELECT \(columns) FROM things ORDER BY id") }
    }

    private func notes(_ store: TestStore) throws -> Int {
        try #require(try store.value(Int.self, "SELECT count(*) FROM clinicsync_waiting WHERE tableId = 0"))
    }

    @Test("a migration that adds columns sends no row anew, and finds what was written while the node was off")
    func additive() throws {
        var a = try TestStore(1, schema: Versions.first)
        let b = try TestStore(2, schema: Versions.first)
        try a.sql("INSERT INTO things (id, name) VALUES ('a', 'x'), ('b', 'y')")
        try converge([a, b])
        let vector = try a.vector
        a = try TestStore(reopening: a, schema: Versions.wider)
        #expect(try a.collect().logged.isEmpty)
        #expect(try a.vector == vector)
        #expect(try a.reader.digests().tables == b.reader.digests().tables)
        try a.verify()

        // The node is off, a program writes to its file, and the node starts with a newer schema.
        try a.sql("UPDATE things SET name = 'z' WHERE id = 'b'")
        let next = Versions.schema([
            "ALTER TABLE things ADD COLUMN n INTEGER NOT NULL DEFAULT 7;",
            "ALTER TABLE things ADD COLUMN s TEXT DEFAULT 'none'; ALTER TABLE things ADD COLUMN t REAL;",
        ])
        a = try TestStore(reopening: a, schema: next)
        #expect(try a.collect().events.map(\.change?.columns) == [["name"]])
        try converge([a, b])
        #expect(try self.things(b, "name") == ["x", "z"])
    }

    @Test(
        "values of a column that a node does not know are there after its update, whichever way they came",
        arguments: [true, false]
    )
    func column(byLog: Bool) throws {
        var old = try TestStore(1, schema: Versions.first)
        let new = try TestStore(2, schema: Versions.wider)
        try old.sql("INSERT INTO things (id, name) VALUES ('a', 'of old')")
        try old.send(to: new)
        new.now += 10
        try new.sql("INSERT INTO things (id, name, n) VALUES ('b', 'new', 1), ('c', 'changed', 2), ('d', 'default', 7)")
        try new.collect()
        new.now += 10
        try new.sql("UPDATE things SET n = 3 WHERE id = 'c'; UPDATE things SET n = 4 WHERE id = 'a'")
        try new.send(to: old)
        if !byLog {
            try Self.lose(old)
            try Self.reconcile(old, with: new)
        }
        #expect(try self.things(old, "name") == ["of old", "new", "changed", "default"])
        #expect(try self.notes(old) > 0)
        // Later writes of the old node must not replace values that it does not know.
        old.now += 100
        try old.sql("UPDATE things SET name = name || '!'")
        try old.collect()

        let vector = try old.vector
        old = try TestStore(reopening: old, schema: Versions.wider)
        #expect(try self.notes(old) == 0)
        if !byLog { try Self.reconcile(old, with: new) }
        #expect(try self.things(old) == ["of old!4", "new!1", "changed!3", "default!7"])
        #expect(try old.vector == vector)
        try old.send(to: new)
        try new.send(to: old)
        try expectEqual([old, new])
        // A row that came by reconciliation came without its batch. Only the log says what its author had seen.
        if byLog { #expect(try old.reader.summary().openConflicts == 0) }
    }

    @Test("a node whose schema lacks a column passes rows on, and the one that gets them knows that it does not know")
    func passedOn() throws {
        let (old, new) = (try TestStore(1, schema: Versions.first), try TestStore(2, schema: Versions.wider))
        let third = try TestStore(3, schema: Versions.wider)
        try new.sql("INSERT INTO things (id, name, n) VALUES ('a', 'x', 1)")
        for store in [old, third] {
            try new.send(to: store)
            try Self.lose(store)
        }
        try Self.reconcile(old, with: new)
        try Self.reconcile(third, with: old)
        #expect(try self.things(third) == ["x7"])
        try Self.reconcile(third, with: new)
        #expect(try self.things(third) == ["x1"])
        try third.verify()
    }

    @Test("rows of a table that a node does not know are there after its update, deletions included")
    func table() throws {
        var old = try TestStore(1, schema: Versions.first)
        let new = try TestStore(2, schema: Versions.twoTables)
        try new.sql("INSERT INTO rooms (id, label) VALUES ('r1', 'one'), ('r2', 'two')")
        try new.sql("INSERT INTO things (id, name) VALUES ('a', 'x')")
        try new.send(to: old)
        try new.sql("DELETE FROM rooms WHERE id = 'r1'; UPDATE rooms SET label = 'second' WHERE id = 'r2'")
        try new.send(to: old)
        #expect(try self.things(old, "name") == ["x"])
        #expect(try old.reader.summary().waiting.map(\.table) == ["rooms"])
        old = try TestStore(reopening: old, schema: Versions.twoTables)
        #expect(try self.notes(old) == 0)
        #expect(try old.value(String.self, "SELECT group_concat(id || label) FROM rooms") == "r2second")
        #expect(try old.collect().logged.isEmpty)
        try expectEqual([old, new])
    }

    @Test("an edit of an unknown column that lost to another before the update is in the journal after it, once")
    func journal() throws {
        var old = try TestStore(1, schema: Versions.first)
        let (b, c) = (try TestStore(2, schema: Versions.wider), try TestStore(3, schema: Versions.wider))
        try b.sql("INSERT INTO things (id, name, n) VALUES ('a', 'x', 1)")
        try b.send(to: c)
        b.now += 10
        c.now += 20
        try b.sql("UPDATE things SET n = 2")
        try c.sql("UPDATE things SET n = 3")
        try converge([old, b, c])
        old = try TestStore(reopening: old, schema: Versions.wider)
        try expectEqual([old, b, c])
        #expect(try b.reader.summary().openConflicts == 1)
        #expect(try old.reader.summary().openConflicts == 1)
        old = try TestStore(reopening: old, schema: Versions.wider)
        #expect(try old.reader.summary().openConflicts == 1)
    }

    @Test("a dropped column sends no row anew, and what others still send of it is passed over without a note")
    func drop() throws {
        var a = try TestStore(1, schema: Versions.first)
        let b = try TestStore(2, schema: Versions.first)
        try a.sql("INSERT INTO things (id, name, word) VALUES ('a', 'x', 'w'), ('b', 'y', NULL)")
        try converge([a, b])
        try a.sql("UPDATE things SET name = 'off' WHERE id = 'a'")
        let vector = try a.vector
        a = try TestStore(reopening: a, schema: Versions.dropped)
        #expect(try a.vector == vector)
        let outcome = try a.collect()
        #expect(outcome.events.map(\.change?.columns) == [["name"]])
        try b.sql("UPDATE things SET word = 'again' WHERE id = 'b'")
        try converge([a, b])
        #expect(try self.notes(a) == 0)
        #expect(try self.things(a, "name") == ["off", "y"])
        try a.verify()
        let later = try TestStore(reopening: b, schema: Versions.dropped)
        #expect(try later.collect().logged.isEmpty)
        try expectEqual([a, later])
    }

    @Test(
        "a default that changes sends no row anew, nor does a program for which only NULL was a default",
        arguments: [true, false]
    )
    func changedDefault(isOfProgramBefore: Bool) throws {
        let remade = Versions.schema([
            """
            -- destructive
            CREATE TABLE remade (id TEXT PRIMARY KEY NOT NULL, name TEXT DEFAULT 'x', word TEXT);
            INSERT INTO remade SELECT id, name, word FROM things; DROP TABLE things;
            ALTER TABLE remade RENAME TO things;
            """
        ])
        let rows = "INSERT INTO things (id, name, word) VALUES ('a', 'x', 'w'), ('b', NULL, NULL), ('c', 'y', 'w')"
        var a = try TestStore(1, schema: Versions.first)
        try a.sql(rows)
        try a.collect()
        if isOfProgramBefore { try a.sql("DELETE FROM clinicsync_setting WHERE name = 'schema'") }
        try a.sql("UPDATE things SET word = 'off' WHERE id = 'c'")
        let vector = try a.vector
        a = try TestStore(reopening: a, schema: remade)
        #expect(try a.vector == vector)
        #expect(try a.collect().events.map(\.change?.columns) == [["word"]])
        let fresh = try TestStore(2, schema: remade)
        try fresh.sql(rows + "; UPDATE things SET word = 'off' WHERE id = 'c'")
        try fresh.collect()
        #expect(try a.reader.digests().tables == fresh.reader.digests().tables)
        try a.verify()
    }

    @Test("a renamed column keeps its values and versions, and edits under either name arrive")
    func rename() throws {
        var a = try TestStore(1, schema: Versions.first)
        var b = try TestStore(2, schema: Versions.first)
        try a.sql("INSERT INTO things (id, name, word) VALUES ('a', 'x', 'v'), ('b', 'y', 'w')")
        try converge([a, b])
        let vector = try a.vector
        a = try TestStore(reopening: a, schema: Versions.renamed)
        #expect(try a.collect().logged.isEmpty)
        #expect(try a.vector == vector)
        a.now += 10
        b.now += 10
        try a.sql("UPDATE things SET term = 'by a' WHERE id = 'a'")
        try b.sql("UPDATE things SET word = 'by b' WHERE id = 'b'")
        try converge([a, b])
        #expect(try self.things(a, "term") == ["by a", "by b"])
        b = try TestStore(reopening: b, schema: Versions.renamed)
        #expect(try self.things(b, "term") == ["by a", "by b"])
        #expect(try b.collect().logged.isEmpty)
        try expectEqual([a, b])
    }

    // MARK: - Reconciliation

    /// Loses the rows, and what the store noted of batches that it did not understand.
    private static func lose(_ store: TestStore) throws {
        try store.lose("things")
        try store.sql("DELETE FROM clinicsync_unread; DELETE FROM clinicsync_waiting")
    }

    /// Exchanges the rows that differ, as a reconciliation does.
    private static func reconcile(_ client: TestStore, with host: TestStore) throws {
        try client.collect()
        try host.collect()
        for table in ["things"] {
            let page = try client.reader.rowHashes(round: 1, table: table, after: nil)
            var ahead: [SQLiteValue] = []
            for answer in try host.reader.compare(page) {
                ahead += try client.writer.merge(answer, clockOffsetMilliseconds: 0).aheadKeys + answer.wanted
            }
            for page in try client.reader.rowStates(round: 1, table: table, keys: ahead) {
                _ = try host.writer.merge(page, clockOffsetMilliseconds: 0)
            }
        }
    }
}

@Suite("Migrations that take something away")
struct DestructiveMigrationTests {
    private let day: Int64 = 86_400_000

    private func member(_ store: TestStore, _ number: UInt64, version: Int, aliveAt: Int64, name: String = "PC") throws
    {
        let id = NodeID(high: 0xC11, low: number).description
        try store.sql(
            "INSERT OR REPLACE INTO clinicsync_node (id, name, schemaVersion, aliveAt) VALUES (?, ?, ?, ?)",
            [id, name, version, aliveAt]
        )
        try store.collect()
    }

    private func hasWord(_ store: TestStore) throws -> Bool {
        try store.queue.read { try $0.columns(in: "things").contains { $0.name == "word" } }
    }

    @Test("wait until every active member's program has them, and status says for whom")
    func waits() throws {
        var a = try TestStore(1, schema: Versions.first)
        try a.sql("INSERT INTO things (id, word) VALUES ('a', 'w')")
        try self.member(a, 2, version: 9_000, aliveAt: a.now, name: "Desk")
        a = try TestStore(reopening: a, schema: Versions.dropped)
        #expect(try self.hasWord(a))
        #expect(a.writer.schemaVersion == 9_000)
        #expect(a.writer.programSchemaVersion == 9_001)
        let waiting = try #require(try a.reader.summary().waiting.first)
        #expect(waiting.reason.contains("m9001_test waits for Desk"))

        // Both nodes work with the earlier schema.
        let b = try TestStore(2, schema: Versions.first)
        try a.sql("UPDATE things SET word = 'v'")
        try converge([a, b])
        #expect(try b.value(String.self, "SELECT word FROM things") == "v")

        try self.member(a, 2, version: 9_001, aliveAt: a.now, name: "Desk")
        a = try TestStore(reopening: a, schema: Versions.dropped)
        #expect(try !self.hasWord(a))
        #expect(a.writer.schemaVersion == 9_001)
        #expect(try a.reader.summary().waiting.isEmpty)
    }

    @Test("do not wait for members that were sent away or lapsed, but for those of which nothing is known")
    func activeMembers() throws {
        var a = try TestStore(1, schema: Versions.first)
        try self.member(a, 2, version: 9_000, aliveAt: a.now - 31 * self.day)
        try a.sql("INSERT INTO clinicsync_lapse (node) VALUES (?)", [NodeID(high: 0xC11, low: 2).description])
        // Any program can say of a member that it lapsed. Who was heard lately counts.
        try self.member(a, 4, version: 9_000, aliveAt: a.now - 31 * self.day)
        try a.sql("INSERT INTO clinicsync_lapse (node) VALUES (?)", [NodeID(high: 0xC11, low: 4).description])
        let heard = MemberProgress(node: NodeID(high: 0xC11, low: 4), vector: try a.vector, seenMilliseconds: a.now)
        try a.writer.recordAcknowledged([heard])
        a = try TestStore(reopening: a, schema: Versions.dropped)
        #expect(try self.hasWord(a))
        try self.member(a, 4, version: 9_001, aliveAt: a.now)
        try self.member(a, 3, version: 0, aliveAt: 0)
        a = try TestStore(reopening: a, schema: Versions.dropped)
        #expect(try self.hasWord(a))
        let third = NodeID(high: 0xC11, low: 3).description
        try a.sql("INSERT INTO clinicsync_revocation (node, number, entry) VALUES (?, 1, x'00')", [third])
        try a.collect()
        a = try TestStore(reopening: a, schema: Versions.dropped)
        #expect(try !self.hasWord(a))
    }

    @Test("do not wait for a member that has joined and never came, unless anything of it is known")
    func joined() throws {
        let a = try TestStore(1, schema: Versions.first)
        try a.sql("INSERT INTO things (id, word) VALUES ('a', 'w')")
        try self.member(a, 2, version: 9_001, aliveAt: a.now)
        /// Opens the file while the clinic has a certificate of a further member.
        func isHeld(by number: UInt64, statement: [UInt8]) throws -> Bool {
            let member = MemberListing.Node(
                id: TestStore.node(number),
                name: "",
                certificate: [1],
                statement: statement,
                schemaVersion: 0,
                aliveAt: 0
            )
            _ = try ReplicaWriter(
                database: StoreDatabase(single: a.queue),
                origin: a.origin,
                schema: Versions.dropped,
                judge: { $0.nodes.filter { $0.schemaVersion == 9_001 } + [member] },
                wallClock: { 1_800_000_000_000 }
            )
            return try self.hasWord(a)
        }
        let c = try TestStore(3, schema: Versions.first)
        try c.sql("INSERT INTO things (id, word) VALUES ('c', 'w')")
        try c.send(to: a)
        #expect(try isHeld(by: 3, statement: []))
        #expect(try isHeld(by: 4, statement: [1]))
        #expect(try !isHeld(by: 4, statement: []))
    }

    @Test("a PC that joins by the state of a PC which has dropped a column drops it at its next start, and is equal")
    func joinsByState() throws {
        let a = try TestStore(1, schema: Versions.dropped)
        try a.sql("INSERT INTO things (id, name) VALUES ('a', 'x'), ('b', 'y')")
        try self.member(a, 1, version: 9_001, aliveAt: a.now)
        let queue = try DatabaseQueue(configuration: StoreDatabase.configuration(isFile: false))
        do {
            let writer = try ReplicaWriter(
                database: StoreDatabase(single: queue),
                origin: Origin(node: TestStore.node(3)),
                schema: Versions.dropped,
                isJoining: true,
                wallClock: { 1_800_000_000_000 }
            )
            #expect(writer.schemaVersion == 9_000)
        }
        var c = try TestStore(3, schema: Versions.dropped, over: queue)
        #expect(c.writer.schemaVersion == 9_000)
        var ferry = StateFerry(to: c)
        try ferry.carry(from: a)
        #expect(try ferry.install() != nil)
        // A program that needs the column still writes it: the others show the row without it.
        try c.sql("INSERT INTO things (id, name, word) VALUES ('c', 'z', 'w')")
        try converge([a, c])
        #expect(try a.value(Int.self, "SELECT count(*) FROM things") == 3)
        c = try TestStore(reopening: c, schema: Versions.dropped)
        #expect(c.writer.schemaVersion == 9_001)
        #expect(try !self.hasWord(c))
        try converge([a, c])
        try expectEqual([a, c])
    }

    @Test("that wait keep the rules of the tables they take away")
    func manifest() throws {
        let gone = Versions.schema(
            ["CREATE TABLE rooms (id TEXT PRIMARY KEY NOT NULL, label TEXT);", "-- destructive\nDROP TABLE rooms;"]
        )
        var a = try TestStore(1, schema: Versions.twoTables)
        let b = try TestStore(2, schema: Versions.twoTables)
        try self.member(a, 2, version: 9_001, aliveAt: a.now)
        a = try TestStore(reopening: a, schema: gone)
        try a.sql("INSERT INTO rooms (id, label) VALUES ('r', 'one')")
        try converge([a, b])
        #expect(try b.value(String.self, "SELECT label FROM rooms") == "one")
        try self.member(a, 2, version: 9_002, aliveAt: a.now)
        a = try TestStore(reopening: a, schema: gone)
        #expect(try a.queue.read { try $0.tableExists("rooms") } == false)
        // The node skips what the other still sends of the table.
        try b.sql("UPDATE rooms SET label = 'two'")
        try b.send(to: a)
        #expect(try a.reader.summary().waiting.isEmpty)
    }

    @Test("come to a new file at once, but not to that of a PC that joins")
    func newFiles() throws {
        #expect(try !self.hasWord(TestStore(1, schema: Versions.dropped)))
        let queue = try DatabaseQueue(configuration: StoreDatabase.configuration(isFile: false))
        for isJoining in [true, false] {
            let writer = try ReplicaWriter(
                database: StoreDatabase(single: queue),
                origin: Origin(node: NodeID(high: 0xC11, low: 7)),
                schema: Versions.dropped,
                isJoining: isJoining,
                wallClock: { 1_800_000_000_000 }
            )
            // The migration also waits at the next start, while the node has met no other.
            #expect(writer.schemaVersion == 9_000)
        }
    }

    @Test("the names that migrations changed and dropped are read from their statements")
    func history() {
        let history = SchemaHistory(of: [
            "CREATE TABLE a (x); ALTER TABLE a RENAME COLUMN x TO y; ALTER TABLE \"a\" RENAME y TO [z];",
            "ALTER TABLE a RENAME TO b; alter table b drop column z; -- ALTER TABLE b DROP COLUMN w;",
            "CREATE TABLE c (i); DROP TABLE IF EXISTS c; DROP TABLE d; CREATE TABLE IF NOT EXISTS d (i);",
        ])
        #expect(history.formerNames(ofTable: "B") == ["a"])
        #expect(history.formerNames(ofColumnsOf: "b").isEmpty)
        #expect(history.dropped(from: "b") == ["x", "y", "z"])
        #expect(history.isDropped(table: "C"))
        #expect(!history.isDropped(table: "d"))
    }
}
