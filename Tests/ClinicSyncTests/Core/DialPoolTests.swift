import ClinicSyncCore
import ClinicSyncModel
import OrderedCollections
import Testing

@Suite("Which addresses are dialled when") struct DialPoolTests {
    private var generator = SplitMix64(seed: 1)

    private func pool(_ hints: [PeerHint]) -> DialPool {
        var pool = DialPool(delayMin: .milliseconds(100), delayMax: .seconds(15))
        pool.learn(hints, at: .zero)
        return pool
    }

    private func hint(_ number: UInt64, _ source: PeerHint.Source = .remembered) -> PeerHint {
        PeerHint(address: "pc\(number):1", node: .n(number), source: source)
    }

    @Test("a client dials nobody, except a better host of which it hears")
    mutating func rest() {
        var pool = self.pool([self.hint(2), self.hint(3)])
        #expect(pool.next(at: .zero, linked: []).dial == [])
        pool.hurry(["pc4:1"], node: .n(4), at: .zero)
        #expect(pool.next(at: .zero, linked: []).dial == ["pc4:1"])
        #expect(pool.next(at: .zero, linked: []).dial == [])
    }

    @Test("who searches asks one after the other, in the order of all, and nobody to whom it has a connection")
    mutating func search() {
        var pool = self.pool((2...12).map { self.hint($0, $0 == 5 ? .discovered : .remembered) })
        pool.hurry(["pc9:1"], node: .n(9), at: .zero)
        pool.enter(.search, at: .zero, spread: .zero, using: &self.generator)
        let first = pool.next(at: .zero, linked: [.n(12)])
        #expect(first.dial == ["pc9:1"])
        #expect(first.wait == CoreLimits.attemptDelay)
        // A PC that does not accept the socket within a tenth of a second is not waited for.
        var now = CoreLimits.attemptDelay
        #expect(pool.next(at: now, linked: [.n(12)]).dial == ["pc5:1"])
        pool.accepted("pc5:1", at: now)
        #expect(pool.next(at: now, linked: [.n(12)]).wait == CoreLimits.answerWait)
        now += CoreLimits.answerWait
        #expect(pool.next(at: now - .milliseconds(1), linked: [.n(12)]).dial == [])
        #expect(pool.next(at: now - .milliseconds(1), linked: [.n(12)], patience: 2).dial == [])
        #expect(pool.next(at: now, linked: [.n(12)]).dial == ["pc11:1"])
        // Who refuses is not waited for either.
        pool.ended("pc11:1", isRejection: false, wasUp: false, at: now, using: &self.generator)
        #expect(pool.next(at: now, linked: [.n(12)]).dial == ["pc10:1"])
    }

    @Test("likely hosts that have not been asked, and nodes whose handshake goes on, may still turn out to be host")
    mutating func asked() {
        var pool = self.pool([self.hint(2), self.hint(3), PeerHint(address: "x:1", node: nil, source: .configured)])
        let nobody = PeerBackOff.Waits()
        pool.enter(.search, at: .zero, spread: .zero, using: &self.generator)
        #expect(pool.asked(waits: nobody) == [])
        pool.hurry(["pc2:1"], node: .n(2), at: .seconds(1))
        #expect(pool.asked(waits: nobody) == [.n(2)])
        #expect(pool.asked(waits: PeerBackOff.Waits([(.n(2), .seconds(7))])) == [])
        // Nobody else is asked before.
        #expect(pool.next(at: .zero, linked: []).dial == [])
        #expect(pool.next(at: .zero, linked: []).wait == .seconds(1))
        #expect(pool.next(at: .seconds(1), linked: []).dial == ["pc2:1"])
        #expect(pool.asked(waits: nobody) == [])
        pool.accepted("pc2:1", at: .seconds(1))
        #expect(pool.asked(waits: nobody) == [.n(2)])
        pool.reached("pc2:1", .n(2))
        #expect(pool.asked(waits: nobody) == [])
        #expect(pool.next(at: .seconds(2), linked: [.n(2)]).dial == ["pc3:1"])
        #expect(pool.next(at: .seconds(3), linked: [.n(2)]).dial == ["x:1"])
        pool.accepted("x:1", at: .seconds(3))
        #expect(pool.asked(waits: nobody) == [nil])
    }

