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

    // MARK: - Other PCs write the row

    /// Stores that send values of a kibibyte at most, with a patient that the second one entered.
    private func smallStores() throws -> (a: TestStore, b: TestStore) {
        var limits = StoreLimits()
        limits.changeBytesMax = 1 << 10
        limits.stateBytesMax = 2 << 10
        let (a, b) = (try TestStore(1, limits: limits), try TestStore(2, limits: limits))
        try b.sql("INSERT INTO patients (id, fullName, medicalHistory, address) VALUES ('p1', 'Ana', 'first', 'here')")
        try a.sql("INSERT INTO users (id, username) VALUES ('u1', 'u1')")
        try converge([a, b])
        return (a, b)
    }

    /// The journal's values: column and length.
    private func lost(_ store: TestStore) throws -> [String] {
        try store.queue.read { db in
            try String.fetchAll(
                db,
                sql: "SELECT columnName || ' ' || length(value) FROM clinicsync_conflict ORDER BY 1"
            )
        }
    }

    private func patient(_ store: TestStore) throws -> String? {
        try store.value(
            String.self,
            "SELECT fullName || ', ' || coalesce(medicalHistory, '-') || ', ' || coalesce(address, '-') FROM patients"
        )
    }

    /// Compares until both nodes are equal, and checks that nothing of theirs differs.
    private func reconcile(_ a: TestStore, _ b: TestStore) throws {
        for (client, host) in [(a, b), (b, a)] {
            let run = RoundRun(client: client, host: host)
            var results: [ReconciliationResult?] = []
            repeat {
                results.append(try run.round())
                try converge([a, b])
            } while results.last != .equal && results.count < 4
            #expect(results.last == .equal)
        }
        for store in [a, b] { try store.verify() }
    }

    @Test(
        "a large value that another PC overwrites is in the journal of its PC; the row is equal everywhere",
        arguments: [true, false],
        ["medicalHistory = 'second'", "address = 'there'"]
    )
    func overwritten(hasLog: Bool, edit: String) throws {
        let (a, b) = try self.smallStores()
        // The log has what the row showed before, or has been pruned.
        if !hasLog { try a.sql("DELETE FROM clinicsync_log") }
        try a.sql("UPDATE patients SET medicalHistory = zeroblob(4096), address = 'mine' WHERE id = 'p1'")
        #expect(try a.collect().logged.isEmpty)
        b.now += 10
        try b.sql("UPDATE patients SET \(edit) WHERE id = 'p1'")
        try b.send(to: a)
        #expect(try self.lost(a) == ["address 4", "medicalHistory 4096"])
        try self.reconcile(a, b)
        #expect(try self.patient(a) == self.patient(b))
        #expect(try self.patient(b) == (edit.hasPrefix("m") ? "Ana, second, here" : "Ana, first, there"))
        // The short value has reached the other PC's journal. The large one is named as waiting, and a sync says so.
        #expect(try self.lost(b) == ["address 4"])
        #expect(try self.reasons(a).map { $0.hasPrefix("clinicsync_conflict 1: a lost value larger") } == [true])
        #expect(try a.writer.sweep(table: nil, clockOffsetMilliseconds: 0).1.unsentRows == 1)
        #expect(try a.reader.journal(openOnly: true).count == 2)
    }

    @Test("a person can take a large value back, or settle it: then nothing of it is left in the journal")
    func settled() throws {
        for choice in [JournalChoice.other, .current] {
            let (a, b) = try self.smallStores()
            try a.sql("UPDATE patients SET medicalHistory = zeroblob(4096) WHERE id = 'p1'")
            try a.collect()
            b.now += 10
            try b.sql("UPDATE patients SET medicalHistory = 'second' WHERE id = 'p1'")
            try b.send(to: a)
            // The same value does not make a second entry.
            try a.sql("UPDATE patients SET medicalHistory = zeroblob(4096) WHERE id = 'p1'")
            b.now += 10
            try b.sql("UPDATE patients SET medicalHistory = 'third' WHERE id = 'p1'")
            try b.send(to: a)
            let entry = try #require(try a.reader.journal(openOnly: true).first)
            #expect(try self.lost(a) == ["medicalHistory 4096"])
            #expect(
                try a.writer.resolveJournal(entry.id, keeping: choice) == .resolved(hasChanged: choice == .other)
            )
            try a.collect()
            #expect(try self.lost(a) == [])
            let length = try a.value(Int.self, "SELECT length(medicalHistory) FROM patients WHERE id = 'p1'")
            #expect(length == (choice == .other ? 4_096 : 5))
            #expect(try self.reasons(a).count == (choice == .other ? 1 : 0))
            try a.sql("UPDATE patients SET medicalHistory = 'short' WHERE id = 'p1'")
            try converge([a, b])
            try expectEqual([a, b])
        }
    }

    @Test("a row with a large value that another PC deletes is gone, and the value is in the journal")
    func deletedElsewhere() throws {
        let (a, b) = try self.smallStores()
        try a.sql("UPDATE patients SET medicalHistory = zeroblob(4096) WHERE id = 'p1'")
        try a.collect()
        b.now += 10
        try b.sql("DELETE FROM patients WHERE id = 'p1'")
        try b.send(to: a)
        #expect(try a.value(Int.self, "SELECT count(*) FROM patients") == 0)
        #expect(try self.lost(a) == ["medicalHistory 4096"])
        try self.reconcile(a, b)
    }

    @Test("a new row that is too large gives way to another PC's row of its key, and its values are in the journal")
    func insertedElsewhere() throws {
        let (a, b) = try self.smallStores()
        try a.sql("INSERT INTO patients (id, fullName, medicalHistory) VALUES ('p2', 'Bea', zeroblob(4096))")
        try a.collect()
        b.now += 10
        try b.sql("DELETE FROM patients WHERE id = 'p1'; INSERT INTO patients (id, fullName) VALUES ('p2', 'Cleo')")
        try b.send(to: a)
        #expect(try self.patient(a) == "Cleo, -, -")
        #expect(try self.lost(a) == ["fullName 3", "medicalHistory 4096"])
        try self.reconcile(a, b)
        #expect(try self.lost(b) == ["fullName 3"])
    }
}
