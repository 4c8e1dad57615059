import ClinicSyncCore
import ClinicSyncModel
import OrderedCollections
import Testing

@Suite("Peers that must wait, and how long") final class PeerBackOffTests {
    private typealias End = PeerBackOff.End
    private typealias Process = PeerBackOff.Process

    private var generator = SplitMix64(seed: 1)
    private var backOff = PeerBackOff(
        delayMin: .milliseconds(500),
        delayMax: .seconds(300),
        storageDelayMax: .seconds(15)
    )

    /// The process with run id `run`.
    private static func process(_ run: UInt64) -> Process { Process(.of(.client(2), runID: run)) }

    private func end(
        _ reason: CloseReason,
        isPeersWord: Bool = false,
        retryAfter: Duration? = nil,
        run: UInt64 = 1,
        linkedFor: Duration? = .milliseconds(50)
    ) -> End {
        End(
            reason: reason,
            isPeersWord: isPeersWord,
            retryAfter: retryAfter,
            process: Self.process(run),
            linkedFor: linkedFor
        )
    }

    /// Ends a connection of peer 2 that broke the protocol.
    @discardableResult
    private func fail(_ reason: CloseReason = .protocolViolation, at time: Duration) -> Bool {
        self.backOff.ended(.n(2), self.end(reason), at: time, using: &self.generator)
    }

    private func isAdmitted(at time: Duration) -> Bool { self.backOff.admit(.n(2), at: time) == .admitted }

    @Test("each wait lies in the upper half of a bound that doubles up to five minutes", arguments: 0..<20)
    func grows(_ seed: Int) throws {
        self.generator = SplitMix64(seed: UInt64(seed))
        var time = Duration.zero
        for failure in 0..<20 {
            self.fail(at: time)
            let until = try #require(self.backOff.waits(at: time)[.n(2)])
            let bound = min(.milliseconds(500) * (1 << failure), Duration.seconds(300))
            #expect((bound / 2...bound).contains(until - time), "failure \(failure)")
            time = until
        }
    }

    @Test("a store that fails makes a peer wait for 15 s at most, because a full disk becomes free again")
    func storage() throws {
        for second in 0..<12 { self.fail(.storageFailed, at: .seconds(second)) }
        let until = try #require(self.backOff.waits(at: .seconds(11))[.n(2)])
        #expect((Duration.milliseconds(18_500)...Duration.seconds(26)).contains(until))
    }

    @Test("a peer whose connections end at once gets a handful of them in the first minute")
    func loop() {
        var connections = 0
        var time = Duration.zero
        while time < .seconds(60) {
            if self.isAdmitted(at: time), self.backOff.judge(Self.process(1), of: .n(2), at: time) == .admitted {
                connections += 1
                self.fail(at: time)
            }
            time += .milliseconds(5)
        }
        #expect((5...10).contains(connections))
    }

    @Test("a reason is news once, until another one takes its place or the peer proved useful")
    func news() {
        #expect(self.fail(at: .zero))
        #expect(!self.fail(at: .seconds(10)))
        #expect(self.fail(.storageFailed, at: .seconds(20)))
        #expect(self.backOff.cause(of: .n(2))?.since == .seconds(20))
        #expect(self.backOff.cause(of: .n(2))?.failures == 3)
        self.backOff.proved(.n(2))
        #expect(self.backOff.causes.isEmpty)
        #expect(self.fail(.storageFailed, at: .seconds(60)))
        #expect(self.backOff.cause(of: .n(2))?.failures == 1)
    }

    @Test("reasons that pass cost no wait", arguments: CloseReason.allCases.filter { !$0.isLasting })
    func passing(_ reason: CloseReason) {
        for second in 0..<20 {
            let end = self.end(reason, linkedFor: .seconds(3))
            #expect(!self.backOff.ended(.n(2), end, at: .seconds(second), using: &self.generator))
            #expect(self.isAdmitted(at: .seconds(second)))
            #expect(self.backOff.waits(at: .seconds(second)).isEmpty)
        }
    }