    @Test("who searches is content with three connections, but dials a likely host all the same")
    mutating func content() {
        var pool = self.pool((2...12).map { self.hint($0) })
        pool.enter(.search, at: .zero, spread: .zero, using: &self.generator)
        let linked = Set((2...9).map { NodeID.n($0) })
        #expect(pool.next(at: .zero, linked: linked).dial == [])
        pool.hurry(["pc12:1"], node: .n(12), at: .zero)
        #expect(pool.next(at: .zero, linked: linked).dial == ["pc12:1"])
    }

    @Test("delays after failures lie within a bound that doubles up to the limit", arguments: 0..<50)
    mutating func bounds(_ seed: Int) {
        self.generator = SplitMix64(seed: UInt64(seed))
        var pool = self.pool([self.hint(2)])
        pool.enter(.search, at: .zero, spread: .zero, using: &self.generator)
        for failures in 0..<12 {
            let delay = pool.ended("pc2:1", isRejection: false, wasUp: false, at: .zero, using: &self.generator)
            #expect(delay >= .zero && delay <= min(.milliseconds(100) * (1 << failures), .milliseconds(1_200)))
        }
        for refusals in 0..<12 {
            let delay = pool.ended("pc2:1", isRejection: true, wasUp: false, at: .zero, using: &self.generator)
            #expect(delay <= min(.milliseconds(100) * (1 << refusals), .seconds(15)))
        }
        #expect(pool.bound(afterFailures: 60, max: .seconds(15)) == .seconds(15))
    }

    @Test("the delays use the whole of their range")
    mutating func jitterIsFull() {
        let delays = (0..<1_000).map { _ in self.generator.duration(upTo: .seconds(15)) }
        #expect(delays.contains { $0 < .seconds(1) })
        #expect(delays.contains { $0 > .seconds(14) })
    }

    @Test("a host goes round evenly among those it misses, however often they do not answer")
    mutating func probe() {
        var pool = self.pool([self.hint(2)])
        pool.enter(.probe, at: .zero, spread: .zero, using: &self.generator)
        for _ in 0..<20 {
            let delay = pool.ended("pc2:1", isRejection: false, wasUp: false, at: .zero, using: &self.generator)
            #expect((.milliseconds(600)...Duration.milliseconds(1_200)).contains(delay))
        }
        var many = self.pool((1...320).map { self.hint($0) })
        many.enter(.probe, at: .zero, spread: .zero, using: &self.generator)
        let delay = many.ended("pc2:1", isRejection: false, wasUp: false, at: .zero, using: &self.generator)
        #expect((.seconds(10)...Duration.seconds(20)).contains(delay))
    }

    @Test("clients that lose their host spread over the time they are given")
    func spread() {
        let moments = (0..<50 as Range<UInt64>).map { seed -> Duration in
            var generator = SplitMix64(seed: seed)
            var pool = self.pool([self.hint(2)])
            pool.enter(.search, at: .zero, spread: .seconds(1), using: &generator)
            return pool.next(at: .zero, linked: []).wait ?? .zero
        }
        #expect(moments.contains { $0 < .milliseconds(200) })
        #expect(moments.contains { $0 > .milliseconds(800) })
        #expect(moments.allSatisfy { $0 <= .seconds(1) })
    }

    @Test("what was seen on the LAN just now is dialled at once, though it did not answer before")
    mutating func seen() {
        var pool = self.pool([self.hint(2)])
        pool.enter(.search, at: .zero, spread: .zero, using: &self.generator)
        for _ in 0..<9 { pool.ended("pc2:1", isRejection: true, wasUp: false, at: .zero, using: &self.generator) }
        #expect(pool.next(at: .zero, linked: []).dial == [])
        pool.learn([self.hint(2, .discovered)], at: .zero)
        #expect(pool.next(at: .zero, linked: []).dial == ["pc2:1"])
    }

