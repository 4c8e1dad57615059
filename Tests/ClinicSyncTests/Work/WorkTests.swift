import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import ClinicSyncWire
import Foundation
import Testing

/// The work of a node does not grow unnoticed.
///
/// Counts are the same on every machine and at every load, so a change that costs more shows at once.
@Suite("The counted work of a node") struct WorkTests {
    /// Rows of one transaction.
    private static let rows = 100
    /// Transactions of one row.
    private static let transactions = 20
    /// Clients of a host.
    private static let clients = 50
    /// The first run pays for what a process does once.
    private static let first = Result { try WorkTests.work(rows: 2, transactions: 1, clients: 2) }
    /// The work that does not depend on these.
    private static let codec = "encoding and decoding of a batch"

    @Test("is not more than recorded; CLINICSYNC_UPDATE_SNAPSHOTS=1 records it again")
    func counts() throws {
        _ = try Self.first.get()
        let measured = WorkRecord(
            try Self.work(rows: Self.rows, transactions: Self.transactions, clients: Self.clients)
        )
        if ProcessInfo.processInfo.environment["CLINICSYNC_UPDATE_SNAPSHOTS"] == "1" { try measured.write() }
        for difference in try WorkRecord.recorded().differences(measured) { Issue.record("\(difference)") }
    }

    @Test("is counted so closely that a quarter more of any of it is a difference, in each unit")
    func moreWork() throws {
        _ = try Self.first.get()
        let less = WorkRecord(try Self.work(rows: 40, transactions: 4, clients: 20))
        let more = WorkRecord(try Self.work(rows: 50, transactions: 5, clients: 25))
        let differences = less.differences(more)
        func parts(_ names: [String], _ part: Int) -> Set<String> {
            Set(names.compactMap { name in name.components(separatedBy: ": ").dropFirst(part).first })
        }
        let (all, found) = (less.counts.map(\.name), differences.map(\.name))
        #expect(parts(found, 0) == parts(all, 0))
        #expect(parts(found, 1).union([Self.codec]) == parts(all, 1))
        #expect(more.differences(less) == [], "less is no difference")
        // The message says what to do.
        let text = try #require(differences.first).description
        #expect(text.contains(" recorded, ") && text.contains(" measured. "))
        #expect(text.contains("CLINICSYNC_UPDATE_SNAPSHOTS=1 swift test --filter WorkTests"))
    }

