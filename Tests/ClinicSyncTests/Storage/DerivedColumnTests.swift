import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// `docs/design/0027-derived-columns.md`.
@Suite("Columns that programs set at each save, and values that are lost at each save")
struct DerivedColumnTests {
    private static let ddl = """
        CREATE TABLE note(id TEXT PRIMARY KEY NOT NULL, body TEXT, updatedAt TEXT, LASTACTIVITY TEXT, savedAt TEXT);
        CREATE TABLE beat(id TEXT PRIMARY KEY NOT NULL, updatedAt TEXT);
        """

    /// A schema with these rules for the table `note`.
    private static func schema(_ rules: String = "") -> StoreSchema {
        TortureSchema.schema(
            DerivedColumnTests.ddl,
            #""note": {"category": "data"\#(rules)}, "beat": {"category": "data"}"#
        )
    }

    private func clinic(_ count: UInt64) throws -> [TestStore] {
        try (1...count).map { try TestStore($0, like: TortureSchema.clinic.get()) }
    }

    private func open(_ store: TestStore) throws -> [String] {
        try store.reader.journal(openOnly: true).map {
            "\($0.kind) \($0.row.key.displayText) \($0.column ?? "-") \($0.other.value.displayText) \($0.count)"
        }
    }

    // MARK: - Derived columns

    @Test(
        "two people who save at once leave an entry for what they entered, and none for what the program set beside it"
    )
    func savedAtOnce() throws {
        let stores = try self.clinic(2)
        let (a, b) = (stores[0], stores[1])
        try a.sql("INSERT INTO patients(id, fullName, updatedAt) VALUES('p', 'Ana', 'first')")
        try converge(stores)
        try a.sql("UPDATE patients SET address = 'Luna', updatedAt = 'a'")
        b.now += 10
        try b.sql("UPDATE patients SET address = 'Sol', updatedAt = 'b'")
        try a.collect()
        try b.collect()
        let outcome = try a.send(to: b)
        #expect(outcome.conflicts == 1, "of the two values one was entered")
        let told = outcome.events.compactMap(\.named).filter { $0.type == "conflict_recorded" }
        #expect(told.count == 1)
        try b.send(to: a)
        for store in stores {
            #expect(try self.open(store) == ["value p address Luna 1"])
            #expect(try store.reader.summary().openConflicts == 1)
            #expect(try store.reader.journal(openOnly: false).count == 1)
            #expect(try store.value(String.self, "SELECT updatedAt FROM patients") == "b", "the later one")
        }
        try expectEqual(stores)
    }

    @Test("a row in which nothing but such columns was lost is no entry, also of other kinds than lost values")
    func nothingEntered() throws {
        let stores = try self.clinic(2)
        let (a, b) = (stores[0], stores[1])
        try a.sql(
            """
            INSERT INTO users(id, username, password, role) VALUES('u', 'ana', 'x', 'doctor');
            INSERT INTO user_sessions(id, userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken)
            VALUES('s', 'u', 'ana', 'd', '2027-01-15T08:00:00Z', '2027-01-15T08:00:00Z', '2027-01-16T08:00:00Z', 't')
            """
        )
        try converge(stores)
        try a.sql("DELETE FROM user_sessions WHERE id = 's'")
        b.now += 10
        try b.sql("UPDATE user_sessions SET lastActivity = '2027-01-15T09:00:00Z' WHERE id = 's'")
        try converge(stores)
        for store in stores {
            #expect(try store.value(Int.self, "SELECT count(*) FROM user_sessions") == 0)
            #expect(try self.open(store) == [])
            #expect(try store.reader.summary().openConflicts == 0)
        }
        try expectEqual(stores)
    }

