import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("Batches that no node can read")
struct PoisonTests {
    private static let x = Origin(node: TestStore.node(66))

    /// A chunk of `origin`, with the right checksum.
    private func chunk(
        of origin: Origin = x,
        _ sequence: UInt64 = 1,
        index: UInt32 = 0,
        isLast: Bool = true,
        dependencies: VersionVector = VersionVector(),
        timestamp: HybridTimestamp = HybridTimestamp(milliseconds: 1_800_000_000_000),
        payload: [UInt8]
    ) -> BatchChunk {
        let header = BatchHeader(timestamp: timestamp, dependencies: dependencies, schemaVersion: 13)
        return BatchChunk(
            batch: BatchID(origin: origin, sequence: sequence),
            index: index,
            header: index == 0 ? header : nil,
            isLast: isLast,
            checksum: BatchChunk.checksum(of: payload),
            payload: payload
        )
    }

    /// The payload of an insertion of a patient, with the batch's timestamp or, if `isEarlier`, with the one before it.
    private func patient(_ id: String, isEarlier: Bool = false) -> [UInt8] {
        let key = Array(id.utf8)
        return [1, 1, 8] + Array("patients".utf8) + [1, 8] + Array("fullName".utf8)
            + [0, 1, 3, UInt8(key.count)] + key + [isEarlier ? 1 : 0, 1, 3, 3] + Array("Ana".utf8)
    }

    private func take(
        _ chunks: [BatchChunk],
        _ store: TestStore,
        from sender: ChunkSender? = nil
    ) throws -> StoreOutcome {
        var outcome = try store.writer.store(chunks, from: sender, clockOffsetMilliseconds: 0)
        let forgotten = outcome.forgotten
        if outcome.isApplyPending { outcome = try store.writer.applyStored(clockOffsetMilliseconds: 0) }
        outcome.forgotten = forgotten
        return outcome
    }

