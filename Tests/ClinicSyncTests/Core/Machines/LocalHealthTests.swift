import ClinicSyncCore
import ClinicSyncModel
import Testing

/// A node that is late itself has patience with others; each test reads as a transcript.
@Suite("A node's own lateness, and its patience with others") struct LocalHealthTests {
    private var generator = SplitMix64(seed: 1)

    @Test("each late beat adds one, up to five; each whole interval in time takes one away")
    func multiplier() {
        var health = LocalHealth(interval: .milliseconds(500))
        var time = Duration.zero
        func beat(_ lateness: Int64, after interval: Int64 = 500) -> Int {
            time += .milliseconds(interval)
            health.beat(at: time, lateness: .milliseconds(lateness))
            return health.patience
        }
        #expect([beat(0), beat(249), beat(-10)] == [1, 1, 1])
        #expect([beat(250), beat(9_000), beat(250), beat(250), beat(250), beat(250)] == [2, 3, 4, 5, 5, 5])
        // Beats that come sooner than an interval, because a peer's time is up, are no sign of health.
        #expect([beat(0, after: 200), beat(0, after: 299), beat(0, after: 1)] == [5, 5, 4])
        #expect([beat(0), beat(249), beat(0), beat(0)] == [3, 2, 1, 1])
    }

    /// A machine with client 2 since second 100, and a heart that beats from then on.
    private func linked() -> PeersStateMachine {
        var machine = PeersStateMachine(.host)
        _ = machine.opened(.c(2), dialled: nil, peer: .n(2), greeting: nil, at: .zero)
        let now = Now(monotonic: .seconds(100), wallMilliseconds: 1_000_000)
        _ = machine.welcome(.of(.client(2)), on: .c(2), greeting: .of(.host), at: now)
        _ = machine.startHeartbeat(at: .seconds(100))
        return machine
    }

    /// The connections that a beat at so many milliseconds after second 100 closes as silent.
    private func silent(_ machine: inout PeersStateMachine, at milliseconds: Int64) -> [ConnectionID] {
        machine.beat(at: .milliseconds(100_000 + milliseconds), isHost: true).silent
    }

    @Test("a node that is late does not take its own slowness for a peer's silence")
    func slowness() {
        var machine = self.linked()
        // Each beat is 900 ms later than planned, so what the peer sent may be as late.
        #expect(self.silent(&machine, at: 1_400) == [])
        #expect(self.silent(&machine, at: 2_800) == [])
        #expect(self.silent(&machine, at: 4_200) == [])
        #expect(machine.patience == 4)
        // The node is in time again, and the peer is still silent: it is lost when two intervals more have passed.
        #expect(self.silent(&machine, at: 4_700) == [])
        #expect(self.silent(&machine, at: 5_200) == [.c(2)])
        #expect(machine.patience == 2)
    }

    @Test("a node that is in time closes a silent peer after two seconds, as ever")
    func inTime() {
        var machine = self.linked()
        let closed = [500, 1_000, 1_500, 1_999].map { self.silent(&machine, at: $0) }
        #expect(closed == [[], [], [], []])
        #expect(self.silent(&machine, at: 2_000) == [.c(2)])
    }

    @Test("a late node gives a handshake as many times the time")
    func handshake() {
        var machine = self.linked()
        #expect(self.silent(&machine, at: 900) == [])
        #expect(
            machine.opened(.c(3), dialled: nil, peer: .n(3), greeting: nil, at: .seconds(101)) == [
                .effect(.setTimer(.handshake(.c(3)), after: .seconds(10)))
            ]
        )
    }

    @Test("a late node that lost its host claims later than others, however late it became")
    mutating func claim() {
        var node = ElectionStateMachine(
            candidacy: Candidacy(priority: 100, coverage: 0, uptimeBucket: 0, node: .n(2)),
            timing: ElectionTiming()
        )
        node.restore(recordedTerm: 1, at: .zero)
        _ = node.start(isAlone: false, at: .zero, using: &self.generator)
        var report = CoreConfiguration.host.hostReport
        report.successors = [NodeAddresses(node: .n(2), addresses: ["pc2:1"])]
        _ = node.reported(.c(1), by: .n(1), report, at: .zero, using: &self.generator)
        node.refresh(coverage: 0, patience: 3, at: .zero)
        #expect(
            node.lost(.c(1), at: .zero, using: &self.generator) == [
                .search, .announce, .setTimer(after: .milliseconds(300)),
            ]
        )
        node.refresh(coverage: 0, patience: 5, at: .milliseconds(300))
        #expect(node.timerFired(at: .milliseconds(300)) == [.setTimer(after: .milliseconds(200))])
        node.refresh(coverage: 0, patience: 4, at: .milliseconds(500))
        #expect(node.timerFired(at: .milliseconds(500)) == [.record(term: 2)])
    }
}
