import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite struct LifecycleTests {
    @Test("a node that stops closes all, records progress and ends when the store has answered")
    func shutdown() {
        var host = Bench(.host)
        host.start()
        host.connect(1, to: .client(2), vector: .v(0, 2))
        host.give(.localCommitNoticed)
        host.give(.commandReceived(RequestID(rawValue: 1), .sync(table: nil)))
        let effects = host.give(.shutdownRequested)
        #expect(effects.closes == [.shuttingDown])
        #expect(effects.contains { if case .reply = $0 { true } else { false } })
        let progress = MemberProgress(node: .n(2), vector: .v(0, 2), seenMilliseconds: 1_000_000)
        #expect(effects.requests == [.recordAcknowledged([progress])])
        #expect(!effects.contains(.stopped(.requested)))
        #expect(host.give(.received(.c(1), .chunk(.of(2, 3)))) == [])
        #expect(host.give(.connectionOpened(.c(2), dialled: nil, peer: .n(2))).closes == [.shuttingDown])
        var last = CollectOutcome.of([BatchChunk.of(1, 1).at(1)], vector: .v(1), hasMore: true)
        last.events = [.of("patients")]
        #expect(host.give(.storageReplied(.collected(last))) == [.publish([.of("patients")])])
        // The store located the place in the log when the peer connected, and has answered.
        #expect(host.give(.storageReplied(.acknowledgedRecorded)) == [.stopped(.requested)])
        #expect(host.give(.localCommitNoticed) == [])
        #expect(host.node.status(at: host.now).role == .stopped)
    }

    @Test(
        "what others have of a PC's batches is written down before a state is merged, which may delete rows of these batches"
    )
    func progressBeforeState() {
        var client = Bench(.client(2))
        client.start(vector: .v(0, 1))
        client.connect(1, to: .host, vector: .v(3, 1))
        let staged = StagedState(vector: .v(3, 1), cursor: StateCursor(table: "patients"), through: .v(3, 1))
        let requests = client.give(.storageReplied(.stateStaged(from: .c(1), staged))).requests
        let progress = MemberProgress(node: .n(1), vector: .v(3, 1), seenMilliseconds: 1_000_000)
        #expect(requests == [.recordAcknowledged([progress]), .installState(isForced: false)])
    }

    @Test("a host that stops when its successor is host closes each connection and records progress once")
    func handedOver() {
        var host = Bench(.host)
        host.start()
        let successor = CoreConfiguration.node(2)
        var hello = Hello.of(successor)
        hello.hostReport.role = .client
        host.give(.connectionOpened(.c(2), dialled: nil, peer: .n(2)))
        host.give(.received(.c(2), .hello(hello)))
        #expect(host.give(.shutdownRequested).messages == [.handOver])
        var report = hello.hostReport
        report.role = .host
        report.term = 2
        report.reign = Reign(term: 2, candidacy: successor.candidacy)
        let effects = host.give(.received(.c(2), .hostReport(report), term: 2))
        #expect(effects.closes == [.shuttingDown])
        let progress = MemberProgress(node: .n(2), vector: .v(), seenMilliseconds: 1_000_000)
        #expect(effects.requests.filter { $0 == .recordAcknowledged([progress]) }.count == 1)
    }

    @Test(
        "a node whose numbers others have used stops, so that it starts again on new ones, but each time later",
        arguments: [(0, 5), (1, 10), (4, 80), (200, 86_400)]
    )
    func forked(_ formerIncarnations: Int, _ seconds: Int) throws {
        let failure = StorageFailure.forked(BatchID(origin: .o(2), sequence: 1))
        for isLate in [false, true] {
            var client = Bench(.client(2))
            client.start(formerIncarnations: formerIncarnations)
            client.advance(.seconds(isLate ? seconds : seconds - 1))
            client.connect(1, to: .host, vector: .v(0, 1))
            let request = try #require(client.give(.received(.c(1), .chunk(.of(2, 1)))).requests.first)
            #expect(client.give(.storageReplied(.failed(request, failure))).closes.first == .storageFailed)
            #expect((client.node.status(at: client.now).role == .stopped) == isLate)
            guard isLate else { continue }
            // The last answers of the store.
            var effects: [Effect] = []
            for _ in 0..<4 where effects.isEmpty { effects = client.give(.storageReplied(.acknowledgedRecorded)) }
            #expect(effects == [.stopped(.forked)])
        }
    }

    @Test("a fork of another author's numbers stops nobody")
    func forkedPeer() throws {
        var host = Bench(.host)
        host.start()
        host.connect(1, to: .client(2))
        let request = try #require(host.give(.received(.c(1), .chunk(.of(2, 1)))).requests.first)
        host.give(.storageReplied(.failed(request, .forked(BatchID(origin: .o(2), sequence: 1)))))
        #expect(host.node.status(at: host.now).role == .host)
    }

    @Test("a node that stops before it started is stopped at once")
    func shutdownBeforeStart() {
        var host = Bench(.host)
        #expect(host.give(.shutdownRequested) == [.stopped(.requested)])
    }

    @Test("progress is recorded when there is some, and pruning waits for the pruning before")
    func housekeeping() {
        var host = Bench(.host)
        host.start()
        host.connect(1, to: .client(2))
        let progress = MemberProgress(node: .n(2), vector: .v(), seenMilliseconds: 1_000_000)
        let presence = MemberPresence(isHost: true, linked: [.n(2)], clinicMilliseconds: 1_000_000)
        #expect(
            host.give(.timerFired(.housekeeping)) == [
                .setTimer(.housekeeping, after: .seconds(10)),
                .storage(.recordAcknowledged([progress])),
                .storage(.prune(presence)),
            ]
        )
        #expect(host.give(.timerFired(.housekeeping)).requests == [])
        host.give(.storageReplied(.pruned(UpkeepOutcome())))
        #expect(host.give(.timerFired(.housekeeping)).requests == [.prune(presence)])
        // What the store decided for all nodes, or found, is collected at once.
        for outcome in [UpkeepOutcome(escaped: 1), UpkeepOutcome(hasDecided: true)] {
            let effects = host.give(.storageReplied(.pruned(outcome)))
            #expect(effects.requests.contains { if case .collect = $0 { true } else { false } })
            host.give(.storageReplied(.collected(.of(vector: .v()))))
            host.give(.timerFired(.housekeeping))
        }
    }

    @Test("peers stay listed after their loss, the longest lost one making room")
    func directoryIsBounded() {
        var directory = PeerDirectory()
        for number: UInt64 in 1...513 {
            let identity = PeerIdentity(.n(number), .of(.client(number)))
            let now = Now(monotonic: .seconds(number), wallMilliseconds: 0)
            directory.connected(identity, by: .c(number), vector: .v(), at: now)
            if number > 2 { directory.disconnected(identity.node, from: .c(number)) }
        }
        #expect(directory.all.count == 512)
        #expect(directory[.n(1)] != nil)
        #expect(directory[.n(3)] == nil)
        #expect(directory[.n(513)]?.connection == nil)
    }

    @Test("status shows the host, the peers and the round trip")
    func status() throws {
        var client = Bench(.client(2))
        client.start()
        #expect(client.node.status(at: client.now).role == .searching)
        #expect(client.node.status(at: client.now).host == nil)
        client.connect(1, to: .host, dialled: "host:1")
        client.give(.timerFired(.heartbeat))
        client.advance(.milliseconds(4))
        client.give(.received(.c(1), .pong(Pong(id: 1, wallMilliseconds: 0))))
        let status = client.node.status(at: client.now)
        #expect(status.host == CoreStatus.Host(id: .n(1), name: "PC 1", address: "pc1:1"))
        let peer = try #require(status.peers.first)
        #expect(peer.roundTripMilliseconds == 4)
        #expect(peer.lastSeen == client.now)
        #expect(peer.role == .host)
    }
}
