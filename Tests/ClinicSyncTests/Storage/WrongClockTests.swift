import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// A year in milliseconds.
private let year: Int64 = 365 * 86_400_000

@Suite("Stamps of PCs whose clocks are wrong")
struct WrongClockTests {
    /// Two stores that both know patient p1; the second store is cut off since then.
    private func pair() throws -> (here: TestStore, away: TestStore) {
        let template = try TortureSchema.clinic.get()
        let (here, away) = try (TestStore(1, like: template), TestStore(2, like: template))
        try here.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try converge([here, away])
        for store in [here, away] { store.writer.beginIsolation() }
        return (here, away)
    }

    private func name(_ store: TestStore, _ id: String = "p1") throws -> String? {
        try store.value(String.self, "SELECT fullName FROM patients WHERE id = '\(id)'")
    }

    private func stamp(_ store: TestStore, _ id: String) throws -> Int64 {
        let raw = try store.value(Int64.self, "SELECT timestamp FROM clinicsync_row WHERE pk = '\(id)'")
        return try #require(raw) >> 16
    }

    @Test("an edit by somebody who has seen a value from the future wins over it, and other rows stay in the present")
    func seenFutureLoses() throws {
        let (here, away) = try self.pair()
        away.now += year
        try away.sql("UPDATE patients SET fullName = 'Future'")
        let outcome = try away.send(to: here)
        #expect(outcome.largestTimestamp.milliseconds == away.now)
        #expect(try self.name(here) == "Future")
        try here.sql("UPDATE patients SET fullName = 'Corrected' WHERE id = 'p1'")
        try here.sql("INSERT INTO patients(id, fullName) VALUES('p2', 'Ben')")
        try converge([here, away])
        #expect(try self.name(away) == "Corrected")
        #expect(try self.stamp(here, "p2") == here.now)
        #expect(try here.value(Int.self, "SELECT count(*) FROM clinicsync_conflict") == 0)
        try expectEqual([here, away])
    }

    @Test("a stamp half a second ahead is adopted by the clock, one further ahead is not", arguments: [500, 501])
    func adoption(ahead: Int64) throws {
        let (here, away) = try self.pair()
        away.now += ahead
        try away.sql("INSERT INTO patients(id, fullName) VALUES('p2', 'Ben')")
        try away.send(to: here)
        try here.sql("INSERT INTO patients(id, fullName) VALUES('p3', 'Cleo')")
        try here.collect()
        #expect(try self.stamp(here, "p3") == here.now + (ahead == 500 ? 500 : 0))
    }

    @Test(
        "of an edit made while away with a wrong clock and one made here the truly later wins",
        arguments: [year, -year]
    )
    func restamped(error: Int64) throws {
        for isAwayLater in [false, true] {
            let (here, away) = try self.pair()
            here.now += isAwayLater ? 10_000 : 20_000
            try here.sql("UPDATE patients SET fullName = 'Here'")
            away.now += error + (isAwayLater ? 20_000 : 10_000)
            try away.sql("UPDATE patients SET fullName = 'Away'")
            for store in [here, away] { try store.collect() }
            here.now += isAwayLater ? 50_000 : 40_000
            away.now += isAwayLater ? 40_000 : 50_000
            away.offset = -error
            let done = try away.writer.restamp(clockOffsetMilliseconds: -error)
            #expect(done.changes == 1)
            try converge([here, away])
            #expect(try self.name(here) == (isAwayLater ? "Away" : "Here"))
            let lost = try away.value(String.self, "SELECT value FROM clinicsync_conflict")
            #expect(lost == (isAwayLater ? "Here" : "Away"))
            try expectEqual([here, away])
        }
    }

