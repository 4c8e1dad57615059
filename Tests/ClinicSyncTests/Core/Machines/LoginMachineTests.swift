import ClinicSyncCore
import ClinicSyncModel
import Testing

extension LoginRequest {
    /// A login of user `u1` on the PC of a node.
    static func of(_ node: UInt64, session: String = "s1") -> LoginRequest {
        LoginRequest(
            sessionID: session,
            userID: "u1",
            username: "ana",
            deviceID: NodeID.n(node).description,
            deviceName: "PC \(node)",
            tokenHash: Array(repeating: 1, count: 32),
            loginMilliseconds: 1_000_000,
            isForced: false
        )
    }
}

@Suite("Logins of one PC, as their machine sees them") struct LoginMachineTests {
    private let login = LoginRequest.of(2)

    private func timer(_ number: UInt64) -> LoginStateMachine.Action {
        .effect(.setTimer(.login(number), after: .seconds(3)))
    }

    private func asked(_ id: UInt64, _ number: UInt64 = 1) -> LoginStateMachine.Action {
        .effect(.send([.c(id)], .loginRequest(id: number, self.login)))
    }

    private func answered(_ outcome: LoginOutcome) -> LoginStateMachine.Action {
        .effect(.reply(.r(7), .loginDecided(outcome)))
    }

    @Test("the host is asked; its refusal is the answer, and a second answer is ignored")
    func refused() {
        var machine = LoginStateMachine()
        #expect(machine.requested(self.login, by: .r(7), .client()) == [self.timer(1), self.asked(1)])
        let reply = LoginReply(id: 1, outcome: .refused)
        #expect(machine.answered(reply, on: .c(9), vector: .v()) == [])
        #expect(
            machine.answered(reply, on: .c(1), vector: .v()) == [
                .effect(.cancelTimer(.login(1))), self.answered(.refused),
            ]
        )
        #expect(machine.answered(reply, on: .c(1), vector: .v()) == [])
        #expect(machine.isEmpty)
    }

    @Test("a grant is told when its batch is applied")
    func granted() {
        var machine = LoginStateMachine()
        _ = machine.requested(self.login, by: .r(7), .client())
        let outcome = LoginOutcome.granted(isProvisional: false)
        let reply = LoginReply(id: 1, outcome: outcome, batch: BatchID(origin: .o(1), sequence: 4))
        #expect(machine.answered(reply, on: .c(1), vector: .v(3)) == [])
        #expect(machine.applied(.v(3)) == [])
        #expect(machine.applied(.v(4)) == [.effect(.cancelTimer(.login(1))), self.answered(outcome)])
    }

    @Test("another host is asked the same, and a node that is host itself decides")
    func nextHost() {
        var machine = LoginStateMachine()
        _ = machine.requested(self.login, by: .r(7), .client())
        #expect(machine.hostMayHaveChanged(.client()) == [])
        #expect(machine.hostMayHaveChanged(.searching()) == [])
        var context = NodeContext.client()
        context.host = .c(5)
        #expect(machine.hostMayHaveChanged(context) == [self.asked(5)])
        #expect(machine.hostMayHaveChanged(.host()) == [.decide(self.login, for: .r(7))])
        machine.abdicated()
        #expect(machine.hostMayHaveChanged(.client()) == [self.asked(1)])
    }

    @Test("without a host the node decides alone after the first time-out, and gives up after the second")
    func alone() {
        var machine = LoginStateMachine()
        #expect(machine.requested(self.login, by: .r(7), .searching()) == [self.timer(1)])
        #expect(machine.timedOut(1, .searching()) == [self.timer(1), .decideAlone(self.login, for: .r(7))])
        #expect(machine.timedOut(1, .searching()) == [self.answered(.unavailable)])
        #expect(machine.timedOut(1, .searching()) == [])
    }

    @Test("a host that did not answer in time is asked once more")
    func again() {
        var machine = LoginStateMachine()
        _ = machine.requested(self.login, by: .r(7), .client())
        #expect(machine.timedOut(1, .client()) == [self.timer(1), self.asked(1)])
        #expect(machine.stop() == [.effect(.cancelTimer(.login(1))), self.answered(.unavailable)])
    }

    @Test("of very many logins the last are answered at once")
    func bounded() {
        var machine = LoginStateMachine()
        for number in 0..<64 { _ = machine.requested(self.login, by: .r(UInt64(number) + 100), .searching()) }
        #expect(machine.requested(self.login, by: .r(7), .searching()) == [self.answered(.unavailable)])
    }
}

