import ClinicSyncCore
import ClinicSyncModel
import GRDB
import Testing

@testable import ClinicSyncStorage

@Suite("Requests to store chunks that wait together")
struct GroupCommitTests {
    /// Counts the commits of a store.
    private final class CommitCounter: TransactionPart {
        private(set) var commits = 0

        func memory() -> () -> Void { {} }

        func didCommit() { self.commits += 1 }
    }

    private let host: TestStore
    private let executor: WritingExecutor
    private let counter = CommitCounter()
    /// Authors, each with a batch that the host lacks.
    private let authors: [TestStore]

    init() throws {
        self.host = try TestStore(1)
        self.executor = WritingExecutor(self.host.writer, retentionMilliseconds: .max / 2)
        self.authors = try (2...7).map { try TestStore($0) }
        try converge([self.host] + self.authors)
        for (place, author) in self.authors.enumerated() {
            try author.sql("INSERT INTO patients(id, fullName) VALUES('p\(place)', 'Ana')")
            try author.collect()
        }
        self.host.writer.transactions.add(self.counter)
    }

    /// The request with what the host lacks of an author.
    private func request(of author: TestStore) throws -> StorageRequest {
        let start = try #require(try author.reader.locate(try self.host.vector))
        let chunks = try author.reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk)
        let id = ConnectionID(rawValue: author.origin.node.low)
        return .store(
            from: id,
            ChunkSender(node: author.origin.node, isHost: false),
            chunks.filter { $0.batch.origin == author.origin }
        )
    }

    private func patients() throws -> Set<String> {
        try self.host.queue.read { Set(try String.fetchAll($0, sql: "SELECT id FROM patients WHERE id LIKE 'p_'")) }
    }

    /// The chunk with other content.
    private static func chunk(_ chunk: BatchChunk, payload: [UInt8], checksum: UInt64) -> BatchChunk {
        BatchChunk(
            batch: chunk.batch,
            index: chunk.index,
            header: chunk.header,
            isLast: chunk.isLast,
            checksum: checksum,
            payload: payload
        )
    }

    private static func storedBatches(_ reply: StorageReply) -> [BatchID]? {
        guard case .stored(_, let outcome) = reply else { return nil }
        return outcome.logged.map(\.chunk.batch)
    }

    @Test("of two contents of one batch in one delivery only that which replaced the other is applied")
    func replacedAtOnce() throws {
        guard case .store(let id, let sender, let chunks) = try self.request(of: self.authors[0]) else { return }
        let first = try #require(chunks.first)
        let empty = ChunkCheck.emptyPayload
        let other = Self.chunk(first, payload: empty, checksum: BatchChunk.checksum(of: empty))
        let reply = self.executor.perform(.store(from: id, sender, [first, other]))
        #expect(Self.storedBatches(reply) == [first.batch, first.batch])
        #expect(try self.patients() == [])
        #expect(try self.host.vector.covers(self.authors[0].vector))
    }

    @Test("those of six peers are one transaction, and each peer has its own reply")
    func together() throws {
        let requests = try self.authors.map { try self.request(of: $0) }
        #expect(WritingExecutor.groupSize(of: requests) == 6)
        let replies = self.executor.perform(together: requests)
        #expect(self.counter.commits == 1)
        for (author, reply) in zip(self.authors, replies) {
            #expect(Self.storedBatches(reply)?.map(\.origin) == [author.origin])
            guard case .stored(let id, let outcome) = reply else { continue }
            #expect(id.rawValue == author.origin.node.low)
            #expect(outcome.vector.covers(try author.vector))
            #expect(outcome.storedBytes > 0)
            #expect(outcome.events.count == 1)
        }
        #expect(try self.patients().count == 6)
    }

    @Test("a fault in one peer's chunks keeps no other peer's chunks out")
    func fault() throws {
        var requests = try self.authors.map { try self.request(of: $0) }
        guard case .store(let malformed, let sender, var chunks) = requests[1] else { return }
        chunks[0] = Self.chunk(chunks[0], payload: [0xFF], checksum: chunks[0].checksum)
        requests[1] = .store(from: malformed, sender, chunks)
        // The author of the fourth has used a number twice, which shows in the transaction alone.
        let other = try TestStore(5)
        try other.sql("INSERT INTO patients(id, fullName) VALUES('other', 'Eva')")
        try other.collect()
        guard case .store(let forked, let author, let own) = requests[3] else { return }
        _ = self.executor.perform(.store(from: forked, author, own))
        var contradiction = own
        let start = try #require(try other.reader.locate(VersionVector()))
        let content = try other.reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk)
        let last = try #require(content.last { $0.payload != own[0].payload })
        contradiction[0] = Self.chunk(own[0], payload: last.payload, checksum: last.checksum)
        requests[3] = .store(from: forked, author, contradiction)
        #expect(WritingExecutor.groupSize(of: requests) == 6)
        let replies = self.executor.perform(together: requests)
        guard case .failed(_, .malformed) = replies[1], case .failed(_, .forked(own[0].batch)) = replies[3] else {
            Issue.record("no failure: \(replies[1]) \(replies[3])")
            return
        }
        for place in [0, 2, 4, 5] { #expect(Self.storedBatches(replies[place])?.count == 1) }
        #expect(try self.patients() == ["p0", "p2", "p3", "p4", "p5"])
    }

    @Test("a group ends before another kind of request, before a batch that it has, and at the size of one request")
    func size() throws {
        let store = try self.request(of: self.authors[0])
        let second = try self.request(of: self.authors[1])
        let collect = StorageRequest.collect(clockOffsetMilliseconds: 0)
        #expect(WritingExecutor.groupSize(of: []) == 0)
        #expect(WritingExecutor.groupSize(of: [collect, store]) == 1)
        #expect(WritingExecutor.groupSize(of: [store, collect, second]) == 1)
        #expect(WritingExecutor.groupSize(of: [store, second, collect]) == 2)
        #expect(WritingExecutor.groupSize(of: [store, second, store]) == 2)
        guard case .store(let id, let sender, let chunks) = second else { return }
        let many = StorageRequest.store(from: id, sender, Array(repeating: chunks[0], count: CoreLimits.storeChunksMax))
        #expect(WritingExecutor.groupSize(of: [many, store]) == 1)
        #expect(WritingExecutor.groupSize(of: [store, many]) == 1)
        let zeros = [UInt8](repeating: 0, count: CoreLimits.storeBytesMax)
        let large = Self.chunk(chunks[0], payload: zeros, checksum: 0)
        #expect(WritingExecutor.groupSize(of: [.store(from: id, sender, [large]), store]) == 1)
    }
}