    /// What a node must refuse.
    private static let garbage: [[UInt8]] = [
        // Nothing; another format; a table without a name; too many tables; a name that is cut off.
        [], [2, 0], [1, 1], [1, 0x81, 0x02], [1, 1, 8, 112],
        // 300 KB after a table of no columns; three bytes.
        [1, 0] + Array(repeating: 0xff, count: 300_000), [1, 0xff, 0xff],
        // A change of a table that is not there; an unknown kind; a key that is a number; a column that is not there.
        [1, 0, 0, 1, 3, 1, 97, 0, 0], [1, 1, 1, 116, 0, 0, 9, 3, 1, 97, 0], [1, 1, 1, 116, 0, 0, 3, 1, 2, 0],
        [1, 1, 1, 116, 0, 0, 2, 3, 1, 97, 0, 1, 0],
        // A stamp before 1970; a value that is cut off; a note that no change follows.
        [1, 1, 1, 116, 0, 0, 3, 3, 1, 97] + [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        [1, 1, 1, 116, 1, 1, 99, 0, 2, 3, 1, 97, 0, 1, 3, 5, 97], [1, 1, 1, 116, 1, 1, 99, 0, 4, 1, 0, 0, 0, 0],
    ]

    @Test("a chunk that cannot be read in full is refused, and nothing of it or of those before it is kept")
    func refused() throws {
        let store = try TestStore(1)
        let honest = self.chunk(1, payload: self.patient("p"))
        // No arguments: a failure would name 300 000 bytes.
        for payload in Self.garbage {
            #expect(throws: MalformedChunk.self) {
                try self.take([honest, self.chunk(2, isLast: false, payload: payload)], store)
            }
            #expect(throws: MalformedChunk.self) {
                let first = self.chunk(isLast: false, payload: self.patient("p"))
                return try self.take([first, self.chunk(index: 1, payload: payload)], store)
            }
            let logged = try store.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk.batch.origin)
            #expect(!logged.contains(Self.x))
            #expect(try store.writer.state().partials == [])
        }
        _ = try self.take([honest], store)
        #expect(try store.value(Int.self, "SELECT count(*) FROM patients") == 1)
    }

    @Test("a chunk with an impossible place, name, header or checksum is refused")
    func impossible() throws {
        let store = try TestStore(1)
        let payload = self.patient("p")
        let last = UInt32.max
        var chunks = [
            self.chunk(index: last, isLast: false, payload: payload), self.chunk(index: 1 << 24, payload: payload),
            self.chunk(index: 1 << 24 - 1, isLast: false, payload: payload), self.chunk(0, payload: payload),
            self.chunk(1 << 53, payload: payload), self.chunk(of: .genesis, payload: payload),
        ]
        let good = self.chunk(payload: payload)
        chunks.append(
            BatchChunk(
                batch: good.batch,
                index: 0,
                header: nil,
                isLast: true,
                checksum: good.checksum,
                payload: payload
            )
        )
        chunks.append(
            BatchChunk(batch: good.batch, index: 0, header: good.header, isLast: true, checksum: 1, payload: payload)
        )
        for chunk in chunks {
            #expect(throws: MalformedChunk.self) { try self.take([chunk], store) }
        }
    }

    @Test("chunks out of their order are not kept, and do not keep the batch from arriving")
    func gaps() throws {
        let store = try TestStore(1)
        let (first, last) = (
            self.chunk(isLast: false, payload: self.patient("p")), self.chunk(index: 1, payload: self.patient("q"))
        )
        let stray = self.chunk(index: 7, isLast: false, payload: self.patient("r"))
        #expect(try self.take([last, stray], store).logged == [])
        #expect(try self.take([first, stray, last, stray], store).logged.map(\.chunk) == [first, last])
        // Nothing comes after the last chunk of a batch that waits.
        let waiting = self.chunk(2, dependencies: VersionVector([.init(origin: Self.x, sequence: 9)]), payload: [1, 0])
        #expect(
            try self.take([waiting, self.chunk(2, index: 1, payload: [1, 0])], store).logged.map(\.chunk) == [waiting]
        )
        #expect(
            try store.value(String.self, "SELECT group_concat(id) FROM (SELECT id FROM patients ORDER BY id)") == "p,q"
        )
    }

    @Test("a payload that names a table's key among its columns is read like any other")
    func keyAmongColumns() throws {
        let store = try TestStore(1)
        let payload: [UInt8] =
            [1, 1, 8] + Array("patients".utf8) + [2, 2] + Array("id".utf8) + [8] + Array("fullName".utf8)
            + [0, 1, 3, 1, 112, 0, 3, 3, 1, 113, 3, 3] + Array("Ana".utf8)
        _ = try self.take([self.chunk(payload: payload)], store)
        #expect(try store.value(String.self, "SELECT id || fullName FROM patients") == "pAna")
        try store.verify()
    }

    // MARK: - Files of older versions

    private static func hex(_ node: NodeID) -> String {
        node.bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// The stored form of a header (`docs/PROTOCOL.md`: fixed64, LEB128).
    private func header(dependencies: [(Origin, UInt8)]) -> [UInt8] {
        func fixed(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.littleEndian, Array.init) }
        let stamp = HybridTimestamp(milliseconds: 1_800_000_000_000).rawValue
        return fixed(stamp) + [13]
            + dependencies.flatMap { fixed($0.0.node.high) + fixed($0.0.node.low) + [UInt8($0.0.incarnation), $0.1] }
    }

    /// Writes a chunk of x into the log, as an older version of the program did.
    private func plant(
        _ sequence: Int,
        chunk: Int64 = 0,
        isLast: Bool = true,
        payload: [UInt8],
        dependencies: [(Origin, UInt8)] = [],
        into store: TestStore
    ) throws {
        let node = "x'\(Self.hex(Self.x.node))'"
        try store.sql(
            """
            INSERT OR IGNORE INTO clinicsync_origin (id, node, incarnation)
            SELECT max(id) + 1, \(node), 0 FROM clinicsync_origin
            """
        )
        try store.sql(
            """
            INSERT INTO clinicsync_log (origin, sequence, chunk, isLast, header, checksum, storedAt, payload)
            SELECT id, ?, ?, ?, ?, ?, 0, ? FROM clinicsync_origin WHERE node = \(node)
            """,
            [
                sequence, chunk, isLast, chunk == 0 ? Data(self.header(dependencies: dependencies)) : nil,
                Int64(bitPattern: BatchChunk.checksum(of: payload)), Data(payload),
            ]
        )
    }

    @Test("what an older version logged is set aside: journal, equal tables, later batches, and a node that joins")
    func heals() throws {
        let stores = [try TestStore(1), try TestStore(2)]
        try converge(stores)
        let next = try UInt8(stores[0].vector[stores[1].origin]) + 1
        var opened: [TestStore] = []
        for store in stores {
            // 300 KB of garbage; a batch that waits for the next one of store 2 and cannot be read; an honest batch.
            try self.plant(1, payload: [1, 0] + Array(repeating: 0xff, count: 300_000), into: store)
            try self.plant(2, payload: [1, 0xff, 0xff], dependencies: [(stores[1].origin, next)], into: store)
            try self.plant(3, payload: self.patient("px"), into: store)
            // A chunk in an impossible place, and a part of a batch.
            try self.plant(4, chunk: 1 << 32 - 1, isLast: false, payload: [1, 0], into: store)
            try self.plant(5, isLast: false, payload: self.patient("never"), into: store)
            opened.append(try TestStore(reopening: store, schema: .clinic))
        }
        try opened[1].sql("INSERT INTO patients(id) VALUES ('p2')")
        for number in 0..<300 {
            try opened[0].sql(
                "INSERT INTO patients(id, address) VALUES (?, ?)",
                ["b\(number)", String(repeating: "y", count: 999)]
            )
        }
        try converge(opened)
        #expect(try opened[0].vector[Self.x] == 3)
        #expect(try opened[0].value(Int.self, "SELECT count(*) FROM patients WHERE id IN ('px', 'p2')") == 2)
        try expectEqual(opened)
        let entries = try opened[0].reader.journal(openOnly: true)
        #expect(entries.map(\.kind) == [.batch, .batch])
        #expect(entries.allSatisfy { $0.other.node == Self.x.node })
        #expect(Set(entries.map(\.row.key.displayText)) == ["\(Self.x):1", "\(Self.x):2"])
        #expect(entries.contains { $0.other.value == .blob([1, 0xff, 0xff]) })
        #expect(try opened[0].reader.summary().openConflicts == 2)
        let joiner = try TestStore(3)
        try opened[0].send(to: joiner)
        #expect(try joiner.vector[Self.x] == 3)
        #expect(try joiner.value(Int.self, "SELECT count(*) FROM patients") == 302)
        // The author's own copy of a batch that is set aside is no fork, and x goes on.
        _ = try self.take(
            [self.chunk(2, payload: [1, 0]), self.chunk(4, payload: self.patient("later"))],
            opened[0],
            from: ChunkSender(node: Self.x.node, isHost: false)
        )
        #expect(try opened[0].value(Int.self, "SELECT count(*) FROM patients WHERE id = 'later'") == 1)
        #expect(try opened[0].writer.resolveJournal(entries[0].id, keeping: .current) == .resolved(hasChanged: false))
        guard case .impossible = try opened[0].writer.resolveJournal(entries[1].id, keeping: .other) else {
            Issue.record("a batch cannot be kept")
            return
        }
    }

    @Test("a batch whose bytes in the log were changed while the node runs is set aside, too")
    func changedInTheLog() throws {
        let store = try TestStore(1)
        let waiting = self.chunk(
            dependencies: VersionVector([.init(origin: .init(node: TestStore.node(2)), sequence: 1)]),
            payload: self.patient("p")
        )
        _ = try self.take([waiting], store)
        let garbage: [UInt8] = [1, 7]
        try store.sql(
            "UPDATE clinicsync_log SET payload = ?, checksum = ? WHERE payload = ?",
            [Data(garbage), Int64(bitPattern: BatchChunk.checksum(of: garbage)), Data(waiting.payload)]
        )
        _ = try self.take([self.chunk(of: Origin(node: TestStore.node(2)), payload: self.patient("q"))], store)
        #expect(try store.vector[Self.x] == 1)
        #expect(try store.value(String.self, "SELECT group_concat(id) FROM patients") == "q")
        #expect(try store.reader.journal(openOnly: true).map(\.kind) == [.batch])
    }

    // MARK: - Two contents under one name

    @Test("what took the place of other content is served together with the author's next batches")
    func servedAgain() throws {
        let victim = Origin(node: TestStore.node(2))
        let never = VersionVector([.init(origin: Self.x, sequence: 99)])
        let store = try TestStore(1)
        let forged = self.chunk(of: victim, dependencies: never, payload: self.patient("forged"))
        let next = self.chunk(of: victim, 2, payload: self.patient("next"))
        _ = try self.take([forged, next], store, from: ChunkSender(node: Self.x.node, isHost: false))
        let honest = self.chunk(of: victim, payload: self.patient("true"))
        _ = try self.take([honest], store, from: ChunkSender(node: victim.node, isHost: false))
        // The first batch stands behind the second one in the log now.
        let start = try #require(try store.reader.locate(VersionVector()))
        let served = try store.reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk.batch)
        #expect(Set(served).isSuperset(of: [honest.batch, next.batch]))
    }

    @Test("the author's own connection, and to a client its host, replace what is not applied; others do not")
    func replaced() throws {
        let victim = Origin(node: TestStore.node(2))
        let never = VersionVector([.init(origin: Self.x, sequence: 99)])
        let planted = self.chunk(of: victim, dependencies: never, payload: self.patient("forged"))
        let part = self.chunk(of: victim, 2, isLast: false, payload: self.patient("part"))
        let honest = [
            self.chunk(of: victim, payload: self.patient("true")),
            self.chunk(of: victim, 2, isLast: false, payload: self.patient("bulk")),
            self.chunk(of: victim, 2, index: 1, payload: self.patient("end")),
        ]
        for (sender, isTaken) in [
            (ChunkSender(node: victim.node, isHost: false), true),
            (ChunkSender(node: TestStore.node(7), isHost: true), true),
            (ChunkSender(node: TestStore.node(7), isHost: false), false),
        ] {
            let store = try TestStore(1)
            _ = try self.take([planted, part], store, from: ChunkSender(node: Self.x.node, isHost: false))
            let outcome = try self.take(honest, store, from: sender)
            #expect(outcome.forgotten == (isTaken ? honest.prefix(2).map(\.batch) : []))
            let ids = try store.value(String.self, "SELECT group_concat(id) FROM (SELECT id FROM patients ORDER BY id)")
            #expect(ids == (isTaken ? "bulk,end,true" : nil))
            // What is applied stands, whatever others pass on. An author that contradicts itself has forked.
            guard isTaken else { continue }
            #expect(try self.take([planted], store, from: ChunkSender(node: Self.x.node, isHost: true)).logged == [])
            #expect(throws: ForkedBatch.self) {
                try self.take([planted], store, from: ChunkSender(node: victim.node, isHost: false))
            }
        }
    }

    @Test("an author whose batch began with somebody else's content has to begin it again")
    func outOfStep() throws {
        let victim = Origin(node: TestStore.node(2))
        let store = try TestStore(1)
        let forged = (0..<2).map {
            self.chunk(of: victim, index: $0, isLast: false, payload: self.patient("forged\($0)"))
        }
        _ = try self.take(forged, store)
        let sender = ChunkSender(node: victim.node, isHost: false)
        let outcome = try self.take(
            [self.chunk(of: victim, index: 1, payload: self.patient("end"))],
            store,
            from: sender
        )
        #expect(outcome.forgotten == [forged[0].batch])
        #expect(outcome.logged == [])
        #expect(try store.writer.state().partials == [])
    }

    @Test("a forged first chunk whose timestamp makes the rest impossible is no fault of who sends the rest")
    func forgedBase() throws {
        let victim = Origin(node: TestStore.node(2))
        let store = try TestStore(1)
        let forged = self.chunk(of: victim, isLast: false, timestamp: .genesis, payload: self.patient("forged"))
        let honest = [
            self.chunk(of: victim, isLast: false, payload: self.patient("first")),
            self.chunk(of: victim, index: 1, payload: self.patient("rest", isEarlier: true)),
        ]
        _ = try self.take([forged], store, from: ChunkSender(node: Self.x.node, isHost: false))
        // What cannot be read at all is the sender's fault, as before.
        #expect(throws: MalformedChunk.self) {
            try self.take([self.chunk(of: victim, index: 1, payload: [1, 7])], store)
        }
        let other = try self.take([honest[1]], store, from: ChunkSender(node: TestStore.node(7), isHost: false))
        #expect(other.logged == [] && other.forgotten == [])
        let host = ChunkSender(node: TestStore.node(7), isHost: true)
        let outcome = try self.take([honest[1]], store, from: host)
        #expect(outcome.logged == [] && outcome.forgotten == [forged.batch])
        #expect(try store.writer.state().partials == [])
        _ = try self.take(honest, store, from: host)
        #expect(
            try store.value(String.self, "SELECT group_concat(id) FROM (SELECT id FROM patients ORDER BY id)")
                == "first,rest"
        )
    }

    @Test("what a peer sends behind other content of its own is not appended to what the log has")
    func mixture() throws {
        let victim = Origin(node: TestStore.node(2))
        let store = try TestStore(1)
        let forged = self.chunk(of: victim, isLast: false, payload: self.patient("forged"))
        let honest = [
            self.chunk(of: victim, isLast: false, payload: self.patient("first")),
            self.chunk(of: victim, index: 1, payload: self.patient("rest")),
        ]
        let relay = ChunkSender(node: TestStore.node(7), isHost: false)
        _ = try self.take([forged], store, from: ChunkSender(node: Self.x.node, isHost: false))
        // The hello says which content the log has.
        let partial = PartialBatch(batch: forged.batch, nextChunk: 0).adding(forged)
        #expect(try store.writer.state().partials == [partial])
        #expect(partial.content.first == forged.checksum && partial.contradicts(honest[0]))
        #expect(try self.take(honest, store, from: relay).logged == [])
        #expect(try self.take([honest[1]], store, from: relay).logged == [])
        // The author's word replaces the forged chunk. Then the relay has the same content as the log.
        let author = ChunkSender(node: victim.node, isHost: false)
        #expect(try self.take([honest[0]], store, from: author).forgotten == [forged.batch])
        #expect(try self.take([honest[1]], store, from: relay).logged.map(\.chunk) == [honest[1]])
        #expect(
            try store.value(String.self, "SELECT group_concat(id) FROM (SELECT id FROM patients ORDER BY id)")
                == "first,rest"
        )
    }

    @Test("a true chunk with a forged header gives way to the author's, or the host's, as long as it is not applied")
    func forgedHeader() throws {
        let victim = Origin(node: TestStore.node(2))
        let never = VersionVector([.init(origin: Self.x, sequence: 99)])
        let payload = self.patient("true")
        let forged = self.chunk(of: victim, dependencies: never, payload: payload)
        let honest = self.chunk(of: victim, payload: payload)
        for (sender, isTaken) in [
            (ChunkSender(node: victim.node, isHost: false), true),
            (ChunkSender(node: TestStore.node(7), isHost: true), true),
            (ChunkSender(node: TestStore.node(7), isHost: false), false),
        ] {
            let store = try TestStore(1)
            _ = try self.take([forged], store, from: ChunkSender(node: Self.x.node, isHost: false))
            let outcome = try self.take([honest], store, from: sender)
            #expect(outcome.forgotten == (isTaken ? [honest.batch] : []))
            #expect(try store.value(Int.self, "SELECT count(*) FROM patients") == (isTaken ? 1 : 0))
            guard isTaken else { continue }
            // What is applied stands, and the header alone makes no fork.
            #expect(try self.take([forged], store, from: ChunkSender(node: victim.node, isHost: false)).logged == [])
        }
    }

    // MARK: - Authors

    @Test("a node can have 256 incarnations, and all nodes together 3 072; what more there is is not kept")
    func incarnations() throws {
        let store = try TestStore(1)
        let before = try store.value(Int.self, "SELECT count(*) FROM clinicsync_origin") ?? 0
        func count(_ origins: [Origin]) throws -> Int {
            for origin in origins { _ = try self.take([self.chunk(of: origin, payload: [1, 0])], store) }
            return try (store.value(Int.self, "SELECT count(*) FROM clinicsync_origin") ?? 0) - before
        }
        #expect(try count((1...300).map { Origin(node: Self.x.node, incarnation: $0) }) == 256)
        #expect(try count([Origin(node: TestStore.node(67))]) == 257)
        #expect(try store.vector.entries.count == 257)
    }

    @Test(
        "a batch behind a gap that its author denies is removed, so that the author's own one is applied in its place"
    )
    func denied() throws {
        let store = try TestStore(1)
        let forged = self.chunk(3, payload: self.patient("f"))
        _ = try self.take([forged], store)
        let members = KnownMembers(present: [store.origin.node, Self.x.node], past: [])
        let waiting = [WaitingBatch(forged.batch, isDenied: true)]
        #expect(
            try store.writer.discard(members, waiting: waiting, clockOffsetMilliseconds: 0).forgotten == [forged.batch]
        )
        _ = try self.take((1...3).map { self.chunk($0, payload: self.patient("q\($0)")) }, store)
        let ids = try store.queue.read { try String.fetchAll($0, sql: "SELECT id FROM patients ORDER BY id") }
        #expect(ids == ["q1", "q2", "q3"])
    }

    // MARK: - Former members

    @Test("what a former member left and nobody can apply is removed; what may still be applied stays")
    func discards() throws {
        let store = try TestStore(1)
        let (y, stranger) = (Origin(node: TestStore.node(4)), Origin(node: TestStore.node(5)))
        let members = KnownMembers(present: [store.origin.node, y.node], past: [Self.x.node])
        // A batch that waits for a member stays, with the part after it.
        let waiting = self.chunk(
            dependencies: VersionVector([.init(origin: y, sequence: 1)]),
            payload: self.patient("p")
        )
        let part = self.chunk(2, isLast: false, payload: self.patient("q"))
        func discard(after seconds: Int) throws -> [BatchID] {
            let waiting = (1...3 as ClosedRange<UInt64>).map {
                let batch = BatchID(origin: Self.x, sequence: $0)
                return WaitingBatch(batch, isHeldByPeer: false, waited: .seconds(seconds))
            }
            return try store.writer.discard(members, waiting: waiting, clockOffsetMilliseconds: 0).forgotten
        }
        _ = try self.take([waiting, part], store)
        #expect(try discard(after: 20) == [])
        // The part is removed when nothing of it came for 10 s, whatever the PC's clock says.
        _ = try self.take([self.chunk(of: y, payload: self.patient("r"))], store)
        #expect(try store.vector[Self.x] == 1)
        #expect(try discard(after: 10) == [part.batch])
        _ = try self.take([part], store)
        store.now += 86_400_000
        #expect(try discard(after: 9) == [])
        // So is a batch that waits for somebody who never was a member, and what follows it; a present member's is not.
        _ = try discard(after: 10)
        let never = VersionVector([.init(origin: stranger, sequence: 1)])
        let lost = [2, 3].map { self.chunk($0, dependencies: never, payload: self.patient("s\($0)")) }
        let ofMember = self.chunk(of: y, 2, isLast: false, payload: self.patient("t"))
        _ = try self.take(lost + [ofMember], store)
        #expect(try discard(after: 0) == lost.map(\.batch))
        #expect(try store.writer.state().partials.map(\.batch) == [ofMember.batch])
    }

    @Test("a batch that linked peers have applied and that does not become whole here is removed, to be fetched again")
    func fetchesAgain() throws {
        let store = try TestStore(1)
        let x = ChunkSender(node: Self.x.node, isHost: true)
        // The author said to this node that its batch has a second chunk, and to others that it has none.
        _ = try self.take([self.chunk(isLast: false, payload: self.patient("p"))], store, from: x)
        let batch = BatchID(origin: Self.x, sequence: 1)
        func discard(_ batch: BatchID, after seconds: Int) throws -> [BatchID] {
            let waiting = WaitingBatch(batch, isHeldByPeer: true, waited: .seconds(seconds))
            return try store.writer.discard(KnownMembers(), waiting: [waiting], clockOffsetMilliseconds: 0).forgotten
        }
        // The PC was off for a night, in the middle of a large batch.
        store.now += 36_000_000
        #expect(try discard(batch, after: 9) == [])
        #expect(try discard(batch, after: 10) == [batch])
        _ = try self.take([self.chunk(payload: self.patient("p"))], store)
        #expect(try store.vector[Self.x] == 1)
        // To this node the author's second batch waits for something that is nowhere.
        let second = BatchID(origin: Self.x, sequence: 2)
        let never = VersionVector([.init(origin: Origin(node: TestStore.node(5)), sequence: 1)])
        _ = try self.take([self.chunk(2, dependencies: never, payload: self.patient("q"))], store, from: x)
        #expect(try discard(second, after: 59) == [])
        #expect(try discard(second, after: 60) == [second])
        // The second one is missing altogether: the log of the peer that sent the third one is damaged.
        let third = BatchID(origin: Self.x, sequence: 3)
        _ = try self.take([self.chunk(3, payload: self.patient("r"))], store, from: x)
        #expect(try discard(third, after: 59) == [])
        #expect(try discard(third, after: 60) == [third])
    }

    @Test("an own batch that a crash left open is closed before a peer's batch is applied")
    func openOwnBatch() throws {
        let store = try TestStore(1)
        try store.sql("INSERT INTO patients(id) VALUES ('own')")
        try store.collect()
        // As after a crash between the first and the last slice of a bulk: the end of the batch is not in the log.
        try store.sql(
            """
            UPDATE clinicsync_log SET isLast = 0 WHERE origin = (SELECT id FROM clinicsync_origin WHERE node = x'\(Self.hex(store.origin.node))')
            """
        )
        try store.sql("UPDATE clinicsync_origin SET sequence = 0 WHERE node = x'\(Self.hex(store.origin.node))'")
        let reopened = try TestStore(reopening: store, schema: .clinic)
        let outcome = try self.take([self.chunk(payload: self.patient("p"))], reopened)
        #expect(outcome.logged.contains { $0.chunk.batch.origin == store.origin && $0.chunk.isLast })
        #expect(try reopened.vector[store.origin] == 1)
        #expect(try reopened.vector[Self.x] == 1)
    }
}
