import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("Authors are members: chunks of others wait, and are not passed on") struct AuthorTests {
    /// Node 1, the host, with the clients 2 and 3; all three are verified members, and 9 was one.
    private func machine(vector: VersionVector = VersionVector()) -> ReplicationStateMachine {
        var configuration = CoreConfiguration.host
        configuration.members = KnownMembers(present: [.n(1), .n(2), .n(3)], past: [.n(9)])
        var machine = ReplicationStateMachine(configuration)
        machine.start(
            StoreState(
                vector: vector,
                partials: [],
                logHead: 0,
                schemaVersion: 1,
                acknowledgedByHost: 0,
                term: 1
            )
        )
        for number: UInt64 in [2, 3] { _ = machine.linked(.c(number), .of(.client(number)), greeted: nil) }
        _ = machine.endIsolation(offsetMilliseconds: 0)
        _ = machine.restamped(peers: [.follower(2), .follower(3)], isStoreOpen: true)
        _ = machine.located(.c(2), at: 0)
        _ = machine.located(.c(3), at: 0)
        return machine
    }

    private func question(on id: ConnectionID, unproven: [NodeID]) -> Effect {
        .send([id], .acknowledge(Acknowledgement(applied: [], creditBytes: 0, unproven: unproven)))
    }

    @Test("a chunk of an unknown author waits and keeps its credit; as a member's it goes to the store, in its order")
    func waits() {
        var machine = self.machine()
        let chunks = [BatchChunk.of(7, 1), .of(8, 1), .of(7, 2)]
        for (chunk, unproven) in zip(chunks, [[NodeID.n(7)], [.n(8)], []]) {
            let effects = machine.received(chunk, on: .c(2), isStoreOpen: true)
            #expect(effects == (unproven.isEmpty ? [] : [self.question(on: .c(2), unproven: unproven)]))
        }
        let members = KnownMembers(present: [.n(1), .n(2), .n(3), .n(7)])
        let (effects, outdated) = machine.membersChanged(members, isStoreOpen: true)
        #expect(effects == [.storage(.store(from: .c(2), [chunks[0], chunks[2]]))])
        #expect(outdated == [])
    }

    @Test("a chunk that waited for the proof of its author gives its credit back once; what had no room, at once")
    func creditOnce() {
        var machine = self.machine()
        var (sent, returned) = (0, 0)
        func count(_ effects: [Effect]?) {
            for case .send(_, .acknowledge(let acknowledgement)) in effects ?? [] {
                returned += Int(acknowledgement.creditBytes)
            }
        }
        func send(_ author: UInt64, _ sequence: UInt64) {
            let chunk = BatchChunk.of(author, sequence, bytes: 1 << 20)
            sent += chunk.payload.count
            let effects = machine.received(chunk, on: .c(2), isStoreOpen: true)
            #expect(effects != nil, "batch \(sequence) of node \(author)")
            count(effects)
        }
        // Of the credit of 8 MiB, chunks that wait use half. The fifth and sixth have no room.
        for sequence in 1...UInt64(6) { send(7, sequence) }
        #expect(returned == 2 << 20)
        let (effects, outdated) = machine.membersChanged(KnownMembers(present: [.n(1), .n(7)]), isStoreOpen: true)
        #expect(effects.count == 1 && outdated == [.c(2)])
        // While the store works on them, the peer sends what its credit allows.
        while sent - returned < 8 << 20 { send(2, UInt64(sent >> 20)) }
        count(machine.stored(from: .c(2), bytes: 4 << 20, isStoreOpen: true))
        count(machine.stored(from: .c(2), bytes: 4 << 20, isStoreOpen: true))
        #expect(returned == sent)
    }

    @Test("chunks of members, of former members, of the sender itself and of a linked node go to the store at once")
    func known() {
        var machine = self.machine()
        _ = machine.linked(.c(5), .of(.client(5)), greeted: nil)
        for (chunk, id): (BatchChunk, ConnectionID) in [
            (.of(3, 1), .c(2)), (.of(9, 1), .c(3)), (.of(5, 1), .c(5)),
        ] {
            #expect(machine.received(chunk, on: id, isStoreOpen: true) == [.storage(.store(from: id, [chunk]))])
        }
        machine.lost(.c(5))
        let late = BatchChunk.of(5, 2)
        let effects = machine.received(late, on: .c(2), isStoreOpen: true)
        #expect(effects == [self.question(on: .c(2), unproven: [.n(5)])])
    }

    @Test("whoever sent chunks of an unknown author is asked for the proof, once, and again when it does not come")
    func asked() {
        var machine = self.machine()
        _ = machine.received(.of(7, 1), on: .c(2), isStoreOpen: true)
        #expect(machine.askForProofsAgain() == [self.question(on: .c(2), unproven: [.n(7)])])
        _ = machine.membersChanged(KnownMembers(present: [.n(1), .n(7)]), isStoreOpen: true)
        #expect(machine.askForProofsAgain() == [])
    }

    @Test("one message asks for sixteen proofs at most; the others follow, also those of authors without room")
    func manyAsked() {
        var parked = ParkedChunks()
        func take(again: Bool = false) -> [NodeID] { parked.takeUnproven(again: again) }
        for author in 100..<UInt64(130) {
            let hasRoom = parked.park(.of(author, 1))
            #expect(hasRoom)
        }
        for author in 200..<UInt64(205) {
            let hasRoom = parked.park(.of(author, 1, bytes: ParkedChunks.bytesMax))
            #expect(!hasRoom)
        }
        #expect(take() == (100..<116).map { .n($0) })
        #expect(take() == (116..<130).map { .n($0) } + [.n(200), .n(201)])
        #expect(take() == [.n(202), .n(203), .n(204)])
        #expect(take() == [])
        #expect(take(again: true) == (100..<116).map { .n($0) })
    }

    @Test("a node that knows no member takes chunks of everybody")
    func nobodyKnown() {
        var machine = ReplicationStateMachine(.host)
        _ = machine.linked(.c(2), .of(.client(2)), greeted: nil)
        _ = machine.endIsolation(offsetMilliseconds: 0)
        _ = machine.restamped(peers: [.follower(2)], isStoreOpen: true)
        let chunk = BatchChunk.of(7, 1)
        #expect(machine.received(chunk, on: .c(2), isStoreOpen: true) == [.storage(.store(from: .c(2), [chunk]))])
    }

    @Test("what waits is bounded; the peer whose member's chunks had no room must send them again")
    func bounded() {
        var machine = self.machine()
        for author in 100..<UInt64(100 + ParkedChunks.chunksMax) {
            _ = machine.received(.of(author, 1), on: .c(2), isStoreOpen: true)
        }
        let tooMany = BatchChunk.of(7, 1)
        let credit = UInt32(tooMany.payload.count)
        let answer = Acknowledgement(applied: [], creditBytes: credit, unproven: [.n(7)])
        // It costs no credit, so the transport counts it.
        #expect(
            machine.received(tooMany, on: .c(2), isStoreOpen: true) == [
                .meter(.c(2), bytes: tooMany.payload.count), .send([.c(2)], .acknowledge(answer)),
            ]
        )
        let empty = BatchChunk.of(7, 2, bytes: 0)
        #expect(machine.received(empty, on: .c(2), isStoreOpen: true) == [.meter(.c(2), bytes: 0)])
        let strangers = machine.membersChanged(KnownMembers(present: [.n(1), .n(8)]), isStoreOpen: true)
        #expect(strangers.effects == [] && strangers.outdated == [])
        let members = machine.membersChanged(KnownMembers(present: [.n(1), .n(7)]), isStoreOpen: true)
        #expect(members.effects == [] && members.outdated == [.c(2)])
        var parked = ParkedChunks()
        for sequence in 1...UInt64(5) {
            let hasRoom = parked.park(.of(7, sequence, bytes: 1 << 20))
            #expect(hasRoom == (sequence < 5))
        }
        let taken = parked.take { $0 == .n(7) }
        #expect(taken.chunks.map(\.batch.sequence) == [1, 2, 3, 4] && taken.isIncomplete)
    }

    @Test("vectors leave out unknown authors, and their batches are not sent; a clinic with 5 000 of them connects")
    func leftOut() {
        var vector = VersionVector.v(3, 2)
        for author in 100..<UInt64(5_100) { vector.advance(.o(author), to: 1) }
        var machine = self.machine(vector: vector)
        #expect(machine.vector == .v(3, 2))
        #expect(machine.ofKnownAuthors(vector) == .v(3, 2))
        let (ours, strange) = (BatchChunk.of(1, 4), BatchChunk.of(5_100, 1))
        vector.merge(.v(4))
        vector.advance(.o(5_100), to: 1)
        machine.committed([strange.at(1), ours.at(2)], vector: vector)
        #expect(machine.vector == .v(4, 2))
        #expect(machine.relay([strange.at(1), ours.at(2)]) == [.send([.c(2), .c(3)], .chunk(ours))])
        let rises = [VersionVector.Entry(origin: .o(1), sequence: 4)]
        #expect(
            machine.announce() == [
                .send([.c(2), .c(3)], .acknowledge(Acknowledgement(applied: rises, creditBytes: 0)))
            ]
        )
    }

    @Test("a batch that depends on more authors than a message can name is sent with the known ones")
    func dependencies() {
        var machine = self.machine()
        var seen = VersionVector.v(0, 2, 5)
        for author in 100..<UInt64(5_100) { seen.advance(.o(author), to: 1) }
        let header = BatchHeader(timestamp: .genesis, dependencies: seen, schemaVersion: 1)
        let chunk = BatchChunk(
            batch: BatchID(origin: .o(1), sequence: 1),
            index: 0,
            header: header,
            isLast: true,
            checksum: 0,
            payload: [1, 0]
        )
        machine.committed([chunk.at(1)], vector: .v(1))
        guard case .send(_, .chunk(let sent)) = machine.relay([chunk.at(1)]).first else {
            Issue.record("nothing was sent")
            return
        }
        #expect(sent.header?.dependencies == .v(0, 2, 5))
    }

    @Test("a peer that acknowledges batches of endlessly many authors costs no endless memory")
    func acknowledgements() {
        var set = ChunkSet(vector: .v(1), partials: [])
        for author in 10..<UInt64(6_000) { set.merge([.init(origin: .o(author), sequence: 1)]) }
        #expect(set.vector.entries.count == CoreLimits.vectorEntriesMax)
        set.merge([.init(origin: .o(1), sequence: 5), .init(origin: .o(7_000), sequence: 1)])
        #expect(set.vector[.o(1)] == 5 && set.vector[.o(7_000)] == 0)
    }

    @Test("content that gave way is sent to all but its sender, and its partial batch is forgotten")
    func replaced() {
        var machine = self.machine()
        let forged = BatchChunk.of(9, 1, of: 2)
        _ = machine.received(forged, on: .c(2), isStoreOpen: true)
        machine.committed([forged.at(1)], vector: VersionVector())
        #expect(machine.relay([forged.at(1)]) == [.send([.c(3)], .chunk(forged))])
        let honest = BatchChunk.of(9, 1, bytes: 50)
        _ = machine.received(honest, on: .c(3), isStoreOpen: true)
        machine.forgot([honest.batch], sender: .c(3))
        #expect(machine.partials == [])
        machine.committed([honest.at(2)], vector: VersionVector([.init(origin: .o(9), sequence: 1)]))
        #expect(machine.relay([honest.at(2)]) == [.send([.c(2)], .chunk(honest))])
    }

    @Test(
        "a peer gets batches under its own name only when they are applied; its own batches go out from their first chunk"
    )
    func ownNames() {
        var machine = self.machine()
        let planted = BatchChunk.of(3, 1, of: 2)
        machine.committed([planted.at(1)], vector: VersionVector())
        #expect(machine.relay([planted.at(1)]) == [.send([.c(2)], .chunk(planted))])
        #expect(machine.takeWithheld() == [])
        // A restored file lacks a batch of a former time: the peer's next hello brings it.
        machine.committed([], vector: .v(0, 0, 1))
        #expect(machine.takeWithheld() == [.c(3)])
        #expect(machine.takeWithheld() == [])
        // What the peer itself sent is not withheld.
        let large = BatchChunk.of(2, 1)
        _ = machine.received(large, on: .c(2), isStoreOpen: true)
        machine.committed([large.at(2)], vector: .v(0, 0, 1))
        #expect(machine.relay([large.at(2)]) == [.send([.c(3)], .chunk(large))])
        machine.committed([], vector: .v(0, 1, 1))
        #expect(machine.takeWithheld() == [])
        // The peer says that it has the first chunk of an own batch of this node.
        let own = [BatchChunk.of(1, 1, of: 2), .of(1, 1, index: 1, of: 2)]
        let partial = PartialBatch(batch: own[0].batch, nextChunk: 1)
        machine.committed([own[0].at(3), own[1].at(4)], vector: .v(1, 1, 1))
        _ = machine.linked(.c(4), .of(.client(4), vector: .v(0, 1, 1), partials: [partial]), greeted: nil)
        _ = machine.located(.c(4), at: 2)
        let sent = machine.logRead(for: .c(4), [own[0].at(3), own[1].at(4)], head: 4)
        #expect(sent == own.map { .send([.c(4)], .chunk($0)) })
    }

    @Test("a peer whose part of a batch ends with other content than this node's is looked up in the log again")
    func otherContent() {
        var machine = self.machine()
        let log = (0..<3 as Range<UInt32>).map { index in
            BatchChunk.of(3, 1, index: index, of: 3, checksum: UInt64(11 + index)).at(UInt64(index) + 1)
        }
        machine.committed(log, vector: .v(0, 0, 1))
        let content = PartialBatch.Content(first: 11, newest: 98)
        let partial = PartialBatch(batch: log[0].chunk.batch, nextChunk: 2, content: content)
        _ = machine.linked(.c(4), .of(.client(4), partials: [partial]), greeted: nil)
        let read = StorageRequest.readLog(for: .c(4), after: 0, maxBytes: 1 << 20)
        #expect(machine.located(.c(4), at: 0).count == 1)
        let locate = StorageRequest.locate(for: .c(4), vector: VersionVector(), takesState: true)
        #expect(machine.logRead(for: .c(4), log, head: 3) == [.storage(locate)])
        guard case .storage(.readLog(for: .c(4), after: 0, _))? = machine.located(.c(4), at: 0).first else {
            Issue.record("expected \(read)")
            return
        }
        let sent = machine.logRead(for: .c(4), log, head: 3)
        #expect(sent == log.map { .send([.c(4)], .chunk($0.chunk)) })
    }

    @Test("the store looks for leftovers only when a former member has batches that are not applied")
    func leftovers() {
        var machine = self.machine()
        #expect(machine.discard(waiting: []) == nil)
        machine.committed([BatchChunk.of(2, 1, of: 2).at(1)], vector: VersionVector())
        #expect(machine.discard(waiting: []) == nil && machine.waitCandidates == [])
        machine.committed([BatchChunk.of(9, 1, of: 2).at(2)], vector: VersionVector())
        guard case .discard(let members, waiting: []) = machine.discard(waiting: []) else {
            Issue.record("the leftovers of node 9 stay")
            return
        }
        #expect(members.past == [.n(9)])
        #expect(machine.waitCandidates.map(\.holders) == [[]])
        machine.forgot([BatchID(origin: .o(9), sequence: 1)], sender: nil)
        #expect(machine.discard(waiting: []) == nil)
    }

    @Test("a batch waits as long as no chunk of it comes on one link with a peer that has applied it")
    func waitingTimes() {
        var waits = BatchWaits()
        func waited(_ nextChunk: UInt32, _ holders: [ConnectionID], at second: Int) -> [WaitingBatch] {
            let partial = PartialBatch(batch: BatchID(origin: .o(9), sequence: 1), nextChunk: nextChunk)
            return waits.update([BatchWaits.Candidate(partial: partial, holders: holders)], at: .seconds(second))
        }
        #expect(waited(1, [.c(3)], at: 1_000).map(\.waited) == [.zero])
        #expect(waited(1, [.c(3), .c(2)], at: 1_010).map(\.waited) == [.seconds(10)])
        // The first link ends. The second one was not there all the time.
        #expect(waited(1, [.c(2)], at: 1_020).map(\.waited) == [.zero])
        #expect(waited(1, [.c(2)], at: 1_030).map(\.waited) == [.seconds(10)])
        #expect(waited(2, [.c(2)], at: 1_040).map(\.waited) == [.zero])
        // A former member's batch waits also while nobody has it.
        #expect(waited(2, [], at: 1_050).map(\.waited) == [.seconds(10)])
        #expect(waited(2, [], at: 1_050).map(\.isHeldByPeer) == [false])
        #expect(waits.update([], at: .seconds(1_060)) == [])
        #expect(waited(2, [], at: 1_070).map(\.waited) == [.zero])
    }

    @Test("a batch that a linked peer has applied and that is not whole here is fetched again from that peer")
    func fetchedAgain() {
        var machine = self.machine()
        let part = BatchChunk.of(9, 1, of: 2)
        machine.committed([part.at(1)], vector: VersionVector())
        let entry = VersionVector.Entry(origin: .o(9), sequence: 1)
        machine.acknowledged(Acknowledgement(applied: [entry], creditBytes: 0), on: .c(3), isHost: false)
        #expect(machine.waitCandidates.map(\.holders) == [[.c(3)]])
        #expect(machine.connections(for: [part.batch]) == [.c(3)])
    }
}
