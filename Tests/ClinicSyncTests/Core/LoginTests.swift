import ClinicSyncCore
import ClinicSyncModel
import Testing

/// Logins on one node.
///
/// Each test reads as a transcript.
@Suite("Logins, as one node sees them") struct LoginTests {
    private let program = RequestID(rawValue: 7)

    private func login(from node: UInt64, _ session: String = "s1") -> LoginRequest {
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

    private func decision(
        _ requester: Requester,
        _ request: LoginRequest,
        hearing: Int,
        mayWait: Bool = false
    ) -> LoginDecision {
        LoginDecision(
            requester: requester,
            request: request,
            hearing: hearing,
            members: max(hearing, 1),
            mayWait: mayWait,
            correctedMilliseconds: 1_000_000
        )
    }

    /// A client of node 1 with a program that logs a user in.
    private func asking() -> Bench {
        var client = Bench(.client(2))
        client.start()
        client.connect(1, to: .host, dialled: "host:1")
        let effects = client.give(.commandReceived(self.program, .login(self.login(from: 2))))
        #expect(
            effects == [
                .setTimer(.login(1), after: .seconds(3)),
                .send([.c(1)], .loginRequest(id: 1, self.login(from: 2))),
            ]
        )
        return client
    }

    /// A host with the clients 2 and 3.
    ///
    /// It has been host for longer than its longest wait.
    private func host() -> Bench {
        var host = Bench(.host)
        host.start()
        host.connect(2, to: .client(2))
        host.connect(3, to: .client(3))
        host.advance(.milliseconds(1_600))
        return host
    }

    private func answered(_ outcome: LoginOutcome) -> Effect { .reply(self.program, .loginDecided(outcome)) }

    private func request(_ host: inout Bench, of client: UInt64) -> [Effect] {
        host.give(.received(.c(client), .loginRequest(id: 9, self.login(from: client))))
    }

    // MARK: - The asking side

    @Test("a conflict is told at once; the same answer again is nobody's")
    func conflict() {
        var client = self.asking()
        let reply = Input.received(.c(1), .loginReply(LoginReply(id: 1, outcome: .conflict([]))))
        #expect(client.give(reply) == [.cancelTimer(.login(1)), self.answered(.conflict([]))])
        #expect(client.give(reply) == [])
    }

    @Test("a grant is told when its rows are here, not before")
    func rowsFirst() {
        var client = self.asking()
        let granted = LoginOutcome.granted(isProvisional: false)
        let reply = LoginReply(id: 1, outcome: granted, batch: BatchID(origin: .o(1), sequence: 4))
        #expect(client.give(.received(.c(1), .loginReply(reply))) == [])
        #expect(!client.give(.storageReplied(.collected(.of(vector: .v(3))))).contains(self.answered(granted)))
        #expect(client.give(.storageReplied(.collected(.of(vector: .v(4))))).contains(self.answered(granted)))
    }

