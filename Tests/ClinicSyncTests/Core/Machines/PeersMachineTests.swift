import ClinicSyncCore
import ClinicSyncModel
import Testing

/// Connections as node 1, which is host, sees them; each test reads as a transcript.
@Suite("Connections and links, as their machine sees them") struct PeersMachineTests {
    private var generator = SplitMix64(seed: 1)
    private let now = Now(monotonic: .seconds(100), wallMilliseconds: 1_000_000)
    private let greeting = Hello.of(.host)

    private static func client(_ number: UInt64) -> CoreConfiguration { .client(number) }

    /// A machine with client 2 on connection 2, which the client dialled.
    private func linked() -> PeersStateMachine {
        var machine = PeersStateMachine(.host)
        _ = machine.opened(.c(2), dialled: nil, peer: .n(2), greeting: nil, at: .zero)
        _ = machine.welcome(.of(.client(2)), on: .c(2), greeting: self.greeting, at: self.now)
        return machine
    }

    private func received(
        _ message: Message,
        _ machine: inout PeersStateMachine,
        term: UInt64? = 1,
        isReady: Bool = true
    ) -> [Directive] {
        machine.received(message, term: term, on: .c(2), isReady: isReady, at: self.now)
    }

    @Test("the end that dialled speaks first; the other end answers, and a link begins")
    func hello() {
        var machine = PeersStateMachine(.host)
        #expect(
            machine.opened(.c(1), dialled: "pc3:1", peer: .n(3), greeting: self.greeting, at: .zero) == [
                .effect(.setTimer(.handshake(.c(1)), after: .milliseconds(1_500))),
                .effect(.send([.c(1)], .hello(self.greeting))),
            ]
        )
        #expect(
            machine.opened(.c(2), dialled: nil, peer: .n(2), greeting: nil, at: .zero) == [
                .effect(.setTimer(.handshake(.c(2)), after: .seconds(5)))
            ]
        )
        let hello = Hello.of(.client(2))
        #expect(self.received(.hello(hello), &machine) == [.judge(hello, .c(2))])
        let introduction = PeerIntroduction(
            connection: .c(2),
            identity: PeerIdentity(.n(2), hello),
            hello: hello,
            greetedVector: self.greeting.vector,
            greetedReport: self.greeting.hostReport
        )
        #expect(
            machine.welcome(hello, on: .c(2), greeting: self.greeting, at: self.now) == [
                .effect(.cancelTimer(.handshake(.c(2)))), .effect(.send([.c(2)], .hello(self.greeting))),
                .effect(.notify(.peerConnected(.n(2), name: "PC 2", isHost: false))), .established(introduction),
            ]
        )
        #expect(machine.linkIDs == [.c(2)])
        #expect(machine.linkedPeers == [.linkedClient(2)])
    }

    @Test("a peer that does not say hello in time is refused; one that was dialled is dialled again")
    func silentStranger() {
        var machine = PeersStateMachine(.host)
        _ = machine.opened(.c(1), dialled: "pc3:1", peer: .n(3), greeting: self.greeting, at: .zero)
        _ = machine.opened(.c(2), dialled: nil, peer: .n(2), greeting: nil, at: .zero)
        #expect(machine.handshakeTimedOut(.c(1)) == [.close(.c(1), .peerSilent)])
        #expect(
            machine.handshakeTimedOut(.c(2)) == [
                .effect(.notify(.connectionRefused(.handshakeTimeout))), .close(.c(2), .handshakeTimeout),
            ]
        )
        #expect(self.linked().handshakeTimedOut(.c(2)) == [])
    }

    @Test("the end of a link is told once")
    mutating func ends() {
        var machine = self.linked()
        let time = self.now.monotonic
        #expect(
            machine.close(.c(2), .peerSilent, at: time, using: &self.generator) == [
                .effect(.close(.c(2), .peerSilent)), .effect(.notify(.peerLost(.n(2), .peerSilent))), .lost(.c(2)),
                .dial,
            ]
        )
        #expect(machine.close(.c(2), .peerSilent, at: time, using: &self.generator) == [])
        #expect(machine.closed(.c(2), .connectionLost, at: time, using: &self.generator) == [])
        #expect(machine.isAlone)
        #expect(machine.known(.n(2))?.connection == nil)
    }

    @Test("a second connection takes the place of the first, which closes after it is up")
    func replaced() {
        var machine = self.linked()
        _ = machine.opened(.c(5), dialled: nil, peer: .n(2), greeting: nil, at: .zero)
        let actions = machine.welcome(.of(.client(2)), on: .c(5), greeting: self.greeting, at: self.now)
        #expect(actions.last == .close(.c(2), .replaced))
        #expect(machine.linkIDs == [.c(2), .c(5)])
    }

    @Test("before the node is ready it keeps two messages of a connection")
    func early() {
        var machine = PeersStateMachine(.host)
        _ = machine.opened(.c(2), dialled: nil, peer: .n(2), greeting: nil, at: .zero)
        let hello = Message.hello(.of(.client(2)))
        #expect(self.received(hello, &machine, isReady: false) == [])
        #expect(self.received(hello, &machine, isReady: false) == [])
        #expect(self.received(hello, &machine, isReady: false) == [.close(.c(2), .protocolViolation)])
        let (greeting, early) = machine.takeEarly(.c(2), greeting: self.greeting)
        #expect(greeting == [])
        #expect(early == [hello, hello])
    }

    @Test("before the node is ready it keeps nothing with which no connection begins")
    func earlyChunk() {
        var machine = PeersStateMachine(.host)
        _ = machine.opened(.c(2), dialled: nil, peer: .n(2), greeting: nil, at: .zero)
        let chunk = Message.chunk(.of(2, 1))
        #expect(self.received(chunk, &machine, isReady: false) == [.close(.c(2), .protocolViolation)])
        #expect(machine.takeEarly(.c(2), greeting: self.greeting).early == [])
    }

    @Test("a peer has at most eight connections at a time")
    func manyConnections() {
        var machine = PeersStateMachine(.host)
        for id in 1...8 as ClosedRange<UInt64> {
            let opened = machine.opened(.c(id), dialled: nil, peer: .n(2), greeting: nil, at: .zero)
            #expect(opened == [.effect(.setTimer(.handshake(.c(id)), after: .seconds(5)))])
        }
        #expect(
            machine.opened(.c(9), dialled: nil, peer: .n(2), greeting: nil, at: .zero) == [
                .effect(.close(.c(9), .overloaded)), .effect(.notify(.connectionRefused(.overloaded))),
            ]
        )
        #expect(machine.opened(.c(10), dialled: nil, peer: .n(3), greeting: nil, at: .zero).count == 1)
    }

    @Test("a term that decreases, a second hello, and a client that speaks as host are violations")
    func violations() {
        var machine = self.linked()
        let ping = Message.ping(Ping(id: 1))
        #expect(self.received(ping, &machine, term: 4) == [.deliver(ping, .c(2), .n(2))])
        #expect(self.received(ping, &machine, term: 3) == [.close(.c(2), .protocolViolation)])
        #expect(self.received(.hello(.of(.client(2))), &machine, term: 4) == [.close(.c(2), .protocolViolation)])
        #expect(self.received(.handOver, &machine, term: 4) == [.close(.c(2), .protocolViolation)])
        let request = Message.transferRequest(.n(2))
        #expect(self.received(request, &machine, term: 4) == [.deliver(request, .c(2), .n(2))])
        #expect(self.received(.goodbye(.shuttingDown), &machine, term: 0) == [.close(.c(2), .shuttingDown)])
    }

    @Test("a peer is silent after two seconds; the next beat comes when its time is up")
    func silence() {
        var machine = self.linked()
        #expect(
            machine.beat(at: .milliseconds(101_800), isHost: true)
                == HeartbeatOutcome(ping: 1, pinged: [.c(2)], silent: [], next: .milliseconds(200))
        )
        #expect(
            machine.beat(at: .seconds(102), isHost: true)
                == HeartbeatOutcome(ping: 2, silent: [.c(2)], next: .milliseconds(500))
        )
        #expect(
            machine.answered(Pong(id: 2, wallMilliseconds: 0), by: .n(2), at: .milliseconds(102_500))
                == .milliseconds(500)
        )
        #expect(machine.answered(Pong(id: 9, wallMilliseconds: 0), by: .n(2), at: .milliseconds(102_500)) == nil)
    }

    @Test(
        "a host pings a client that pings it for the round trip alone; nobody else leaves out a ping",
        arguments: [(true, true, 2), (true, false, 20), (false, true, 20)]
    )
    func pings(isHost: Bool, isPinged: Bool, expected: Int) {
        var machine = self.linked()
        var pings = 0
        for beat in 1...UInt64(20) {
            let message = isPinged ? Message.ping(Ping(id: beat)) : .pong(Pong(id: beat, wallMilliseconds: 0))
            _ = self.received(message, &machine, term: 4)
            pings += machine.beat(at: .seconds(100), isHost: isHost).pinged.count
        }
        #expect(pings == expected)
    }

    @Test("what a peer has applied is in memory once when this node has the same")
    func sharing() {
        var machine = self.linked()
        machine.acknowledged(VersionVector.v(3, 4).entries, by: .n(2))
        let vector = VersionVector.v(3, 4)
        machine.share(.v(3, 5))
        #expect(machine.acknowledged(by: .n(2)) == vector)
        #expect(machine.acknowledged(by: .n(2))?.sharesMemory(with: vector) == false)
        machine.share(vector)
        #expect(machine.acknowledged(by: .n(2))?.sharesMemory(with: vector) == true)
    }

    @Test("a node that lost its host dials the successors and the lost host")
    mutating func search() {
        var machine = PeersStateMachine(.node(3))
        machine.beginSearch(at: .zero, using: &self.generator)
        let successors = [
            NodeAddresses(node: .n(3), addresses: ["pc3:1"]), NodeAddresses(node: .n(4), addresses: ["pc4:1"]),
        ]
        machine.searchHost(successors: successors, at: .zero, using: &self.generator)
        #expect(machine.dial(at: .zero) == [.dial(address: "pc4:1")])
        machine.learn([PeerHint(address: "pc3:1", node: nil, source: .discovered)], at: .zero)
        #expect(machine.dial(at: .zero) == [])
        let failed = machine.dialFailed("pc4:1", .refused, at: .zero, using: &self.generator)
        guard case .notify(.dialFailed("pc4:1", .refused, _))? = failed.first else { return #expect(failed == []) }
    }
}

