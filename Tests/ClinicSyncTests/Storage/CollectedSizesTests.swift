import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncWire
import Foundation
import GRDB
import Testing

@testable import ClinicSyncStorage

/// What the collector takes, the protocol carries: each limit of the store beside the limit of the wire that must hold it.
@Suite("Sizes of what is collected and of what is carried")
struct CollectedSizesTests {
    private let store = StoreLimits.standard
    private let wire = WireLimits.standard
    /// The names of one table and of all its columns, each with its length.
    private let names = (TableDefinition.columnsMax + 1) * (TableDefinition.nameBytesMax + 2)

    @Test("the largest chunk: one that is not full, and one more change of the largest size")
    func chunk() {
        let largest = self.store.chunkBytes + self.store.changeBytesMax + self.store.keyBytesMax + self.names
        #expect(largest <= self.wire.chunkPayloadBytesMax)
        #expect(self.wire.chunkPayloadBytesMax <= CoreLimits.chunkBytesMax)
        // The header names as many authors as a vector may have, of at most 32 bytes each.
        #expect(self.wire.chunkPayloadBytesMax + self.wire.vectorEntriesMax * 32 < self.wire.messageBytesMax)
    }

    @Test("the largest page of row states, with the keys that the sender wants")
    func rowStates() {
        let authors = self.wire.vectorEntriesMax * 21
        let largest = self.store.pageBytes + self.store.stateBytesMax + self.names + authors
        #expect(largest <= self.wire.rowStatesPayloadBytesMax)
        #expect(self.wire.vectorEntriesMax <= RecordLimits.originsMax)
        // A page of hashes names the keys that can be wanted; each has some bytes of its own.
        let keys = self.store.repair.hashesPageKeyBytes + self.store.keyBytesMax + self.wire.wantedKeysMax * 16
        #expect(largest + keys < self.wire.messageBytesMax)
        #expect(
            self.store.repair.hashesPage <= self.wire.rowHashesMax
                && self.store.repair.hashesPage <= self.wire.wantedKeysMax
        )
    }

    @Test("the largest page of hashes")
    func rowHashes() {
        let keys = self.store.repair.hashesPageKeyBytes + self.store.keyBytesMax
        #expect(keys + self.store.repair.hashesPage * 32 < self.wire.messageBytesMax)
        #expect(self.store.keyBytesMax <= self.wire.keyBytesMax)
    }

    @Test("names, tables and columns")
    func schema() {
        #expect(TableDefinition.nameBytesMax <= self.wire.nameBytesMax)
        #expect(TableDefinition.tablesMax <= self.wire.tablesMax)
        #expect(TableDefinition.nameBytesMax <= RecordLimits.nameBytesMax)
        #expect(TableDefinition.tablesMax <= RecordLimits.tablesMax)
        #expect(TableDefinition.columnsMax <= RecordLimits.columnsMax)
        // A set of columns is one number of 64 bits.
        #expect(TableDefinition.columnsMax < 64)
    }

    @Test("one exchange of a round: what a node answers and what the other takes")
    func exchange() {
        #expect(self.wire.rowHashesMax + self.store.repair.answerRowsMax <= CoreLimits.repairKeysMax)
        let largest = self.store.repair.answerBytes + self.wire.rowStatesPayloadBytesMax
        #expect(largest <= CoreLimits.repairBytesMax)
        #expect(self.store.repair.answerRowsMax <= CoreLimits.repairPagesMax)
    }

    // MARK: - Keys

    private static let key = String(repeating: "k", count: 5_000)

    @Test("a row with a key that no peer takes stays on its PC, is named, and holds up nothing")
    func longKey() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('\(Self.key)', 'x'), ('v', 'good')")
        try converge([a, b])
        #expect(try b.value(String.self, "SELECT group_concat(id) FROM patients") == "v")
        #expect(
            try a.reader.summary().waiting.map(\.reason)
                == ["its key is longer than 4096 bytes and so on this PC alone: use short keys"]
        )
        let (escaped, outcome) = try a.writer.sweep(table: nil, clockOffsetMilliseconds: 0)
        #expect(escaped == 0 && outcome.unsentRows == 1)
        try a.sql("DELETE FROM patients WHERE id <> 'v'")
        try a.collect()
        #expect(try a.reader.summary().waiting.isEmpty)
        try expectEqual([a, b])
    }

    @Test("a row with a long key from an older version is edited like any other, and is in no page")
    func oldLongKey() throws {
        var limits = StoreLimits.standard
        limits.keyBytesMax = 10_000
        let (a, b) = (try TestStore(1, limits: limits), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('\(Self.key)', 'x'), ('v', 'good')")
        try converge([a, b])
        #expect(try b.value(Int.self, "SELECT count(*) FROM patients") == 2)
        try b.sql("UPDATE patients SET fullName = 'y' WHERE id <> 'v'")
        try converge([a, b])
        #expect(try a.value(String.self, "SELECT fullName FROM patients WHERE id <> 'v'") == "y")
        #expect(try b.reader.rowHashes(round: 1, table: "patients", after: nil).rows.map(\.key) == [.string("v")])
        let empty = RowHashPage(round: 1, table: "patients", after: nil, through: nil, rows: [])
        let pages = try b.reader.compare(empty)
        #expect(pages.allSatisfy { $0.payload.count < Self.key.count })
        try expectEqual([a, b])
    }

    // MARK: - Bounded answers

    @Test("a question about a whole table is answered in parts, which together are the table")
    func parts() throws {
        var limits = StoreLimits.standard
        limits.repair.answerRowsMax = 7
        limits.repair.answerBytes = 400
        limits.pageBytes = 150
        let (a, b) = (try TestStore(1, limits: limits), try TestStore(2))
        try a.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
            INSERT INTO patients(id, fullName) SELECT printf('p%02d', i), 'Patient ' || i FROM n
            """
        )
        try converge([a, b])
        // b has lost its rows and what it knew of them.
        try b.sql(
            """
            UPDATE clinicsync_guard SET applying = 1; DELETE FROM patients;
            DELETE FROM clinicsync_row WHERE tableId = (SELECT id FROM clinicsync_table WHERE name = 'patients');
            UPDATE clinicsync_guard SET applying = 0
            """
        )
        var after: SQLiteValue?
        var questions = 0
        repeat {
            let question = RowHashPage(round: 1, table: "patients", after: after, through: nil, rows: [])
            let pages = try a.reader.compare(question)
            #expect(pages.reduce(0) { $0 + $1.payload.count } < 2_000)
            for page in pages { _ = try b.writer.merge(page, clockOffsetMilliseconds: 0) }
            after = pages.last?.covered
            questions += 1
        } while after != nil && questions < 50
        #expect(questions > 5 && questions < 50)
        #expect(try b.value(Int.self, "SELECT count(*) FROM patients") == 40)
        var keys = (1...40).map { SQLiteValue.string(String(format: "p%02d", $0)) }
        var answers = 0
        while !keys.isEmpty, answers < 50 {
            keys = try a.reader.answer(round: 1, table: "patients", keys: keys).rest
            answers += 1
        }
        #expect(answers > 3 && answers < 50)
    }
}
