import Testing

@testable import ClinicSyncDiscovery

@Suite("What is known of avahi-daemon") struct AvahiLiaisonTests {
    @Test("people are told once that there is no daemon, and once that there is one again")
    func told() {
        var liaison = AvahiLiaison()
        #expect(liaison.complain("none") == .unavailable("none"))
        #expect(liaison.complain("none") == nil)
        #expect(liaison.running() == .available)
        #expect(liaison.running() == nil)
        #expect(liaison.complain("gone") == .unavailable("gone"))
        #expect(liaison.running() == .available)
    }

    @Test("the first new client comes after a second, the next ones after five, until the daemon has been ready")
    func pace() {
        var liaison = AvahiLiaison()
        liaison.disconnected(at: .seconds(10))
        #expect(liaison.connectAt == .seconds(11))
        liaison.disconnected(at: .seconds(11))
        #expect(liaison.connectAt == .seconds(16))
        _ = liaison.running()
        #expect(liaison.isRunning)
        liaison.disconnected(at: .seconds(100))
        #expect(!liaison.isRunning)
        #expect(liaison.connectAt == .seconds(101))
    }

    @Test("a daemon that does not get ready is reported once, ten seconds after the first sign")
    func stuck() {
        var liaison = AvahiLiaison()
        liaison.registering(at: .seconds(5))
        liaison.registering(at: .seconds(9))
        #expect(liaison.stuckAt == .seconds(15))
        #expect(liaison.isStuck(at: .seconds(14)) == false)
        #expect(liaison.isStuck(at: .seconds(15)) == true)
        #expect(liaison.isStuck(at: .seconds(16)) == false)
        liaison.registering(at: .seconds(20))
        _ = liaison.running()
        #expect(liaison.isStuck(at: .seconds(40)) == false)
    }
}
