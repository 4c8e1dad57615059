import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

/// Triggers that programs add to their own file, for rows that arrive from other PCs.
@Suite("Programs' triggers and rows that arrive")
struct ProgramTriggersTests {
    /// A store in a file, as programs see it.
    private final class FileStore {
        let number: UInt64
        private let directory: TemporaryDirectory
        let writer: ReplicaWriter
        let reader: ReplicaReader
        let program: DatabaseQueue

        init(_ number: UInt64) throws {
            let origin = Origin(node: TestStore.node(number))
            self.number = number
            self.directory = try TemporaryDirectory()
            let file = self.directory.file("clinic.db")
            try SQLiteReplicaStore.create(at: file, origin: origin)
            self.writer = try ReplicaWriter(
                database: try StoreDatabase.open(path: file.path),
                origin: origin,
                wallClock: { Int64(Date().timeIntervalSince1970 * 1_000) }
            )
            self.reader = try ReplicaReader(beside: self.writer)
            self.program = try DatabaseQueue(path: file.path)
        }

        func close() throws {
            try self.program.close()
            self.reader.close()
            try self.writer.close()
        }

        func sql(_ sql: String) throws { try self.program.writeWithoutTransaction { try $0.execute(sql: sql) } }

        func texts(_ sql: String) throws -> [String] { try self.program.read { try String.fetchAll($0, sql: sql) } }

        /// Collects, and returns how many triggers failed since the last collection.
        @discardableResult
        func collect() throws -> Int { try self.writer.collect(clockOffsetMilliseconds: 0).failedTriggers }

        func send(to other: FileStore) throws {
            let vector = try other.writer.state().vector
            let start = try #require(try self.reader.locate(vector))
            let chunks = try self.reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk)
            let lacking = chunks.filter { vector[$0.batch.origin] < $0.batch.sequence }
            let outcome = try other.writer.store(lacking, clockOffsetMilliseconds: 0)
            if outcome.isApplyPending { _ = try other.writer.applyStored(clockOffsetMilliseconds: 0) }
        }

