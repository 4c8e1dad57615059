import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("The answers to probes, as their machine sees them") struct ProbeMachineTests {
    private static func answers(of nodes: [UInt64], to prober: UInt64, connected: [UInt64] = []) -> ProbeAnswers {
        ProbeAnswers(
            prober: .n(prober),
            number: 7,
            answers: nodes.map { ProbeAnswers.Answer(node: .n($0), milliseconds: 1_000 + Int64($0)) },
            connected: connected.map { .n($0) }
        )
    }

    private static func message(_ answers: ProbeAnswers) -> Message {
        .acknowledge(Acknowledgement(applied: [], creditBytes: 0, probe: answers))
    }

    private static let timer = Directive.effect(.setTimer(.probes, after: .milliseconds(10)))

    /// A peer of a version that knows only rows.
    private static func older(_ number: UInt64) -> LinkedPeer {
        var peer = LinkedPeer.follower(number)
        peer.identity.gathersProbes = false
        return peer
    }

    @Test("in a clinic of 20 nodes the answers to a probe are one message a node, and the prober gets one")
    func messages() throws {
        let size: UInt64 = 20
        let clients = (2...size).map { LinkedPeer.follower($0) }
        var host = ProbeStateMachine(own: .n(1))
        // The number of messages that each node sends or gets.
        var messages: [ConnectionID: Int] = [:]
        for number in (3...size) {
            var client = ProbeStateMachine(own: .n(number))
            let own = Self.answers(of: [number], to: 2)
            let sent = client.answer(own, peers: [.follower(1)], .client())
            #expect(sent == [.send(.c(1), Self.message(own))])
            messages[.c(number), default: 0] += sent.count
            messages[.c(1), default: 0] += sent.count
            let gathered = host.received(own, on: .c(number), from: .n(number), .host())
            #expect(gathered == (number == 3 ? [Self.timer] : []))
        }
        #expect(host.answer(Self.answers(of: [1], to: 2), peers: clients, .host()) == [])
        let passed = host.gatheringEnded(peers: clients)
        guard case .send(let receiver, .acknowledge(let acknowledgement))? = passed.first else {
            Issue.record("the host sends nothing")
            return
        }
        messages[.c(1), default: 0] += passed.count
        messages[receiver, default: 0] += passed.count
        let answers = try #require(acknowledgement.probe)
        #expect(receiver == .c(2))
        #expect(Set(answers.answers.map(\.node)) == Set(([1] + Array(3...size)).map { .n($0) }))
        #expect(answers.connected == (2...size).map { .n($0) })
        #expect(messages.removeValue(forKey: .c(1)) == Int(size) - 1)
        #expect(messages.values.allSatisfy { $0 == 1 } && messages.count == Int(size) - 1)
        var prober = ProbeStateMachine(own: .n(2))
        #expect(
            prober.received(answers, on: .c(1), from: .n(1), .client()) == [.effect(.probeAnswered(answers))]
        )
        #expect(host.gatheringEnded(peers: clients) == [])
    }

    @Test("a host that measures takes the answers at once")
    func hostMeasures() {
        var host = ProbeStateMachine(own: .n(1))
        let answers = Self.answers(of: [2], to: 1)
        #expect(host.received(answers, on: .c(2), from: .n(2), .host()) == [.effect(.probeAnswered(answers))])
        #expect(host.received(nil, on: .c(2), from: .n(2), .host()) == [])
    }

    @Test("a client speaks for itself alone")
    func forged() {
        var host = ProbeStateMachine(own: .n(1))
        let forged = Self.answers(of: [3, 2, 4], to: 1, connected: [9])
        #expect(
            host.received(forged, on: .c(2), from: .n(2), .host())
                == [.effect(.probeAnswered(Self.answers(of: [2], to: 1)))]
        )
        #expect(host.received(Self.answers(of: [4], to: 3), on: .c(2), from: .n(2), .host()) == [])
        #expect(host.gatheringEnded(peers: [.follower(3)]) == [])
    }

    @Test("the answers to at most 64 probes are gathered at a time")
    func bounded() {
        var host = ProbeStateMachine(own: .n(1))
        for number in 0..<70 {
            var answers = Self.answers(of: [2], to: 3)
            answers.number = Int64(number)
            _ = host.received(answers, on: .c(2), from: .n(2), .host())
        }
        #expect(host.gatheringEnded(peers: [.follower(3)]).count == 64)
    }

    @Test("an answer goes straight to a linked prober, and nowhere when there is no host")
    func direct() {
        var client = ProbeStateMachine(own: .n(2))
        let own = Self.answers(of: [2], to: 3)
        #expect(
            client.answer(own, peers: [.follower(3)], .searching()) == [.send(.c(3), Self.message(own))]
        )
        #expect(client.answer(own, peers: [.follower(4)], .searching()) == [])
        #expect(client.received(Self.answers(of: [4], to: 3), on: .c(1), from: .n(1), .client()) == [])
    }

    @Test("an older host, and an older prober, get rows")
    func older() {
        var client = ProbeStateMachine(own: .n(2))
        let own = Self.answers(of: [2], to: 3)
        #expect(client.answer(own, peers: [Self.older(1)], .client()) == [.effect(.recordAnswers(own))])
        var host = ProbeStateMachine(own: .n(1))
        _ = host.received(own, on: .c(2), from: .n(2), .host())
        let peers = [LinkedPeer.follower(2), Self.older(3)]
        #expect(
            host.gatheringEnded(peers: peers)
                == [.effect(.recordAnswers(Self.answers(of: [2], to: 3, connected: [2, 3])))]
        )
    }
}