    @Test("five links in a row that end at once make the peer rest for a moment; one that lasts ends the row")
    func shortLinks() {
        var time = Duration.zero
        func lost(_ linkedFor: Duration) {
            time += .milliseconds(100)
            let end = self.end(.connectionLost, linkedFor: linkedFor)
            _ = self.backOff.ended(.n(2), end, at: time, using: &self.generator)
        }
        for _ in 0..<4 { lost(.milliseconds(80)) }
        #expect(self.isAdmitted(at: time))
        lost(.milliseconds(80))
        #expect(self.backOff.admit(.n(2), at: time) == .refused(.overloaded, retryAfter: CoreLimits.dialRest))
        #expect(self.backOff.waits(at: time)[.n(2)] == time + CoreLimits.dialRest)
        #expect(self.backOff.causes.isEmpty)
        time += CoreLimits.dialRest
        #expect(self.isAdmitted(at: time))
        lost(.milliseconds(80))
        #expect(!self.isAdmitted(at: time))
        time += CoreLimits.dialRest
        lost(.seconds(2))
        lost(.milliseconds(80))
        #expect(self.isAdmitted(at: time))
    }

    @Test("a peer that says goodbye at once, each time for another lasting reason, rests and is not told of each time")
    func goodbyes() {
        var connections = 0
        var time = Duration.zero
        while time < .seconds(12) {
            if self.isAdmitted(at: time), self.backOff.judge(Self.process(1), of: .n(2), at: time) == .admitted {
                connections += 1
                let reason: CloseReason = connections.isMultiple(of: 2) ? .protocolViolation : .storageFailed
                let end = self.end(reason, isPeersWord: true, linkedFor: .milliseconds(5))
                _ = self.backOff.ended(.n(2), end, at: time, using: &self.generator)
            }
            time += .milliseconds(5)
        }
        #expect((5...15).contains(connections))
        #expect(self.backOff.isRepeating(.n(2)))
        self.backOff.proved(.n(2))
        #expect(!self.backOff.isRepeating(.n(2)))
    }

    @Test("being turned away by a peer that rests lengthens no rest, so two nodes that rest meet again")
    func mutualRest() {
        for tenth in 1...5 {
            let end = self.end(.connectionLost, linkedFor: .milliseconds(80))
            _ = self.backOff.ended(.n(2), end, at: .milliseconds(tenth * 100), using: &self.generator)
        }
        let restUntil = Duration.milliseconds(500) + CoreLimits.dialRest
        #expect(!self.isAdmitted(at: .milliseconds(500)))
        for tenth in 6...16 {
            let end = self.end(.overloaded, isPeersWord: true, retryAfter: .milliseconds(50))
            _ = self.backOff.ended(.n(2), end, at: .milliseconds(tenth * 100), using: &self.generator)
        }
        #expect(self.isAdmitted(at: restUntil))
    }

    @Test("a peer in its wait may say hello now and then; only a new process goes on")
    func hearing() {
        for second in 0..<10 { self.fail(at: .seconds(second)) }
        guard case .refused(.protocolViolation, let retryAfter) = self.backOff.admit(.n(2), at: .seconds(10)) else {
            Issue.record("the peer was admitted")
            return
        }
        #expect(retryAfter > .seconds(60))
        #expect(self.isAdmitted(at: .seconds(14)))
        #expect(!self.isAdmitted(at: .seconds(14)))
        guard case .refused = self.backOff.judge(Self.process(1), of: .n(2), at: .seconds(14)) else {
            Issue.record("the same process was admitted")
            return
        }
        #expect(self.isAdmitted(at: .seconds(19)))
        #expect(self.backOff.judge(Self.process(2), of: .n(2), at: .seconds(19)) == .admitted)
        #expect(self.backOff.waits(at: .seconds(19)).isEmpty)
        // It is not forgotten, so that a peer that starts again and again waits as long as before.
        _ = self.backOff.ended(
            .n(2),
            self.end(.protocolViolation, run: 2),
            at: .seconds(20),
            using: &self.generator
        )
        #expect(!self.isAdmitted(at: .seconds(29)))
        #expect(self.isAdmitted(at: .seconds(30)))
    }