@Suite("Processes with one identity, as one node finds them") struct DuplicateWatchTests {
    @Test("a second process with this node's identity is reported once in ten minutes")
    func own() {
        var watch = DuplicateWatch(own: .n(1), seed: 1)
        let notice = Effect.notify(.duplicateIdentity(.n(1), isSelf: true))
        #expect(watch.metOwnIdentity(watch.runID, at: .zero) == [])
        #expect(watch.metOwnIdentity(0, at: .zero) == [])
        #expect(watch.metOwnIdentity(77, at: .zero) == [notice])
        #expect(watch.heed(.duplicateIdentity, from: .n(2), at: .seconds(599)) == [])
        #expect(watch.heed(.duplicateIdentity, from: .n(2), at: .seconds(1_199)) == [notice])
        #expect(watch.heed(.shuttingDown, from: .n(2), at: .seconds(9_999)) == [])
        #expect(watch.heed(.duplicateIdentity, from: .n(1), at: .seconds(9_999)) == [])
        #expect(watch.duplicates(at: .seconds(1_200)) == [.n(1)])
        #expect(watch.duplicates(at: .seconds(2_100)) == [])
    }
}

extension LinkedPeer {
    /// Client `number` after its hello to node 1.
    fileprivate static func linkedClient(_ number: UInt64) -> LinkedPeer {
        let configuration = CoreConfiguration.client(number)
        var peer = LinkedPeer.follower(number)
        peer.identity = PeerIdentity(.n(number), .of(configuration))
        peer.candidacy = configuration.candidacy
        return peer
    }
}
