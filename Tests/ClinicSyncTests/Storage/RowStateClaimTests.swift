import ClinicSyncCore
import ClinicSyncModel
import Foundation
import GRDB
import Testing

@testable import ClinicSyncStorage

/// What others, and the node's own file, say that somebody had seen is limited to what exists.
@Suite("Claims of row states")
struct RowStateClaimTests {
    private func stores() throws -> (a: TestStore, b: TestStore) {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try b.sql("INSERT INTO users(id, username) VALUES('u1', 'u1')")
        try converge([a, b])
        return (a, b)
    }

    private func page(_ store: TestStore, _ state: RowState) throws -> RowStatePage {
        var writer = RowStateWriter(try #require(store.writer.plans["patients"]))
        writer.append(state)
        return RowStatePage(round: 1, table: "patients", payload: writer.payload(), wanted: [], isLast: true)
    }

    /// p1 as `store` knows it.
    private func state(_ store: TestStore) throws -> RowState {
        let plan = try #require(store.writer.plans["patients"])
        return try store.writer.transactions.read {
            try store.writer.rows.locate(plan, key: .string("p1"), on: $0).state
        }
    }

    private func name(_ store: TestStore) throws -> String? {
        try store.value(String.self, "SELECT fullName FROM patients WHERE id = 'p1'")
    }

    private func everything(_ stores: TestStore...) -> VersionVector {
        VersionVector(stores.map { VersionVector.Entry(origin: $0.origin, sequence: 1 << 50) })
    }

    @Test("a deleter who is said to have seen what nobody has written yet does not delete what is written later")
    func futureDeletion() throws {
        let (a, b) = try self.stores()
        var state = try self.state(a)
        let version = Version(timestamp: HybridTimestamp(milliseconds: a.now + 5), origin: a.origin, sequence: 1)
        state.deletion = RowState.Deletion(seen: self.everything(a, b), version: version)
        // Each node gets the forged state at another moment.
        _ = try b.writer.merge(try self.page(b, state), clockOffsetMilliseconds: 0)
        #expect(try self.name(b) == nil)
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p2', 'Bea')")
        try a.collect()
        _ = try a.writer.merge(try self.page(a, state), clockOffsetMilliseconds: 0)
        #expect(try self.name(a) == nil)
        for (store, name) in [(b, "typed in at b"), (a, "typed in at a")] {
            store.now += 60_000
            try store.sql("INSERT OR REPLACE INTO patients(id, fullName) VALUES('p1', '\(name)')")
            try converge([a, b])
            #expect(try self.name(a) == name)
            #expect(try self.name(b) == name)
            try expectEqual([a, b])
        }
    }

    @Test("a row of a batch that does not exist here is passed over: insertion, column, counter, deletion")
    func futureBatches() throws {
        let (a, b) = try self.stores()
        let known = try self.state(a)
        let future = Version(timestamp: HybridTimestamp(milliseconds: a.now + 5), origin: b.origin, sequence: 1 << 40)
        var states = [known, known, known, known]
        states[0].birth = future
        let slot = try #require(a.writer.plans["patients"]?.slot(of: "fullName"))
        states[1].registers[slot] = RowState.Register(value: .string("forged"), version: future)
        states[2].deletion = RowState.Deletion(seen: VersionVector(), version: future)
        for state in states.prefix(3) {
            let outcome = try b.writer.merge(try self.page(b, state), clockOffsetMilliseconds: 0)
            #expect(outcome.changedRows == 0 && outcome.aheadKeys == [])
        }
        #expect(try self.name(b) == "Ana")
        states[3].counters = [RowState.CounterPart(slot: 0, origin: b.origin, total: 9, sequence: 1 << 40)]
        #expect(!states[3].names(only: { b.writer.rows.origins.hasApplied($0) }))
        try expectEqual([a, b])
    }

    @Test("a row outside the range that was asked for makes the page malformed, and nothing of it is kept")
    func outsideTheRange() throws {
        let (a, b) = try self.stores()
        try b.sql("DELETE FROM patients WHERE id = 'p1'")
        try b.collect()
        let page = try #require(try b.reader.rowStates(round: 1, table: "patients", keys: [.string("p1")]).first)
        #expect(throws: MalformedChunk.self) {
            try a.writer.merge(page, within: KeyRange(after: .string("p1"), through: nil), clockOffsetMilliseconds: 0)
        }
        #expect(throws: MalformedChunk.self) {
            try a.writer.merge(page, within: KeyRange(after: nil, through: .string("p0")), clockOffsetMilliseconds: 0)
        }
        #expect(try self.name(a) == "Ana")
    }

    @Test("a deletion in the node's own file that says too much covers nothing that comes later")
    func damagedContext() throws {
        let (a, b) = try self.stores()
        try b.sql("DELETE FROM patients WHERE id = 'p1'")
        try converge([a, b])
        let blob = Array(try #require(try b.value(Data.self, "SELECT vector FROM clinicsync_context")))
        // Stamp, author and number stay; the vector after them says everything.
        let head = try blob.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            _ = try (reader.fixed64(), reader.origin(), reader.unsigned())
            return blob.count - reader.remaining
        }
        let damaged = Array(blob.prefix(head)) + VectorCoding.encode(self.everything(a, b))
        try b.sql("UPDATE clinicsync_context SET vector = ?", [Data(damaged)])
        a.now += 1_000
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'typed in again')")
        try converge([a, b])
        #expect(try self.name(b) == "typed in again")
        try expectEqual([a, b])
    }

    @Test("what an author had seen, in the node's own file, is cut when the file is opened")
    func damagedOrigin() throws {
        let (a, b) = try self.stores()
        try b.sql("UPDATE clinicsync_origin SET seen = ?", [Data(VectorCoding.encode(self.everything(a, b)))])
        let again = try TestStore(reopening: b, schema: b.schema)
        // Concurrent edits, the later one of the author who is said to have seen everything.
        try again.sql("UPDATE patients SET fullName = 'Earlier' WHERE id = 'p1'")
        try again.collect()
        a.now += 10
        try a.sql("UPDATE patients SET fullName = 'Later' WHERE id = 'p1'")
        try a.send(to: again)
        #expect(try again.reader.journal(openOnly: true).map(\.other.value) == [.string("Earlier")])
        try again.send(to: a)
        try expectEqual([a, again])
    }

    @Test("two values of one version, which only damage brings about, become one value on every node")
    func sameVersion() throws {
        let (a, b) = try self.stores()
        var state = try self.state(a)
        let slot = try #require(a.writer.plans["patients"]?.slot(of: "fullName"))
        state.registers[slot]?.value = .string("Another")
        let ours = try self.state(b)
        var (left, right) = (ours, state)
        let losses = left.merge(state) { _, _ in true }
        #expect(right.merge(ours) { _, _ in true }.count == 1)
        #expect(left == right && losses.count == 1)
        _ = try b.writer.merge(try self.page(b, state), clockOffsetMilliseconds: 0)
        let shown = try #require(try self.name(b))
        #expect(try b.reader.journal(openOnly: true).count == 1)
        #expect([shown, "Another", "Ana"].contains(shown))
    }
}
