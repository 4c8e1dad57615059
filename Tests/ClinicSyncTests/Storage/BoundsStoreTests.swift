import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("Numbers of the bookkeeping that no node can have made")
struct BoundsStoreTests {
    private static let extremes: [String] = [
        "-9223372036854775808", "-1", "9223372036854775806", "1e300", "'text'", "x'00ff'",
    ]

    /// Stores that all know patient p1.
    private func stores(_ numbers: ClosedRange<UInt64>) throws -> [TestStore] {
        let template = try TortureSchema.clinic.get()
        let stores = try numbers.map { try TestStore($0, like: template) }
        try stores[0].sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try converge(stores)
        return stores
    }

    private func name(_ store: TestStore) throws -> String? {
        try store.value(String.self, "SELECT fullName FROM patients WHERE id = 'p1'")
    }

    // MARK: - Opening

    @Test("a peer's chunk with the largest index and no end does not stop the next start, and its batch can still come")
    func hugeIndex() throws {
        let stores = try self.stores(1...2)
        try stores[1].sql("UPDATE patients SET fullName = 'Ben'")
        for (chunk, isLast) in [(4_294_967_295, 0), (4_294_967_295, 1), (-1, 0), (Int64(Bounds.chunkIndexMax), 0)] {
            try stores[0].sql(
                """
                INSERT INTO clinicsync_log (origin, sequence, chunk, isLast, checksum, storedAt, payload)
                SELECT id, sequence + 1, ?, ?, 0, 0, x'00' FROM clinicsync_origin WHERE node = ?
                """,
                [chunk, isLast, Data(stores[1].origin.node.bytes)]
            )
        }
        let again = try TestStore(reopening: stores[0], schema: stores[0].schema)
        #expect(try again.writer.state().partials.isEmpty)
        try stores[1].send(to: again)
        #expect(try self.name(again) == "Ben")
    }

    @Test("a term that cannot be counts as none, and the next one is recorded", arguments: BoundsStoreTests.extremes)
    func term(value: String) throws {
        let store = try TestStore(1)
        try store.sql("INSERT OR REPLACE INTO clinicsync_setting (name, value) VALUES ('term', \(value))")
        let again = try TestStore(reopening: store, schema: store.schema)
        #expect(try again.writer.state().term == 0)
        #expect(try again.writer.recordTerm(7) == 7)
        #expect(try again.writer.state().term == 7)
    }

    @Test(
        "positions that leave no room begin anew, in the log of events and in the log of batches",
        arguments: BoundsStoreTests.extremes
    )
    func positions(value: String) throws {
        let stores = try self.stores(1...2)
        try stores[0].sql("UPDATE clinicsync_setting SET value = \(value) WHERE name = 'eventBase'")
        try stores[0].sql("UPDATE sqlite_sequence SET seq = \(value)")
        if let number = Int64(value) {
            try stores[0].sql("INSERT INTO clinicsync_event (position, timestamp) VALUES (\(number), \(number))")
            try stores[0].sql("UPDATE clinicsync_log SET position = \(number) WHERE position = 1")
        }
        // Also before the next opening nothing ends: programs write such numbers while the node runs.
        #expect(try stores[0].reader.events(after: 0, limit: 10).newest <= Bounds.positionMax)
        let again = try TestStore(reopening: stores[0], schema: stores[0].schema)
        try again.sql("UPDATE patients SET fullName = 'Ben'")
        let told = try again.collect().events
        let page = try again.reader.events(after: 0, limit: 10)
        #expect(page.events == told)
        #expect(page.oldest <= page.newest)
        #expect(page.newest <= Bounds.positionMax)
        try converge([again, stores[1]])
        #expect(try self.name(stores[1]) == "Ben")
        let third = try TestStore(3, like: try TortureSchema.clinic.get())
        try converge([again, third])
        #expect(try self.name(third) == "Ben")
    }