    @Test(
        "edits that wait for the node to start have the times at which they were made, in whatever order they are collected"
    )
    func youngEdits() throws {
        let (here, away) = try self.pair()
        try here.sql("INSERT INTO patients(id, fullName) VALUES('p0', 'Ben')")
        try converge([here, away])
        here.now += 3_000
        try here.sql("UPDATE patients SET fullName = 'Later' WHERE id = 'p1'")
        try here.collect()
        // The node of the other PC does not run. The row that comes first in the order of keys is written last.
        try away.sql("UPDATE patients SET fullName = 'Earlier' WHERE id = 'p1'")
        try away.sql("UPDATE clinicsync_dirty SET writtenAt = ?", [away.now + 1_000])
        try away.sql("UPDATE patients SET fullName = 'Bob' WHERE id = 'p0'")
        try away.sql("UPDATE clinicsync_dirty SET writtenAt = ? WHERE pk = 'p0'", [away.now + 4_000])
        away.now += 4_500
        _ = try away.writer.collect(clockOffsetMilliseconds: 0)
        try converge([here, away])
        #expect(try self.name(away) == "Later")
        #expect(try self.name(here, "p0") == "Bob")
        try expectEqual([here, away])
    }

    @Test("edits made with a clock a year ahead that was set right before the return count as made at the return")
    func setBack() throws {
        let (here, away) = try self.pair()
        here.now += 5_000
        try here.sql("UPDATE patients SET fullName = 'Before'")
        try here.collect()
        away.now += year
        try away.sql("UPDATE patients SET fullName = 'Away'")
        try away.collect()
        away.now -= year - 10_000
        let done = try away.writer.restamp(clockOffsetMilliseconds: 0)
        #expect(done.changes == 1)
        here.now += 15_000
        try here.sql("INSERT INTO patients(id, fullName) VALUES('p2', 'Ben')")
        try away.send(to: here)
        #expect(try self.name(here) == "Away")
        try here.sql("UPDATE patients SET fullName = 'After' WHERE id = 'p1'")
        try converge([here, away])
        #expect(try self.name(away) == "After")
        try expectEqual([here, away])
    }

    @Test(
        "edits made with a clock a year behind that was set right before the return count as made after the last contact"
    )
    func setForward() throws {
        let (here, away) = try self.pair()
        let contact = here.now
        away.now -= year
        try away.sql("INSERT INTO patients(id, fullName) VALUES('p2', 'Ben')")
        try away.collect()
        #expect(try self.stamp(away, "p2") < contact)
        away.now += year + 10_000
        #expect(try away.writer.restamp(clockOffsetMilliseconds: 0).changes == 1)
        #expect(try self.stamp(away, "p2") == contact)
        try converge([here, away])
        try expectEqual([here, away])
    }

    @Test("what others may have is never stamped anew")
    func sharedStays() throws {
        let (here, away) = try self.pair()
        away.now += year
        // The connection exists, so new changes go out at once.
        _ = try away.writer.restamp(clockOffsetMilliseconds: 0)
        try away.sql("UPDATE patients SET fullName = 'Shared'")
        try away.send(to: here)
        away.writer.beginIsolation()
        away.offset = -year
        #expect(try away.writer.restamp(clockOffsetMilliseconds: -year).changes == 0)
        try expectEqual([here, away])
        // The same holds when a member acknowledges the batch, or when a merge used the present stamps.
        away.writer.beginIsolation()
        away.offset = 0
        try away.sql("UPDATE patients SET fullName = 'Known'")
        try away.collect()
        let progress = MemberProgress(node: here.origin.node, vector: try away.vector, seenMilliseconds: here.now)
        try away.writer.recordAcknowledged([progress])
        #expect(try away.writer.restamp(clockOffsetMilliseconds: -year).changes == 0)
        away.writer.beginIsolation()
        try away.sql("UPDATE patients SET fullName = 'Judged'")
        try away.collect()
        try here.sql("INSERT INTO patients(id, fullName) VALUES('p2', 'Ben')")
        try here.send(to: away)
        #expect(try away.writer.restamp(clockOffsetMilliseconds: -year).changes == 0)
    }

