import ClinicSyncCore
import ClinicSyncModel
import GRDB
import Testing

@testable import ClinicSyncStorage

@Suite("The conflict journal")
struct JournalTests {
    /// Two stores that edited the same column concurrently; `Later` won.
    private func conflicting() throws -> (a: TestStore, b: TestStore) {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try converge([a, b])
        try a.sql("UPDATE patients SET fullName = 'Earlier' WHERE id = 'p1'")
        b.now += 10
        try b.sql("UPDATE patients SET fullName = 'Later' WHERE id = 'p1'")
        try converge([a, b])
        return (a, b)
    }

    @Test("an entry names both values, who wrote them and when, and its id is the same on every node")
    func entry() throws {
        let (a, b) = try self.conflicting()
        let entry = try #require(try a.reader.journal(openOnly: true).first)
        let row = JournalEntry.Row(table: "patients", key: .string("p1"), isShown: true)
        #expect(entry.kind == .value && entry.row == row && entry.column == "fullName" && entry.related == nil)
        #expect(entry.other.value == .string("Earlier") && entry.other.node == a.origin.node)
        #expect(entry.current?.value == .string("Later") && entry.current?.node == b.origin.node)
        #expect(entry.current.map { $0.timestamp > entry.other.timestamp } == true)
        #expect(entry.decision == nil && entry.id.count == 32)
        for store in [a, b] {
            #expect(try store.reader.journalEntry(entry.id) == .found(entry))
            #expect(try store.reader.journal(openOnly: false) == [entry])
            #expect(try store.reader.summary().openConflicts == 1)
        }
        #expect(try a.reader.journalEntry(String(repeating: "0", count: 32)) == .unknown)
    }

    @Test("keeping the other value is an edit that reaches everybody and makes no new conflict")
    func keepOther() throws {
        let (a, b) = try self.conflicting()
        a.now += 1_000
        let entry = try #require(try a.reader.journal(openOnly: true).first)
        #expect(try a.writer.resolveJournal(entry.id, keeping: .other) == .resolved(hasChanged: true))
        try converge([a, b])
        for store in [a, b] {
            #expect(try store.value(String.self, "SELECT fullName FROM patients") == "Earlier")
            #expect(try store.value(Int.self, "SELECT count(*) FROM clinicsync_conflict") == 1)
        }
        try expectEqual([a, b])
        for store in [a, b] {
            #expect(try store.reader.journal(openOnly: true) == [])
            #expect(try store.reader.summary().openConflicts == 0)
            guard case .found(let resolved) = try store.reader.journalEntry(entry.id) else {
                Issue.record("the entry is gone")
                continue
            }
            #expect(try store.reader.journal(openOnly: false) == [resolved])
            #expect(resolved.decision == .init(kept: .other, at: a.now, node: a.origin.node))
            #expect(resolved.current?.value == .string("Earlier"))
        }
        #expect(try a.writer.resolveJournal(entry.id, keeping: .current) == .alreadyResolved)
    }

    @Test("keeping the current value changes no row, and settles the conflict on every node")
    func keepCurrent() throws {
        let (a, b) = try self.conflicting()
        let c = try TestStore(3)
        try converge([a, b, c])
        let entry = try #require(try b.reader.journal(openOnly: true).first)
        #expect(try b.writer.resolveJournal(entry.id, keeping: .current) == .resolved(hasChanged: false))
        let changes = try b.collect().events.compactMap(\.change)
        #expect(changes.map(\.table) == ["clinicsync_resolution"])
        try converge([a, b, c])
        try expectEqual([a, b, c])
        for store in [a, b, c] {
            #expect(try store.reader.summary().openConflicts == 0)
            #expect(try store.reader.journal(openOnly: false).first?.decision?.kept == .current)
            #expect(try store.value(String.self, "SELECT fullName FROM patients") == "Later")
            #expect(try store.writer.resolveJournal(entry.id, keeping: .current) == .alreadyResolved)
        }
    }

