import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("Damage in the node's own bookkeeping, as its machine sees it") struct DamageMachineTests {
    private let batch = BatchID(origin: .o(5), sequence: 3)
    private var lost: LostChunk { LostChunk(batch: self.batch, index: 7) }
    private let row = OwnDamage(.row, "reason", at: .row(table: 1, key: .string("p")))

    private var log: OwnDamage { OwnDamage(.log, "reason", at: .batch(self.batch, chunk: 7)) }

    private func read(_ id: UInt64) -> StorageRequest { .readLog(for: .c(id), after: 0, maxBytes: 9) }

    private func peer(_ id: UInt64, has sequence: UInt64) -> LinkedPeer {
        var acknowledged = VersionVector()
        acknowledged.advance(self.batch.origin, to: sequence)
        let candidacy = Candidacy(priority: 1, coverage: 0, uptimeBucket: 0, node: .n(id))
        return LinkedPeer(
            connection: .c(id),
            identity: PeerIdentity(.n(id), .of(.node(id))),
            candidacy: candidacy,
            isFollower: true,
            acknowledged: acknowledged
        )
    }

    private func question(to id: UInt64) -> [Directive] {
        let wanted = Message.acknowledge(Acknowledgement(applied: [], creditBytes: 0, wanted: [self.lost]))
        return [
            .effect(.send([.c(id)], wanted)),
            .effect(.setTimer(.refetch, after: DamageStateMachine.refetchLimit)),
        ]
    }

    private func report(_ damage: OwnDamage, _ outcome: DamageRepair.Outcome, wanted: [LostChunk] = []) -> Directive {
        .effect(.notify(.ownDamage(DamageRepair(damage, outcome: outcome, wanted: wanted))))
    }

    @Test("a request that reads is given again after the repair; the same damage again means that the repair is no use")
    func readAgain() {
        var machine = DamageStateMachine()
        let request = StorageRequest.rowStates(for: .c(1), round: 1, table: "t", keys: [])
        #expect(machine.found(self.row, by: request) == [.effect(.storage(.mend(self.row)))])
        let repair = DamageRepair(self.row, outcome: .refetching)
        let (directives, failed) = machine.mended(repair, peers: [], .host())
        #expect(directives == [self.report(self.row, .refetching), .effect(.storage(request))])
        #expect(failed == nil)
        #expect(machine.found(self.row, by: request) == nil)
    }

    @Test("a request that writes is not given again")
    func write() {
        var machine = DamageStateMachine()
        #expect(machine.found(self.row, by: .applyStored) == nil)
    }

    @Test("a repair that is not possible fails the request, and another node should be host")
    func unrepairable() {
        var machine = DamageStateMachine()
        _ = machine.found(self.row, by: self.read(1))
        let (directives, failed) = machine.mended(DamageRepair(self.row, outcome: .failed), peers: [], .host())
        #expect(directives == [self.report(self.row, .failed), .unfit])
        #expect(failed == self.read(1))
    }

    @Test("a repair that fails gives back the request that waited for it, so that later repairs find theirs")
    func failedRepair() {
        var machine = DamageStateMachine()
        _ = machine.found(self.row, by: self.read(1))
        _ = machine.found(self.row, by: self.read(2))
        #expect(machine.mendFailed() == self.read(1))
        let (directives, _) = machine.mended(DamageRepair(self.row, outcome: .rebuilt), peers: [], .host())
        #expect(directives.last == .effect(.storage(self.read(2))))
        #expect(machine.mendFailed() == nil)
    }

    @Test("one report for a state: further damage of the kind is counted, and reported again after a while")
    func reports() {
        var machine = DamageStateMachine()
        let repair = DamageRepair(self.row, count: 2, outcome: .rebuilt)
        #expect(machine.noticed([repair], peers: [], .host(at: 100)).count == 1)
        #expect(machine.noticed([repair], peers: [], .host(at: 699)) == [])
        #expect(machine.noticed([repair], peers: [], .host(at: 700)).count == 1)
        #expect(machine.record.map(\.repair.count) == [6])
        #expect(machine.noticed([DamageRepair(self.row, outcome: .failed)], peers: [], .host(at: 701)).count == 2)
    }

    @Test(
        "a damaged batch is asked of a peer that has it, not of the peer that needs it, and the read goes on with its copy"
    )
    func refetched() {
        var machine = DamageStateMachine()
        let repair = DamageRepair(self.log, outcome: .refetching, wanted: [self.lost])
        _ = machine.found(self.log, by: self.read(1))
        let peers = [self.peer(1, has: 2), self.peer(2, has: 3), self.peer(3, has: 3)]
        let (directives, _) = machine.mended(repair, peers: peers, .host())
        #expect(directives == [self.report(self.log, .refetching, wanted: [self.lost])] + self.question(to: 2))
        #expect(machine.stored(from: .c(3)) == [])
        #expect(machine.stored(from: .c(2)) == [.effect(.storage(self.read(1)))])
    }

    @Test("a peer that is gone or silent is passed over; without another peer the batch is left out")
    func leftOut() {
        var machine = DamageStateMachine()
        let repair = DamageRepair(self.log, outcome: .refetching, wanted: [self.lost])
        let peers = [self.peer(2, has: 3), self.peer(3, has: 9)]
        _ = machine.found(self.log, by: self.read(1))
        _ = machine.mended(repair, peers: peers, .host())
        #expect(machine.lost(.c(2)) == [.effect(.storage(self.read(1)))])
        _ = machine.found(self.log, by: self.read(1))
        #expect(machine.mended(repair, peers: peers, .host()).directives == self.question(to: 3))
        #expect(machine.timedOut() == [.effect(.storage(self.read(1)))])
        _ = machine.found(self.log, by: self.read(1))
        let (directives, _) = machine.mended(repair, peers: peers, .host())
        #expect(
            directives == [
                self.report(self.log, .leftOut, wanted: [self.lost]), .effect(.storage(.leaveOut(self.batch))),
                .effect(.storage(self.read(1))),
            ]
        )
    }

    @Test("the next damaged chunk of a batch is asked of the same peer again")
    func nextChunk() {
        var machine = DamageStateMachine()
        let peers = [self.peer(2, has: 3)]
        for index in [7, 90] as [UInt32] {
            let damage = OwnDamage(.log, "reason", at: .batch(self.batch, chunk: index))
            let lost = LostChunk(batch: self.batch, index: index)
            _ = machine.found(damage, by: self.read(1))
            let repair = DamageRepair(damage, outcome: .refetching, wanted: [lost])
            let (directives, _) = machine.mended(repair, peers: peers, .host())
            let question = Message.acknowledge(Acknowledgement(applied: [], creditBytes: 0, wanted: [lost]))
            #expect(directives.contains(.effect(.send([.c(2)], question))))
            #expect(machine.stored(from: .c(2)) == [.effect(.storage(self.read(1)))])
        }
    }

    @Test("a second peer that needs the batch waits for the same copy")
    func shared() {
        var machine = DamageStateMachine()
        let repair = DamageRepair(self.log, outcome: .refetching, wanted: [self.lost])
        let peers = [self.peer(2, has: 3)]
        _ = machine.found(self.log, by: self.read(1))
        _ = machine.mended(repair, peers: peers, .host())
        _ = machine.found(self.log, by: self.read(7))
        #expect(machine.mended(repair, peers: peers, .host()).directives == [])
        let again = [self.read(1), self.read(7)].map { Directive.effect(.storage($0)) }
        #expect(machine.stored(from: .c(2)) == again)
    }
}