    @Test("when the host is gone the same is asked of the next, also when the grant's rows never came")
    func nextHost() {
        var client = self.asking()
        let reply = LoginReply(
            id: 1,
            outcome: .granted(isProvisional: false),
            batch: BatchID(origin: .o(1), sequence: 4)
        )
        client.give(.received(.c(1), .loginReply(reply)))
        client.give(.connectionClosed(.c(1)))
        // The next host is node 1 again, over another connection.
        let effects = client.connect(5, to: .host, dialled: "host:1")
        #expect(
            effects.messages.contains(.loginRequest(id: 1, self.login(from: 2)))
        )
    }

    @Test("without a host the node decides by itself after 3 s, hearing nobody; it gives up after as much again")
    func withoutHost() {
        var client = Bench(.client(2))
        client.start()
        #expect(
            client.give(.commandReceived(self.program, .login(self.login(from: 2)))) == [
                .setTimer(.login(1), after: .seconds(3))
            ]
        )
        let decision = self.decision(.command(self.program), self.login(from: 2), hearing: 0)
        #expect(client.give(.timerFired(.login(1))).requests == [.decideLogin(decision)])
        #expect(client.give(.timerFired(.login(1))) == [self.answered(.unavailable)])
    }

    @Test("a node that stops answers those who wait")
    func stop() {
        var client = self.asking()
        #expect(client.give(.shutdownRequested).contains(self.answered(.unavailable)))
    }

    // MARK: - The host's side

    @Test("a grant is told when most nodes have its rows")
    func majority() {
        var host = self.host()
        let login = self.login(from: 2)
        let asked = self.request(&host, of: 2).requests
        guard case .decideLogin(let decision)? = asked.first else {
            Issue.record("it does not decide: \(asked)")
            return
        }
        #expect(decision.hearing == 3 && decision.request == login && !decision.mayWait)
        let granted = LoginVerdict.decided(.granted(isProvisional: false), members: 4)
        #expect(host.give(.storageReplied(.loginDecided(decision, granted, .of(vector: .v(1))))).messages == [])
        func confirm(_ client: UInt64) -> [Message] {
            let applied = Acknowledgement(applied: [.init(origin: .o(1), sequence: 1)], creditBytes: 0)
            return host.give(.received(.c(client), .acknowledge(applied))).messages
        }
        #expect(confirm(2) == [])
        let batch = BatchID(origin: .o(1), sequence: 1)
        let reply = LoginReply(id: 9, outcome: .granted(isProvisional: false), batch: batch)
        #expect(confirm(3) == [.loginReply(reply)])
    }

    @Test("whoever is known by a signature counts, and a member that is revoked counts no more")
    func members() {
        var host = self.host()
        func decided(_ members: KnownMembers) -> (hearing: Int, members: Int)? {
            host.give(.membersChanged(members))
            guard case .decideLogin(let decision)? = self.request(&host, of: 2).requests.first else { return nil }
            host.give(.storageReplied(.loginDecided(decision, .decided(.refused, members: 0), .of(vector: .v()))))
            return (decision.hearing, decision.members)
        }
        // The clients 2 and 3 are connected, so they count in any case.
        #expect(decided(KnownMembers(present: [.n(1)]))?.members == 3)
        #expect(decided(KnownMembers(present: (1...6).map { .n($0) }))?.members == 6)
        #expect(decided(KnownMembers(present: (1...5).map { .n($0) }, past: [.n(6)])) ?? (0, 0) == (3, 5))
    }

    @Test("members that lapsed count only while they are connected, also when the list of members comes again")
    func lapsed() {
        var host = self.host()
        host.give(.storageReplied(.pruned(UpkeepOutcome(lapsed: [.n(2), .n(4), .n(5), .n(9)]))))
        host.give(.membersChanged(KnownMembers(present: (1...6).map { .n($0) })))
        func decided() -> Int? {
            guard case .decideLogin(let decision)? = self.request(&host, of: 2).requests.first else { return nil }
            host.give(.storageReplied(.loginDecided(decision, .decided(.refused, members: 0), .of(vector: .v()))))
            return decision.members
        }
        #expect(decided() == 4)
        host.give(.storageReplied(.pruned(UpkeepOutcome())))
        #expect(decided() == 6)
    }

    @Test("the rows of a granted login leave with the store's decision, before any node confirms them")
    func rowsLeaveAtOnce() {
        var host = self.host()
        guard case .decideLogin(let decision)? = self.request(&host, of: 2).requests.first else {
            Issue.record("it does not decide")
            return
        }
        let rows = BatchChunk.of(1, 1)
        let granted = LoginVerdict.decided(.granted(isProvisional: false), members: 4)
        let reply = StorageReply.loginDecided(decision, granted, .of([rows.at(1)], vector: .v(1)))
        let effects = host.give(.storageReplied(reply))
        #expect(effects.messages.contains(.chunk(rows)))
        #expect(!effects.requests.contains { if case .collect = $0 { true } else { false } })
    }

    @Test("what most nodes do not confirm in time is told as provisional")
    func unconfirmed() {
        var host = self.host()
        guard case .decideLogin(let decision)? = self.request(&host, of: 2).requests.first else {
            Issue.record("it does not decide")
            return
        }
        let granted = LoginVerdict.decided(.granted(isProvisional: false), members: 4)
        host.give(.storageReplied(.loginDecided(decision, granted, .of(vector: .v(1)))))
        let batch = BatchID(origin: .o(1), sequence: 1)
        let reply = LoginReply(id: 9, outcome: .granted(isProvisional: true), batch: batch)
        #expect(host.give(.timerFired(.grants)).messages == [])
        // The asking node has the rows by now, but one node is not a quorum.
        let applied = Acknowledgement(applied: [.init(origin: .o(1), sequence: 1)], creditBytes: 0)
        #expect(host.give(.received(.c(2), .acknowledge(applied))).messages == [])
        host.advance(.milliseconds(1_500))
        #expect(host.give(.timerFired(.grants)).messages == [.loginReply(reply)])
    }

    @Test("a new host waits for its clients before it decides, and no longer than 1.5 s")
    func newHost() {
        var host = Bench(.host)
        host.start()
        host.connect(2, to: .client(2))
        guard case .decideLogin(let early)? = self.request(&host, of: 2).requests.first else {
            Issue.record("it does not ask its store")
            return
        }
        #expect(early.mayWait && early.hearing == 2)
        #expect(
            host.give(.storageReplied(.loginDecided(early, .tooEarly, .of(vector: .v())))) == [
                .setTimer(.grants, after: .milliseconds(1_500))
            ]
        )
        host.advance(.milliseconds(1_500))
        guard case .decideLogin(let late)? = host.give(.timerFired(.grants)).requests.first else {
            Issue.record("it decides never")
            return
        }
        #expect(!late.mayWait && late.requester == early.requester && late.request == early.request)
    }

    @Test("a node that asks in the name of another PC is sent away")
    func foreignDevice() {
        var host = self.host()
        let foreign = Message.loginRequest(id: 9, self.login(from: 3))
        #expect(host.give(.received(.c(2), foreign)).closes == [.protocolViolation])
    }
}
