package import ClinicSyncModel

/// Logins as the host sees them: the store decides in one transaction, and the host answers when most nodes have the
/// rows.
///
/// The host writes the session's rows itself. So it cannot forget a promise, and a repeated request finds the rows. The
/// host answers when most nodes have acknowledged the rows. A new host decides when it has everything that most nodes
/// had as they began to follow it. Two majorities share a node, so no host grants what another host granted and
/// answered. A host without a majority grants all the same, as provisional, so that people can work.
///
/// The overlap of majorities: Gifford, "Weighted Voting for Replicated Data", SOSP 1979. A follower counts for one host
/// at a time because of the terms (`docs/design/0007-election.md`). `docs/design/0008-sessions.md` has the whole
/// argument.
package struct LoginDecisionStateMachine: Sendable, Hashable {
    /// A login that the store granted and that is not answered yet.
    private struct GrantedLogin: Sendable, Hashable {
        let requester: Requester
        /// The number of nodes in the clinic.
        let members: Int
        /// Whether the store knew already that most of them cannot be heard.
        let isProvisional: Bool
        /// When the login is answered although most nodes have not confirmed it.
        let deadline: Duration
        /// What this host had applied when the store decided, the session's rows included.
        ///
        /// Not the own batch alone: a session that was granted before may have its rows from another host.
        let vector: VersionVector
    }

    /// What is to be done, in this order.
    package enum Action: Sendable, Hashable {
        /// Pass on the effect.
        case effect(Effect)
        /// Have the store decide, as soon as no collection is in progress.
        case decide(LoginDecision)
        /// Answer; the session's rows are in the batch.
        case answer(Requester, LoginOutcome, BatchID?)
    }

    /// Decisions that wait until most nodes are heard.
    private var held: [LoginDecision] = []
    /// Logins that were granted and wait until most nodes have the rows.
    private var granted: [GrantedLogin] = []
    /// Requesters of decisions that the store has not made yet.
    private var submitted: [Requester] = []
    /// When this node last became host.
    private var hostSince: Duration = .zero

    /// Makes a machine without logins.
    package init() {}

    /// Whether any login is being decided.
    package var isBusy: Bool { !self.held.isEmpty || !self.granted.isEmpty }

    /// This node is host from now on.
    package mutating func becameHost(at time: Duration) { self.hostSince = time }

    /// This node is host no more; the requesters ask the next host.
    package mutating func abdicated() {
        self.granted = []
        self.held = []
        self.submitted = []
    }

    /// Decides on a login; at most ``CoreLimits/loginsHeldMax`` at a time.
    package mutating func requested(
        _ request: LoginRequest,
        by requester: Requester,
        peers: [LinkedPeer],
        _ context: NodeContext
    ) -> [Action] {
        // The decision for a lost connection may have been withdrawn.
        self.submitted = self.submitted.filter { self.isWaiting($0, peers) }
        guard self.held.count + self.granted.count + self.submitted.count < CoreLimits.loginsHeldMax else {
            return [.answer(requester, .unavailable, nil)]
        }
        self.submitted.append(requester)
        // The clients of the last host are about to come to this one, and with them what that host granted.
        let mayWait = context.time.monotonic - self.hostSince < CoreLimits.grantLimit
        let hearing = LoginDecisionStateMachine.hearing(peers, context)
        return [
            LoginDecisionStateMachine.ask(
                request,
                for: requester,
                hearing: hearing,
                members: LoginDecisionStateMachine.members(peers, context),
                mayWait: mayWait,
                context
            )
        ]
    }

    /// The request to the store to decide on a login.
    package static func ask(
        _ request: LoginRequest,
        for requester: Requester,
        hearing: Int,
        members: Int,
        mayWait: Bool,
        _ context: NodeContext
    ) -> Action {
        let decision = LoginDecision(
            requester: requester,
            request: request,
            hearing: hearing,
            members: members,
            mayWait: mayWait,
            correctedMilliseconds: context.clinicMilliseconds
        )
        return .decide(decision)
    }

    /// How many nodes, this one included, follow this host and have nothing that this host lacks.
    package static func hearing(_ peers: [LinkedPeer], _ context: NodeContext) -> Int {
        1 + peers.count { $0.isFollower && context.vector.covers($0.acknowledged) }
    }

    /// How many members the clinic has, as far as signatures prove it.
    ///
    /// Nobody raises or lowers the number by rows in the database: who has no valid certificate does not count, and
    /// only a valid revocation ends a membership.
    package static func members(_ peers: [LinkedPeer], _ context: NodeContext) -> Int {
        context.members.count(with: [context.origin.node] + peers.map(\.identity.node))
    }

    /// The store decided, or found it too early to decide.
    ///
    /// A granted login has its rows in a batch already: the store writes both in one transaction.
    package mutating func decided(
        _ decision: LoginDecision,
        _ verdict: LoginVerdict,
        peers: [LinkedPeer],
        _ context: NodeContext
    ) -> [Action] {
        let time = context.time.monotonic
        if let index = self.submitted.firstIndex(of: decision.requester) { self.submitted.remove(at: index) }
        switch verdict {
        case .tooEarly:
            self.held.removeAll { $0.requester == decision.requester }
            self.held.append(decision)
            return [self.timer(at: time)]
        case .decided(.granted(let isProvisional), let members):
            self.granted.append(
                GrantedLogin(
                    requester: decision.requester,
                    members: members,
                    isProvisional: isProvisional,
                    deadline: time + CoreLimits.grantLimit,
                    vector: context.vector
                )
            )
            let timer = self.timer(at: time)
            return [timer] + self.settle(peers: peers, context)
        case .decided(.conflict(let holders), _):
            return [.answer(decision.requester, .conflict(holders), nil)]
        case .decided(.refused, _):
            return [.answer(decision.requester, .refused, nil)]
        case .decided(.unavailable, _):
            return [.answer(decision.requester, .unavailable, nil)]
        }
    }

    /// Answers what most nodes have, and decides what waited for most nodes to be heard.
    package mutating func settle(peers: [LinkedPeer], _ context: NodeContext) -> [Action] {
        guard context.isHost || !self.granted.isEmpty else {
            self.held = []
            return []
        }
        var actions: [Action] = []
        for login in self.granted where self.mayAnswer(login, peers) {
            actions.append(self.answer(login, isProvisional: login.isProvisional, context))
        }
        let held = self.held
        self.held = []
        for decision in held where context.isHost && self.isWaiting(decision.requester, peers) {
            actions += self.requested(decision.request, by: decision.requester, peers: peers, context)
        }
        return actions
    }

    /// Most nodes did not confirm in time, or were not heard in time.
    package mutating func timedOut(peers: [LinkedPeer], _ context: NodeContext) -> [Action] {
        let now = context.time.monotonic
        var actions: [Action] = []
        for login in self.granted where login.deadline <= now {
            actions.append(self.answer(login, isProvisional: true, context))
        }
        actions += self.settle(peers: peers, context)
        return actions + (self.isBusy ? [self.timer(at: now)] : [])
    }

    // MARK: - Steps

    /// Whether the requester's node has the rows, and most nodes have them or never will.
    private func mayAnswer(_ login: GrantedLogin, _ peers: [LinkedPeer]) -> Bool {
        if case .peer(let id, _) = login.requester, let peer = peers.first(where: { $0.connection == id }),
            !peer.acknowledged.covers(login.vector)
        {
            return false
        }
        let confirmed = 1 + peers.count { $0.isFollower && $0.acknowledged.covers(login.vector) }
        return login.isProvisional || confirmed * 2 > max(login.members, 1)
    }

    /// Whether the requester still waits for an answer; without it no session is begun.
    private func isWaiting(_ requester: Requester, _ peers: [LinkedPeer]) -> Bool {
        switch requester {
        case .command: true
        case .peer(let id, _): peers.contains { $0.connection == id }
        }
    }

    /// The timer for the first deadline.
    private func timer(at time: Duration) -> Action {
        let first = self.granted.map(\.deadline).min() ?? time + CoreLimits.grantLimit
        // A login whose deadline has passed is answered when the timer fires: never at once, so that the timer cannot spin.
        let wait = max(first - time, CoreLimits.grantLimit / 5)
        return .effect(.setTimer(.grants, after: wait))
    }

    private mutating func answer(_ login: GrantedLogin, isProvisional: Bool, _ context: NodeContext) -> Action {
        self.granted.removeAll { $0.requester == login.requester }
        let sequence = login.vector[context.origin]
        let batch = sequence > 0 ? BatchID(origin: context.origin, sequence: sequence) : nil
        return .answer(login.requester, .granted(isProvisional: isProvisional), batch)
    }
}
