import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

/// Hidden and deleted rows: their sums, and damage that only the sums can show.
@Suite("States of rows that tables do not show")
struct HiddenStateTests {
    private let stores: [TestStore]

    /// Two stores with a deleted patient, a user whose name another user has, and a bill number that two PCs gave.
    init() throws {
        let template = try TortureSchema.clinic.get()
        self.stores = [try TestStore(1, like: template), try TestStore(2, like: template)]
        try self.a.sql(
            """
            INSERT INTO patients(id, fullName, address) VALUES('p1', 'Ana', 'here'), ('gone', 'Gone', 'there');
            """
        )
        try self.a.collect()
        try self.a.sql("UPDATE patients SET address = 'elsewhere' WHERE id = 'gone'")
        try self.a.collect()
        // The deleter has seen more than what the deleted row names.
        try self.a.sql("UPDATE patients SET address = 'there' WHERE id = 'p1'")
        try converge(self.stores)
        try self.a.sql(self.bill("bill-b"))
        try self.b.sql(self.bill("bill-c"))
        try self.b.sql("DELETE FROM patients WHERE id = 'gone'")
        try converge(self.stores)
    }

    private func bill(_ id: String) -> String {
        """
        INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
        VALUES('\(id)', 'p1', 'INV-2', '2026-11-28', 2, 'open')
        """
    }

    private var a: TestStore { self.stores[0] }
    private var b: TestStore { self.stores[1] }

    private func digest(_ store: TestStore, _ table: String) throws -> TableDigest {
        try #require(try store.reader.digests().tables.first { $0.name == table })
    }

    /// Reconciles until both nodes are equal; the journal's entries travel as rows too.
    private func repair(_ run: RoundRun) throws {
        var results: [ReconciliationResult?] = []
        try converge(self.stores)
        repeat {
            results.append(try run.round())
            try converge(self.stores)
        } while results.last != .equal && results.count < 5
        #expect(results.first == .repaired || results.first == .differs)
        #expect(results.last == .equal)
        try expectEqual(self.stores)
    }

    /// Has the first node compare its bookkeeping with itself, as a manual sync does.
    private func sweep() throws { _ = try self.a.writer.sweep(table: nil, clockOffsetMilliseconds: 0) }

    @Test("nodes with the same batches have equal sums, however the rows came to be hidden or deleted")
    func sums() throws {
        try expectEqual(self.stores)
        #expect(try self.digest(self.a, "patients").deleted?.rows == 1)
        #expect(try self.digest(self.a, "patient_bills").hidden?.rows == 2)
        #expect(try self.digest(self.a, "patient_bills").deleted == .zero)
        // A third node gets everything at once, from the second one.
        let late = try TestStore(3)
        try self.b.send(to: late)
        try expectEqual(self.stores + [late])
    }

    @Test("a row that comes back, and a key that becomes free, leave nothing in the sums")
    func emptied() throws {
        try self.a.sql("INSERT INTO patients(id, fullName) VALUES('gone', 'Back')")
        try self.b.sql("UPDATE patient_bills SET invoiceNumber = 'INV-3' WHERE id = 'bill-b'")
        try converge(self.stores)
        try expectEqual(self.stores)
        for store in self.stores {
            #expect(try self.digest(store, "patients").deleted == .zero)
            #expect(try self.digest(store, "patient_bills").hidden == .zero)
        }
    }

