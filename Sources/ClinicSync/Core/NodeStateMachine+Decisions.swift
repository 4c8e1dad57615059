import ClinicSyncModel
import OrderedCollections

/// A login that the store granted and that is not told yet.
struct Grant: Sendable, Hashable {
    let asker: LoginAsker
    /// The clinic's nodes.
    let members: Int
    /// Whether the store knew already that most of them cannot be heard.
    let isProvisional: Bool
    /// When it is told although most nodes have not confirmed it.
    let deadline: Duration
    /// Everything that was here when the session's rows were; `nil` until they are collected.
    ///
    /// Not the own batch alone: a session that was granted before may have its rows from another host.
    var vector: VersionVector?
}

// Logins as the host sees them: decided in one transaction of its store, told when most nodes have the rows; and the rule of one
// session a user, which the host restores whenever rows arrive that break it.
//
// The host writes the session's rows itself, so there is nothing that it could forget between a promise and its fulfilment,
// and a repeated request finds the rows. It tells of them when most nodes have them; a new host decides when it has what
// most nodes had as they began to follow it. Two majorities share a node, so no host grants what another granted and told.
// Whoever cannot have a majority grants all the same, as provisional: the clinic goes on.
//
// The overlap of majorities: Gifford, "Weighted Voting for Replicated Data", SOSP 1979. That a follower's word counts for one
// host only at a time is the term's part (docs/design/0007-election.md).
extension NodeStateMachine {
    mutating func decide(_ login: NumberedLogin, for id: ConnectionID) {
        // Peer violation: a node speaks for its own PC alone.
        guard login.request.deviceID == self.links[id]?.identity.node.description else {
            return self.close(id, .protocolViolation)
        }
        self.decide(login.request, for: .peer(id, number: login.id))
    }

    mutating func decide(_ request: LoginRequest, for asker: LoginAsker) {
        guard self.heldLogins.count + self.grants.count < CoreLimits.loginsHeldMax else {
            return self.tell(asker, .unavailable, nil)
        }
        // Clients are about to come back to a new host, and with them what the last one granted.
        let mayWait = self.now.monotonic - self.hostSince < CoreLimits.grantLimit
        self.emitDecision(request, for: asker, hearing: self.hearing, mayWait: mayWait)
    }

    mutating func emitDecision(_ request: LoginRequest, for asker: LoginAsker, hearing: Int, mayWait: Bool) {
        let decision = LoginDecision(
            asker: asker,
            request: request,
            hearing: hearing,
            mayWait: mayWait,
            correctedMilliseconds: self.correctedMilliseconds
        )
        self.emit(.storage(.decideLogin(decision)))
    }

    mutating func decided(_ decision: LoginDecision, _ verdict: LoginVerdict) {
        switch verdict {
        case .tooEarly:
            self.heldLogins.removeAll { $0.asker == decision.asker }
            self.heldLogins.append(decision)
            self.wakeForGrants()
        case .decided(.granted(let isProvisional), let members):
            self.grants.append(
                Grant(
                    asker: decision.asker,
                    members: members,
                    isProvisional: isProvisional,
                    deadline: self.now.monotonic + CoreLimits.grantLimit
                )
            )
            self.wakeForGrants()
            self.collect()
        case .decided(let outcome, _):
            self.tell(decision.asker, outcome, nil)
        }
    }

    /// The marks of everything that was granted so far are collected.
    mutating func grantsCollected() {
        guard !self.grants.isEmpty else { return }
        for index in self.grants.indices where self.grants[index].vector == nil {
            self.grants[index].vector = self.ledger.vector
        }
        self.settleGrants()
    }

    /// Tells of what most nodes have, and decides what waited for most nodes to be heard.
    mutating func settleGrants() {
        guard self.isHost || !self.grants.isEmpty else { return self.heldLogins = [] }
        for grant in self.grants {
            guard let vector = grant.vector, self.mayTell(grant, vector) else { continue }
            self.tell(grant, isProvisional: grant.isProvisional)
        }
        let held = self.heldLogins
        self.heldLogins = []
        for decision in held where self.isHost && self.isWaiting(decision.asker) {
            self.decide(decision.request, for: decision.asker)
        }
    }

