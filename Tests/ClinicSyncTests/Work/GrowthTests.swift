import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncWire
import Testing

@testable import ClinicSyncStorage

/// The work of a host grows with its clients and no faster: what it does for each is the same with many as with few.
@Suite("The work of a host for each client") struct GrowthTests {
    /// Beats of the heart in ten seconds.
    private static let beats = 20

    @Test("at rest is the same with 200 clients as with 20, and little more than answers to their pings")
    func rest() {
        _ = Self.rest(clients: 2)
        // With fewer than 16 elements, dictionaries are made in another way.
        let (few, many) = (Self.rest(clients: 20), Self.rest(clients: 200))
        #expect(many.messages == few.messages)
        // The clients' pings are answered, and each is pinged twice for the round trip.
        #expect(many.messages == Double(Self.beats + 2))
        #expect(many.bytes < few.bytes * 1.05)
        #expect(many.allocations < few.allocations * 1.1)
    }

    @Test("is remembered once when all have applied the same")
    func memory() {
        let host = Self.host(clients: 200)
        let vectors = host.node.status(at: host.now).vector
        #expect(vectors.entries.count == 201)
        let shared = Self.peers(of: host).filter { $0.sharesMemory(with: vectors) }
        #expect(shared.count == 200)
    }

    @Test("for a batch is as many statements with 200 authors in its file as with two")
    func authors() throws {
        let (few, many) = (try Self.statements(authors: 2), try Self.statements(authors: 200))
        #expect(few > 10)
        #expect(many == few)
    }

    /// The statements with which a store of so many authors applies a batch of one row.
    private static func statements(authors: UInt64) throws -> Int {
        let (author, host) = (try TestStore(1), try TestStore(2))
        try converge([author, host])
        try author.sql("INSERT INTO patients(id, fullName) VALUES ('p1', 'Ana')")
        let first = try author.collect().logged.map(\.chunk)
        let header = try #require(first.first?.header)
        let others = (0..<authors).map { number in
            BatchChunk(
                batch: BatchID(origin: .o(10 + number), sequence: 1),
                index: 0,
                header: BatchHeader(timestamp: header.timestamp, dependencies: VersionVector(), schemaVersion: 0),
                isLast: true,
                checksum: BatchChunk.checksum(of: ChunkCheck.emptyPayload),
                payload: ChunkCheck.emptyPayload
            )
        }
        _ = try host.writer.store(first + others, clockOffsetMilliseconds: 0)
        #expect(try host.vector.entries.count >= Int(authors))
        try author.sql("UPDATE patients SET fullName = 'Ben' WHERE id = 'p1'")
        let second = try author.collect().logged.map(\.chunk)
        let work = try host.work { _ = try host.writer.store(second, clockOffsetMilliseconds: 0) }
        #expect(try host.value(String.self, "SELECT fullName FROM patients WHERE id = 'p1'") == "Ben")
        return try #require(work[.statements])
    }

    /// What a host did for each client.
    private struct Share {
        var messages: Double
        var bytes: Double
        var allocations: Double
    }

    /// What the host's progress of each client is, as the store gets it.
    private static func peers(of host: Bench) -> [VersionVector] {
        var host = host
        host.advance(.seconds(10))
        let effects = host.node.handle(.timerFired(.housekeeping), at: host.now)
        return effects.flatMap { effect -> [VersionVector] in
            if case .storage(.recordAcknowledged(let progress)) = effect { progress.map(\.vector) } else { [] }
        }
    }

    /// A host whose clients have all written, and have all that the others wrote.
    private static func host(clients: Int) -> Bench {
        var host = Bench(.host)
        let entries = (1..<UInt64(clients) + 2).map { VersionVector.Entry(origin: .o($0), sequence: $0) }
        host.start(vector: VersionVector(entries))
        for client in 2..<UInt64(clients) + 2 {
            // Each client's vector comes in a message of its own.
            host.connect(client, to: .client(client), vector: VersionVector(entries.reversed()))
        }
        host.give(.timerFired(.heartbeat))
        return host
    }

    private static func rest(clients: Int) -> Share {
        var host = self.host(clients: clients)
        var effects: [Effect] = []
        let (_, allocations) = Work.allocations {
            for beat in 0..<UInt64(self.beats) {
                host.advance(CoreConfiguration.host.heartbeatInterval)
                for client in 2..<UInt64(clients) + 2 {
                    effects += host.node.handle(.received(.c(client), .ping(Ping(id: beat))), at: host.now)
                }
                effects += host.node.handle(.timerFired(.heartbeat), at: host.now)
            }
        }
        var (messages, bytes) = (0, 0)
        for case .send(let receivers, let message) in effects {
            messages += receivers.count
            bytes += receivers.count * MessageCodec.encode(message, term: 1).count
        }
        let share = 1 / Double(clients)
        return Share(
            messages: Double(messages) * share,
            bytes: Double(bytes) * share,
            allocations: Double(allocations) * share
        )
    }
}

extension VersionVector {
    /// Whether both vectors are one in memory.
    func sharesMemory(with other: VersionVector) -> Bool {
        self.entries.withUnsafeBufferPointer { own in
            other.entries.withUnsafeBufferPointer { own.baseAddress == $0.baseAddress }
        }
    }
}
