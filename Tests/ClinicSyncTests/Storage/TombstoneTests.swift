import ClinicSyncCore
import ClinicSyncModel
import GRDB
import Testing

@testable import ClinicSyncStorage

/// Two PCs that forget deletions, and a third one that was away all the while.
@Suite("Tombstones that are forgotten")
struct TombstoneTests {
    private static let day: Int64 = 86_400_000
    private static let retention: Int64 = 7 * day
    /// A member lapses, the logs go, a host decides, and the tombstones go.
    private static let month: [Int64] = [31, 8, 8]

    private let a: TestStore
    private let b: TestStore
    private let c: TestStore

    /// Three PCs with a bill of four items and a queue of three, of which `c` goes away.
    init() throws {
        (self.a, self.b, self.c) = (try TestStore(1), try TestStore(2), try TestStore(3))
        try self.a.sql(
            """
            INSERT INTO patients(id, fullName) VALUES('p', 'Ana');
            INSERT INTO patient_bills(id, patientId, billDate, totalAmount, status) VALUES('b', 'p', '2026-11-27', 1, 'open')
            """
        )
        for item in ["i1", "i2", "i3", "i4"] { try self.addItem(item, at: self.a) }
        for entry in ["q1", "q2", "q3"] {
            try self.a.sql(
                """
                INSERT INTO active_patient_queue(queueEntryId, patientName, arrivalTime, queueNumber, status, createdAt)
                VALUES('\(entry)', 'Ana', '09:00', 1, 'waiting', '09:00')
                """
            )
        }
        try converge([self.a, self.b, self.c])
    }

    private func addItem(_ id: String, at store: TestStore) throws {
        try store.sql(
            "INSERT INTO bill_items(id, billId, description, unitPrice, itemTotal) VALUES('\(id)', 'b', 'X-ray', 5, 5)"
        )
    }

    private func delete(_ ids: [String]) throws {
        try self.delete(ids, at: self.a)
        try converge([self.a, self.b])
    }

    private func delete(_ ids: [String], at store: TestStore) throws {
        for id in ids {
            let place = id.hasPrefix("i") ? "bill_items WHERE id" : "active_patient_queue WHERE queueEntryId"
            try store.sql("DELETE FROM \(place) = '\(id)'")
            try store.collect()
        }
    }

    /// Lets `c` work on for itself, as host of a clinic whose other members lapse.
    private func passAlone() throws {
        let others = [self.a, self.b].map(\.origin.node)
        let start = self.c.now
        for days in Self.month {
            self.c.now += days * Self.day
            let presence = MemberPresence(
                isHost: true,
                members: others + [self.c.origin.node],
                days: [others[0]: start, others[1]: start],
                clinicMilliseconds: self.c.now
            )
            _ = try self.c.writer.maintain(retentionMilliseconds: Self.retention, presence: presence)
            try self.c.collect()
        }
        self.c.now = start
    }

    /// Lets the other two work on for days; `c` lapses.
    ///
    /// `retention`: how long `b` keeps its log.
    private func pass(days: [Int64] = Self.month, retention: Int64 = Self.retention) throws {
        let start = self.c.now
        for days in days { try self.pass(days, [self.a, self.b], silent: [self.c.origin.node: start], retention) }
        self.c.now = self.a.now
        try expectEqual([self.a, self.b])
    }

    /// Lets these PCs, of which `a` is host, work on for days.
    private func pass(
        _ days: Int64,
        _ stores: [TestStore],
        silent: [NodeID: Int64] = [:],
        _ retention: Int64 = Self.retention
    ) throws {
        let clients = stores.filter { $0 !== self.a }
        for store in stores { store.now += days * Self.day }
        try self.a.writer.recordAcknowledged(
            clients.map { MemberProgress(node: $0.origin.node, vector: try $0.vector, seenMilliseconds: self.a.now) }
        )
        for store in stores {
            let presence = MemberPresence(
                isHost: store === self.a,
                members: [self.a, self.b, self.c].map(\.origin.node),
                days: silent,
                linked: (store === self.a ? clients : [self.a]).map(\.origin.node),
                clinicMilliseconds: store.now
            )
            let vector = try self.a.vector
            try store.writer.recordAcknowledged(
                presence.linked.map { MemberProgress(node: $0, vector: vector, seenMilliseconds: store.now) }
            )
            let kept = store === self.b ? retention : Self.retention
            _ = try store.writer.maintain(retentionMilliseconds: kept, presence: presence)
            try converge(stores)
        }
    }