@Suite("Logins on which the host decides, as their machine sees them") struct LoginDecisionMachineTests {
    private typealias Action = LoginDecisionStateMachine.Action
    private let requester = Requester.peer(.c(2), id: 9)
    private let timer = Action.effect(.setTimer(.grants, after: .milliseconds(1_500)))

    private func decision(hearing: Int, mayWait: Bool = false) -> LoginDecision {
        LoginDecision(
            requester: self.requester,
            request: .of(2),
            hearing: hearing,
            members: max(hearing, 1),
            mayWait: mayWait,
            correctedMilliseconds: 1_000_000
        )
    }

    private func asks(hearing: Int, mayWait: Bool = false) -> [Action] {
        [.decide(self.decision(hearing: hearing, mayWait: mayWait))]
    }

    private func answer(isProvisional: Bool, batch: UInt64?) -> Action {
        let batch = batch.map { BatchID(origin: .o(1), sequence: $0) }
        return .answer(self.requester, .granted(isProvisional: isProvisional), batch)
    }

    @Test("a grant is answered when the requester and most nodes have its rows")
    func majority() {
        var machine = LoginDecisionStateMachine()
        var peers: [LinkedPeer] = [.follower(2), .follower(3)]
        #expect(machine.requested(.of(2), by: self.requester, peers: peers, .host()) == self.asks(hearing: 3))
        let granted = LoginVerdict.decided(.granted(isProvisional: false), members: 3)
        #expect(
            machine.decided(self.decision(hearing: 3), granted, peers: peers, .host(at: 100, vector: .v(4)))
                == [self.timer]
        )
        #expect(machine.isBusy)
        peers[1].acknowledged = .v(4)
        #expect(machine.settle(peers: peers, .host(vector: .v(4))) == [])
        peers[0].acknowledged = .v(4)
        #expect(
            machine.settle(peers: peers, .host(vector: .v(4))) == [self.answer(isProvisional: false, batch: 4)]
        )
        #expect(!machine.isBusy)
    }

    @Test("logins that the store has not decided count too; of very many the last is answered at once")
    func bounded() {
        var machine = LoginDecisionStateMachine()
        let peers: [LinkedPeer] = [.follower(2)]
        for id in 0..<UInt64(CoreLimits.loginsHeldMax) {
            _ = machine.requested(.of(2), by: .peer(.c(2), id: id), peers: peers, .host())
        }
        let last = Requester.peer(.c(2), id: 1_000)
        #expect(machine.requested(.of(2), by: last, peers: peers, .host()) == [.answer(last, .unavailable, nil)])
        let first = LoginDecision(
            requester: .peer(.c(2), id: 0),
            request: .of(2),
            hearing: 2,
            members: 2,
            mayWait: false,
            correctedMilliseconds: 1_000_000
        )
        _ = machine.decided(first, .decided(.refused, members: 3), peers: peers, .host())
        #expect(machine.requested(.of(2), by: last, peers: peers, .host()) != [.answer(last, .unavailable, nil)])
    }

    @Test("a grant that most nodes do not confirm in time is answered as provisional")
    func provisional() {
        var machine = LoginDecisionStateMachine()
        let granted = LoginVerdict.decided(.granted(isProvisional: false), members: 5)
        let peers: [LinkedPeer] = [.follower(2, acknowledged: .v(4))]
        #expect(
            machine.decided(self.decision(hearing: 3), granted, peers: peers, .host(at: 100, vector: .v(4)))
                == [self.timer]
        )
        #expect(
            machine.timedOut(peers: peers, .host(at: 101, vector: .v(4))) == [
                .effect(.setTimer(.grants, after: .milliseconds(500)))
            ]
        )
        #expect(
            machine.timedOut(peers: peers, .host(at: 102, vector: .v(4))) == [
                self.answer(isProvisional: true, batch: 4)
            ]
        )
    }

    @Test("a new host holds a login until most nodes are heard, and forgets it when its client is gone")
    func held() {
        var machine = LoginDecisionStateMachine()
        machine.becameHost(at: .seconds(99))
        let early = NodeContext.host(at: 100)
        #expect(
            machine.requested(.of(2), by: self.requester, peers: [], early) == self.asks(hearing: 1, mayWait: true)
        )
        #expect(machine.decided(self.decision(hearing: 1), .tooEarly, peers: [], early) == [self.timer])
        let peers = [LinkedPeer.follower(2)]
        #expect(machine.settle(peers: peers, early) == self.asks(hearing: 2, mayWait: true))
        _ = machine.decided(self.decision(hearing: 2), .tooEarly, peers: peers, early)
        #expect(machine.settle(peers: [], early) == [])
        #expect(!machine.isBusy)
    }

    @Test("a conflict is answered at once; a node that is host no more forgets everything")
    func others() {
        var machine = LoginDecisionStateMachine()
        let conflict = LoginVerdict.decided(.conflict([]), members: 3)
        #expect(
            machine.decided(self.decision(hearing: 3), conflict, peers: [], .host()) == [
                .answer(self.requester, .conflict([]), nil)
            ]
        )
        _ = machine.decided(
            self.decision(hearing: 3),
            .decided(.granted(isProvisional: true), members: 3),
            peers: [.follower(2)],
            .host(vector: .v(4))
        )
        #expect(machine.isBusy)
        machine.abdicated()
        #expect(!machine.isBusy)
    }
}