    @Test("a newer version of the program is heard like a new process")
    func update() {
        for second in 0..<10 { self.fail(at: .seconds(second)) }
        var process = Self.process(1)
        process.softwareVersion = "newer"
        #expect(self.backOff.judge(process, of: .n(2), at: .seconds(11)) == .admitted)
    }

    @Test("a node that was sent away does not dial for as long as it was asked, and lets the other node come")
    func sentAway() throws {
        let end = self.end(.protocolViolation, isPeersWord: true, retryAfter: .seconds(40))
        #expect(self.backOff.ended(.n(2), end, at: .zero, using: &self.generator))
        let until = try #require(self.backOff.waits(at: .zero)[.n(2)])
        #expect((Duration.seconds(40)...Duration.seconds(41)).contains(until))
        #expect(self.isAdmitted(at: .zero))
        #expect(self.backOff.judge(Self.process(1), of: .n(2), at: .zero) == .admitted)
        // Nobody can send a node away for longer than the longest wait.
        let rude = self.end(.protocolViolation, isPeersWord: true, retryAfter: .seconds(4_000_000))
        #expect(!self.backOff.ended(.n(2), rude, at: .zero, using: &self.generator))
        #expect(try #require(self.backOff.waits(at: .zero)[.n(2)]) <= .seconds(301))
    }

    @Test("a person's wish ends all waits, and a peer that fails again waits as long as before")
    func person() throws {
        for second in 0..<8 { self.fail(at: .seconds(second)) }
        self.backOff.pardonAll(at: .seconds(8))
        #expect(self.isAdmitted(at: .seconds(8)))
        #expect(self.backOff.waits(at: .seconds(8)).isEmpty)
        self.fail(at: .seconds(9))
        #expect(try #require(self.backOff.waits(at: .seconds(9))[.n(2)]) > .seconds(70))
    }

    @Test("the right process of a copied PC is not refused for the wrong one")
    func copies() {
        #expect(!self.fail(.duplicateIdentity, at: .zero))
        #expect(self.isAdmitted(at: .zero))
        #expect(self.backOff.causes.isEmpty)
    }

    @Test("what is remembered is bounded")
    func bounds() {
        for node in 1...2_000 as ClosedRange<UInt64> {
            _ = self.backOff.ended(
                .n(node),
                self.end(.protocolViolation),
                at: .milliseconds(node),
                using: &self.generator
            )
        }
        #expect(self.backOff.causes.count == CoreLimits.knownPeersMax)
        #expect(self.backOff.cause(of: .n(2_000)) != nil)
    }
}

@Suite("A peer that breaks the protocol, as the whole core sees it") struct ReconnectLoopTests {
    /// Opens a connection of node 2, whose process has the run id `run`, and lets it break the protocol.
    ///
    /// - Returns: Whether the host listened.
    private func attempt(_ id: UInt64, run: UInt64 = 1, _ bench: inout Bench) -> (isHeard: Bool, effects: [Effect]) {
        var effects = bench.give(.connectionOpened(.c(id), dialled: nil, peer: .n(2)))
        if effects.isTurnedAway { return (false, effects) }
        let welcome = bench.give(.received(.c(id), .hello(.of(.client(2), runID: run))))
        effects += welcome
        if welcome.isTurnedAway { return (false, effects) }
        effects += bench.give(.malformedMessageReceived(.c(id)))
        return (true, effects)
    }