    @Test("a count that the record lacks, or that is not counted any more, is a difference")
    func otherCounts() {
        let first = WorkRecord([Work(name: "a", counts: [.messages: 100]), Work(name: "b", counts: [.bytes: 5])])
        let second = WorkRecord([Work(name: "a", counts: [.messages: 103]), Work(name: "c", counts: [.bytes: 5])])
        #expect(first.differences(first) == [])
        #expect(
            first.differences(second) == [
                .init(name: "messages: a", recorded: 100, measured: 103),
                .init(name: "bytes: b", recorded: 5, measured: nil),
                .init(name: "bytes: c", recorded: nil, measured: 5),
            ]
        )
        #expect(second.differences(first).allSatisfy { $0.name != "messages: a" }, "less is no difference")
    }

    // MARK: - The work

    /// All work that is counted.
    private static func work(rows: Int, transactions: Int, clients: Int) throws -> [Work] {
        try self.together(rows) + self.apart(transactions) + [self.relay(clients), self.encoding(), self.rest(clients)]
    }

    /// A program writes rows in one statement; a node collects and another applies them.
    private static func together(_ rows: Int) throws -> [Work] {
        let (author, receiver) = try self.stores()
        let capture = try author.work { try author.sql(self.insert(rows, from: 100)) }
        var chunks: [BatchChunk] = []
        var collect = try author.work { chunks = try author.collect().logged.map(\.chunk) }
        collect[.bytes] = chunks.reduce(0) { $0 + $1.payload.count }
        let apply = try receiver.work {
            _ = try receiver.writer.store(chunks, clockOffsetMilliseconds: 0)
            _ = try receiver.writer.applyStored(clockOffsetMilliseconds: 0)
        }
        try self.expectApplied(author, receiver)
        return [
            Work(name: "capture, many rows in one transaction", counts: capture),
            Work(name: "collect, many rows in one transaction", counts: collect),
            Work(name: "apply, many rows in one transaction", counts: apply),
        ]
    }

    /// A program inserts, edits and deletes rows, a transaction each; a node collects and another applies each.
    private static func apart(_ transactions: Int) throws -> [Work] {
        let (author, receiver) = try self.stores()
        var works: [String: [Work.Unit: Int]] = [:]
        func add(_ name: String, _ counts: [Work.Unit: Int]) {
            works[name, default: [:]].merge(counts, uniquingKeysWith: +)
        }
        for number in 0..<transactions {
            let id = 1_000 + number
            for statement in [
                self.insert(1, from: id), "UPDATE patients SET fullName = 'New name' WHERE id = 'p\(id)'",
                "DELETE FROM patients WHERE id = 'p\(id)'",
            ] {
                author.now += 1_000
                receiver.now += 1_000
                add("capture", try author.work { try author.sql(statement) })
                var chunks: [BatchChunk] = []
                add("collect", try author.work { chunks = try author.collect().logged.map(\.chunk) })
                add("apply", try receiver.work { _ = try receiver.writer.store(chunks, clockOffsetMilliseconds: 0) })
            }
        }
        try self.expectApplied(author, receiver)
        return ["capture", "collect", "apply"].map {
            Work(name: "\($0), insert, edit and deletion in transactions of their own", counts: works[$0] ?? [:])
        }
    }

    /// A host stores a client's batch, passes it on to the other clients, and hears that all have it.
    private static func relay(_ clients: Int) -> Work {
        var host = self.host(clients)
        var effects: [Effect] = []
        let chunk = BatchChunk.of(2, 1, bytes: 300)
        let vector = VersionVector.v(0, 1)
        let (_, allocations) = Work.allocations {
            effects += host.node.handle(.received(.c(2), .chunk(chunk)), at: host.now)
            let outcome = StoreOutcome.of([chunk.at(1)], bytes: 300, vector: vector)
            effects += host.node.handle(.storageReplied(.stored(from: .c(2), outcome)), at: host.now)
            for client in 3..<UInt64(clients) + 2 {
                let entry = VersionVector.Entry(origin: .o(2), sequence: 1)
                let acknowledgement = Acknowledgement(applied: [entry], creditBytes: 300)
                effects += host.node.handle(.received(.c(client), .acknowledge(acknowledgement)), at: host.now)
            }
        }
        return Work(
            name: "relay of a batch to all clients, and their acknowledgements",
            counts: [.messages: effects.receivers, .bytes: effects.encodedBytes, .allocations: allocations]
        )
    }

    /// A batch is encoded, checked and decoded.
    private static func encoding() throws -> Work {
        let message = Message.chunk(.of(2, 1, bytes: 300))
        let (bytes, allocations) = try Work.allocations {
            let bytes = MessageCodec.encode(message, term: 1)
            _ = try MessageCodec.decode(bytes)
            return bytes.count
        }
        return Work(name: self.codec, counts: [.bytes: bytes, .allocations: allocations])
    }

    /// A host and its clients have nothing to do for ten seconds.
    private static func rest(_ clients: Int) -> Work {
        var host = self.host(clients)
        let pings = (0..<UInt64(20)).map { Message.ping(Ping(id: $0)) }
        var effects: [Effect] = []
        let (_, allocations) = Work.allocations {
            for ping in pings {
                host.advance(CoreConfiguration.host.heartbeatInterval)
                for client in 2..<UInt64(clients) + 2 {
                    effects += host.node.handle(.received(.c(client), ping), at: host.now)
                }
                effects += host.node.handle(.timerFired(.heartbeat), at: host.now)
            }
        }
        return Work(
            name: "ten seconds of rest of a host with clients",
            counts: [.messages: effects.receivers, .bytes: effects.encodedBytes, .allocations: allocations]
        )
    }

    // MARK: - The nodes

    /// Two stores that have written, collected and applied before: what they do for the first time is not counted.
    private static func stores() throws -> (author: TestStore, receiver: TestStore) {
        let stores = [try TestStore(1), try TestStore(2)]
        try stores[0].sql(self.insert(3, from: 0))
        try stores[0].collect()
        try stores[0].sql("UPDATE patients SET fullName = 'Ben' WHERE id = 'p1'; DELETE FROM patients WHERE id = 'p2'")
        try converge(stores)
        return (stores[0], stores[1])
    }

    private static func expectApplied(_ author: TestStore, _ receiver: TestStore) throws {
        let count = "SELECT count(*) FROM patients"
        #expect(try receiver.value(Int.self, count) == author.value(Int.self, count))
        #expect(try receiver.vector == author.vector)
    }

    private static func insert(_ rows: Int, from first: Int) -> String {
        """
        WITH RECURSIVE n(i) AS (SELECT \(first) UNION ALL SELECT i + 1 FROM n WHERE i < \(first + rows - 1))
        INSERT INTO patients(id, fullName, firstName, lastName, gender) SELECT 'p' || i, 'Ana Reyes', 'Ana', 'Reyes', 'Female'
        FROM n
        """
    }

    /// A host with connected clients, the nodes 2, 3, 4...
    private static func host(_ clients: Int) -> Bench {
        var host = Bench(.host)
        host.start()
        for client in 2..<UInt64(clients) + 2 { host.connect(client, to: .client(client)) }
        return host
    }
}

extension [Effect] {
    /// How many messages are sent, one for each receiver.
    fileprivate var receivers: Int {
        self.reduce(0) { count, effect in
            if case .send(let receivers, _) = effect { count + receivers.count } else { count }
        }
    }

    /// The bytes of the messages that are encoded.
    fileprivate var encodedBytes: Int {
        self.messages.reduce(0) { $0 + MessageCodec.encode($1, term: 1).count }
    }
}