    /// `c` comes back: its own changes go to `a`, and it gets the state.
    private func comeBack() throws {
        #expect(try self.a.reader.locate(self.c.vector) == nil, "the log is pruned")
        try self.c.send(to: self.a)
        var ferry = StateFerry(to: self.c)
        try ferry.carry(from: self.a)
        #expect(try ferry.install() != nil)
        try self.c.collect()
        try self.a.send(to: self.b)
        #expect(try self.c.vector == self.a.vector)
    }

    /// Compares `c` and `b` with the host until all are equal.
    private func reconcile() throws {
        for _ in 0..<2 {
            for client in [self.c, self.b] { _ = try RoundRun(client: client, host: self.a).round() }
            try converge([self.a, self.b, self.c])
        }
        for client in [self.c, self.b] { #expect(try RoundRun(client: client, host: self.a).round() == .equal) }
        try expectEqual([self.a, self.b, self.c])
    }

    private func rows(_ store: TestStore) throws -> [String] {
        try store.queue.read { db in
            try String.fetchAll(
                db,
                sql: "SELECT id FROM bill_items UNION SELECT queueEntryId FROM active_patient_queue ORDER BY 1"
            )
        }
    }

    private func tombstones(_ store: TestStore) throws -> [String] {
        try store.queue.read { try String.fetchAll($0, sql: "SELECT pk FROM clinicsync_tombstone ORDER BY 1") }
    }

    private func count(_ table: String, _ store: TestStore) throws -> Int? {
        try store.value(Int.self, "SELECT count(*) FROM clinicsync_\(table)")
    }

    @Test("tombstones go with what their deleters had seen when all active members have had them for the retention")
    func go() throws {
        try self.delete(["i1", "q1", "i2"])
        try self.pass(days: [8, 8])
        #expect(try self.tombstones(self.b) == ["i1", "i2", "q1"], "the third PC has not lapsed")
        #expect(try self.count("context", self.b) == 3)
        try self.pass()
        for store in [self.a, self.b] {
            #expect(try self.tombstones(store) == [])
            #expect(try self.count("context", store) == 0)
        }
    }

    @Test("nodes that have removed tombstones and nodes that have not are equal, and give none back")
    func differentMoments() throws {
        try self.delete(["i1", "q1"])
        // One of the two keeps its log, and so its tombstones, for longer.
        try self.pass(retention: 365 * Self.day)
        #expect(try self.tombstones(self.a) == [])
        #expect(try self.tombstones(self.b) == ["i1", "q1"])
        // Something else differs, so that all is exchanged that the two do not share.
        try self.a.lose("active_patient_queue")
        for host in [self.a, self.b] {
            let run = RoundRun(client: host === self.a ? self.b : self.a, host: host)
            _ = try run.round()
            #expect(try run.round() == .equal)
        }
        #expect(try self.tombstones(self.a) == [])
        // Who gets the state from a node that has them has them, and removes them like that node.
        let late = try TestStore(4)
        late.now = self.b.now
        var ferry = StateFerry(to: late)
        try ferry.carry(from: self.b)
        #expect(try ferry.install() != nil)
        #expect(try self.tombstones(late) == ["i1", "q1"])
        try expectEqual([self.a, self.b, late])
        let presence = MemberPresence(isHost: false, clinicMilliseconds: late.now)
        _ = try late.writer.maintain(retentionMilliseconds: Self.retention, presence: presence)
        #expect(try self.tombstones(late) == [])
        try expectEqual([self.a, self.b, late])
    }

    @Test("a PC that was away keeps no row that was deleted meanwhile, and brings none back")
    func zombies() throws {
        try self.delete(["i1", "q1"])
        try self.pass()
        #expect(try self.tombstones(self.a).contains("i1") == false)
        try self.addItem("i9", at: self.c)
        try self.comeBack()
        #expect(try self.rows(self.c) == ["i2", "i3", "i4", "i9", "q2", "q3"])
        try self.reconcile()
        #expect(try self.rows(self.a) == ["i2", "i3", "i4", "i9", "q2", "q3"])
        #expect(try self.count("conflict", self.a) == 0)
    }

    @Test(
        "an edit of a row that was deleted meanwhile keeps the row, or is in the journal with a way to restore it, as the manifest says",
        arguments: [true, false]
    )
    func edited(sendsFirst: Bool) throws {
        try self.delete(["i1", "q1"])
        try self.pass()
        try self.c.sql("UPDATE bill_items SET description = 'MRI' WHERE id = 'i1'")
        try self.c.sql("UPDATE active_patient_queue SET patientName = 'Eva' WHERE queueEntryId = 'q1'")
        try self.c.collect()
        if sendsFirst { try self.c.send(to: self.a) }
        try self.comeBack()
        try self.reconcile()
        for store in [self.a, self.b, self.c] {
            #expect(try self.rows(store) == ["i1", "i2", "i3", "i4", "q2", "q3"])
            #expect(
                try store.value(String.self, "SELECT description || unitPrice FROM bill_items WHERE id = 'i1'")
                    == "MRI5.0"
            )
        }
        let open = try self.b.reader.journal(openOnly: true)
        #expect(Set(open.map(\.kind)).isSuperset(of: [.kept, .overruled]))
        let entry = try #require(open.first { $0.kind == .overruled })
        #expect(try self.b.writer.resolveJournal(entry.id, keeping: .other) == .resolved(hasChanged: true))
        try converge([self.a, self.b, self.c])
        #expect(
            try self.a.value(
                String.self,
                "SELECT patientName || arrivalTime FROM active_patient_queue WHERE queueEntryId = 'q1'"
            )
                == "Eva09:00"
        )
    }

    @Test(
        "of a PC that sends its edits and never comes back to compare, the journal has them, and a person can write them"
    )
    func neverSeenAgain() throws {
        try self.delete(["i1", "q1"])
        try self.pass()
        try self.c.sql(
            "UPDATE bill_items SET description = 'MRI', unitPrice = 7, itemTotal = 7, billId = 'b' WHERE id = 'i1'"
        )
        try self.c.send(to: self.a)
        try self.a.send(to: self.b)
        try expectEqual([self.a, self.b])
        #expect(try self.rows(self.b) == ["i2", "i3", "i4", "q2", "q3"], "half a row is not shown")
        let open = try self.b.reader.journal(openOnly: true)
        #expect(open.compactMap(\.column).sorted() == ["description", "itemTotal", "unitPrice"])
        let entry = try #require(open.first { $0.column == "description" })
        // The other columns are gone, and the table wants them.
        guard case .refused = try self.b.writer.resolveJournal(entry.id, keeping: .other) else {
            Issue.record("half a row was written")
            return
        }
        #expect(try self.count("resolution", self.b) == 0)
    }

    @Test(
        "an edit that lost to a deletion, and the deletion, are never forgotten: all have the entry, whenever they compare"
    )
    func overruledForGood() throws {
        try self.delete(["q1"])
        try self.pass()
        try self.c.sql("UPDATE active_patient_queue SET patientName = 'Eva' WHERE queueEntryId = 'q1'")
        try self.c.collect()
        try self.comeBack()
        // Only the host compares itself with the PC before the edit is as old as the deletion.
        _ = try RoundRun(client: self.c, host: self.a).round()
        for _ in 0..<3 { try self.pass(8, [self.a, self.b, self.c]) }
        try self.reconcile()
        for store in [self.a, self.b, self.c] {
            #expect(try store.reader.journal(openOnly: true).map(\.kind).contains(.overruled))
            #expect(try self.tombstones(store) == ["q1"])
        }
    }

    @Test("nodes of which some had forgotten a deletion agree on why its row is still there")
    func keptAtDifferentMoments() throws {
        try self.delete(["i1", "q1"])
        // One of the two keeps its log, and so its tombstones, for longer.
        try self.pass(retention: 365 * Self.day)
        #expect(try self.tombstones(self.a) == [])
        #expect(try self.tombstones(self.b) == ["i1", "q1"])
        try self.c.sql("UPDATE bill_items SET description = 'MRI' WHERE id = 'i1'")
        try self.c.sql("UPDATE active_patient_queue SET patientName = 'Eva' WHERE queueEntryId = 'q1'")
        try self.c.collect()
        try self.comeBack()
        try self.reconcile()
        for store in [self.a, self.b, self.c] {
            let kinds = try store.reader.journal(openOnly: true).map(\.kind.rawValue)
            #expect(kinds.filter { ["kept", "overruled"].contains($0) }.sorted() == ["kept", "overruled"])
        }
    }

    @Test("a PC that lost rows takes none away from others for ever: they come back from any PC that has them")
    func damagedSender() throws {
        try self.delete(["i1"])
        try self.pass()
        try self.a.lose("bill_items")
        try self.comeBack()
        try self.reconcile()
        for store in [self.a, self.b, self.c] { #expect(try self.rows(store) == ["i2", "i3", "i4", "q1", "q2", "q3"]) }
    }

    @Test(
        "a row that one PC still shows comes back everywhere, although another still has the tombstone",
        arguments: [0, 1]
    )
    func comesBack(first: Int) throws {
        try self.delete(["i1"])
        // One of the two keeps its log, and so the tombstone, for longer.
        try self.pass(retention: 365 * Self.day)
        #expect(try self.tombstones(self.a) == [])
        #expect(try self.tombstones(self.b) == ["i1"])
        // The host says that it cannot tell what was deleted, so the third PC keeps the row.
        try self.a.writer.transactions.write { transaction in
            try ForgottenRows.noteLostRows(in: transaction)
            return Ending.relaxed
        }
        try self.comeBack()
        #expect(try self.rows(self.c).contains("i1"))
        try converge([self.a, self.b, self.c])
        // Whoever is host: the one that has forgotten the deletion, or the one that has not.
        let host = first == 0 ? self.a : self.b
        let clients = [self.c, first == 0 ? self.b : self.a]
        for client in clients { _ = try RoundRun(client: client, host: host).round() }
        for client in clients { #expect(try RoundRun(client: client, host: host).round() == .equal) }
        for store in [self.a, self.b, self.c] { #expect(try self.rows(store).contains("i1")) }
        try expectEqual([self.a, self.b, self.c])
        #expect(try self.tombstones(self.b) == [])
    }

    @Test("a PC that knows that it lost rows takes none away: what others have stays")
    func knownLoss() throws {
        try self.delete(["i1"])
        try self.pass()
        try self.a.writer.transactions.write { transaction in
            try ForgottenRows.noteLostRows(in: transaction)
            return Ending.relaxed
        }
        try self.a.lose("bill_items")
        try self.comeBack()
        #expect(try self.rows(self.c) == ["i1", "i2", "i3", "i4", "q1", "q2", "q3"])
    }

    @Test("a host that says more than it can know deletes no row that nobody else was known to have")
    func hostileSender() throws {
        try self.delete(["i1"])
        try self.pass()
        try self.addItem("i9", at: self.c)
        try self.c.collect()
        var ferry = StateFerry(to: self.c)
        try ferry.carry(from: self.a)
        // As if the state began with this PC's row, which the sender had deleted and forgotten.
        let own = VersionVector([.init(origin: self.c.origin, sequence: try self.c.vector[self.c.origin])])
        let staged = try #require(try self.c.writer.state().staged)
        for (column, vector) in [
            ("vector", staged.vector), ("forgotten", staged.forgotten), ("through", staged.vector),
        ] {
            var vector = vector
            vector.merge(own)
            try self.c.sql("UPDATE clinicsync_transfer SET \(column) = x'\(VectorCoding.encode(vector).hexadecimal)'")
        }
        #expect(try ferry.install(isForced: true) != nil)
        #expect(try self.rows(self.c) == ["i2", "i3", "i4", "i9", "q1", "q2", "q3"])
    }

    @Test("a horizon that a program writes removes no row that a PC has and others lack")
    func forgedHorizon() throws {
        try self.addItem("i9", at: self.c)
        try self.c.collect()
        let everything = [self.a, self.b, self.c].map {
            VersionVector.Entry(origin: $0.origin, sequence: Bounds.sequenceMax)
        }
        let hex = VectorCoding.encode(VersionVector(everything)).hexadecimal
        try self.delete(["i1"])
        try self.a.sql(
            "INSERT OR REPLACE INTO clinicsync_horizon (id, vector, forgotten) VALUES ('clinic', x'\(hex)', x'\(hex)')"
        )
        try converge([self.a, self.b])
        for store in [self.a, self.b] {
            store.now += 8 * Self.day
            for _ in 0..<3 {
                let presence = MemberPresence(isHost: false, clinicMilliseconds: store.now)
                _ = try store.writer.maintain(retentionMilliseconds: Self.retention, presence: presence)
            }
        }
        try expectEqual([self.a, self.b])
        #expect(try self.tombstones(self.a) == [])
        self.c.now = self.a.now
        var ferry = StateFerry(to: self.c)
        try ferry.carry(from: self.a)
        #expect(try ferry.install() != nil)
        #expect(try self.rows(self.c) == ["i2", "i3", "i4", "i9", "q1", "q2", "q3"])
        try self.c.send(to: self.a)
        try converge([self.a, self.b, self.c])
        try self.reconcile()
        #expect(try self.rows(self.b) == ["i2", "i3", "i4", "i9", "q1", "q2", "q3"])
    }

    @Test(
        "two parts of a clinic that forgot what the other never heard of agree: what was deleted in one stays so in both"
    )
    func split() throws {
        try self.delete(["i1", "i3", "q1"])
        try self.delete(["i2", "i4", "q2"], at: self.c)
        try self.passAlone()
        #expect(try self.tombstones(self.c) == [])
        try self.pass()
        #expect(try self.tombstones(self.a) == [])
        // Each edits a row that the other has deleted.
        try self.c.sql("UPDATE bill_items SET description = 'MRI' WHERE id = 'i1'")
        try self.a.sql("UPDATE bill_items SET description = 'CT' WHERE id = 'i2'")
        try converge([self.a, self.b])
        try self.c.collect()
        #expect(try self.a.reader.locate(self.c.vector) == nil)
        #expect(try self.c.reader.locate(self.a.vector) == nil)
        // Both read their pages before either knows the other's state.
        var (toC, toA) = (StateFerry(to: self.c), StateFerry(to: self.a))
        try toC.carry(from: self.a)
        try toA.carry(from: self.c)
        #expect(try toC.install() != nil)
        #expect(try toA.install() != nil)
        var toB = StateFerry(to: self.b)
        try toB.carry(from: self.a)
        #expect(try toB.install() != nil)
        try self.c.send(to: self.a)
        try converge([self.a, self.b, self.c])
        try self.reconcile()
        for store in [self.a, self.b, self.c] {
            #expect(try self.rows(store) == ["i1", "i2", "q3"])
            #expect(
                try store.value(
                    String.self,
                    "SELECT group_concat(description) FROM (SELECT * FROM bill_items ORDER BY id)"
                )
                    == "MRI,CT"
            )
        }
    }

    @Test("a backup of before the deletions, put back, brings nothing back")
    func backup() throws {
        try self.delete(["i1", "q1"])
        try self.pass()
        // The file of before, with numbers of its own from now on.
        let restored = try TestStore(
            3,
            incarnation: 1,
            over: self.c.queue
        )
        restored.now = self.a.now
        try self.addItem("i9", at: restored)
        try restored.send(to: self.a)
        var ferry = StateFerry(to: restored)
        try ferry.carry(from: self.a)
        #expect(try ferry.install() != nil)
        try self.a.send(to: self.b)
        for client in [restored, self.b] { _ = try RoundRun(client: client, host: self.a).round() }
        try expectEqual([self.a, self.b, restored])
        #expect(try self.rows(restored) == ["i2", "i3", "i4", "i9", "q2", "q3"])
    }
}