    @Test("a transaction that is rolled back changes no sum")
    func rolledBack() throws {
        let before = try self.a.reader.digests().tables
        try self.a.sql("DELETE FROM patients WHERE id = 'p1'; INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try self.a.sql("PRAGMA ignore_check_constraints = 1; UPDATE clinicsync_guard SET applying = 7")
        _ = Result { try self.a.collect() }
        try self.a.sql("UPDATE clinicsync_guard SET applying = 0; DELETE FROM clinicsync_dirty")
        try self.a.verify()
        #expect(try self.digest(self.a, "patients").deleted == before.first { $0.name == "patients" }?.deleted)
    }

    /// Damage that nothing reads: the rows are not shown, and nobody edits them.
    private static let damages = [
        "patients: DELETE FROM clinicsync_tombstone",
        "patients: UPDATE clinicsync_tombstone SET state = x'ff'",
        "patients: UPDATE clinicsync_tombstone SET context = 77",
        "patients: UPDATE clinicsync_context SET vector = substr(vector, 1, length(vector) - 1) || x'02'",
        "patients: UPDATE clinicsync_context SET vector = substr(vector, 1, length(vector) - 1) || x'07'",
        "patient_bills: DELETE FROM clinicsync_shadow",
        "patient_bills: UPDATE clinicsync_shadow SET state = x'ff'",
        "patient_bills: DELETE FROM clinicsync_shadow WHERE pk = 'bill-c'",
        "patient_bills: DELETE FROM clinicsync_shadow; DELETE FROM clinicsync_claim",
        "patient_bills: DELETE FROM clinicsync_shadow; DELETE FROM clinicsync_conflict",
    ]

    @Test(
        "damage to the bookkeeping of a hidden or deleted row is found by a manual sync and repaired",
        arguments: damages
    )
    func damaged(damage: String) throws {
        let parts = damage.split(separator: ": ", maxSplits: 1).map(String.init)
        try self.a.sql(parts[1])
        let run = RoundRun(client: self.a, host: self.b)
        run.sweep()
        #expect(try self.digest(self.a, parts[0]) != self.digest(self.b, parts[0]), "the damage shows")
        try self.repair(run)
        // What the damaged node knows is whole again: it agrees when the rows are needed.
        try self.b.sql("INSERT INTO patients(id, fullName) VALUES('gone', 'Back')")
        try self.b.sql("UPDATE patient_bills SET invoiceNumber = 'INV-9' WHERE id = 'bill-b'")
        try converge(self.stores)
        try expectEqual(self.stores)
    }

    @Test(
        "a row that shows another form shows its own again although what finds it was lost",
        arguments: ["", " WHERE pk = 'bill-b'", " WHERE pk = 'bill-c'"]
    )
    func lostClaims(which: String) throws {
        try self.a.sql("DELETE FROM clinicsync_claim\(which)")
        try self.b.sql("UPDATE patient_bills SET invoiceNumber = 'INV-9' WHERE id = 'bill-b'")
        try converge(self.stores)
        var result: ReconciliationResult?
        for host in self.stores.reversed() {
            let client = host === self.a ? self.b : self.a
            result = try RoundRun(client: client, host: host).round()
        }
        #expect(result == .equal)
        #expect(try self.a.value(String.self, "SELECT invoiceNumber FROM patient_bills WHERE id = 'bill-c'") == "INV-2")
        try expectEqual(self.stores)
    }

    @Test("a last value of a deleted row that was changed in one file is found, and the journal has the other one")
    func changedValue() throws {
        let state = try #require(try self.a.value(Data.self, "SELECT state FROM clinicsync_tombstone"))
        let range = try #require(state.range(of: Data("elsewhere".utf8)))
        try self.a.sql("UPDATE clinicsync_tombstone SET state = ?", [state.replacing(range, by: "somewhere")])
        let run = RoundRun(client: self.b, host: self.a)
        run.sweep()
        try self.repair(run)
        #expect(try self.a.value(Int.self, "SELECT count(*) FROM clinicsync_conflict WHERE value = 'elsewhere'") == 1)
    }

    @Test("the slow sweep finds damage to a deleted row without a manual sync")
    func slowSweep() throws {
        try self.a.sql("DELETE FROM clinicsync_tombstone")
        let writing = WritingExecutor(self.a.writer, retentionMilliseconds: .max / 2)
        let tables = try self.a.reader.digests().tables.count
        let repairs = (0...tables).flatMap { _ -> [DamageRepair] in
            guard case .noticed(let notice, _) = writing.perform(.prune(MemberPresence(isHost: false))) else {
                return []
            }
            return notice.repairs
        }
        // The file is a copy of another node's, which the opening has named.
        #expect(repairs.map(\.table).filter { $0 != .origin } == [.digest])
        #expect(try self.digest(self.a, "patients").deleted == .zero)
    }

    @Test(
        "sums that a program changed or removed are written again",
        arguments: ["UPDATE clinicsync_sum SET low = low + 1", "DELETE FROM clinicsync_sum WHERE rows > 0"]
    )
    func changedSums(damage: String) throws {
        let before = try self.a.reader.digests().tables
        try self.a.sql(damage)
        try self.sweep()
        #expect(try self.a.reader.digests().tables == before)
    }

    @Test("a file without sums, of an earlier version, gets them when it is opened")
    func upgrade() throws {
        let before = try self.a.reader.digests().tables
        try self.a.sql("DELETE FROM clinicsync_sum")
        #expect(try self.digest(self.a, "patients").deleted == nil)
        let reopened = try TestStore(reopening: self.a, schema: self.a.schema)
        #expect(try reopened.reader.digests().tables == before)
    }

    @Test("for a node of an earlier version a page has the shown rows alone, and so has the answer")
    func earlierVersion() throws {
        let shown = try self.a.reader.rowHashes(round: 1, table: "patients", after: nil, hasHidden: false)
        #expect(shown.rows.map(\.key) == [.string("p1")])
        let whole = try self.a.reader.rowHashes(round: 1, table: "patients", after: nil)
        #expect(whole.rows.map(\.key) == [.string("gone"), .string("p1")])
        try self.a.sql("DELETE FROM clinicsync_tombstone")
        let page = try self.a.reader.rowHashes(round: 1, table: "patients", after: nil, hasHidden: false)
        #expect(try self.b.reader.compare(page).allSatisfy { $0.payload.isEmpty && $0.wanted.isEmpty })
    }

    /// A client that lost patients among 3 000, and its host.
    private func losing(_ condition: String) throws -> RoundRun {
        try self.b.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
            INSERT INTO patients(id, fullName) SELECT printf('n%04d', i), 'n' FROM n
            """
        )
        while try self.b.collect().hasMore {}
        try converge(self.stores)
        let rows = "SELECT id FROM patients WHERE \(condition)"
        try self.a.sql(
            """
            UPDATE clinicsync_guard SET applying = 1;
            DELETE FROM clinicsync_row WHERE tableId = (SELECT id FROM clinicsync_table WHERE name = 'patients')
            AND pk IN (\(rows));
            DELETE FROM patients WHERE \(condition); UPDATE clinicsync_guard SET applying = 0
            """
        )
        let run = RoundRun(client: self.a, host: self.b)
        run.sweep()
        return run
    }

    @Test("few lost rows among many are found by ranges, and the next round is one small message")
    func fewLost() throws {
        let run = try self.losing("id IN ('n0007', 'n1500', 'n2999')")
        #expect(try run.round() == .repaired)
        #expect(Set(run.messages) == ["digests", "stateRanges", "stateWants"])
        #expect(try run.round() == .equal)
        #expect(run.messages == ["digests"])
        try expectEqual(self.stores)
    }

    @Test("rows that the host lost are sent to it")
    func hostLost() throws {
        _ = try self.losing("id = 'n0007'")
        let run = RoundRun(client: self.b, host: self.a)
        #expect(try run.round() == .repaired)
        #expect(run.messages.filter { $0 != "stateRanges" } == ["digests", "rowStates", "digests"])
        try expectEqual(self.stores)
    }

    @Test("with many lost rows the table is compared page by page")
    func manyLost() throws {
        let run = try self.losing("id LIKE 'n%' AND id > 'n0400'")
        #expect(try run.round() == .repaired)
        #expect(run.messages.contains("rowHashes"))
        try expectEqual(self.stores)
    }

    @Test("a host of an earlier version is compared by what tables show, page by page")
    func olderHost() throws {
        let run = try self.losing("id = 'n0007'")
        try self.a.sql("DELETE FROM clinicsync_tombstone")
        run.sweep()
        run.isHostOlder = true
        #expect(try run.round() == .repaired)
        #expect(run.messages == ["digests", "rowHashes", "rowHashes", "digests"])
        #expect(try run.round() == .equal)
        run.isHostOlder = false
        #expect(try run.round() == .repaired, "the updated host knows the tombstone")
        try expectEqual(self.stores)
    }

    @Test("ranges that cannot be read are the peer's fault, and a table that is not replicated has none")
    func malformedRanges() throws {
        let broken = StateRangePage(round: 1, table: "patients", ranges: [0, 9])
        #expect(throws: MalformedChunk.self) { try self.a.reader.answerRanges(broken) }
        #expect(throws: MalformedChunk.self) { try self.a.reader.compareRanges(broken) }
        let unknown = StateRangePage(round: 1, table: "clinicsync_log", ranges: [0, 2, 0])
        #expect(try self.a.reader.answerRanges(unknown).ranges.isEmpty)
        let wants = StateWants(round: 1, table: "clinicsync_log", ids: [1])
        #expect(try self.a.reader.states(wants).map(\.isLast) == [true])
    }

    @Test("pages of hidden rows follow one another without a gap")
    func pages() throws {
        var limits = StoreLimits.standard
        limits.repair.hashesPage = 3
        let store = try TestStore(4, limits: limits)
        try store.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
            INSERT INTO patients(id, fullName) SELECT printf('p%02d', i), 'n' FROM n
            """
        )
        try store.collect()
        try store.sql("DELETE FROM patients WHERE CAST(substr(id, 2) AS INTEGER) % 3 > 0")
        try store.collect()
        var keys: [SQLiteValue] = []
        var after: SQLiteValue?
        repeat {
            let page = try store.reader.rowHashes(round: 1, table: "patients", after: after)
            keys += page.rows.map(\.key)
            after = page.through
        } while after != nil
        #expect(keys == (1...20).map { .string(($0 < 10 ? "p0" : "p") + "\($0)") })
    }
}

extension Data {
    /// The bytes with other ones in a range.
    fileprivate func replacing(_ range: Range<Int>, by text: String) -> Data {
        self.prefix(range.lowerBound) + Data(text.utf8) + self.suffix(from: range.upperBound)
    }
}
