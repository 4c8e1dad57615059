import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("The clinic's time, as one node's core knows it") struct ClinicClockCoreTests {
    private let now = Now(monotonic: .seconds(100), wallMilliseconds: 1_000_000)

    private func pong(_ wallMilliseconds: Int64) -> Pong { Pong(id: 1, wallMilliseconds: wallMilliseconds) }

    @Test("a client adds the host's offset; the next host begins with the offset that was known")
    func followsHosts() {
        var clock = ClinicClock(tolerance: .milliseconds(500))
        #expect(clock.milliseconds(at: 1_000_000) == 1_000_000)
        clock.follow(ahead: 3_000)
        #expect(clock.milliseconds(at: 1_000_000) == 1_003_000)
        clock.hostAnswered(self.pong(1_002_000), roundTrip: .milliseconds(20), at: self.now)
        #expect(clock.offsetMilliseconds == 2_010)
        clock.follow(ahead: nil)
        #expect(clock.offsetMilliseconds == 2_010)
    }

    @Test("a client's time is borrowed until a host answers a ping")
    func borrows() {
        var clock = ClinicClock(tolerance: .milliseconds(500))
        clock.borrow(ahead: 700)
        #expect(clock.offsetMilliseconds == 700)
        clock.hostAnswered(self.pong(1_000_000), roundTrip: .zero, at: self.now)
        clock.borrow(ahead: 9_000)
        #expect(clock.offsetMilliseconds == 0)
    }

    @Test("an impossible time of the host changes nothing")
    func impossibleTime() {
        var clock = ClinicClock(tolerance: .milliseconds(500))
        clock.hostAnswered(self.pong(.max), roundTrip: .seconds(1), at: self.now)
        clock.hostAnswered(self.pong(.min), roundTrip: .zero, at: self.now)
        #expect(clock.offsetMilliseconds == 0)
    }

    @Test("a stamp from the future is reported, once a minute")
    func skew() {
        var clock = ClinicClock(tolerance: .milliseconds(500))
        let near = HybridTimestamp(milliseconds: 1_000_500, counter: 0)
        let far = HybridTimestamp(milliseconds: 1_000_501, counter: 0)
        #expect(clock.check(near, at: self.now) == [])
        #expect(clock.check(far, at: self.now) == [.notify(.clockSkew(milliseconds: 501))])
        #expect(clock.check(far, at: self.now) == [])
        let later = Now(monotonic: .seconds(160), wallMilliseconds: 1_000_000)
        #expect(clock.check(far, at: later) == [.notify(.clockSkew(milliseconds: 501))])
    }
}

@Suite("Isolation, as its machine sees it") struct IsolationMachineTests {
    @Test("the exchange begins with the store's reply, and ends with the last connection")
    func transcript() {
        var isolation = IsolationStateMachine()
        #expect(isolation.state == .isolated)
        #expect(isolation.begin() == [])
        #expect(isolation.end(offsetMilliseconds: 7) == [.storage(.restamp(offsetMilliseconds: 7))])
        #expect(isolation.end(offsetMilliseconds: 7) == [])
        #expect(isolation.restamped() == true)
        #expect(isolation.state == .over)
        #expect(isolation.begin() == [.storage(.beginIsolation)])
        #expect(isolation.begin() == [])
    }

    @Test("the reply to a restamp from before a loss does not begin the exchange")
    func overtaken() {
        var isolation = IsolationStateMachine()
        _ = isolation.end(offsetMilliseconds: 1)
        _ = isolation.begin()
        #expect(isolation.end(offsetMilliseconds: 2) == [.storage(.restamp(offsetMilliseconds: 2))])
        #expect(isolation.restamped() == false)
        #expect(isolation.state == .ending)
        #expect(isolation.restamped() == true)
        #expect(isolation.state == .over)
    }

    @Test("when the store fails, all connections close and the node is isolated again")
    func failure() {
        var isolation = IsolationStateMachine()
        _ = isolation.end(offsetMilliseconds: 1)
        #expect(isolation.restampFailed() == true)
        #expect(isolation.state == .isolated)
        _ = isolation.end(offsetMilliseconds: 1)
        _ = isolation.begin()
        #expect(isolation.restampFailed() == false)
    }
}
