import ClinicSyncCore
import ClinicSyncModel
import Foundation
import GRDB
import Testing

@testable import ClinicSyncStorage

/// The stored form of states of deleted and hidden rows, and files of the version before it.
@Suite("Stored states")
struct StoredStateTests {
    private let a: TestStore
    private let b: TestStore

    /// Two stores with deleted patients and a bill number that two PCs gave, so that one bill is hidden.
    init() throws {
        (self.a, self.b) = (try TestStore(1), try TestStore(2))
        try self.a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana'), ('gone', 'Gone')")
        try self.a.collect()
        try self.a.sql("UPDATE patients SET address = 'elsewhere' WHERE id = 'gone'")
        try converge([self.a, self.b])
        for (store, id) in [(self.a, "bill-b"), (self.b, "bill-c")] {
            try store.sql(
                """
                INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
                VALUES('\(id)', 'p1', 'INV-2', '2026-11-28', 2, 'open')
                """
            )
        }
        try self.b.sql("DELETE FROM patients WHERE id = 'gone'")
        try converge([self.a, self.b])
    }

    private func version(_ milliseconds: Int64, _ node: UInt64, _ sequence: UInt64) -> Version {
        Version(
            timestamp: HybridTimestamp(milliseconds: milliseconds),
            origin: Origin(node: TestStore.node(node)),
            sequence: sequence
        )
    }