@Suite("The rule of one session a user, as its machine sees it") struct SessionRuleMachineTests {
    @Test("one look at a time; a change meanwhile needs another look")
    func transcript() {
        var machine = SessionRuleStateMachine()
        let look: [Directive] = [
            .effect(.setTimer(.sessions, after: .seconds(15))),
            .submit(.keepSessions(hearing: 3, members: 4, correctedMilliseconds: 9)),
        ]
        #expect(machine.keep(hearing: 3, members: 4, clinicMilliseconds: 9) == look)
        #expect(machine.keep(hearing: 3, members: 4, clinicMilliseconds: 9) == [])
        #expect(machine.kept() == true)
        #expect(machine.keep(hearing: 3, members: 4, clinicMilliseconds: 9) == look)
        #expect(machine.kept() == false)
        _ = machine.keep(hearing: 3, members: 4, clinicMilliseconds: 9)
        machine.failed()
        #expect(machine.state == .idle)
    }
}

@Suite("Sessions: how their machines work together") struct SessionsMachineTests {
    @Test("a node may speak for its own PC alone")
    func foreignPC() {
        var machine = SessionsStateMachine()
        #expect(
            machine.requested(.of(3), number: 9, by: .c(2), peers: [.follower(2)], .host()) == [
                .close(.c(2), .protocolViolation)
            ]
        )
    }

    @Test("the host decides on its own PC's login, and answers it when the rows are in a batch")
    func ownLogin() {
        var machine = SessionsStateMachine()
        let decision = LoginDecision(
            requester: .command(.r(7)),
            request: .of(1),
            hearing: 1,
            members: 1,
            mayWait: false,
            correctedMilliseconds: 1_000_000
        )
        #expect(
            machine.requested(.of(1), by: .r(7), peers: [], .host()) == [
                .effect(.setTimer(.login(1), after: .seconds(3))), .submit(.decideLogin(decision)),
            ]
        )
        let granted = LoginVerdict.decided(.granted(isProvisional: false), members: 1)
        #expect(
            machine.decided(decision, granted, peers: [], .host(vector: .v(1))) == [
                .effect(.setTimer(.grants, after: .milliseconds(1_500))),
                .effect(.cancelTimer(.login(1))),
                .effect(.reply(.r(7), .loginDecided(.granted(isProvisional: false)))),
            ]
        )
        #expect(!machine.hasLogins && !machine.isDeciding)
    }

    @Test("a node that is host no more does not answer clients")
    func abdicated() {
        var machine = SessionsStateMachine()
        let decision = LoginDecision(
            requester: .peer(.c(2), id: 9),
            request: .of(2),
            hearing: 1,
            members: 1,
            mayWait: false,
            correctedMilliseconds: 0
        )
        let refused = LoginVerdict.decided(.refused, members: 1)
        let reply = Message.loginReply(LoginReply(id: 9, outcome: .refused))
        #expect(machine.decided(decision, refused, peers: [], .host()) == [.send(.c(2), reply)])
        #expect(machine.decided(decision, refused, peers: [], .client()) == [])
    }
}
