import ClinicSyncCore
import ClinicSyncModel
import Testing

@testable import ClinicSyncStorage

@Suite("Entries that follow from a row's state")
struct SettledConflictTests {
    /// Stores that have the bills b1 and b2 of p1, and know each other.
    private func clinic(_ count: UInt64 = 2) throws -> [TestStore] {
        let stores = try (1...count).map { try TestStore($0, like: TortureSchema.clinic.get()) }
        try stores[0].sql(
            """
            INSERT INTO patients(id, fullName) VALUES('p1', 'Ana');
            INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
            VALUES('b1', 'p1', 'INV-1', '2026-11-21', 5, 'Unpaid'), ('b2', 'p1', 'INV-2', '2026-11-21', 7, 'Unpaid')
            """
        )
        try converge(stores)
        return stores
    }

    private func conflict(
        _ kind: ConflictKind,
        _ key: String = "b2",
        table: String = "patient_bills",
        column: String? = nil,
        value: SQLiteValue = .null,
        related: String? = nil
    ) -> Conflict {
        Conflict(
            kind: kind,
            table: table,
            key: .string(key),
            column: column,
            value: value,
            version: Version(
                timestamp: HybridTimestamp(milliseconds: 1_800_000_000_500),
                origin: Origin(node: NodeID(high: 0xC11, low: 2), incarnation: 3),
                sequence: 1
            ),
            related: related.map { Conflict.Reference(table: table, key: .string($0)) }
        )
    }

    /// Settles the conflicts of a row, and returns the resulting events.
    @discardableResult
    private func settle(_ store: TestStore, _ derived: [Conflict], key: String = "b2") throws -> [NamedEvent] {
        let plan = try #require(store.writer.plans[derived.first?.table ?? "patient_bills"])
        return try store.writer.transactions.write { transaction in
            var events = EventCollector(isLocal: false)
            let journal = store.writer.journal
            try journal.settle(plan, key: .string(key), derived: derived, events: &events, in: transaction)
            return .relaxed(try store.writer.events.record(events, in: transaction).compactMap(\.named))
        }
    }