    /// A state with values of three versions and two authors, NULLs among them.
    private func sample(_ plan: TablePlan) throws -> RowState {
        let birth = self.version(1_000, 1, 4)
        var state = RowState(
            key: .string("k"),
            birth: birth,
            registers: plan.names.indices.map { slot in
                plan.valueSlots & (1 << UInt64(slot)) == 0 ? nil : RowState.Register(value: .null, version: birth)
            }
        )
        let edits: [(String, SQLiteValue, Version)] = [
            ("fullName", .string("Ana"), birth), ("address", .null, self.version(2_000, 2, 9)),
            ("email", .blob([0, 255]), self.version(2_000, 2, 9)), ("suffix", .integer(-7), self.version(3_000, 1, 5)),
        ]
        for (name, value, version) in edits {
            state.registers[try #require(plan.slot(of: name))] = RowState.Register(value: value, version: version)
        }
        state.registers[try #require(plan.slot(of: "bloodType"))] = nil
        state.deletion = RowState.Deletion(seen: VersionVector(), version: self.version(4_000, 2, 10))
        return state
    }

    private func decoded(_ bytes: [UInt8], _ plan: TablePlan, key: String = "k") throws -> RowState {
        try bytes.withUnsafeBytes { bytes in
            try ValueRef.with(.string(key)) { try StoredState.decode(bytes, key: $0, plan: plan) }
        }
    }

    @Test("a state comes back as it was stored, without the columns' names, and only as the state of its row")
    func roundTrip() throws {
        let plan = try #require(self.a.writer.plans["patients"])
        let state = try self.sample(plan)
        let bytes = StoredState.encode(state)
        #expect(try self.decoded(bytes, plan) == state)
        // Two origins of 17 bytes, four versions of 10 or 11, and the values.
        #expect(bytes.count < 130)
        #expect(throws: MalformedRecord.self) { try self.decoded(bytes, plan, key: "other") }
    }

    @Test("bytes that are no stored state are refused")
    func malformed() throws {
        let plan = try #require(self.a.writer.plans["patients"])
        let bytes = StoredState.encode(try self.sample(plan))
        for count in bytes.indices {
            #expect(throws: MalformedRecord.self) { try self.decoded(Array(bytes[..<count]), plan) }
        }
        #expect(throws: MalformedRecord.self) { try self.decoded(bytes + [0], plan) }
        // A version that is not there, and an empty column that has no place among the columns.
        #expect(throws: MalformedRecord.self) { try self.decoded(Array(bytes.dropLast()) + [9], plan) }
        let alone = RowState(key: .string("k"), birth: .genesis, registers: [])
        #expect(throws: MalformedRecord.self) {
            try self.decoded(Array(StoredState.encode(alone).dropLast(2)) + [1, 0], plan)
        }
    }

    @Test("states that an earlier version stored are read as they are, and stored in the present form a few at a time")
    func upgrade() throws {
        let keys = (0..<300).map { "('n\($0)')" }
        try self.a.sql("INSERT INTO patients(id) VALUES" + keys.joined(separator: ","))
        try self.a.collect()
        try self.a.sql("DELETE FROM patients WHERE id LIKE 'n%'")
        try converge([self.a, self.b])
        let states = try self.stored(self.a).mapValues(\.state)
        try self.storeAsBefore(self.a)
        #expect(try self.stored(self.a).values.allSatisfy { !$0.isCurrent })

        let reopened = try TestStore(reopening: self.a, schema: .clinic)
        #expect(try self.stored(reopened).mapValues(\.state) == states)
        try self.repairSums(reopened)
        // The hidden bill, then the deleted patients in two parts.
        let left = try (0..<4).map { _ in
            _ = try reopened.writer.maintain(retentionMilliseconds: .max / 2)
            return try self.stored(reopened).values.count { !$0.isCurrent }
        }
        #expect(left == [301, 45, 0, 0])
        #expect(try self.stored(reopened).mapValues(\.state) == states)
        try expectEqual([reopened, self.b])
    }

    @Test("a state that an earlier version stored and that is damaged holds up no other")
    func damaged() throws {
        try self.storeAsBefore(self.a)
        try self.a.sql("UPDATE clinicsync_shadow SET state = x'02ff'")
        let reopened = try TestStore(reopening: self.a, schema: .clinic)
        for _ in 0..<2 { _ = try reopened.writer.maintain(retentionMilliseconds: .max / 2) }
        #expect(try self.stored(reopened, of: ["tombstone"]).values.allSatisfy(\.isCurrent))
    }

    /// Computes the sums again, from what the file has.
    private func repairSums(_ store: TestStore) throws {
        let before = try store.reader.digests().tables
        try store.sql("DELETE FROM clinicsync_sum")
        let opened = try TestStore(reopening: store, schema: .clinic)
        #expect(try opened.reader.digests().tables == before)
    }

    /// The stored states of deleted and hidden rows.
    private func stored(
        _ store: TestStore,
        of tables: [String] = ["tombstone", "shadow"]
    ) throws -> [SQLiteValue: (state: RowState, isCurrent: Bool)] {
        var found: [SQLiteValue: (state: RowState, isCurrent: Bool)] = [:]
        for (table, number, key, bytes) in try self.rows(store, tables) {
            let plan = try #require(store.writer.plans[number])
            let state = try self.decoded(bytes, plan, key: key)
            #expect(found.updateValue((state, bytes.first == 3), forKey: .string("\(table) \(key)")) == nil)
        }
        return found
    }

    /// Stores states in the form of schema version 24.
    private func storeAsBefore(_ store: TestStore) throws {
        for (table, number, key, bytes) in try self.rows(store, ["tombstone", "shadow"]) {
            let plan = try #require(store.writer.plans[number])
            var writer = RowStateWriter(plan)
            writer.append(try self.decoded(bytes, plan, key: key))
            try store.sql(
                "UPDATE clinicsync_\(table) SET state = ? WHERE tableId = ? AND pk = ?",
                [Data(writer.payload()), number, key]
            )
        }
    }

    private func rows(
        _ store: TestStore,
        _ tables: [String]
    ) throws -> [(table: String, number: Int, key: String, bytes: [UInt8])] {
        try store.queue.read { db in
            try tables.flatMap { table in
                try Row.fetchAll(db, sql: "SELECT tableId, pk, state FROM clinicsync_\(table)").map { row in
                    let bytes: Data = row[2]
                    return (table, row[0], row[1], Array(bytes))
                }
            }
        }
    }
}
