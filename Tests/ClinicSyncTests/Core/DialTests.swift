import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite struct DialTests {
    private func machine(_ addresses: [String] = ["a", "b"]) -> DialStateMachine {
        DialStateMachine(addresses: addresses, delayMin: .milliseconds(100), delayMax: .seconds(15))
    }

    @Test("every delay lies within a bound that doubles up to the limit", arguments: 0..<50)
    func bounds(_ seed: Int) {
        var generator = SplitMix64(seed: UInt64(seed))
        var dialling = self.machine()
        #expect(dialling.start() == .dial(address: "a"))
        var address = "a"
        for failures in 0..<20 {
            let step = dialling.failed(address: address, using: &generator)
            guard case .wait(let next, let delay) = step else { return #expect(Bool(false)) }
            #expect(next != address)
            #expect(delay >= .zero)
            #expect(delay <= min(.milliseconds(100) * (1 << failures), .seconds(15)))
            #expect(dialling.timerFired(address: next) == .dial(address: next))
            address = next
        }
    }

    @Test("the delays use the whole of their range")
    func jitterIsFull() {
        var generator = SplitMix64(seed: 1)
        let delays = (0..<1_000).map { _ in generator.duration(upTo: .seconds(15)) }
        #expect(delays.contains { $0 < .seconds(1) })
        #expect(delays.contains { $0 > .seconds(14) })
    }

    @Test("a lost connection is dialled again at its own address and with the shortest delay")
    func lostReturnsAtOnce() {
        var generator = SplitMix64(seed: 1)
        var dialling = self.machine()
        _ = dialling.start()
        for _ in 0..<9 {
            guard case .wait(let address, _) = dialling.failed(address: dialling.current, using: &generator)
            else { return #expect(Bool(false)) }
            _ = dialling.timerFired(address: address)
        }
        let address = dialling.current
        dialling.established(at: .zero)
        let step = dialling.lost(.connectionLost, at: .seconds(1), using: &generator)
        guard case .wait(address, let delay) = step else { return #expect(Bool(false)) }
        #expect(delay <= .milliseconds(100))
    }

    @Test("a host that sends us away again and again is asked less and less often")
    func rejectionKeepsBackingOff() {
        var generator = SplitMix64(seed: 3)
        var dialling = self.machine(["a"])
        _ = dialling.start()
        var longest = Duration.zero
        for _ in 0..<30 {
            dialling.established(at: .zero)
            guard case .wait(_, let delay) = dialling.lost(.storageFailed, at: .zero, using: &generator)
            else { return #expect(Bool(false)) }
            longest = max(longest, delay)
            _ = dialling.timerFired(address: "a")
        }
        #expect(longest > .seconds(5))
    }

    @Test("late answers and timers change nothing, and without an address nothing is dialled")
    func races() {
        var generator = SplitMix64(seed: 1)
        var dialling = self.machine()
        _ = dialling.start()
        #expect(dialling.failed(address: "b", using: &generator) == nil)
        #expect(dialling.timerFired(address: "a") == nil)
        #expect(dialling.lost(.connectionLost, at: .zero, using: &generator) == nil)
        var none = self.machine([])
        #expect(none.start() == nil)
    }

    @Test("a client dials when its first collection is done, and again after every failure")
    func nodeDials() throws {
        var client = Bench(.client(2))
        let started = client.start()
        #expect(started.contains(.dial(address: "host:1")))
        let failed = client.give(.dialFailed(address: "host:1"))
        guard case .setTimer(.redial(let address), _) = try #require(failed.last) else {
            return #expect(Bool(false))
        }
        #expect(client.give(.timerFired(.redial(address: address))) == [.dial(address: "host:1")])
        // A connection that ends before its hello is a failure as well.
        client.give(.connectionOpened(.c(1), dialled: "host:1", peer: .n(1)))
        let refused = client.give(.messageReceived(.c(1), .goodbye(.overloaded)))
        #expect(refused.contains { if case .setTimer(.redial, _) = $0 { true } else { false } })
    }
}

extension DialStateMachine {
    fileprivate var current: String {
        if case .dialling(let address) = self.state { address } else { "" }
    }
}
