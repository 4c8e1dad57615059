import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Testing

@Suite("Chunks of the log that a node lost to damage")
struct LostChunkTests {
    @Test("a damaged chunk of a large batch is asked for by its place, and sent from there")
    func largeBatch() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try converge([a, b])
        let text = String(repeating: "y", count: 200_000)
        for row in 0..<8 {
            try b.sql("INSERT INTO patients(id, fullName, address) VALUES('large\(row)', 'x', '\(text)')")
        }
        try b.collect()
        let start = try #require(try b.reader.locate(try a.vector))
        let chunks = try b.reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk)
            .filter { $0.batch.origin == b.origin }
        try #require(chunks.count > 4)
        let sender = ChunkSender(node: b.origin.node, isHost: false)
        _ = try a.writer.store(chunks, from: sender, clockOffsetMilliseconds: 0)
        if try a.vector != b.vector { _ = try a.writer.applyStored(clockOffsetMilliseconds: 0) }
        let batch = chunks[0].batch
        try a.sql(
            "UPDATE clinicsync_log SET payload = x'0100' WHERE chunk = 1 AND sequence = \(batch.sequence)"
                + " AND length(payload) > 100000"
        )
        let (writing, reading) = (WritingExecutor(a.writer, retentionMilliseconds: .max / 2), ReadingExecutor(a.reader))
        let id = ConnectionID(rawValue: 1)
        let request = StorageRequest.readLog(for: id, after: 0, maxBytes: .max)
        guard case .failed(_, .damaged(let damage)) = reading.perform(request),
            case .mended(let repair) = writing.perform(.mend(damage))
        else {
            Issue.record("no damage was found")
            return
        }
        let lost = LostChunk(batch: batch, index: 1)
        #expect(repair.wanted == [lost])
        // A peer whose own copy is damaged further on sends what comes before.
        try b.sql(
            "UPDATE clinicsync_log SET payload = x'0100' WHERE chunk = 3 AND sequence = \(batch.sequence)"
                + " AND length(payload) > 100000"
        )
        #expect(try b.reader.chunks(from: LostChunk(batch: batch), maxBytes: .max) == Array(chunks[..<3]))
        #expect(try b.reader.chunks(from: LostChunk(batch: batch, index: 1 << 20), maxBytes: .max) == [])
        let copy = try b.reader.chunks(from: lost, maxBytes: .max)
        #expect(copy == Array(chunks[1...2]))
        _ = writing.perform(.store(from: id, copy))
        guard case .logRead(_, let healed, _) = reading.perform(request) else {
            Issue.record("the batch is still damaged")
            return
        }
        #expect(healed.map(\.chunk).filter { $0.batch == batch } == chunks)
    }
}