    @Test("the journal holds what is derived and nothing else, without batches, and each entry is told once")
    func settling() throws {
        let stores = try self.clinic()
        let renamed = self.conflict(.renamed, column: "invoiceNumber", value: .string("INV-1"), related: "b1")
        let kept = self.conflict(.kept)
        let vector = try stores[0].vector
        let told = try self.settle(stores[0], [renamed, kept])
        #expect(told.map(\.type) == ["conflict_recorded", "conflict_recorded"])
        #expect(Set(told.map(\.recordID)) == ["b2"] && told.allSatisfy { $0.category == .system })
        let details = told.compactMap { event -> [String: EventValue]? in
            if case .object(let details)? = event.fields["details"] { details } else { nil }
        }
        #expect(
            details.contains([
                "id": .text(renamed.id), "kind": .text("renamed"), "table": .text("patient_bills"),
                "recordId": .text("b2"), "column": .text("invoiceNumber"),
            ])
        )
        #expect(try self.settle(stores[0], [kept, renamed]).isEmpty, "nothing changed")
        #expect(try self.settle(stores[1], [kept, renamed]).count == 2)
        try expectEqual(stores)
        #expect(try stores[0].collect().logged.isEmpty)
        #expect(try stores[0].vector == vector)
        for store in stores { try self.settle(store, [kept]) }
        try expectEqual(stores)
        #expect(try stores[0].reader.journal(openOnly: true).map(\.kind) == [.kept])
        for store in stores { try self.settle(store, []) }
        #expect(try stores[1].value(Int.self, "SELECT count(*) FROM clinicsync_conflict") == 0)
        #expect(try stores[1].value(Int.self, "SELECT count(*) FROM clinicsync_tombstone") == 0)
        try expectEqual(stores)
    }

    @Test("what is settled of one row leaves other rows and lost values alone")
    func others() throws {
        let stores = try self.clinic()
        try stores[0].sql("UPDATE patient_bills SET notes = 'a' WHERE id = 'b2'")
        stores[1].now += 10
        try stores[1].sql("UPDATE patient_bills SET notes = 'b' WHERE id = 'b2'")
        try converge(stores)
        for store in stores {
            try self.settle(store, [self.conflict(.kept, "b1")], key: "b1")
            try self.settle(store, [self.conflict(.kept)])
            try self.settle(store, [])
            #expect(Set(try store.reader.journal(openOnly: true).map(\.kind)) == [.kept, .value])
        }
        try expectEqual(stores)
    }

    @Test("the id covers every part, and no two parts run into each other")
    func ids() {
        let base = self.conflict(.renamed, column: "c", value: .string("v"), related: "b1")
        var others: [Conflict] = []
        for kind in ConflictKind.allCases where kind != .renamed {
            others.append(self.conflict(kind, column: "c", value: .string("v"), related: "b1"))
        }
        others.append(self.conflict(.renamed, column: nil, value: .string("v"), related: "b1"))
        others.append(self.conflict(.renamed, column: "", value: .string("v"), related: "b1"))
        others.append(self.conflict(.renamed, column: "c", value: .blob(Array("v".utf8)), related: "b1"))
        others.append(self.conflict(.renamed, column: "c", value: .string("v"), related: nil))
        others.append(self.conflict(.renamed, column: "c", value: .string("v"), related: "b"))
        others.append(self.conflict(.renamed, "b2c", column: "", value: .string("v"), related: "b1"))
        others.append(self.conflict(.renamed, table: "payments", column: "c", value: .string("v"), related: "b1"))
        var later = base
        later.version = Version(timestamp: base.version.timestamp, origin: base.version.origin, sequence: 2)
        others.append(later)
        #expect(Set(others.map(\.id)).count == others.count)
        #expect(!others.map(\.id).contains(base.id))
        #expect(base.id.count == 32 && base.id.allSatisfy(\.isHexDigit))
    }

    @Test("a reconciliation brings an entry that a node lacks, and its programs are told")
    func repair() throws {
        let stores = try self.clinic()
        try stores[0].sql("UPDATE patient_bills SET notes = 'a' WHERE id = 'b2'")
        stores[1].now += 10
        try stores[1].sql("UPDATE patient_bills SET notes = 'b' WHERE id = 'b2'")
        try converge(stores)
        let entry = try #require(try stores[0].reader.journal(openOnly: true).first)
        try stores[1].writer.transactions.write { transaction in
            try stores[1].writer.journal.withdraw(entry.id, in: transaction)
            return .relaxed
        }
        #expect(try stores[1].reader.digests().tables != stores[0].reader.digests().tables)
        let page = try stores[1].reader.rowHashes(round: 1, table: "clinicsync_conflict", after: nil)
        var told: [String] = []
        for answer in try stores[0].reader.compare(page) {
            told += try stores[1].writer.merge(answer, clockOffsetMilliseconds: 0).events.compactMap(\.named?.type)
        }
        #expect(told == ["conflict_recorded"])
        #expect(try stores[1].reader.journal(openOnly: true) == [entry])
        try expectEqual(stores)
    }

    @Test("an entry that a program deleted stays deleted everywhere, in whatever order the nodes learn of it")
    func meddling() throws {
        let stores = try self.clinic()
        let kept = self.conflict(.kept)
        try self.settle(stores[0], [kept])
        try stores[0].sql("DELETE FROM clinicsync_conflict")
        try converge(stores)
        try self.settle(stores[1], [kept])
        try self.settle(stores[0], [])
        try self.settle(stores[0], [kept])
        for store in stores { #expect(try store.value(Int.self, "SELECT count(*) FROM clinicsync_conflict") == 0) }
        try expectEqual(stores)
    }

    @Test(
        "a deletion that came too early is done after all, on every PC, with what the schema says of the rows that refer"
    )
    func deletion() throws {
        let stores = try self.clinic(3)
        try stores[0].sql("PRAGMA foreign_keys = ON; DELETE FROM patients; PRAGMA foreign_keys = OFF")
        try stores[1].sql(
            """
            INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
            VALUES('b3', 'p1', 'INV-3', '2026-11-21', 5, 'Unpaid')
            """
        )
        try converge(stores)
        let entry = try #require(try stores[2].reader.journal(openOnly: true).first { $0.kind == .revived })
        #expect(try stores[2].writer.resolveJournal(entry.id, keeping: .other) == .resolved(hasChanged: true))
        try converge(stores)
        try expectEqual(stores)
        for store in stores {
            #expect(try store.value(Int.self, "SELECT count(*) FROM patients") == 0)
            #expect(try store.value(Int.self, "SELECT count(*) FROM patient_bills") == 0, "bills go with the patient")
            #expect(try store.reader.summary().openConflicts == 0)
        }
    }

    @Test("a deletion that the schema forbids is refused, and nothing is done of it")
    func forbiddenDeletion() throws {
        let stores = try self.clinic(1)
        try stores[0].sql(
            """
            INSERT INTO users(id, username, password, role) VALUES('u1', 'ana', 'x', 'doctor');
            UPDATE patient_bills SET createdByUserId = 'u1' WHERE id = 'b1'
            """
        )
        try stores[0].collect()
        let conflict = self.conflict(.kept, "u1", table: "users")
        try self.settle(stores[0], [conflict], key: "u1")
        #expect(
            try stores[0].writer.resolveJournal(conflict.id, keeping: .other)
                == .refused(reason: "rows of patient_bills refer to it")
        )
        #expect(try stores[0].value(Int.self, "SELECT count(*) FROM users") == 1)
        #expect(try stores[0].reader.summary().openConflicts == 1)
    }

    @Test("an edit that a deletion overruled brings the row back as it was last")
    func overruled() throws {
        let stores = try self.clinic()
        try stores[0].sql("UPDATE patient_bills SET notes = 'as it was' WHERE id = 'b2'")
        try converge(stores)
        try stores[0].sql("DELETE FROM patient_bills WHERE id = 'b2'")
        try converge(stores)
        let conflict = self.conflict(.overruled, column: "status", value: .string("Paid"))
        for store in stores { try self.settle(store, [conflict]) }
        stores[1].now += 1_000
        #expect(try stores[1].writer.resolveJournal(conflict.id, keeping: .other) == .resolved(hasChanged: true))
        try converge(stores)
        try expectEqual(stores)
        let row = "SELECT invoiceNumber || notes || status || totalAmount FROM patient_bills WHERE id = 'b2'"
        #expect(try stores[0].value(String.self, row) == "INV-2as it wasPaid7.0")
    }

    @Test("a value of a row that became one with another is written into the one that is shown")
    func mergedValue() throws {
        let stores = try self.clinic()
        let conflict = self.conflict(.mergedValue, "b9", column: "notes", value: .string("mine"), related: "b1")
        try self.settle(stores[0], [conflict], key: "b9")
        let entry = try #require(try stores[0].reader.journal(openOnly: true).first)
        #expect(!entry.row.isShown && entry.related?.isShown == true && entry.current?.value == .null)
        #expect(try stores[0].writer.resolveJournal(conflict.id, keeping: .other) == .resolved(hasChanged: true))
        #expect(try stores[0].value(String.self, "SELECT notes FROM patient_bills WHERE id = 'b1'") == "mine")
        #expect(try stores[0].collect().events.contains { $0.change?.columns == ["notes"] })
    }

    @Test(
        "what only an edit can end is not taken back by a command",
        arguments: [ConflictKind.renamed, .cleared, .parked, .merged, .cascaded, .detached, .setAside]
    )
    func impossible(kind: ConflictKind) throws {
        let stores = try self.clinic(1)
        let conflict = self.conflict(kind, column: "invoiceNumber", value: .string("INV-1"), related: "b1")
        try self.settle(stores[0], [conflict])
        let entry = try #require(try stores[0].reader.journal(openOnly: true).first)
        #expect(try stores[0].writer.resolveJournal(conflict.id, keeping: .other) == .impossible(entry))
        #expect(try stores[0].writer.resolveJournal(conflict.id, keeping: .current) == .resolved(hasChanged: false))
        #expect(try stores[0].reader.summary().openConflicts == 0)
    }
}
