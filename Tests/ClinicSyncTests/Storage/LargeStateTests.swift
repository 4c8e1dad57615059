import ClinicSyncCore
import ClinicSyncModel
import Testing

@testable import ClinicSyncStorage

@Suite("What makes a large state fast")
struct LargeStateTests {
    private static let schema =
        "SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_schema ORDER BY type, name)"
    private static let version = "PRAGMA schema_version"

    private static func sender() throws -> TestStore {
        let sender = try TestStore(1, limits: StateTransferTests.limits)
        for number in 100..<160 {
            try sender.sql(
                "INSERT INTO patients(id, fullName, lastName) VALUES('p\(number)', 'Ana \(number)', 'L\(number % 7)')"
            )
        }
        try sender.collect()
        try sender.sql("UPDATE patients SET lastName = NULL WHERE id = 'p120'")
        try sender.sql("DELETE FROM patients WHERE id = 'p121'")
        try sender.collect()
        return sender
    }

    @Test("the indexes of an empty table are built when it is full, and are those that were there")
    func indexes() throws {
        let (sender, receiver) = (try Self.sender(), try TestStore(2, limits: StateTransferTests.limits))
        for sql in [
            "CREATE INDEX program_plain ON patients(lastName COLLATE NOCASE, fullName DESC)",
            "CREATE INDEX program_partial ON patients(lastName) WHERE lastName IS NOT NULL",
            "CREATE INDEX program_expression ON patients(lower(lastName))",
        ] { try receiver.sql(sql) }
        try receiver.collect()
        let before = try receiver.value(String.self, Self.schema)
        let version = try #require(try receiver.value(Int.self, Self.version))
        var ferry = StateFerry(to: receiver)
        try ferry.carry(from: sender)
        #expect(try ferry.install() ?? 0 > 50)
        #expect(try receiver.value(String.self, Self.schema) == before)
        // They were taken off and built: both changes count.
        #expect(try receiver.value(Int.self, Self.version) ?? 0 > version + 5)
        #expect(try receiver.value(String.self, "PRAGMA integrity_check") == "ok")
        let found = "SELECT count(*) FROM patients INDEXED BY program_plain WHERE lastName = 'l3' COLLATE NOCASE"
        #expect(try receiver.value(Int.self, found) == 9)
        try expectEqual([sender, receiver])
    }

    @Test("the indexes of a table that has rows stay")
    func filled() throws {
        let (sender, receiver) = (try Self.sender(), try TestStore(2, limits: StateTransferTests.limits))
        try receiver.sql("INSERT INTO patients(id, fullName) VALUES('own', 'Own')")
        try receiver.collect()
        var indexes = DeferredIndexes(isLarge: true)
        let plan = try #require(receiver.writer.rows.plans.plan(calledElsewhere: "patients"))
        let version = try receiver.value(Int.self, Self.version)
        try receiver.writer.transactions.write { transaction in
            try indexes.enter(plan, in: transaction)
            try indexes.build(in: transaction)
            return Ending.relaxed
        }
        #expect(try receiver.value(Int.self, Self.version) == version)
        var ferry = StateFerry(to: receiver)
        try ferry.carry(from: sender)
        _ = try ferry.install()
        try receiver.send(to: sender)
        try expectEqual([sender, receiver])
    }

    @Test("a page has the same bytes whether its rows are read in one piece or as states")
    func plainRows() throws {
        let sender = try Self.sender()
        let request = StateRequest(id: 1, vector: VersionVector(), after: nil, creditBytes: .max)
        var (pages, rows, after) = (0, 0, StateCursor?.none)
        while true {
            var next = request
            if let after { next = StateRequest(id: 1, vector: try sender.vector, after: after, creditBytes: .max) }
            let answer = try sender.reader.statePages(next)
            for page in answer.pages where !page.payload.isEmpty {
                after = page.cursor
                guard let plan = sender.writer.rows.plans.plan(calledElsewhere: page.table), plan.counterSlots == 0
                else {
                    continue
                }
                var writer = RowStateWriter(plan)
                try page.payload.withUnsafeBytes { bytes in
                    var reader = try RowStateReader(bytes, plan: plan)
                    while let state = try reader.next() {
                        writer.append(state)
                        rows += 1
                    }
                }
                #expect(writer.payload() == page.payload)
                pages += 1
            }
            after = answer.pages.last?.cursor ?? after
            if answer.end != nil { break }
        }
        // All but the deleted patient, and its tombstone.
        #expect(pages > 5 && rows == 60)
    }

    // MARK: - Values without a version

    private static let unnamed =
        "SELECT count(*) FROM patients WHERE id = 'p130' AND fullName IS NULL AND lastName = 'L4'"

    @Test("a value that the sender has not collected yet is in no page, and the receiver waits for its batch")
    func uncollected() throws {
        let (sender, receiver) = (try Self.sender(), try TestStore(2, limits: StateTransferTests.limits))
        try sender.sql("UPDATE patients SET fullName = 'Not collected' WHERE id = 'p130'")
        var ferry = StateFerry(to: receiver)
        try ferry.carry(from: sender)
        #expect(try ferry.install() == nil)
        try sender.collect()
        try ferry.sendTail(from: sender)
        #expect(try ferry.install() != nil)
        #expect(try receiver.value(String.self, "SELECT fullName FROM patients WHERE id = 'p130'") == "Not collected")
        try expectEqual([sender, receiver])
    }

    @Test("a value that changed without a mark, as by damage, is in no page; the rest of its row is")
    func unmarked() throws {
        let (sender, receiver) = (try Self.sender(), try TestStore(2, limits: StateTransferTests.limits))
        try sender.sql(
            """
            UPDATE clinicsync_guard SET applying = 1;
            UPDATE patients SET fullName = 'Rot' WHERE id = 'p130';
            UPDATE clinicsync_guard SET applying = 0
            """
        )
        var ferry = StateFerry(to: receiver)
        try ferry.carry(from: sender)
        #expect(try ferry.install() != nil)
        #expect(try receiver.value(Int.self, Self.unnamed) == 1)
        // The sweep takes it for an edit; nobody else has the value that was there.
        _ = try sender.writer.sweep(table: nil, clockOffsetMilliseconds: 0)
        try converge([sender, receiver])
        // The sender's journal has the value that was there, the receiver's has none in its place: both get both entries.
        for _ in 0..<2 { _ = try RoundRun(client: receiver, host: sender).round() }
        try expectEqual([sender, receiver])
    }
}
