import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("Epochs: nodes of different epochs exchange nothing, and the smaller one learns of the greater one")
struct EpochTests {
    private func bench(_ number: UInt64, _ epoch: Epoch?) -> Bench {
        var configuration = CoreConfiguration.node(number)
        configuration.epoch = epoch
        var bench = Bench(configuration)
        bench.start(vector: .v(3))
        return bench
    }

    private func hello(_ number: UInt64, _ epoch: Epoch?, vector: VersionVector = .v(3)) -> Hello {
        var configuration = CoreConfiguration.node(number)
        configuration.epoch = epoch
        var hello = Hello.searching(configuration)
        hello.vector = vector
        return hello
    }

    @Test("the node with the smaller epoch has the greater one verified, and refuses the peer")
    func learns() throws {
        let greater = try Epoch.of(1, by: .n(2), batches: 3)
        for own in [nil, try Epoch.of(1, by: .n(1))] {
            var node = self.bench(1, own)
            node.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2)))
            #expect(
                node.give(.received(.c(1), .hello(self.hello(2, greater)))) == [
                    .learn(.epoch(greater.statement)), .close(.c(1), .otherEpoch), .cancelTimer(.handshake(.c(1))),
                    .notify(.peerBacksOff(.n(2), .otherEpoch, isPeersWord: false)),
                ]
            )
        }
    }

    @Test("the node with the greater epoch says so before it refuses the peer, once")
    func teaches() throws {
        let own = try Epoch.of(2, by: .n(1))
        for other in [nil, try Epoch.of(1, by: .n(2))] {
            var node = self.bench(1, own)
            node.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2)))
            let effects = node.give(.received(.c(1), .hello(self.hello(2, other))))
            guard case .send([.c(1)], .hello(let hello)) = effects.first else {
                Issue.record("no hello: \(effects)")
                return
            }
            #expect(hello.epoch?.statement == own.statement)
            #expect(hello.vector == .v(3))
            #expect(effects.closes == [.otherEpoch])
            #expect(!effects.contains { if case .learn = $0 { true } else { false } })
            let dialled = node.give(.connectionOpened(.c(2), dialled: "pc3:1", peer: .n(3)))
            #expect(dialled.count { if case .send(_, .hello) = $0 { true } else { false } } == 1)
            let answer = node.give(.received(.c(2), .hello(self.hello(3, other))))
            #expect(answer.closes == [.otherEpoch])
            #expect(!answer.contains { if case .send = $0 { true } else { false } })
        }
    }

    @Test("nobody follows a peer that does not have the state yet")
    func incomplete() throws {
        let greater = try Epoch.of(1, by: .n(2), batches: 4)
        var node = self.bench(1, nil)
        node.give(.connectionOpened(.c(1), dialled: nil, peer: .n(3)))
        let effects = node.give(.received(.c(1), .hello(self.hello(3, greater, vector: .v(3)))))
        #expect(effects.closes == [.otherEpoch])
        #expect(!effects.contains(.learn(.epoch(greater.statement))))
    }

    @Test("a peer that knows no epochs is welcome until there is one, and refused as too old after that")
    func oldPeer() throws {
        var hello = self.hello(2, nil)
        hello.knowsEpochs = false
        var before = self.bench(1, nil)
        before.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2)))
        #expect(before.give(.received(.c(1), .hello(hello))).closes == [])
        var after = self.bench(1, try Epoch.of(1, by: .n(1)))
        after.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2)))
        let effects = after.give(.received(.c(1), .hello(hello)))
        #expect(effects.closes == [.protocolVersion])
        #expect(!effects.contains { if case .send = $0 { true } else { false } })
    }

    @Test("nodes of one epoch are linked, whatever proves it")
    func equal() throws {
        let own = try Epoch.of(1, by: .n(9))
        var node = self.bench(1, own)
        node.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2)))
        let other = try #require(Epoch(statement: own.statement + [4]))
        #expect(node.give(.received(.c(1), .hello(self.hello(2, other)))).closes == [])
        #expect(node.node.status(at: node.now).peers.map(\.isConnected) == [true])
    }

    @Test("of two decisions that do not know each other one is greater, and the same one for everybody")
    func order() throws {
        let ordered = try [
            Epoch.of(1, by: .n(1)), .of(1, by: .n(2), at: 1), .of(1, by: .n(2), at: 2), .of(2, by: .n(1)),
            .of(Epoch.numberMax, by: .n(1)),
        ]
        #expect(ordered.sorted() == ordered)
        #expect(Set(ordered).count == ordered.count)
        for epoch in ordered {
            #expect(Optional(epoch).exceeds(nil))
            #expect(!Optional<Epoch>.none.exceeds(epoch))
            #expect(!Optional(epoch).exceeds(epoch))
        }
        #expect(!Optional<Epoch>.none.exceeds(nil))
    }

    @Test("a statement says what it was made of; another format is none")
    func format() throws {
        let epoch = try Epoch.of(5, by: .n(7), at: 1_795_000_000_000, batches: 12)
        #expect(epoch.number == 5 && epoch.node == .n(7) && epoch.batches == 12)
        #expect(epoch.clinic == NodeID(high: 9, low: 9) && epoch.decidedAt == 1_795_000_000_000)
        let good = epoch.statement
        let short = Array(good.prefix(Epoch.bodyBytes - 1))
        for bytes in [[], short, [0] + good, good + Array(repeating: 0, count: 8 << 10)] {
            #expect(Epoch(statement: bytes) == nil)
        }
        let outside: [(UInt64, Int64, UInt64)] = [
            (0, 7, 0), (Epoch.numberMax + 1, 7, 0), (1, .max, 0), (1, 7, .max),
        ]
        for (number, time, batches) in outside {
            #expect(throws: Epoch.Malformed.self) { try Epoch.of(number, by: .n(1), at: time, batches: batches) }
        }
    }
}
