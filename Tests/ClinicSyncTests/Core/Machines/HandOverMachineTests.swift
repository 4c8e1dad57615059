import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("The hand-over, as its machine sees it") struct HandOverMachineTests {
    private func reign(_ node: UInt64, term: UInt64 = 2) -> Reign {
        Reign(term: term, candidacy: CoreConfiguration.node(node).candidacy)
    }

    private func answer(_ transfer: HostTransfer, _ request: UInt64 = 1) -> Directive {
        .effect(.reply(.r(request), .hostTransferred(transfer)))
    }

    @Test("a stopping host asks its successor when that has everything, and stops when it is host")
    func shutdown() {
        var machine = HandOverStateMachine()
        #expect(
            machine.begin(with: .c(2), isShutdown: true) == [
                .effect(.setTimer(.handOver, after: .milliseconds(400))), .reviewHandOver,
            ]
        )
        #expect(machine.awaited == .c(2))
        #expect(machine.covered(by: .n(2)) == [.nameHeir(.n(2)), .effect(.send([.c(2)], .handOver))])
        #expect(machine.awaited == nil)
        #expect(machine.covered(by: .n(2)) == [])
        #expect(machine.hostChanged(to: self.reign(2), isHost: false) == [])
        #expect(machine.isShutdown)
    }

    @Test("a stopping host whose successor is silent or gone stops without it")
    func without() {
        var machine = HandOverStateMachine()
        _ = machine.begin(with: .c(2), isShutdown: true)
        #expect(machine.lost(.c(3)) == [])
        #expect(machine.lost(.c(2)) == [.nameHeir(nil), .stop])
        #expect(machine.timedOut() == [])
        _ = machine.begin(with: .c(3), isShutdown: true)
        #expect(machine.timedOut() == [.nameHeir(nil), .stop])
    }

    @Test("an administrator's hand-over leaves the node running")
    func transfer() {
        var machine = HandOverStateMachine()
        #expect(
            machine.commanded(.n(2), by: .r(1), reign: self.reign(1), peer: .follower(2), .host()) == [
                .effect(.setTimer(.handOver, after: .seconds(5))), .reviewHandOver,
                .effect(.setTimer(.transfer, after: .seconds(1))),
            ]
        )
        _ = machine.covered(by: .n(2))
        #expect(
            machine.hostChanged(to: self.reign(2), isHost: false) == [
                .effect(.cancelTimer(.handOver)), .effect(.cancelTimer(.transfer)), self.answer(.done(term: 2)),
            ]
        )
        #expect(machine.state == .idle)
        _ = machine.begin(with: .c(2), isShutdown: false)
        #expect(machine.timedOut() == [.nameHeir(nil)])
    }

    @Test("a wish is answered when its node is host, when another wish comes, or when it waits too long")
    func wishes() {
        var machine = HandOverStateMachine()
        _ = machine.wait(for: .n(3), request: .r(1))
        #expect(
            machine.wait(for: .n(2), request: .r(2)) == [
                self.answer(.timedOut), .effect(.setTimer(.transfer, after: .seconds(1))),
            ]
        )
        #expect(machine.hostChanged(to: self.reign(3), isHost: false) == [])
        #expect(machine.wishTimedOut() == [self.answer(.timedOut, 2)])
        #expect(machine.wishTimedOut() == [])
        #expect(machine.hostChanged(to: self.reign(2), isHost: false) == [])
    }

    @Test("a client asks its host again each second, and gives up after five")
    func repeated() {
        var machine = HandOverStateMachine()
        let timer = Directive.effect(.setTimer(.transfer, after: .seconds(1)))
        _ = machine.commanded(.n(3), by: .r(1), reign: self.reign(1), peer: nil, .client())
        for _ in 0..<3 {
            #expect(
                machine.wishWaited(peer: nil, .client()) == [.effect(.send([.c(1)], .transferRequest(.n(3)))), timer]
            )
        }
        #expect(machine.wishWaited(peer: nil, .searching()) == [timer], "there is nobody to ask")
        #expect(machine.wishWaited(peer: nil, .client()) == [self.answer(.timedOut)])
        #expect(machine.wishWaited(peer: nil, .client()) == [])
    }

    @Test("a host that is asked again finds the successor's new link, and asks again a successor that did not follow")
    func askedAgain() {
        var machine = HandOverStateMachine()
        #expect(machine.requested(to: nil, .host()) == [], "the link is being replaced")
        let beginning: [Directive] = [.effect(.setTimer(.handOver, after: .seconds(5))), .reviewHandOver]
        #expect(machine.requested(to: .follower(3), .host()) == beginning)
        // The time that the hand-over may take does not begin again.
        #expect(machine.requested(to: .follower(3), .host()) == [.reviewHandOver])
        _ = machine.covered(by: .n(3))
        #expect(machine.requested(to: .follower(3), .host()) == [.effect(.send([.c(3)], .handOver))])
        #expect(machine.isAsked)
        _ = machine.lost(.c(3))
        #expect(machine.requested(to: .follower(3), .host()) == beginning)
        #expect(machine.requested(to: .follower(2), .host()) == beginning, "another node is wished")
    }

    @Test("a node that is host no more begins no hand-over, which would take place when it is host again")
    func askedTooLate() {
        var machine = HandOverStateMachine()
        #expect(machine.requested(to: .follower(3), .client()) == [])
        #expect(machine.requested(to: .follower(3), .searching()) == [])
        #expect(machine.state == .idle)
    }

    @Test("a host repeats its own command, too")
    func repeatedByHost() {
        var machine = HandOverStateMachine()
        let timer = Directive.effect(.setTimer(.transfer, after: .seconds(1)))
        _ = machine.commanded(.n(2), by: .r(1), reign: self.reign(1), peer: .follower(2), .host())
        _ = machine.covered(by: .n(2))
        #expect(
            machine.wishWaited(peer: .follower(2), .host()) == [.effect(.send([.c(2)], .handOver)), timer]
        )
        _ = machine.lost(.c(2))
        #expect(machine.wishWaited(peer: nil, .host()) == [timer])
        #expect(
            machine.wishWaited(peer: .follower(2), .host()) == [
                .effect(.setTimer(.handOver, after: .seconds(5))), .reviewHandOver, timer,
            ]
        )
    }

    @Test("a command is answered at once when the node is host, is unknown, is never host, or there is no host")
    func refusals() {
        var machine = HandOverStateMachine()
        let reign = self.reign(1)
        var never = LinkedPeer.follower(2)
        never.candidacy.priority = 0
        #expect(
            machine.commanded(.n(1), by: .r(1), reign: reign, peer: nil, .host()) == [self.answer(.done(term: 2))]
        )
        #expect(
            machine.commanded(.n(2), by: .r(1), reign: reign, peer: nil, .host()) == [self.answer(.unknownNode)]
        )
        #expect(
            machine.commanded(.n(2), by: .r(1), reign: reign, peer: never, .host()) == [self.answer(.neverHost)]
        )
        #expect(
            machine.commanded(.n(2), by: .r(1), reign: nil, peer: nil, .searching()) == [self.answer(.noHost)]
        )
        #expect(machine.requested(to: never, .host()) == [])
        #expect(machine.state == .idle)
    }

    @Test("a client asks its host to hand over")
    func client() {
        var machine = HandOverStateMachine()
        #expect(
            machine.commanded(.n(3), by: .r(1), reign: self.reign(1), peer: nil, .client()) == [
                .effect(.send([.c(1)], .transferRequest(.n(3)))), .effect(.setTimer(.transfer, after: .seconds(1))),
            ]
        )
        #expect(
            machine.requested(to: .follower(3), .host()) == [
                .effect(.setTimer(.handOver, after: .seconds(5))), .reviewHandOver,
            ]
        )
    }
}