    @Test("an incarnation that cannot be begins another one", arguments: ["-1", "9223372036854775806", "'text'"])
    func incarnation(value: String) throws {
        let pc = try FilePlace()
        try pc.open { _ in }
        try Program.sqlite3(
            pc.file,
            "UPDATE clinicsync_setting SET value = \(value) WHERE name = 'incarnation'"
        )
        try pc.open { writer in
            #expect(writer.rebirth == .older)
            #expect(writer.origin.incarnation != 0)
        }
        try pc.open { #expect($0.rebirth == nil) }
    }

    // MARK: - While it runs

    @Test(
        "a mark of any time is collected with a stamp of the present or the past",
        arguments: BoundsStoreTests.extremes
    )
    func marks(value: String) throws {
        let store = try self.stores(1...1)[0]
        try store.sql("UPDATE patients SET fullName = 'Ben'")
        try store.sql("UPDATE clinicsync_dirty SET writtenAt = \(value), n = \(value)")
        #expect(try store.writer.collect(clockOffsetMilliseconds: 0).logged.count == 1)
        let registers = try #require(try store.reader.report("patients/p1/fullName").columns.first?.version)
        #expect(registers.timestamp.milliseconds <= store.now)
        #expect(try store.value(Int.self, "SELECT count(*) FROM clinicsync_dirty") == 0)
    }

    @Test(
        "counts of rows and of hidden states of any size do not end a comparison, and a sweep corrects them",
        arguments: ["-1", "9223372036854775806", "281474976710656"]
    )
    func counts(value: String) throws {
        let stores = try self.stores(1...2)
        try stores[0].sql("DELETE FROM patients WHERE id = 'p1'; INSERT INTO patients(id) VALUES ('p2')")
        try converge(stores)
        try stores[0].sql("UPDATE clinicsync_digest SET rows = \(value); UPDATE clinicsync_sum SET rows = \(value)")
        for (client, host) in [(0, 1), (1, 0)] {
            #expect(try RoundRun(client: stores[client], host: stores[host]).round() == .differs)
        }
        let run = RoundRun(client: stores[0], host: stores[1])
        run.sweep()
        #expect(try run.round() == .equal)
        // A file with such counts is opened.
        try stores[0].sql("UPDATE clinicsync_sum SET rows = \(value)")
        let again = try TestStore(reopening: stores[0], schema: stores[0].schema)
        try again.sql("DELETE FROM patients WHERE id = 'p2'")
        try converge([again, stores[1]])
        let reopened = RoundRun(client: again, host: stores[1])
        reopened.sweep()
        #expect(try reopened.round() == .equal)
    }

    @Test(
        "notes of unshared batches with any numbers do not stop a correction of stamps",
        arguments: BoundsStoreTests.extremes
    )
    func unshared(value: String) throws {
        for columns in ["sequence = \(value)", "clockOffset = \(value), floor = \(value)"] {
            let store = try self.stores(1...1)[0]
            store.writer.beginIsolation()
            try store.sql("UPDATE patients SET fullName = 'Ben'")
            try store.collect()
            try store.sql(
                """
                UPDATE clinicsync_unshared SET \(columns)
                WHERE sequence = (SELECT max(sequence) FROM clinicsync_unshared)
                """
            )
            let again = try TestStore(reopening: store, schema: store.schema)
            _ = try again.writer.restamp(clockOffsetMilliseconds: 3_600_000)
            let version = try #require(try again.reader.report("patients/p1/fullName").columns.first?.version)
            #expect(version.timestamp <= .largest)
        }
    }

    @Test("entries and decisions of the journal with any numbers are listed", arguments: BoundsStoreTests.extremes)
    func journal(value: String) throws {
        let stores = try self.stores(1...2)
        let id = String(repeating: "ab", count: 16)
        try stores[0].sql(
            """
            INSERT INTO clinicsync_conflict
                (id, kind, tableName, recordId, columnName, value, origin, sequence, timestamp)
            VALUES (?, 'value', 'patients', 'p1', 'fullName', 'Anna', ?, \(value), \(value));
            """,
            [id, stores[1].origin.description]
        )
        try stores[0].sql(
            "INSERT INTO clinicsync_resolution (id, kept, resolvedAt, node) VALUES (?, 'current', \(value), \(value))",
            [id]
        )
        try converge(stores)
        for store in stores {
            let entries = try store.reader.journal(openOnly: false)
            #expect(entries.map(\.id) == [id])
            let decision = try #require(entries.first?.decision)
            #expect((0...Bounds.millisecondsMax).contains(decision.at))
            #expect(try store.reader.report("patients/p1").columns.flatMap(\.beaten).count == 1)
        }
    }

    // MARK: - Stamps of the far future

    @Test(
        "after an edit with the largest stamp every further edit wins, whoever makes it, and all stores end equal",
        arguments: [
            HybridTimestamp.lastTime.rawValue, HybridTimestamp.lastTime.rawValue + 1, HybridTimestamp.largest.rawValue,
        ]
    )
    func largestStamp(stamp: UInt64) throws {
        let stores = try self.stores(1...3)
        let (a, b, x) = (stores[0], stores[1], stores[2])
        try x.sql("UPDATE patients SET fullName = 'Poison'")
        let chunk = try #require(try x.collect().logged.first?.chunk)
        let header = try #require(chunk.header)
        // The stamps of the changes are relative to the header's.
        let hostile = BatchChunk(
            batch: chunk.batch,
            index: 0,
            header: BatchHeader(
                timestamp: HybridTimestamp(rawValue: stamp),
                dependencies: header.dependencies,
                schemaVersion: header.schemaVersion
            ),
            isLast: true,
            checksum: chunk.checksum,
            payload: chunk.payload
        )
        for store in [a, b] { _ = try store.writer.store([hostile], clockOffsetMilliseconds: 0) }
        let stamps = try [a, b].map {
            try $0.reader.report("patients/p1/fullName").columns.first?.version?.timestamp
        }
        #expect(stamps[0] == stamps[1])
        for round in 0..<4 {
            for (index, store) in [a, b].enumerated() {
                try store.sql("UPDATE patients SET fullName = 'edit \(round).\(index)'")
                try converge([a, b])
                for other in [a, b] { #expect(try self.name(other) == "edit \(round).\(index)") }
            }
        }
        try a.sql("DELETE FROM patients WHERE id = 'p1'")
        try converge([a, b])
        #expect(try self.name(b) == nil)
        try expectEqual([a, b])
        // Another row is stamped with the present.
        try b.sql("INSERT INTO patients(id, fullName) VALUES('p2', 'Cleo')")
        try converge([a, b])
        let version = try a.reader.report("patients/p2/fullName").columns.first?.version
        #expect(version?.timestamp.milliseconds == b.now)
    }

    /// The batches of `x` with the stamp of a member that wants to win every conflict.
    private func hostile(_ chunks: [BatchChunk], _ random: inout TestRandom) -> [BatchChunk] {
        let stamps = [
            HybridTimestamp.lastTime.rawValue, HybridTimestamp.lastTime.rawValue + 1,
            HybridTimestamp.lastTime.rawValue + (1 << 20), HybridTimestamp.largest.rawValue,
        ]
        return chunks.map { chunk in
            guard let header = chunk.header else { return chunk }
            let timestamp = HybridTimestamp(rawValue: stamps.randomElement(using: &random) ?? 0)
            return BatchChunk(
                batch: chunk.batch,
                index: chunk.index,
                header: BatchHeader(
                    timestamp: timestamp,
                    dependencies: header.dependencies,
                    schemaVersion: header.schemaVersion
                ),
                isLast: chunk.isLast,
                checksum: chunk.checksum,
                payload: chunk.payload
            )
        }
    }

    @Test("in whatever order far stamps and honest edits meet, the honest stores end equal", arguments: 1...3)
    func farStamps(seed: UInt64) throws {
        var random = TestRandom(seed: seed)
        let stores = try self.stores(1...4)
        let (honest, x) = (Array(stores[0...2]), stores[3])
        try honest[0].sql("INSERT INTO patients(id, fullName) VALUES('p2', 'Ben'), ('p3', 'Cleo')")
        try converge(stores)
        for step in 0..<60 {
            let store = stores.randomElement(using: &random) ?? x
            let row = "p\(Int.random(in: 1...3, using: &random))"
            switch Int.random(in: 0..<8, using: &random) {
            case 0: try store.sql("DELETE FROM patients WHERE id = ?", [row])
            case 1: try store.sql("INSERT OR IGNORE INTO patients(id, fullName) VALUES(?, 'again')", [row])
            case 2, 3: try store.sql("UPDATE patients SET email = ? WHERE id = ?", ["\(step)", row])
            case 4, 5: try store.sql("UPDATE patients SET fullName = ? WHERE id = ?", ["\(step)", row])
            case 6:
                let target = honest.randomElement(using: &random) ?? honest[0]
                if target !== store, store !== x { try store.send(to: target) }
            default: if store !== x { try store.send(to: x) }
            }
            let logged = try store.collect().logged.map(\.chunk)
            guard store === x, !logged.isEmpty else { continue }
            // Each batch goes to one honest store alone; the others get it from there.
            let target = honest.randomElement(using: &random) ?? honest[0]
            for other in honest where other !== target { try other.send(to: target) }
            _ = try target.writer.store(self.hostile(logged, &random), clockOffsetMilliseconds: 0)
            for other in honest where other !== target { try target.send(to: other) }
        }
        try converge(honest)
        try expectEqual(honest)
        // Whatever was sent, an edit after it counts.
        for row in 1...3 {
            try honest[1].sql("INSERT OR IGNORE INTO patients(id, fullName) VALUES(?, 'new')", ["p\(row)"])
            try honest[1].sql("UPDATE patients SET fullName = 'last' WHERE id = ?", ["p\(row)"])
        }
        try converge(honest)
        try expectEqual(honest)
        let names = try honest[2].queue.read { try String.fetchAll($0, sql: "SELECT DISTINCT fullName FROM patients") }
        #expect(names == ["last"])
    }

    /// What one file has, and what earlier versions left in all files.
    @Test(
        "a row whose stamp was damaged spoils no edit, on whichever store",
        arguments: [
            (Int64(HybridTimestamp.largest.rawValue), [2]), (Int64(HybridTimestamp.largest.rawValue) + 1, [2]),
            (.max - 1, [2]), (.max, [2]), (Int64(HybridTimestamp.largest.rawValue) + 1, [0, 1, 2]),
            (.max - 1, [0, 1, 2]), (.max, [0, 1, 2]),
        ] as [(Int64, [Int])]
    )
    func damagedRow(stamp: Int64, damaged: [Int]) throws {
        let stores = try self.stores(1...3)
        let (a, b, x) = (stores[0], stores[1], stores[2])
        // The stamps of the other columns are relative to the row's.
        try a.sql("UPDATE patients SET email = 'e'")
        try converge(stores)
        for index in damaged {
            try stores[index].sql("UPDATE clinicsync_row SET timestamp = ? WHERE pk = 'p1'", [stamp])
        }
        for (store, name) in zip([x, b, x, a], ["by x", "by b", "by x again", "by a"]) {
            try store.sql("UPDATE patients SET fullName = ?, email = ? WHERE id = 'p1'", [name, name])
            try converge(stores)
            for other in stores {
                #expect(try self.name(other) == name)
                #expect(try other.value(String.self, "SELECT email FROM patients") == name)
            }
        }
        try expectEqual(stores)
    }
}