    @Test("six digits of an id will do, fewer and others will not")
    func prefix() throws {
        let (a, _) = try self.conflicting()
        let entry = try #require(try a.reader.journal(openOnly: true).first)
        for prefix in ["", "abcde", "no-such-id", String(entry.id.prefix(5)), entry.id + "0"] {
            #expect(try a.reader.journalEntry(prefix) == .unknown)
            #expect(try a.writer.resolveJournal(prefix, keeping: .current) == .unknown)
        }
        let column = "id, kind, tableName, recordId, columnName, value, origin, sequence, timestamp"
        let twin = String(entry.id.prefix(6)) + String(repeating: "0", count: 26)
        try a.sql(
            "INSERT INTO clinicsync_conflict(\(column)) SELECT ?, kind, tableName, 'p2', columnName, value, origin, 1, 1 FROM clinicsync_conflict",
            [twin]
        )
        #expect(try a.reader.journalEntry(String(entry.id.prefix(6))) == .ambiguous)
        #expect(try a.writer.resolveJournal(String(entry.id.prefix(6)), keeping: .other) == .ambiguous)
        try a.sql("DELETE FROM clinicsync_conflict WHERE id = ?", [twin])
        #expect(try a.reader.journalEntry(String(entry.id.prefix(6)).uppercased()) == .found(entry))
    }

    @Test("a value that is not what the person saw is not overwritten")
    func expected() throws {
        let (a, _) = try self.conflicting()
        let entry = try #require(try a.reader.journal(openOnly: true).first)
        let outcome = try a.writer.resolveJournal(entry.id, keeping: .other) { $0 == .string("Something else") }
        #expect(outcome == .changedSince)
        #expect(try a.value(String.self, "SELECT fullName FROM patients") == "Later")
        #expect(try a.reader.summary().openConflicts == 1)
        #expect(
            try a.writer.resolveJournal(entry.id, keeping: .other) { $0 == .string("Later") }
                == .resolved(hasChanged: true)
        )
    }

    @Test("of a deleted row only the current state can be kept")
    func rowGone() throws {
        let (a, _) = try self.conflicting()
        let entry = try #require(try a.reader.journal(openOnly: true).first)
        try a.sql("DELETE FROM patients")
        try a.collect()
        #expect(try a.reader.journal(openOnly: true).map(\.current) == [nil])
        #expect(try a.writer.resolveJournal(entry.id, keeping: .other) == .rowGone)
        #expect(try a.value(Int.self, "SELECT count(*) FROM patients") == 0)
        #expect(try a.writer.resolveJournal(entry.id, keeping: .current) == .resolved(hasChanged: false))
    }

    @Test("a value that a constraint refuses is refused, and the conflict stays open")
    func constraint() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO users(id, username, password, role) VALUES('u1', 'ana', 'x', 'doctor')")
        try converge([a, b])
        try a.sql("UPDATE users SET username = 'anna' WHERE id = 'u1'")
        b.now += 10
        try b.sql("UPDATE users SET username = 'anya' WHERE id = 'u1'")
        try converge([a, b])
        try a.sql("INSERT INTO users(id, username, password, role) VALUES('u2', 'anna', 'x', 'doctor')")
        let entry = try #require(try a.reader.journal(openOnly: true).first)
        guard case .refused(let reason) = try a.writer.resolveJournal(entry.id, keeping: .other) else {
            Issue.record("two users got one name")
            return
        }
        #expect(reason.contains("users.username") && !reason.contains("anna"))
        #expect(try a.reader.summary().openConflicts == 1)
        try a.collect()
        try a.verify()
    }

    @Test("a reference to a row that is gone is not brought back")
    func reference() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        for id in ["p1", "p2", "p3"] { try a.sql("INSERT INTO patients(id, fullName) VALUES(?, 'x')", [id]) }
        try a.sql(
            """
            INSERT INTO medical_records(id, patientId, doctorId, recordType, recordDate, createdAt, updatedAt)
            VALUES('m1', 'p1', 'u1', 'visit', '2026-11-21', 'now', 'now')
            """
        )
        try converge([a, b])
        try a.sql("UPDATE medical_records SET patientId = 'p2'")
        b.now += 10
        try b.sql("UPDATE medical_records SET patientId = 'p3'")
        try converge([a, b])
        try a.sql("DELETE FROM patients WHERE id = 'p2'")
        try a.collect()
        let entry = try #require(try a.reader.journal(openOnly: true).first { $0.column == "patientId" })
        let outcome = try a.writer.resolveJournal(entry.id, keeping: .other)
        #expect(outcome == .refused(reason: "patientId refers to a row of patients that is gone"))
        #expect(try a.value(String.self, "SELECT patientId FROM medical_records") == "p3")
    }
}
