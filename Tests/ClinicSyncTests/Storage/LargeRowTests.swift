import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

@Suite("Rows that are too large to be sent")
struct LargeRowTests {
    private static let mebibyte = 1 << 20

    private func reasons(_ store: TestStore) throws -> [String] {
        try store.reader.summary().waiting.map { "\($0.table) \($0.rows): \($0.reason)" }
    }

    private static let note = "patients 1: larger than 7 MiB and so on this PC alone: keep files out of rows"

    @Test("a row of 9 MiB stays on its PC, is reported, and holds up nothing that comes after it")
    func insertion() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql(
            """
            INSERT INTO patients (id, fullName, medicalHistory) VALUES ('p0', 'Before', NULL),
            ('p1', 'Ana', zeroblob(\(9 * Self.mebibyte))), ('p2', 'After', NULL)
            """
        )
        let outcome = try a.collect()
        #expect(outcome.events.compactMap(\.change).count == 2)
        #expect(outcome.logged.allSatisfy { $0.chunk.payload.count < Self.mebibyte })
        #expect(try self.reasons(a) == [Self.note])
        try converge([a, b])
        #expect(try b.value(String.self, "SELECT group_concat(id) FROM patients") == "p0,p2")
        // The row is not an escaped write, because the node knows it. But the tables differ, and a sync must say so.
        let (escaped, swept) = try a.writer.sweep(table: nil, clockOffsetMilliseconds: 0)
        #expect(escaped == 0)
        #expect(swept.unsentRows == 1)
        #expect(try a.writer.sweep(table: "users", clockOffsetMilliseconds: 0).1.unsentRows == 0)
        #expect(try self.reasons(a) == [Self.note])

        try a.sql("UPDATE patients SET fullName = 'Anna' WHERE id = 'p1'")
        #expect(try a.collect().logged.isEmpty)
        try a.sql("UPDATE patients SET medicalHistory = 'short' WHERE id = 'p1'")
        try converge([a, b])
        #expect(try self.reasons(a).isEmpty)
        #expect(
            try b.value(String.self, "SELECT fullName || medicalHistory FROM patients WHERE id = 'p1'") == "Annashort"
        )
        try expectEqual([a, b])
    }

    @Test("an edit that makes a row too large stays on its PC; the row's deletion does not")
    func editAndDeletion() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients (id, fullName) VALUES ('p1', 'Ana'), ('p2', 'Bea')")
        try converge([a, b])
        try a.sql("UPDATE patients SET medicalHistory = zeroblob(\(9 * Self.mebibyte)), email = 'e' WHERE id = 'p1'")
        #expect(try a.collect().logged.isEmpty)
        #expect(try self.reasons(a) == [Self.note])
        try a.sql("DELETE FROM patients WHERE id = 'p1'")
        try converge([a, b])
        #expect(try self.reasons(a).isEmpty)
        #expect(try b.value(String.self, "SELECT group_concat(id) FROM patients") == "p2")
        try expectEqual([a, b])
    }

    @Test("a large row that goes back to what the others have is in order again")
    func undone() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients (id, fullName) VALUES ('p1', 'Ana')")
        try converge([a, b])
        try a.sql("UPDATE patients SET medicalHistory = zeroblob(\(9 * Self.mebibyte))")
        try a.collect()
        try a.sql("UPDATE patients SET medicalHistory = NULL")
        #expect(try a.collect().logged.isEmpty)
        #expect(try self.reasons(a).isEmpty)
        #expect(try a.writer.sweep(table: nil, clockOffsetMilliseconds: 0).1.unsentRows == 0)
        try expectEqual([a, b])
    }

    @Test("a row that only merging made too large is in no page of a reconciliation; the others are")
    func mergedState() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients (id, fullName) VALUES ('p1', 'Ana'), ('p2', 'Bea')")
        try converge([a, b])
        try a.sql("UPDATE patients SET medicalHistory = zeroblob(\(5 * Self.mebibyte)) WHERE id = 'p1'")
        try b.sql("UPDATE patients SET allergies = zeroblob(\(5 * Self.mebibyte)) WHERE id = 'p1'")
        try converge([a, b])
        try expectEqual([a, b])
        let pages = try a.reader.rowStates(round: 1, table: "patients", keys: [.string("p1"), .string("p2")])
        #expect(pages.map { $0.payload.isEmpty } == [false])
        #expect(pages.allSatisfy { $0.payload.count < Self.mebibyte })
        // A store that has lost both rows, and all it knew of them.
        let fresh = try TestStore(3)
        try a.send(to: fresh)
        try fresh.lose("patients")
        for page in pages { _ = try fresh.writer.merge(page, clockOffsetMilliseconds: 0) }
        #expect(try fresh.value(String.self, "SELECT group_concat(id) FROM patients") == "p2")
    }
}