        func patients() throws -> [String] {
            try self.texts("SELECT quote(id) || quote(fullName) || quote(address) FROM patients ORDER BY id")
        }
    }

    private func withStores(_ count: Int, _ body: ([FileStore]) throws -> Void) throws {
        let stores = try (1...count).map { try FileStore(UInt64($0)) }
        try body(stores)
        for store in stores { try store.close() }
    }

    /// Collects everywhere and gives each store what it lacks; returns the numbers of failed triggers.
    @discardableResult
    private func converge(_ stores: [FileStore]) throws -> [Int] {
        for store in stores { try store.collect() }
        for source in stores { for target in stores where source !== target { try source.send(to: target) } }
        let failures = try stores.map { try $0.collect() }
        for store in stores { #expect(try store.patients() == stores[0].patients()) }
        return failures
    }

    /// The recipe of SQLite's manual (fts5.html, "External Content Tables"), with the key of this schema.
    private static let index = """
        CREATE VIRTUAL TABLE patients_fts USING fts5(fullName, address, content='patients');
        INSERT INTO patients_fts(patients_fts) VALUES('rebuild');
        CREATE TRIGGER patients_ai AFTER INSERT ON patients BEGIN
          INSERT INTO patients_fts(rowid, fullName, address) VALUES (new.rowid, new.fullName, new.address);
        END;
        CREATE TRIGGER patients_ad AFTER DELETE ON patients BEGIN
          INSERT INTO patients_fts(patients_fts, rowid, fullName, address)
          VALUES('delete', old.rowid, old.fullName, old.address);
        END;
        CREATE TRIGGER patients_au AFTER UPDATE ON patients BEGIN
          INSERT INTO patients_fts(patients_fts, rowid, fullName, address)
          VALUES('delete', old.rowid, old.fullName, old.address);
          INSERT INTO patients_fts(rowid, fullName, address) VALUES (new.rowid, new.fullName, new.address);
        END;
        """

    /// The patients that a search finds.
    private static func found(_ word: String, in store: FileStore) throws -> [String] {
        try store.texts(
            """
            SELECT patients.id FROM patients_fts JOIN patients ON patients.rowid = patients_fts.rowid
            WHERE patients_fts MATCH '\(word)' ORDER BY patients.id
            """
        )
    }

    /// Makes sure that the index says what the table says.
    private static func check(_ store: FileStore) throws {
        try store.sql("INSERT INTO patients_fts(patients_fts, rank) VALUES('integrity-check', 1)")
    }

    @Test("the manual's full-text index finds the rows of other PCs, as they are now, on three PCs")
    func fullText() throws {
        try self.withStores(3) { stores in
            // Row ids differ from PC to PC.
            for (index, store) in stores.enumerated() {
                for number in (0...index).reversed() {
                    try store.sql("INSERT INTO patients(id, fullName) VALUES ('\(index)-\(number)', 'Ana Early')")
                }
            }
            try stores[0].sql(Self.index)
            #expect(try self.converge(stores) == [0, 0, 0])
            #expect(try Self.found("early", in: stores[0]).count == 6)
            for store in stores.dropFirst() { try store.sql(Self.index) }
            let rowIDs = try stores.map { try $0.texts("SELECT CAST(rowid AS TEXT) FROM patients ORDER BY id") }
            #expect(rowIDs[0] != rowIDs[1])
            try stores[1].sql("UPDATE patients SET fullName = 'Bea', address = 'Harbour 1' WHERE id = '0-0'")
            try stores[2].sql(
                "DELETE FROM patients WHERE id = '1-1'; INSERT INTO patients(id, fullName) VALUES ('n', 'Cleo')"
            )
            #expect(try self.converge(stores) == [0, 0, 0])
            for store in stores {
                #expect(try Self.found("early", in: store) == ["1-0", "2-0", "2-1", "2-2"])
                #expect(try Self.found("harbour", in: store) == ["0-0"])
                #expect(try Self.found("cleo", in: store) == ["n"])
                try Self.check(store)
            }
            // Edits of one row that meet, and the return of a deleted row.
            try stores[0].sql(
                "UPDATE patients SET address = 'Mill' WHERE id = 'n'; DELETE FROM patients WHERE id = '2-0'"
            )
            try stores[1].sql("UPDATE patients SET address = 'Lake' WHERE id = 'n'")
            try stores[2].sql("UPDATE patients SET address = 'Back' WHERE id = '2-0'")
            #expect(try self.converge(stores) == [0, 0, 0])
            // The two edits may have one stamp, so either may win.
            let winner =
                try stores[0].texts("SELECT address FROM patients WHERE id = 'n'").first == "Lake" ? "lake" : "mill"
            for store in stores {
                #expect(try Self.found(winner, in: store) == ["n"])
                #expect(try Self.found(winner == "lake" ? "mill" : "lake", in: store).isEmpty)
                #expect(try Self.found("back", in: store) == ["2-0"])
                try Self.check(store)
            }
            // The program removes its index again.
            try stores[0].sql(
                "DROP TRIGGER patients_ai; DROP TRIGGER patients_ad; DROP TRIGGER patients_au; DROP TABLE patients_fts"
            )
            try stores[1].sql("UPDATE patients SET address = 'Dropped' WHERE id = 'n'")
            #expect(try self.converge(stores) == [0, 0, 0])
        }
    }

    @Test("a trigger that writes replicated rows does not run again, nor one that a local trigger would start")
    func replicated() throws {
        try self.withStores(2) { stores in
            for store in stores {
                try store.sql(
                    """
                    CREATE TABLE seen(id TEXT, what TEXT);
                    CREATE TABLE count(n INTEGER);
                    INSERT INTO count VALUES (0);
                    CREATE TRIGGER history AFTER UPDATE ON patients BEGIN
                      INSERT INTO patient_history(patientId, fieldName, updatedAt) VALUES (new.id, 'any', 'now');
                    END;
                    CREATE TRIGGER both AFTER UPDATE ON patients BEGIN
                      INSERT INTO seen VALUES (new.id, 'both');
                      UPDATE users SET fullName = 'changed';
                    END;
                    CREATE TRIGGER "the local ""one"" of it" AFTER UPDATE OF fullName ON patients
                    WHEN new.fullName <> '' BEGIN
                      INSERT INTO seen VALUES (new.id, new.fullName);
                    END;
                    CREATE TRIGGER next AFTER INSERT ON seen BEGIN UPDATE count SET n = n + 1; END;
                    CREATE TRIGGER far AFTER INSERT ON seen BEGIN
                      INSERT INTO users(username) VALUES ('u' || new.rowid || hex(randomblob(4)));
                    END;
                    """
                )
            }
            try stores[0].sql("INSERT INTO patients(id, fullName) VALUES ('p', 'Ana')")
            try self.converge(stores)
            try stores[0].sql("UPDATE patients SET fullName = 'Bea'")
            #expect(try self.converge(stores) == [0, 0])
            for (store, seen) in zip(stores, [["Bea", "both"], ["Bea"]]) {
                #expect(try store.texts("SELECT what FROM seen ORDER BY what") == seen)
                #expect(try store.texts("SELECT CAST(n AS TEXT) FROM count") == ["\(seen.count)"])
                #expect(try store.texts("SELECT fieldName FROM patient_history") == ["any"])
                #expect(try store.texts("SELECT CAST(count(*) AS TEXT) FROM users") == ["2"])
            }
        }
    }

    @Test("a trigger that fails or refuses keeps no row out, and the failures are counted")
    func failing() throws {
        try self.withStores(2) { stores in
            let (a, b) = (stores[0], stores[1])
            try a.sql("INSERT INTO patients(id, fullName) VALUES ('p', 'Ana')")
            try self.converge(stores)
            // An index that was never filled: 'delete' of what it does not have ends in "malformed".
            try b.sql(Self.index.replacingOccurrences(of: "VALUES('rebuild')", with: "VALUES('optimize')"))
            try b.sql(
                """
                CREATE TABLE once(a UNIQUE, b CHECK (b > 0));
                INSERT INTO once VALUES (1, 1);
                CREATE TRIGGER unique_ai AFTER INSERT ON patients BEGIN INSERT INTO once VALUES (1, 1); END;
                CREATE TRIGGER check_ai AFTER INSERT ON patients BEGIN INSERT INTO once VALUES (2, 0); END;
                CREATE TRIGGER ignore_bi BEFORE INSERT ON patients BEGIN
                  INSERT INTO once VALUES (3, 3);
                  SELECT RAISE(IGNORE);
                END;
                """
            )
            try a.sql("UPDATE patients SET fullName = 'Bea'")
            try a.sql("INSERT INTO patients(id, fullName) VALUES ('q', 'Cleo'), ('r', 'Dora')")
            let failures = try self.converge(stores)
            #expect(failures[0] == 0 && failures[1] >= 3)
            #expect(try b.texts("SELECT fullName FROM patients ORDER BY id") == ["Bea", "Cleo", "Dora"])
            #expect(try b.writer.state().vector == a.writer.state().vector)
            #expect(try b.reader.summary().openConflicts == 0)
            // What a table's own constraint refuses is the row's, and the copies run for what is shown.
            try b.sql(
                """
                CREATE TABLE names(id UNIQUE, name);
                CREATE TRIGGER users_ai AFTER INSERT ON users BEGIN
                  INSERT INTO names VALUES (new.id, new.username);
                END;
                CREATE TRIGGER users_au AFTER UPDATE ON users BEGIN
                  UPDATE names SET name = new.username WHERE id = new.id;
                END;
                CREATE TRIGGER users_ad AFTER DELETE ON users BEGIN DELETE FROM names WHERE id = old.id; END;
                """
            )
            for store in stores { try store.sql("INSERT INTO users(id, username) VALUES ('\(store.number)', 'ana')") }
            try self.converge(stores)
            let users = try stores.map { try $0.texts("SELECT id || username FROM users ORDER BY id") }
            #expect(users[0] == users[1] && users[0].count == 2)
            #expect(try b.texts("SELECT id || name FROM names ORDER BY id") == users[1])
            // The program fills its index; from then on it is right.
            try b.sql("DROP TRIGGER unique_ai; DROP TRIGGER check_ai; DROP TRIGGER ignore_bi")
            try b.sql("INSERT INTO patients_fts(patients_fts) VALUES('rebuild')")
            try a.sql("UPDATE patients SET fullName = 'Eve' WHERE id = 'q'")
            #expect(try self.converge(stores) == [0, 0])
            #expect(try Self.found("eve", in: b) == ["q"] && Self.found("cleo", in: b).isEmpty)
            try Self.check(b)
        }
    }
}
