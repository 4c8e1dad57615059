package import ClinicSyncModel

/// Everything about people's sessions: logins of this PC, decisions of the host, and the rule of one session a user.
package struct SessionsStateMachine: Sendable, Hashable {
    private var logins = LoginStateMachine()
    private var decisions = LoginDecisionStateMachine()
    private var rule = SessionRuleStateMachine()

    /// Makes a machine without sessions to decide on.
    package init() {}

    /// Whether the host is deciding on any login, so that it matters what peers acknowledge.
    package var isDeciding: Bool { self.decisions.isBusy }

    /// Whether any login of this PC waits for its answer.
    package var hasLogins: Bool { !self.logins.isEmpty }

    // MARK: - Logins of this PC

    /// A program asks for a login.
    package mutating func requested(
        _ request: LoginRequest,
        by command: RequestID,
        peers: [LinkedPeer],
        _ context: NodeContext
    ) -> [Directive] {
        let actions = self.logins.requested(request, by: command, context)
        return self.perform(actions, peers, context)
    }

    /// The timer of a login fired.
    package mutating func loginTimedOut(_ number: UInt64, peers: [LinkedPeer], _ context: NodeContext) -> [Directive] {
        let actions = self.logins.timedOut(number, context)
        return self.perform(actions, peers, context)
    }

    /// The host answered a login.
    package mutating func answered(_ reply: LoginReply, on id: ConnectionID, _ context: NodeContext) -> [Directive] {
        let actions = self.logins.answered(reply, on: id, vector: context.vector)
        return self.perform(actions, [], context)
    }

    /// This node has applied batches.
    package mutating func applied(_ context: NodeContext) -> [Directive] {
        let actions = self.logins.applied(context.vector)
        return self.perform(actions, [], context)
    }

    /// The election did something: logins go to the present host.
    package mutating func hostMayHaveChanged(peers: [LinkedPeer], _ context: NodeContext) -> [Directive] {
        let actions = self.logins.hostMayHaveChanged(context)
        return self.perform(actions, peers, context)
    }

    /// The node stops: answers every login of this PC.
    package mutating func stop(_ context: NodeContext) -> [Directive] {
        let actions = self.logins.stop()
        return self.perform(actions, [], context)
    }

    // MARK: - Decisions of the host

    /// A client asks the host to decide on a login; `number` is the client's number of the request.
    package mutating func requested(
        _ login: LoginRequest,
        number: UInt64,
        by id: ConnectionID,
        peers: [LinkedPeer],
        _ context: NodeContext
    ) -> [Directive] {
        // Peer violation: a node may speak for its own PC alone.
        let node = peers.first { $0.connection == id }?.identity.node
        guard login.deviceID == node?.description else { return [.close(id, .protocolViolation)] }
        let actions = self.decisions.requested(
            login,
            by: .peer(id, id: number),
            peers: peers,
            context
        )
        return self.perform(actions, context)
    }

    /// The store decided on a login.
    package mutating func decided(
        _ decision: LoginDecision,
        _ verdict: LoginVerdict,
        peers: [LinkedPeer],
        _ context: NodeContext
    ) -> [Directive] {
        let actions = self.decisions.decided(decision, verdict, peers: peers, context)
        return self.perform(actions, context)
    }

    /// A peer has acknowledged batches.
    package mutating func settle(peers: [LinkedPeer], _ context: NodeContext) -> [Directive] {
        let actions = self.decisions.settle(peers: peers, context)
        return self.perform(actions, context)
    }

    /// The timer of the host's decisions fired.
    package mutating func decisionsTimedOut(peers: [LinkedPeer], _ context: NodeContext) -> [Directive] {
        let actions = self.decisions.timedOut(peers: peers, context)
        return self.perform(actions, context)
    }

    /// This node is host from now on.
    package mutating func becameHost(at time: Duration) { self.decisions.becameHost(at: time) }

    /// This node follows another host, or none.
    package mutating func abdicated() {
        self.decisions.abdicated()
        self.logins.abdicated()
    }

    // MARK: - The rule of one session

    /// The host must restore the rule: rows of users changed, or the timer fired.
    package mutating func keepRule(peers: [LinkedPeer], _ context: NodeContext) -> [Directive] {
        let hearing = LoginDecisionStateMachine.hearing(peers, context)
        return self.rule.keep(
            hearing: hearing,
            members: LoginDecisionStateMachine.members(peers, context),
            clinicMilliseconds: context.clinicMilliseconds
        )
    }

    /// The store restored the rule.
    ///
    /// - Returns: Whether the host must restore the rule once more.
    package mutating func ruleKept() -> Bool { self.rule.kept() }

    /// The store could not restore the rule.
    package mutating func ruleFailed() { self.rule.failed() }

    // MARK: - Steps

    private mutating func perform(
        _ actions: [LoginStateMachine.Action],
        _ peers: [LinkedPeer],
        _ context: NodeContext
    ) -> [Directive] {
        var result: [Directive] = []
        for action in actions {
            switch action {
            case .effect(let effect):
                result.append(.effect(effect))
            case .decide(let request, let command):
                let decide = self.decisions.requested(request, by: .command(command), peers: peers, context)
                result += self.perform(decide, context)
            case .decideAlone(let request, let command):
                let alone = LoginDecisionStateMachine.ask(
                    request,
                    for: .command(command),
                    hearing: 0,
                    members: LoginDecisionStateMachine.members(peers, context),
                    mayWait: false,
                    context
                )
                result += self.perform([alone], context)
            }
        }
        return result
    }

    private mutating func perform(
        _ actions: [LoginDecisionStateMachine.Action],
        _ context: NodeContext
    ) -> [Directive] {
        var result: [Directive] = []
        for action in actions {
            switch action {
            case .effect(let effect): result.append(.effect(effect))
            case .decide(let decision): result.append(.submit(.decideLogin(decision)))
            case .answer(.command(let command), let outcome, _):
                let answers = self.logins.decided(command, outcome)
                result += self.perform(answers, [], context)
            case .answer(.peer(let id, let number), let outcome, let batch):
                // A node that is host no more says nothing; the client asks the next host the same.
                guard context.isHost else { continue }
                let reply = LoginReply(id: number, outcome: outcome, batch: batch)
                result.append(.send(id, .loginReply(reply)))
            }
        }
        return result
    }
}
