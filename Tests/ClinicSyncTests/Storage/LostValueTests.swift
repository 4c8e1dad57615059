import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

@Suite("Entries for values that lost, in every order of arrival")
struct LostValueTests {
    private func edit(_ store: TestStore, _ name: String) throws {
        store.now += 10
        try store.sql("UPDATE patients SET fullName = ? WHERE id = 'p1'", [name])
        try store.collect()
    }

    private func clinic(_ count: UInt64) throws -> [TestStore] {
        let stores = try (1...count).map { try TestStore($0, like: TortureSchema.clinic.get()) }
        try stores[0].sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try converge(stores)
        return stores
    }

    /// The values of the journal's entries, sorted.
    private func lost(_ store: TestStore) throws -> [String] {
        try store.queue.read { try String.fetchAll($0, sql: "SELECT value FROM clinicsync_conflict ORDER BY value") }
    }

    /// Gives every batch to an empty store in every order.
    ///
    /// This store and the writers must have the same journal after each order.
    private func expectEqualInEveryOrder(
        _ stores: [TestStore],
        lost expected: [String],
        shown: String,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        try converge(stores)
        let chunks = try stores[0].reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
        #expect(chunks.count <= 6, "so many orders take too long", sourceLocation: location)
        let digests = try stores[0].reader.digests().tables
        let vector = try stores[0].vector
        let reader = try TestStore(9, like: TortureSchema.clinic.get())
        let empty = try reader.snapshot()
        // All batches depend on the first.
        for rest in Permutations.all(Array(chunks.indices.dropFirst())) {
            let order = [0] + rest
            try reader.rewind(to: empty)
            for index in order { _ = try reader.writer.store([chunks[index]], clockOffsetMilliseconds: 0) }
            #expect(try reader.vector == vector, sourceLocation: location)
            #expect(try self.lost(reader) == expected, "order \(order)", sourceLocation: location)
            #expect(try reader.reader.digests().tables == digests, "order \(order)", sourceLocation: location)
        }
        for store in stores {
            #expect(try self.lost(store) == expected, sourceLocation: location)
            #expect(try store.value(String.self, "SELECT fullName FROM patients") == shown, sourceLocation: location)
        }
        try expectEqual(stores, location)
    }

    @Test("two concurrent edits leave one entry")
    func pair() throws {
        let stores = try self.clinic(2)
        try self.edit(stores[0], "a")
        stores[1].now += 5
        try self.edit(stores[1], "b")
        try self.expectEqualInEveryOrder(stores, lost: ["a"], shown: "b")
    }

    @Test("three concurrent edits leave two entries")
    func triple() throws {
        let stores = try self.clinic(3)
        for (index, store) in stores.enumerated() {
            store.now += Int64(index * 5)
            try self.edit(store, "\(index)")
        }
        try self.expectEqualInEveryOrder(stores, lost: ["0", "1"], shown: "2")
    }

    @Test("a value that was replaced knowingly is no entry, though its successor lost")
    func successor() throws {
        let stores = try self.clinic(2)
        try self.edit(stores[0], "first")
        try self.edit(stores[0], "second")
        stores[1].now += 100
        try self.edit(stores[1], "later")
        try self.expectEqualInEveryOrder(stores, lost: ["second"], shown: "later")
    }

    @Test("who overwrites a value that had won leaves the entry of the one that had lost")
    func overwriting() throws {
        let stores = try self.clinic(2)
        try self.edit(stores[0], "lost")
        stores[1].now += 100
        try self.edit(stores[1], "won")
        try converge(stores)
        stores[0].now += 1_000
        try self.edit(stores[0], "third")
        try self.expectEqualInEveryOrder(stores, lost: ["lost"], shown: "third")
    }