    /// Whether most nodes have the rows, or never will, and the asker's has.
    private func mayTell(_ grant: Grant, _ vector: VersionVector) -> Bool {
        if case .peer(let id, _) = grant.asker, let node = self.links[id]?.identity.node, !self.has(node, vector) {
            return false
        }
        return grant.isProvisional || self.followers(having: vector) * 2 > max(grant.members, 1)
    }

    /// Whether anybody still waits for an answer; for nobody no session is begun.
    private func isWaiting(_ asker: LoginAsker) -> Bool {
        if case .peer(let id, _) = asker { return self.links[id] != nil }
        return true
    }

    /// Most nodes did not confirm in time.
    mutating func grantsTimedOut() {
        for grant in self.grants where grant.vector != nil && grant.deadline <= self.now.monotonic {
            self.tell(grant, isProvisional: true)
        }
        self.settleGrants()
        if !self.grants.isEmpty || !self.heldLogins.isEmpty { self.wakeForGrants() }
    }

    /// Sets the timer for the first of those that wait.
    private mutating func wakeForGrants() {
        let first = self.grants.map(\.deadline).min() ?? self.now.monotonic + CoreLimits.grantLimit
        // What is late already waits for its collection, which does not ask the timer.
        let wait = max(first - self.now.monotonic, CoreLimits.grantLimit / 5)
        self.emit(.setTimer(.grants, after: wait))
    }

    private mutating func tell(_ grant: Grant, isProvisional: Bool) {
        self.grants.removeAll { $0.asker == grant.asker }
        let origin = self.configuration.origin
        let sequence = grant.vector?[origin] ?? 0
        let batch = sequence > 0 ? BatchID(origin: origin, sequence: sequence) : nil
        self.tell(grant.asker, .granted(isProvisional: isProvisional), batch)
    }

    private mutating func tell(_ asker: LoginAsker, _ outcome: LoginOutcome, _ batch: BatchID?) {
        switch asker {
        case .command(let command): self.finish(command, outcome)
        case .peer(let id, let number):
            // The client may be gone, or this node host no more; the client asks the next one the same.
            guard self.isHost, self.links[id] != nil else { return }
            self.emit(.send([id], .loginReply(LoginReply(id: number, outcome: outcome, batch: batch))))
        }
    }

    /// This node is host no more; whoever waits asks the next.
    mutating func dropDecisions() {
        self.grants = []
        self.heldLogins = []
        self.withdrawLogins()
    }

    /// Nodes, this one included, that follow this host and of which it has everything that they are known to have.
    private var hearing: Int {
        1
            + self.clients.count { client in
                guard let peer = self.directory[client.node] else { return false }
                return self.ledger.vector.covers(peer.acknowledged)
            }
    }

    /// Nodes, this one included, that follow this host and have all this.
    private func followers(having vector: VersionVector) -> Int {
        1 + self.clients.count { self.has($0.node, vector) }
    }

    private func has(_ node: NodeID, _ vector: VersionVector) -> Bool {
        self.directory[node]?.acknowledged.covers(vector) == true
    }

    // MARK: - The rule

    /// On the host: ends sessions that the rule of one session a user does not allow, and those that have expired.
    mutating func keepSessions() {
        guard self.phase == .running, self.isHost else { return }
        guard !self.isKeepingSessions else {
            self.mustKeepSessions = true
            return
        }
        self.isKeepingSessions = true
        self.mustKeepSessions = false
        self.emit(.setTimer(.sessions, after: CoreLimits.sessionsInterval))
        self.emit(
            .storage(
                .keepSessions(hearing: self.hearing, correctedMilliseconds: self.correctedMilliseconds)
            )
        )
    }

    mutating func sessionsKept(changes: Int) {
        self.isKeepingSessions = false
        if changes > 0 { self.collect() }
        if self.mustKeepSessions { self.keepSessions() }
    }
}