@Suite("Damage, as the whole node sees it") struct DamageNodeTests {
    @Test("what a request committed before it failed is published and relayed at once")
    func committedBeforeFailure() {
        var bench = Bench(.host)
        bench.start()
        bench.connect(1, to: .client(2))
        let chunk = BatchChunk.own(1)
        let committed = CollectOutcome(
            logged: [LoggedChunk(position: 1, chunk: chunk)],
            vector: .v(1),
            events: [],
            hasMore: false,
            repairedTables: []
        )
        let request = StorageRequest.applyStored
        let notice = StoreNotice(committed: committed)
        let effects = bench.give(.storageReplied(.noticed(notice, .failed(request, .unavailable("x")))))
        #expect(effects.contains(.send([.c(1)], .chunk(chunk))))
        #expect(bench.node.status(at: bench.now).vector == .v(1))
    }

    @Test("a host whose bookkeeping cannot be repaired asks a client to take its place")
    func handsOver() {
        var bench = Bench(.host)
        bench.start()
        var hello = Hello.of(.node(2))
        hello.hostReport.role = .client
        bench.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2)))
        bench.give(.received(.c(1), .hello(hello)))
        let damage = OwnDamage(.file, "the file is damaged")
        let effects = bench.give(.storageReplied(.failed(.prune(MemberPresence(isHost: true)), .damaged(damage))))
        #expect(effects.contains(.send([.c(1)], .handOver)))
        #expect(bench.node.status(at: bench.now).damage.map(\.repair.outcome) == [.failed])
    }

    @Test("a peer that has lost a batch is sent the batch again")
    func resends() {
        var bench = Bench(.host)
        bench.start(vector: .v(1), logHead: 1)
        bench.connect(1, to: .client(2), vector: .v(1), head: 1)
        let wanted = LostChunk(batch: BatchID(origin: .o(1), sequence: 1), index: 40)
        let question = Acknowledgement(applied: [], creditBytes: 0, wanted: [wanted])
        let asked = bench.give(.received(.c(1), .acknowledge(question)))
        #expect(
            asked.contains { if case .storage(.readBatch(for: .c(1), from: wanted, _)) = $0 { true } else { false } }
        )
        let sent = bench.give(.storageReplied(.batchRead(for: .c(1), [.own(1)])))
        #expect(sent == [.send([.c(1)], .chunk(.own(1)))])
    }

    @Test("a peer that asks for lost batches without end gets one at a time, as far as its credit reaches")
    func wantedWithoutEnd() {
        var bench = Bench(.host)
        bench.start(vector: .v(1_000), logHead: 1)
        bench.connect(1, to: .client(2), vector: .v(1_000), head: 1)
        func reads(_ effects: [Effect]) -> [(lost: LostChunk, maxBytes: Int)] {
            effects.compactMap {
                if case .storage(.readBatch(for: .c(1), let lost, let bytes)) = $0 { (lost, bytes) } else { nil }
            }
        }
        var asked: [(lost: LostChunk, maxBytes: Int)] = []
        for question in 0..<50 as Range<UInt64> {
            let wanted = (1...16).map { LostChunk(batch: BatchID(origin: .o(1), sequence: question * 16 + $0)) }
            let credit = Acknowledgement(applied: [], creditBytes: .max, wanted: wanted)
            asked += reads(bench.give(.received(.c(1), .acknowledge(credit))))
        }
        #expect(asked.map(\.lost.batch.sequence) == [1])
        #expect(asked.allSatisfy { $0.maxBytes <= CoreLimits.resentBytesMax })
        // The next one is read when the store has answered, also when it could not.
        var answered = 0
        while let last = asked.popLast(), answered < 50 {
            let request = StorageRequest.readBatch(for: .c(1), from: last.lost, maxBytes: last.maxBytes)
            let reply: StorageReply =
                answered.isMultiple(of: 2) ? .failed(request, .unavailable("x")) : .batchRead(for: .c(1), [])
            asked = reads(bench.give(.storageReplied(reply)))
            answered += 1
        }
        #expect((CoreLimits.wantedMax...CoreLimits.wantedMax + 1).contains(answered))
    }

    @Test("rows for which programs' triggers failed add up for status, and are told each time")
    func failedTriggers() {
        var machine = DamageStateMachine()
        #expect(machine.triggersFailed(0).isEmpty)
        #expect(machine.triggersFailed(2) == [.effect(.notify(.triggersFailed(2)))])
        _ = machine.triggersFailed(3)
        #expect(machine.failedTriggers == 5)
    }
}

extension BatchChunk {
    /// A whole batch of node 1 in one chunk.
    fileprivate static func own(_ sequence: UInt64) -> BatchChunk {
        BatchChunk(
            batch: BatchID(origin: .o(1), sequence: sequence),
            index: 0,
            header: BatchHeader(timestamp: .genesis, dependencies: VersionVector(), schemaVersion: 1),
            isLast: true,
            checksum: 0,
            payload: [1, 0]
        )
    }
}