    @Test("an edit of one's own shared value from the future stays above it")
    func staysAboveShared() throws {
        let (here, away) = try self.pair()
        away.now += year
        _ = try away.writer.restamp(clockOffsetMilliseconds: 0)
        try away.sql("UPDATE patients SET fullName = 'Shared'")
        try away.send(to: here)
        away.writer.beginIsolation()
        away.now += 1_000
        try away.sql("UPDATE patients SET fullName = 'Again' WHERE id = 'p1'")
        try away.sql("INSERT INTO patients(id, fullName) VALUES('p2', 'Ben')")
        try away.collect()
        away.offset = -year
        #expect(try away.writer.restamp(clockOffsetMilliseconds: -year).changes > 0)
        #expect(try away.send(to: here).conflicts == 0)
        #expect(try self.name(here) == "Again")
        try expectEqual([here, away])
    }

    @Test("a batch of several chunks is stamped anew as a whole")
    func severalChunks() throws {
        let (here, away) = try self.pair()
        away.now += year
        try away.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
            INSERT INTO patients(id, fullName, medicalHistory) SELECT 'x' || i, 'Name ' || i, hex(randomblob(200)) FROM n
            """
        )
        #expect(try away.collect().logged.count > 1)
        away.offset = -year
        #expect(try away.writer.restamp(clockOffsetMilliseconds: -year).changes == 2_000)
        #expect(
            try away.value(Int64.self, "SELECT max(timestamp) >> 16 FROM clinicsync_row") ?? 0 < away.now - year + 10
        )
        try converge([here, away])
        try expectEqual([here, away])
    }

    @Test("a value from the future that was replaced with a right clock is no reason to stamp anew")
    func rightClockFutureValue() throws {
        let (here, away) = try self.pair()
        here.now += year
        try here.sql("UPDATE patients SET fullName = 'Future'")
        try here.send(to: away)
        away.writer.beginIsolation()
        try away.sql("UPDATE patients SET fullName = 'Now'")
        try away.collect()
        #expect(try away.writer.restamp(clockOffsetMilliseconds: 0).changes == 0)
        try converge([here, away])
        #expect(try self.name(here) == "Now")
    }

    @Test("a clock that was right costs nothing", arguments: [0, 400, -400])
    func rightClock(error: Int64) throws {
        let (here, away) = try self.pair()
        away.now += error
        try away.sql("UPDATE patients SET fullName = 'Away'")
        try away.collect()
        let before = try away.reader.readLog(after: 0, maxBytes: .max).chunks
        #expect(try away.writer.restamp(clockOffsetMilliseconds: -error).changes == 0)
        #expect(try away.reader.readLog(after: 0, maxBytes: .max).chunks == before)
        try converge([here, away])
        try expectEqual([here, away])
    }

    @Test("stamping anew changes no value, and who gets the batches shows the same", arguments: 0..<12)
    func randomWork(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let (here, away) = try self.pair()
        func work(_ store: TestStore, writes: Int) throws {
            for number in 0..<writes {
                let id = "p\(random.next() % 5)"
                switch random.next() % 5 {
                case 0: try store.sql("DELETE FROM patients WHERE id = ?", [id])
                case 1: try store.sql("UPDATE patients SET fullName = 'N\(number)' WHERE id = ?", [id])
                case 2: try store.sql("UPDATE clinic_services SET selectionCount = selectionCount + 1")
                case 3: try store.sql("UPDATE patients SET address = 'A\(number)', email = 'e' WHERE id = ?", [id])
                default: try store.sql("INSERT OR REPLACE INTO patients(id, fullName) VALUES(?, 'I\(number)')", [id])
                }
                if random.next() % 2 == 0 { try store.collect() }
                let isJump = random.next() % 8 == 0
                store.now += isJump ? [year, -year, 86_400_000][Int(random.next() % 3)] : Int64(random.next() % 2_000)
            }
            try store.collect()
        }
        // The shared changes come from wrong clocks too.
        try work(here, writes: 5)
        _ = try away.writer.restamp(clockOffsetMilliseconds: 0)
        try work(away, writes: 5)
        try converge([here, away])
        away.writer.beginIsolation()
        try work(away, writes: 20)
        let before = try away.dump()
        away.offset = here.now + 60_000 - away.now
        _ = try away.writer.restamp(clockOffsetMilliseconds: away.offset)
        #expect(try away.dump() == before)
        #expect(try away.send(to: here).conflicts == 0)
        #expect(try here.dump() == before)
        try expectEqual([here, away])
    }
}
