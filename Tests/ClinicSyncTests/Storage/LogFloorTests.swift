import ClinicSyncCore
import ClinicSyncModel
import Testing

@testable import ClinicSyncStorage

@Suite("The floor of the change log")
struct LogFloorTests {
    private let a: TestStore
    private let b: TestStore

    /// Two PCs with the same eight batches of `a`.
    init() throws {
        self.a = try TestStore(1)
        self.b = try TestStore(2)
        for number in 1...8 {
            try self.a.sql("INSERT INTO patients(id, fullName) VALUES('p\(number)', 'Ana')")
            try self.a.collect()
        }
        try self.a.send(to: self.b)
    }

    /// Has `store` remove everything from its log that came up to now.
    private func prune(_ store: TestStore) throws {
        store.now += 1_000
        while try self.prune(store, upTo: store.vector, retention: 500) > 0 {}
        #expect(try store.value(Int.self, "SELECT count(*) FROM clinicsync_log") == 0)
    }

    private func prune(_ store: TestStore, upTo limit: VersionVector, retention: Int64) throws -> Int {
        let pruner = LogPruner(origins: store.writer.rows.origins, clock: store.writer.clock)
        return try store.writer.transactions.write { transaction in
            .relaxed(try pruner.prune(upTo: limit, retentionMilliseconds: retention, in: transaction))
        }
    }

    private func floor(_ store: TestStore) throws -> UInt64 {
        try store.writer.read { rows, connection in
            try connection.query("SELECT floor FROM clinicsync_origin WHERE sequence > 0").first { try $0.sequence(0) }
        } ?? 0
    }

    private func reopened(_ store: TestStore) throws -> TestStore {
        try TestStore(reopening: store, schema: store.schema)
    }

    @Test("a peer is served from the floor on, and from nothing below it")
    func served() throws {
        try self.prune(self.a)
        try self.a.sql("INSERT INTO patients(id, fullName) VALUES('p9', 'Eva')")
        try self.a.collect()
        #expect(try self.floor(self.a) == 8)
        for known in UInt64(0)...9 {
            let vector = VersionVector([.init(origin: self.a.origin, sequence: known)])
            let position = try self.a.reader.locate(vector)
            #expect((position != nil) == (known >= 8))
            guard let position else { continue }
            #expect(try self.a.reader.readLog(after: position, maxBytes: .max).chunks.count == 9 - Int(known))
        }
        func chunks(_ sequence: UInt64) throws -> [BatchChunk] {
            let batch = BatchID(origin: self.a.origin, sequence: sequence)
            return try self.a.reader.chunks(from: LostChunk(batch: batch), maxBytes: .max)
        }
        #expect(try chunks(8) == [])
        #expect(try chunks(9).count == 1)
    }

    @Test("a log that was pruned is no damage, to a node that runs and to one that is opened")
    func noDamage() throws {
        let vector = try self.b.vector
        try self.prune(self.b)
        #expect(try self.b.reader.locate(VersionVector()) == nil)
        let b = try self.reopened(self.b)
        #expect(b.writer.takeNotice().repairs == [])
        #expect(try b.vector == vector)
        #expect(try b.reader.locate(VersionVector()) == nil)
        try b.sql("INSERT INTO patients(id, fullName) VALUES('p9', 'Eva')")
        try b.collect()
        #expect(try b.reader.locate(vector) != nil)
        let again = try self.reopened(b)
        #expect(again.writer.takeNotice().repairs == [])
    }

    @Test("a batch that comes again after it was pruned is known, and not logged again")
    func comesAgain() throws {
        let chunks = try self.a.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
        try self.prune(self.b)
        _ = try self.b.writer.store(chunks, clockOffsetMilliseconds: 0)
        #expect(try self.b.value(Int.self, "SELECT count(*) FROM clinicsync_log") == 0)
        try expectEqual([self.a, self.b])
    }