    @Test(
        "names decide where the manifest says nothing; where it says something, that alone counts",
        arguments: [
            ("", ["body", "savedAt"]), (#", "derived": []"#, ["LASTACTIVITY", "body", "savedAt", "updatedAt"]),
            (#", "derived": ["savedAt", "updatedAt"]"#, ["LASTACTIVITY", "body"]),
        ]
    )
    func rules(rules: String, listed: [String]) throws {
        let stores = try (1...2).map { try TestStore($0, schema: Self.schema(rules)) }
        try stores[0].sql("INSERT INTO note(id) VALUES('n')")
        try converge(stores)
        for (index, store) in stores.enumerated() {
            store.now += Int64(index)
            try store.sql(
                "UPDATE note SET body = ?1, updatedAt = ?1, lastActivity = ?1, savedAt = ?1",
                ["by \(index)"]
            )
        }
        try converge(stores)
        for store in stores {
            #expect(try store.reader.journal(openOnly: true).compactMap(\.column).sorted() == listed)
            #expect(try store.reader.summary().openConflicts == listed.count)
        }
        try expectEqual(stores)
    }

    @Test("nodes whose rules differ are equal, and each shows what its rules say, also of entries from before")
    func differentRules() throws {
        let old = try TestStore(1, schema: Self.schema(#", "derived": []"#))
        let new = try TestStore(2, schema: Self.schema())
        try old.sql("INSERT INTO note(id) VALUES('n')")
        try converge([old, new])
        try old.sql("UPDATE note SET body = 'a', updatedAt = 'a'")
        new.now += 10
        try new.sql("UPDATE note SET body = 'b', updatedAt = 'b'")
        try converge([old, new])
        try expectEqual([old, new])
        #expect(Set(try self.open(old)) == ["value n body a 1", "value n updatedAt a 1"])
        #expect(try self.open(new) == ["value n body a 1"])
        #expect(try old.reader.summary().openConflicts == 2)
        // Somebody changes both with knowledge of them, and settles what is listed.
        old.now += 1_000
        try old.sql("UPDATE note SET body = 'c', updatedAt = 'c'")
        try converge([old, new])
        let entry = try #require(try new.reader.journal(openOnly: true).first)
        #expect(try new.writer.resolveJournal(entry.id, keeping: .current) == .resolved(hasChanged: false))
        try converge([old, new])
        try expectEqual([old, new])
        #expect(try self.open(old) == ["value n updatedAt a 1"])
        // The update of the program.
        let updated = try TestStore(reopening: old, schema: Self.schema())
        for store in [updated, new] {
            #expect(try self.open(store) == [])
            #expect(try store.reader.summary().openConflicts == 0)
        }
        try expectEqual([updated, new])
    }

    @Test("an entry that brings a deleted row back is listed, whichever column it names")
    func wholeRow() throws {
        let stores = try (1...2).map { try TestStore($0, schema: Self.schema()) }
        let (a, b) = (stores[0], stores[1])
        try a.sql("INSERT INTO beat(id, updatedAt) VALUES('r', 'once')")
        try b.sql("INSERT INTO note(id) VALUES('n')")
        try converge(stores)
        try a.sql(
            "UPDATE clinicsync_guard SET applying = 1; DELETE FROM beat; UPDATE clinicsync_guard SET applying = 0"
        )
        _ = try a.writer.sweep(table: nil, clockOffsetMilliseconds: 0)
        try converge(stores)
        for store in stores {
            #expect(try self.open(store) == ["value r updatedAt once 1"])
            #expect(try store.reader.summary().openConflicts == 1)
        }
        let entry = try #require(try b.reader.journal(openOnly: true).first)
        b.now += 1_000
        #expect(try b.writer.resolveJournal(entry.id, keeping: .other) == .resolved(hasChanged: true))
        try converge(stores)
        #expect(try a.value(String.self, "SELECT updatedAt FROM beat") == "once")
        for store in stores { #expect(try store.reader.summary().openConflicts == 0) }
    }

    @Test("values of a column that stands aside are counted as they are listed")
    func aside() throws {
        let stores = try self.clinic(3)
        try stores[0].sql("INSERT INTO patients(id, fullName) VALUES('p', 'Ana')")
        try converge(stores)
        for store in stores[0...1] {
            try store.sql(
                "ALTER TABLE patients ADD COLUMN nationalId TEXT; ALTER TABLE patients ADD COLUMN lastActivity TEXT"
            )
        }
        try converge(stores)
        for (index, store) in stores[0...1].enumerated() {
            store.now += Int64(index)
            try store.sql("UPDATE patients SET nationalId = ?1, lastActivity = ?1", ["PH-\(index)"])
        }
        try converge(stores)
        for store in stores {
            #expect(try self.open(store) == ["value p nationalId PH-0 1"])
            #expect(try store.reader.summary().openConflicts == 1)
        }
        // The tables differ by the columns.
        let digests = try stores[0].reader.digests().tables
        for store in stores { #expect(try store.reader.digests().tables == digests) }
    }

    // MARK: - Saving at each keystroke

    /// Types into the address of one patient on all stores at once, `count` times, saved each time; returns what was lost, newest
    /// first.
    private func type(_ count: Int, on stores: [TestStore]) throws -> [String] {
        try stores[0].sql("INSERT INTO patients(id, fullName) VALUES('p', 'Ana')")
        try converge(stores)
        var lost: [String] = []
        for step in 1...count {
            let now = (stores.map(\.now).max() ?? 0) + 1_000
            // Now the one is later, now the other.
            for (index, store) in stores.enumerated() {
                store.now = now + Int64((index + step) % stores.count)
                try store.sql("UPDATE patients SET address = ?1, updatedAt = ?1", ["\(index) types \(step)"])
            }
            let losers = stores.indices.filter { ($0 + step) % stores.count != stores.count - 1 }
            lost =
                losers.sorted { ($0 + step) % stores.count > ($1 + step) % stores.count }
                .map { "\($0) types \(step)" } + lost
            try converge(stores)
        }
        return lost
    }

    @Test(
        "two PCs that type into one field leave one entry with all lost values, the last one first, and settle it at once"
    )
    func keystrokes() throws {
        let stores = try self.clinic(2)
        let lost = try self.type(12, on: stores)
        #expect(lost.count == 12)
        try expectEqual(stores)
        for store in stores {
            #expect(try self.open(store) == ["value p address \(lost[0]) 12"])
            #expect(try store.reader.summary().openConflicts == 1)
        }
        let entry = try #require(try stores[1].reader.journal(openOnly: true).first)
        guard case .found(let whole) = try stores[1].reader.journalEntry(entry.id) else {
            Issue.record("the entry is not there")
            return
        }
        #expect(whole.values.map(\.written.value.displayText) == lost)
        #expect(whole.values.first?.id == entry.id)
        // Each value can be read by itself, and chosen.
        let chosen = whole.values[7]
        guard case .found(let one) = try stores[0].reader.journalEntry(chosen.id) else {
            Issue.record("the value is not there")
            return
        }
        #expect(one.other == chosen.written && one.count == 12 && one.values == whole.values)
        for store in stores { store.now += 5_000 }
        #expect(try stores[0].writer.resolveJournal(chosen.id, keeping: .other) == .resolved(hasChanged: true))
        try converge(stores)
        try expectEqual(stores)
        for store in stores {
            #expect(try store.value(String.self, "SELECT address FROM patients") == lost[7])
            #expect(try self.open(store) == [])
            #expect(try store.reader.summary().openConflicts == 0)
            let all = try store.reader.journal(openOnly: false)
            #expect(all.map(\.count) == [12], "what was settled at once is listed at once")
            #expect(all.first?.decision?.kept == .other)
            #expect(
                try store.reader.report("patients/p/address").columns.first?.beaten.count == 11,
                "all but the chosen"
            )
        }
    }

    @Test("three PCs leave an entry for each of the two that are not shown")
    func threePCs() throws {
        let stores = try self.clinic(3)
        let lost = try self.type(6, on: stores)
        #expect(lost.count == 12)
        for store in stores {
            let entries = try store.reader.journal(openOnly: true)
            let shown = try #require(entries.first?.current?.node)
            #expect(entries.count == 2 && entries.map(\.count).reduce(0, +) == 12)
            #expect(Set(entries.map(\.other.node)).isSubset(of: Set(stores.map(\.origin.node)).subtracting([shown])))
            #expect(try store.reader.summary().openConflicts == 2)
        }
        try expectEqual(stores)
    }

    @Test("a value that is lost after a decision is a new entry")
    func again() throws {
        let stores = try self.clinic(2)
        _ = try self.type(3, on: stores)
        let entry = try #require(try stores[0].reader.journal(openOnly: true).first)
        #expect(try stores[0].writer.resolveJournal(entry.id, keeping: .current) == .resolved(hasChanged: false))
        try converge(stores)
        for (index, store) in stores.enumerated() {
            store.now += 5_000 + Int64(index)
            try store.sql("UPDATE patients SET address = ?", ["later \(index)"])
        }
        try converge(stores)
        for store in stores {
            #expect(try self.open(store) == ["value p address later 0 1"])
            #expect(try store.reader.journal(openOnly: false).map(\.count) == [1, 3])
        }
    }

    // MARK: - Many entries at once

    /// Two stores with `count` patients whose names were changed on both, and one whose address was.
    private func crowd(_ count: Int) throws -> [TestStore] {
        let stores = try self.clinic(2)
        try stores[0].sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(count))
            INSERT INTO patients(id, fullName) SELECT 'p' || i, 'Ana' FROM n
            """
        )
        try converge(stores)
        for (index, store) in stores.enumerated() {
            store.now += Int64(index)
            try store.sql("UPDATE patients SET fullName = id || ' by \(index)'")
            try store.sql("UPDATE patients SET address = 'by \(index)' WHERE id = 'p7'")
        }
        try converge(stores)
        return stores
    }

    /// All entries that a filter lets through.
    private func matching(_ filter: JournalFilter, _ store: TestStore) throws -> [[String]] {
        var entries: [[String]] = []
        var next: String? = ""
        while let after = next {
            let page = try store.reader.openJournal(matching: filter, after: after)
            entries += page.entries
            next = page.next
        }
        return entries
    }

    @Test("filters leave out what they say, and nothing is left out without one")
    func filters() throws {
        let stores = try self.crowd(1_200)
        let store = stores[1]
        let newest = try #require(try store.reader.journal(openOnly: true).first).other.timestamp.milliseconds
        func count(_ change: (inout JournalFilter) -> Void) throws -> Int {
            var filter = JournalFilter()
            change(&filter)
            return try self.matching(filter, store).count
        }
        #expect(try count { _ in } == 1_201)
        #expect(try store.reader.summary().openConflicts == 1_201)
        #expect(try count { $0.column = "address" } == 1)
        #expect(try count { $0.table = "patient_bills" } == 0)
        #expect(try count { $0.kind = .renamed } == 0)
        #expect(try count { $0.node = stores[0].origin.node } == 1_201)
        #expect(try count { $0.node = store.origin.node } == 0)
        #expect(try count { $0.times = (newest + 1)...Int64.max } == 0)
        #expect(try count { $0.times = Int64.min...newest } == 1_201)
    }

    @Test("many entries are settled in pieces, once, on all PCs")
    func settleMany() throws {
        let stores = try self.crowd(300)
        let ids = try self.matching(JournalFilter(), stores[1]).flatMap(\.self)
        let first = try stores[1].writer.journalDecisions.settle(ids)
        #expect(first.settled == JournalDecisions.settledMax)
        let rest = Array(ids.dropFirst(JournalDecisions.settledMax))
        #expect(try stores[1].writer.journalDecisions.settle(rest, at: first.at).settled == rest.count)
        #expect(try stores[1].writer.journalDecisions.settle(rest).settled == 0, "they are not open any more")
        try converge(stores)
        try expectEqual(stores)
        for store in stores {
            #expect(try store.reader.summary().openConflicts == 0)
            #expect(try store.value(Int.self, "SELECT count(*) FROM patients WHERE fullName LIKE '% by 1'") == 300)
        }
    }

    @Test("many lost values are written at once, and one that is refused leaves the others alone")
    func restoreMany() throws {
        let stores = try self.crowd(20)
        let b = stores[1]
        try b.sql("DELETE FROM patients WHERE id = 'p3'")
        try b.collect()
        var filter = JournalFilter()
        filter.column = "fullName"
        let ids = try self.matching(filter, b).compactMap(\.first)
        var endings: [JournalResolution] = []
        while endings.count < ids.count {
            endings += try b.writer.journalDecisions.restore(Array(ids[endings.count...]))
        }
        #expect(endings.count == 20)
        #expect(endings.count { $0 == .resolved(hasChanged: true) } == 19)
        #expect(endings.count { $0 == .rowGone } == 1)
        try converge(stores)
        try expectEqual(stores)
        for store in stores {
            #expect(try store.value(Int.self, "SELECT count(*) FROM patients WHERE fullName LIKE '% by 0'") == 19)
            #expect(try store.reader.summary().openConflicts == 2, "the deleted row's, and the address")
        }
    }
}