    @Test("each address that was tried has its newest answer, since when, and how often")
    func records() {
        var pool = self.pool([self.hint(2), self.hint(3), self.hint(4)])
        pool.answered("pc2:1", .failed(.timedOut), at: .seconds(1))
        for second in 2...4 { pool.answered("pc2:1", .failed(.refused), at: .seconds(second)) }
        pool.answered("pc4:1", .linked, at: .seconds(5))
        pool.answered("pc4:1", .closed(.replaced, isPeersWord: true), at: .seconds(6))
        pool.answered("unknown:1", .failed(.refused), at: .seconds(7))
        #expect(pool.records.map(\.address) == ["pc2:1", "pc4:1"])
        #expect(pool.records.map(\.record.answer) == [.failed(.refused), .linked])
        #expect(pool.records.map(\.record.since) == [.seconds(2), .seconds(5)])
        #expect(pool.records.map(\.record.at) == [.seconds(4), .seconds(5)])
        #expect(pool.records.map(\.record.tries) == [3, 1])
        #expect(pool.records.map(\.node) == [.n(2), .n(4)])
    }

    @Test("of too many addresses those worth least are forgotten")
    func forgets() {
        var pool = self.pool((1...1_024).map { self.hint($0) })
        pool.learn((2_000...2_999).map { self.hint($0, .told) }, at: .zero)
        #expect(pool.addresses.count == 1_024)
        #expect(pool.addresses.contains("pc1024:1"))
        #expect(!pool.addresses.contains("pc2999:1"))
        pool.learn([self.hint(3_000, .discovered)], at: .zero)
        #expect(pool.addresses.contains("pc3000:1"))
    }

    @Test("however many addresses are urgent, they are forgotten beyond the limits")
    func urgentFlood() {
        var pool = self.pool([])
        for node in 1...1_000 as ClosedRange<UInt64> {
            pool.hurry(["a\(node):1", "b\(node):1"], node: .n(node), at: .zero)
        }
        #expect(pool.addresses.count <= 1_024 + 64)
        #expect(pool.addresses.contains("b1000:1"))
        // A client dials urgent addresses alone: of the two thousand, the newest 64, eight at a time.
        var dialled: [String] = []
        while case let due = pool.next(at: .zero, linked: []).dial, !due.isEmpty {
            dialled += due
            var generator = SplitMix64(seed: 1)
            for address in due {
                pool.ended(address, isRejection: false, wasUp: false, at: .zero, using: &generator)
            }
        }
        #expect(Set(dialled).count == 64)
        #expect(dialled.contains("a1000:1"))
    }

    @Test("an urgent address that was refused rests for a moment all the same")
    mutating func urgentRefused() {
        var pool = self.pool([self.hint(2)])
        pool.hurry(["pc2:1"], node: .n(2), at: .zero)
        #expect(pool.next(at: .zero, linked: []).dial == ["pc2:1"])
        pool.ended("pc2:1", isRejection: true, wasUp: false, at: .seconds(5), using: &self.generator)
        pool.hurry(["pc2:1"], node: .n(2), at: .seconds(5))
        #expect(pool.next(at: .seconds(5), linked: []).dial == [])
        #expect(pool.next(at: .seconds(5) + CoreLimits.urgentRest, linked: []).dial == ["pc2:1"])
    }

    @Test("a peer that waits is not dialled at any of its addresses, however urgent")
    mutating func waiting() {
        var pool = self.pool([self.hint(2)])
        pool.hurry(["other:1"], node: .n(2), at: .zero)
        pool.enter(.search, at: .zero, spread: .zero, using: &self.generator)
        let (dial, wait) = pool.next(at: .zero, linked: [], waits: PeerBackOff.Waits([(.n(2), .seconds(7))]))
        #expect(dial == [])
        #expect(wait == .seconds(7))
        #expect(
            pool.next(at: .seconds(7), linked: [], waits: PeerBackOff.Waits([(.n(2), .seconds(7))])).dial == ["other:1"]
        )
    }
}