    @Test(
        "applied batches that are missing above the floor are damage, wherever they stood, and come from a peer",
        arguments: ["sequence <= 3", "sequence BETWEEN 4 AND 5", "sequence > 6", "sequence > 0"],
        [0, 2]
    )
    func missing(which: String, floor: Int) throws {
        // What is removed below the floor is not missed.
        try self.b.sql("UPDATE clinicsync_origin SET floor = \(floor) WHERE sequence > 0")
        try self.b.sql("DELETE FROM clinicsync_log WHERE sequence <= \(floor)")
        try self.b.sql("DELETE FROM clinicsync_log WHERE \(which)")
        let b = try self.reopened(self.b)
        #expect(b.writer.takeNotice().repairs.isEmpty == false)
        let (writing, reading) = (WritingExecutor(b.writer, retentionMilliseconds: .max / 2), ReadingExecutor(b.reader))
        let id = ConnectionID(rawValue: 1)
        let sender = ChunkSender(node: self.a.origin.node, isHost: true)
        // What an author's number no longer covers comes by the stream, the rest by name.
        try self.a.send(to: b)
        for _ in 0..<8 {
            let request = StorageRequest.readLog(for: id, after: 0, maxBytes: .max)
            guard case .failed(_, .damaged(let damage)) = reading.perform(request) else { break }
            guard case .mended(let repair) = writing.perform(.mend(damage)), let lost = repair.wanted.first else {
                Issue.record("\(damage) was not repaired")
                return
            }
            let copy = try self.a.reader.chunks(from: lost, maxBytes: .max)
            _ = writing.perform(.store(from: id, sender, copy))
        }
        #expect(try b.vector == self.a.vector)
        let vector = VersionVector([.init(origin: self.a.origin, sequence: UInt64(floor))])
        let start = try #require(try b.reader.locate(vector))
        let served = try b.reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk.batch.sequence)
        #expect(Set(served) == Set(UInt64(floor + 1)...8))
        try expectEqual([self.a, b])
    }

    @Test(
        "a floor that makes no sense is corrected, and loses no batch",
        arguments: ["-1", "'x'", "99", "x'00'", "9223372036854775807"]
    )
    func damaged(floor: String) throws {
        let vector = try self.b.vector
        try self.b.sql("UPDATE clinicsync_origin SET floor = \(floor) WHERE sequence > 0")
        let b = try self.reopened(self.b)
        #expect(b.writer.takeNotice().repairs.contains { $0.table == .origin })
        try self.a.sql("INSERT INTO patients(id, fullName) VALUES('p9', 'Eva')")
        try self.a.send(to: b)
        #expect(try b.vector[self.a.origin] == vector[self.a.origin] + 1)
        try expectEqual([self.a, b])
    }

    @Test(
        "a floor far below what the log has is raised, so that who lacks those batches gets the state",
        arguments: [true, false]
    )
    func farBelow(isAllGone: Bool) throws {
        for number in 9...80 {
            try self.a.sql("INSERT INTO patients(id, fullName) VALUES('p\(number)', 'Ana')")
            try self.a.collect()
        }
        let vector = try self.a.vector
        try self.prune(self.a)
        if !isAllGone {
            try self.a.sql("INSERT INTO patients(id, fullName) VALUES('last', 'Ana')")
            try self.a.collect()
        }
        try self.a.sql("UPDATE clinicsync_origin SET floor = 0")
        let a = try self.reopened(self.a)
        #expect(a.writer.takeNotice().repairs.contains { $0.table == .origin })
        #expect(try self.floor(a) == 80)
        #expect(try a.vector[a.origin] == (isAllGone ? 80 : 81))
        #expect(try a.reader.locate(VersionVector()) == nil)
        #expect(try a.reader.locate(vector) != nil)
    }

    @Test("a node whose own entry is lost takes its numbers from its pruned log, and gives none twice")
    func ownEntry() throws {
        try self.prune(self.a)
        for number in 9...11 {
            try self.a.sql("INSERT INTO patients(id, fullName) VALUES('p\(number)', 'Ana')")
            try self.a.collect()
        }
        try self.a.sql("DELETE FROM clinicsync_origin WHERE sequence > 0")
        let a = try self.reopened(self.a)
        #expect(try a.vector[a.origin] == 11)
        #expect(try self.floor(a) == 8)
        #expect(try a.value(Int.self, "SELECT count(*) FROM clinicsync_log") == 3)
        try a.send(to: self.b)
        try expectEqual([a, self.b])
    }

    @Test(
        "a chunk that was logged with a clock far ahead does not keep the log, and a clock that is behind prunes nothing"
    )
    func wrongClock() throws {
        try self.b.sql("UPDATE clinicsync_log SET storedAt = storedAt + 31536000000 WHERE sequence = 2")
        self.b.now += 1_000
        self.b.now -= 86_400_000
        #expect(try self.prune(self.b, upTo: self.b.vector, retention: 0) == 0)
        self.b.now += 86_400_000
        #expect(try self.prune(self.b, upTo: self.b.vector, retention: 500) == 8)
    }

    @Test("a large batch leaves the log in short transactions, and counts as gone from the first one on")
    func slices() throws {
        let chunks = LogPruner.chunksMax * 2
        try self.b.sql(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(chunks))
            INSERT INTO clinicsync_log (origin, sequence, chunk, isLast, checksum, storedAt, payload)
            SELECT origin, 1, i, 0, 0, storedAt, x'00' FROM clinicsync_log, n WHERE sequence = 1
            """
        )
        self.b.now += 1_000
        let limit = VersionVector([.init(origin: self.a.origin, sequence: 1)])
        for expected in [LogPruner.chunksMax, LogPruner.chunksMax, 1, 0] {
            #expect(try self.prune(self.b, upTo: limit, retention: 500) == expected)
            #expect(try self.floor(self.b) == 1)
            #expect(try self.b.reader.locate(VersionVector()) == nil)
            let served = try self.b.reader.readLog(after: 0, maxBytes: .max).chunks
            #expect(served.map(\.chunk.batch.sequence) == Array(2...8))
        }
    }
}
