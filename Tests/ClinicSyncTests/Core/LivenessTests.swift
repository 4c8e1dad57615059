import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite struct LivenessTests {
    @Test("a silent peer is closed when two seconds have passed, not before")
    func silence() {
        var host = Bench(.host)
        host.start()
        host.advance(.milliseconds(100))
        host.connect(1, to: .client(2))
        host.advance(.milliseconds(400))
        var next = Duration.milliseconds(500)
        var closedAt: Duration?
        for _ in 0..<8 where closedAt == nil {
            let effects = host.give(.timerFired(.heartbeat))
            if effects.closes == [.peerSilent] { closedAt = host.now.monotonic }
            for case .setTimer(.heartbeat, let after) in effects { next = after }
            host.advance(next)
        }
        #expect(closedAt == .milliseconds(2_100))
        #expect(host.node.status(at: host.now).peers.first?.isConnected == false)
    }

    @Test("any message is a sign of life")
    func anyMessageCounts() {
        var host = Bench(.host)
        host.start()
        host.connect(1, to: .client(2))
        for _ in 0..<12 {
            host.advance(.milliseconds(500))
            host.give(.received(.c(1), .acknowledge(Acknowledgement(applied: [], creditBytes: 0))))
            let effects = host.give(.timerFired(.heartbeat))
            #expect(effects.closes == [])
            #expect(effects.messages.count == 1)
        }
    }

    @Test("a node that was suspended does not take its own sleep for the peers' silence")
    func suspended() {
        var host = Bench(.host)
        host.start()
        host.give(.timerFired(.heartbeat))
        host.connect(1, to: .client(2))
        host.advance(.seconds(3_600))
        #expect(host.give(.timerFired(.heartbeat)).closes == [])
        host.advance(.milliseconds(500))
        #expect(host.give(.timerFired(.heartbeat)).closes == [])
        host.advance(.milliseconds(500))
        #expect(host.give(.timerFired(.heartbeat)).closes == [.peerSilent])
    }

    @Test("a client's clock offset is the median of the answers, half the round trip added")
    func clockOffset() {
        var client = Bench(.client(2))
        client.start()
        client.connect(1, to: .host, dialled: "host:1")
        // The host is 1000 ms ahead. One answer of five was delayed on its way back.
        for (ping, back) in [20, 20, 900, 20, 20].enumerated() {
            client.give(.timerFired(.heartbeat))
            let asked = client.now.wallMilliseconds
            client.advance(.milliseconds(20 + back))
            let pong = Pong(id: UInt64(ping) + 1, wallMilliseconds: asked + 20 + 1_000)
            client.give(.received(.c(1), .pong(pong)))
        }
        #expect(client.node.status(at: client.now).clockOffsetMilliseconds == 1_000)
        #expect(client.give(.localCommitNoticed) == [.storage(.collect(clockOffsetMilliseconds: 1_000))])
        let pong = client.give(.received(.c(1), .ping(Ping(id: 7)))).messages
        #expect(pong == [.pong(Pong(id: 7, wallMilliseconds: client.now.wallMilliseconds + 1_000))])
    }

    @Test("answers full of nonsense do not stop the node")
    func absurdPong() {
        var client = Bench(.client(2))
        client.start()
        client.connect(1, to: .host, dialled: "host:1")
        client.give(.timerFired(.heartbeat))
        client.give(.received(.c(1), .pong(Pong(id: 1, wallMilliseconds: .min))))
        client.give(.received(.c(1), .pong(Pong(id: 1, wallMilliseconds: .max))))
        client.give(.received(.c(1), .pong(Pong(id: 99, wallMilliseconds: 0))))
        #expect(client.give(.timerFired(.heartbeat)).closes == [])
    }

    @Test("stamps from the future are reported once a minute")
    func clockSkew() {
        var host = Bench(.host)
        host.start()
        let future = HybridTimestamp(milliseconds: host.now.wallMilliseconds + 501)
        let outcome = StoreOutcome.of(vector: .v(), stamp: future)
        let report = Effect.notify(.clockSkew(milliseconds: 501))
        #expect(host.give(.storageReplied(.stored(from: .c(1), outcome))) == [report])
        #expect(host.give(.storageReplied(.stored(from: .c(1), outcome))) == [])
        let near = StoreOutcome.of(vector: .v(), stamp: HybridTimestamp(milliseconds: 1_000_500))
        #expect(host.give(.storageReplied(.stored(from: .c(1), near))) == [])
        host.now.monotonic += .seconds(60)
        #expect(host.give(.storageReplied(.stored(from: .c(1), outcome))) == [report])
    }
}