    @Test("whoever breaks the protocol after each hello is heard six times in ten seconds, and reported once")
    func inbound() {
        var host = Bench(.host)
        host.start()
        var heard = 0
        var notices: [Notification] = []
        for id in 1...1_000 as ClosedRange<UInt64> {
            let (isHeard, effects) = self.attempt(id, &host)
            heard += isHeard ? 1 : 0
            notices += effects.compactMap { if case .notify(let notice) = $0 { notice } else { nil } }
            host.advance(.milliseconds(10))
        }
        #expect((3...6).contains(heard))
        #expect(notices.count { $0 == .peerBacksOff(.n(2), .protocolViolation, isPeersWord: false) } == 1)
        // The first two links were told of, as long as it was not clear that they would go on ending.
        #expect(notices.count <= 5)
        let backOff = host.node.status(at: host.now).backOffs
        #expect(backOff.map(\.id) == [.n(2)])
        #expect(backOff.first?.reason == .protocolViolation)
        #expect((backOff.first?.failures ?? 0) == heard)
    }

    @Test("a new process is listened to within five seconds; a useful link ends the state")
    func restarted() {
        var host = Bench(.host)
        host.start()
        for id in 1...1_000 as ClosedRange<UInt64> {
            _ = self.attempt(id, &host)
            host.advance(.milliseconds(10))
        }
        host.advance(.seconds(5))
        host.give(.connectionOpened(.c(2_000), dialled: nil, peer: .n(2)))
        let welcome = host.give(.received(.c(2_000), .hello(.of(.client(2), runID: 7))))
        #expect(!welcome.isTurnedAway)
        #expect(host.node.status(at: host.now).peers.first?.isConnected == true)
        var notices: [Effect] = []
        for second in 1...31 {
            host.advance(.seconds(1))
            host.give(.received(.c(2_000), .ping(Ping(id: UInt64(second)))))
            notices += host.give(.timerFired(.heartbeat))
        }
        #expect(host.node.status(at: host.now).backOffs == [])
        #expect(notices.contains(.notify(.peerConnected(.n(2), name: "PC 2", isHost: false))))
    }

    @Test(
        "a client whose host ends each link after the hello dials it less and less often, though it has no other host"
    )
    func outbound() {
        var client = Bench(.client(2))
        client.start()
        client.give(.dialFailed(address: "host:1", .refused))
        client.advance(.milliseconds(200))
        var dials = 0
        var id: UInt64 = 0
        for _ in 0..<1_000 {
            let due = client.give(.timerFired(.dial))
            for case .dial(let address) in due {
                dials += 1
                id += 1
                client.give(.connectionOpened(.c(id), dialled: address, peer: .n(1)))
                client.give(.received(.c(id), .hello(.of(.host))))
                client.give(.received(.c(id), .goodbye(.protocolViolation)))
            }
            client.advance(.milliseconds(10))
        }
        #expect((2...7).contains(dials))
        let backOff = client.node.status(at: client.now).backOffs
        #expect(backOff.first?.isPeersWord == true)
    }

    @Test("a person who asks for a sync makes the node dial at once")
    func person() {
        var client = Bench(.client(2))
        client.start()
        for id in 1...9 as ClosedRange<UInt64> {
            client.give(.connectionOpened(.c(id), dialled: "host:1", peer: .n(1)))
            client.give(.received(.c(id), .hello(.of(.host))))
            client.give(.received(.c(id), .goodbye(.protocolViolation)))
        }
        client.advance(.seconds(20))
        #expect(!client.give(.timerFired(.dial)).contains(.dial(address: "host:1")))
        #expect(client.give(.commandReceived(.r(1), .sync(table: nil))).contains(.dial(address: "host:1")))
    }

    @Test("a host that is lost is dialled at once, as before")
    func failover() {
        var client = Bench(.client(2))
        client.start()
        client.connect(1, to: .host, dialled: "host:1")
        client.advance(.milliseconds(500))
        #expect(client.give(.connectionClosed(.c(1))).contains(.dial(address: "host:1")))
    }
}

extension [Effect] {
    /// Whether a peer is sent away because it must wait.
    fileprivate var isTurnedAway: Bool {
        self.contains { if case .turnAway = $0 { true } else { false } }
    }
}