    @Test("equal values count as one: what follows them knowingly leaves nothing to decide")
    func equalValues() throws {
        let stores = try self.clinic(2)
        try self.edit(stores[0], "served")
        stores[1].now += 5
        try self.edit(stores[1], "served")
        try converge(stores)
        for store in stores { #expect(try store.reader.summary().openConflicts == 0) }
        #expect(try stores[0].reader.journal(openOnly: false).isEmpty)
        stores[0].now += 1_000
        try self.edit(stores[0], "paid")
        try self.expectEqualInEveryOrder(stores, lost: [], shown: "paid")
    }

    @Test("what an author had before his eyes is known though it was replaced elsewhere before his change arrives")
    func twoHeirs() throws {
        let stores = try self.clinic(3)
        let (a, b, c) = (stores[0], stores[1], stores[2])
        try self.edit(a, "old")
        b.now += 100
        try self.edit(b, "shown")
        try a.send(to: c)
        try b.send(to: c)
        b.now += 1_000
        try self.edit(b, "heir of b")
        c.now += 2_000
        try self.edit(c, "heir of c")
        // Both later edits replaced "shown". A third node no longer has "shown" when the second edit comes. No edit
        // replaced "old".
        try self.expectEqualInEveryOrder(stores, lost: ["heir of b", "old"], shown: "heir of c")
    }

    @Test("a row that is inserted again after a deletion tells what its author knew")
    func insertedAgain() throws {
        let stores = try self.clinic(2)
        let (a, b) = (stores[0], stores[1])
        try self.edit(a, "lost")
        b.now += 100
        try self.edit(b, "won")
        try converge(stores)
        a.now += 1_000
        try a.sql("DELETE FROM patients")
        try a.collect()
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'again')")
        try a.collect()
        b.now += 500
        try self.edit(b, "meanwhile")
        try self.expectEqualInEveryOrder(stores, lost: ["lost", "meanwhile"], shown: "again")
    }

    @Test(
        "whatever three PCs do, each value is shown, was replaced by somebody who saw it, or is an entry",
        arguments: 0..<12
    )
    func randomHistories(seed: UInt64) throws {
        var random = TestRandom(seed: seed)
        let stores = try self.clinic(3)
        var written: Set<String> = ["Ana"]
        var replaced: Set<String> = []
        for step in 0..<30 {
            let store = stores[Int.random(in: 0..<3, using: &random)]
            store.now += Int64.random(in: 0...40, using: &random)
            if Int.random(in: 0..<2, using: &random) == 0 {
                try store.send(to: stores[Int.random(in: 0..<3, using: &random)])
            } else {
                replaced.insert(try #require(try store.value(String.self, "SELECT fullName FROM patients")))
                written.insert("v\(step)")
                try self.edit(store, "v\(step)")
            }
        }
        try converge(stores)
        let shown = try #require(try stores[0].value(String.self, "SELECT fullName FROM patients"))
        #expect(try self.lost(stores[0]) == written.subtracting(replaced).subtracting([shown]).sorted())
        try expectEqual(stores)
        for store in stores {
            let entries = try store.reader.journal(openOnly: true)
            #expect(try store.reader.summary().openConflicts == entries.count)
        }
    }

    @Test("nodes agree whatever is written, equal values, insertions and deletions among it", arguments: 0..<8)
    func randomOperations(seed: UInt64) throws {
        var random = TestRandom(seed: seed)
        let stores = try self.clinic(3)
        for _ in 0..<40 {
            let store = stores[Int.random(in: 0..<3, using: &random)]
            store.now += Int64.random(in: -20...40, using: &random)
            let row = "p\(Int.random(in: 1...2, using: &random))"
            let name = "v\(Int.random(in: 0..<3, using: &random))"
            switch Int.random(in: 0..<6, using: &random) {
            case 0:
                try store.sql(
                    "INSERT OR REPLACE INTO patients(id, fullName, address) VALUES(?, ?, ?)",
                    [row, name, name]
                )
            case 1: try store.sql("DELETE FROM patients WHERE id = ?", [row])
            case 2: try store.sql("UPDATE patients SET address = ? WHERE id = ?", [name, row])
            case 3: try store.sql("UPDATE patients SET fullName = ? WHERE id = ?", [name, row])
            default: try store.send(to: stores[Int.random(in: 0..<3, using: &random)])
            }
        }
        try converge(stores)
        try expectEqual(stores)
        for store in stores {
            let entries = try store.reader.journal(openOnly: true, limit: .max)
            #expect(try store.reader.summary().openConflicts == entries.count)
        }
    }
}

/// All permutations of a few elements.
enum Permutations {
    static func all<Element>(_ elements: [Element]) -> [[Element]] {
        guard elements.count > 1 else { return [elements] }
        return elements.indices.flatMap { index in
            var rest = elements
            let first = rest.remove(at: index)
            return self.all(rest).map { [first] + $0 }
        }
    }
}
