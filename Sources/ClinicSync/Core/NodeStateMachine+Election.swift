import ClinicSyncModel
import OrderedCollections

// Who is host: what the election decides, carried out.
extension NodeStateMachine {
    /// Whether this node is host.
    var isHost: Bool { self.election.isHost }

    /// The connection with the host, on a client.
    var hostConnection: ConnectionID? {
        self.election.hostConnection.flatMap { self.links[$0] == nil ? nil : $0 }
    }

    /// The term that goes with every frame: that of the host this node follows, or the highest it has heard of.
    package var term: UInt64 { self.election.highestTerm }

    // MARK: - Reports

    /// What this node says of itself and of the host.
    var hostReport: HostReport {
        let reign = self.election.reign
        let role: MemberRole = self.isHost ? .host : reign == nil ? .searching : .client
        return HostReport(
            role: role,
            term: self.election.highestTerm,
            reign: reign,
            addresses: self.hostAddresses,
            candidacy: self.election.candidacy,
            successors: self.isHost ? self.successors : []
        )
    }

    private var hostAddresses: [String] {
        if self.isHost { return self.addresses }
        return self.hostConnection.flatMap { self.links[$0]?.identity.addresses } ?? []
    }

    /// Brings up to date what this node says of its worth as host.
    mutating func refreshCandidacy() {
        let minutes = UInt64(max((self.now.monotonic - self.startedAt) / .seconds(60), 0))
        let doublings = UInt32(UInt64.bitWidth - minutes.leadingZeroBitCount)
        self.election.candidacy.uptimeBucket = min(doublings, CoreLimits.uptimeBucketsMax)
        self.election.candidacy.coverage = self.ledger.vector.total
    }

    mutating func receive(_ report: HostReport, on id: ConnectionID, from identity: PeerIdentity) {
        guard report.candidacy.node == identity.node else { return self.close(id, .protocolViolation) }
        self.links[id]?.report = report
        self.consider(report, on: id, from: identity)
    }

    /// Gives the election what a peer reports.
    mutating func consider(_ report: HostReport, on id: ConnectionID, from identity: PeerIdentity) {
        self.refreshCandidacy()
        let time = self.now.monotonic
        self.perform(
            self.election.reported(id, by: identity.node, report, at: time, using: &self.generator)
        )
    }

    /// Names who shall claim when this host is gone: those who have everything, the longest running first.
    ///
    /// Told only when it has changed.
    mutating func updateSuccessors() {
        guard self.isHost else { return }
        let own = self.configuration.origin.node
        let candidates = self.links.values
            .filter { $0.report.role == .client && $0.report.reign?.host == own && $0.report.candidacy.priority > 0 }
            .map { link in
                let known = self.directory[link.identity.node]?.acknowledged ?? VersionVector()
                let isCaughtUp: UInt64 = known.covers(self.ledger.vector) ? 1 : 0
                var candidacy = link.report.candidacy
                candidacy.coverage = isCaughtUp
                return (candidacy, NodeAddresses(node: link.identity.node, addresses: link.identity.addresses))
            }
        let best = candidates.sorted { $0.0 > $1.0 }.prefix(HostReport.successorsMax).map(\.1)
        guard best != self.successors else { return }
        self.successors = best
        self.election.isLone = best.isEmpty
        self.announce()
        self.electionTimerFired()
    }

    /// Tells a peer what has changed between our hello and its own, when changes were announced to others alone.
    mutating func correct(_ greeted: HostReport?, on id: ConnectionID) {
        let report = self.hostReport
        guard let greeted, (greeted.role, greeted.reign) != (report.role, report.reign) else { return }
        self.emit(.send([id], .hostReport(report)))
    }

    private mutating func announce() {
        let receivers = Array(self.links.keys)
        if !receivers.isEmpty { self.emit(.send(receivers, .hostReport(self.hostReport))) }
    }

    // MARK: - Decisions

    mutating func electionTimerFired() {
        self.refreshCandidacy()
        self.perform(self.election.timerFired(at: self.now.monotonic))
        self.settleForPeers()
    }

    /// Exchanges with a client of a host that this node does not reach: better than waiting for it.
    private mutating func settleForPeers() {
        guard self.isolation == .isolated, self.election.reign == nil else { return }
        guard let peer = self.links.values.first(where: { $0.report.role == .client }) else { return }
        self.clockOffset.begin(with: peer.wallAhead)
        self.endIsolation()
    }

    mutating func termRecorded(_ term: UInt64) {
        self.refreshCandidacy()
        self.perform(self.election.recorded(term))
    }

    mutating func perform(_ actions: [ElectionStateMachine.Action]) {
        for action in actions {
            switch action {
            case .record(let term): self.emit(.storage(.recordTerm(term)))
            case .setTimer(let delay): self.emit(.setTimer(.election, after: delay))
            case .becomeHost(let reign): self.becomeHost(reign)
            case .follow(let id, let reign, let wasHost): self.follow(id, reign, wasHost: wasHost)
            case .search: self.search()
            case .seek(let reign, let addresses): self.seek(reign, addresses)
            case .announce: self.announce()
            case .close(let id): self.close(id, .notHost)
            case .healed(let other): self.emit(.notify(.splitHealed(other)))
            }
        }
        // After the announcement: a client says that it is one before it asks as one.
        self.placeLogins()
        if self.isLastWordSpoken { self.stop() }
    }

    private mutating func becomeHost(_ reign: Reign) {
        self.endClientWork()
        if self.election.isLone { self.successors = [] }
        self.emit(.cancelTimer(.election))
        self.emit(
            .notify(.hostChanged(reign.host, name: self.configuration.nodeName, term: reign.term))
        )
        self.enter(.probe)
        self.endIsolation()
        self.transferred(to: reign)
        self.hostSince = self.now.monotonic
        self.keepSessions()
    }

    private mutating func follow(_ id: ConnectionID, _ reign: Reign, wasHost: Bool) {
        guard let identity = self.links[id]?.identity else { return }
        self.endClientWork()
        if wasHost { self.perform(self.sync.breakOff()) }
        self.dropDecisions()
        self.successors = []
        self.clockOffset.hostChanged()
        if let ahead = self.links[id]?.wallAhead { self.clockOffset.begin(with: ahead) }
        self.endIsolation()
        self.acknowledgedByHost = self.directory[identity.node]?.acknowledged[self.configuration.origin] ?? 0
        self.emit(.cancelTimer(.election))
        self.emit(.notify(.hostChanged(reign.host, name: identity.name, term: reign.term)))
        let delay = CoreLimits.firstReconcileDelay
        self.emit(.setTimer(.reconcile, after: delay + self.generator.duration(upTo: delay)))
        self.enter(.rest)
        self.transferred(to: reign)
    }

    private mutating func search() {
        self.endClientWork()
        self.dropDecisions()
        self.perform(self.sync.breakOff())
        self.successors = []
        self.emit(.notify(.hostChanged(nil, name: nil, term: self.election.highestTerm)))
        for successor in self.election.successors where successor.node != self.configuration.origin.node {
            self.dialling.hurry(successor.addresses, node: successor.node, at: self.returnTime)
        }
        if let last = self.lastHost {
            self.dialling.hurry(last.addresses, node: last.node, at: self.now.monotonic)
        }
        self.enter(.search)
    }

    private mutating func seek(_ reign: Reign, _ addresses: [String]) {
        self.dialling.hurry(addresses, node: reign.host, at: self.returnTime)
        self.dial()
    }

    /// When this node dials the next host: clients of a large clinic must not all come in the same instant.
    private var returnTime: Duration {
        mutating get {
            let isSuccessor = self.election.successors.contains { $0.node == self.configuration.origin.node }
            return self.now.monotonic + (isSuccessor ? .zero : self.generator.duration(upTo: self.returnSpread))
        }
    }

    private var returnSpread: Duration {
        min(CoreLimits.returnSpreadMax, CoreLimits.returnSpread * self.dialling.addresses.count)
    }

    private mutating func enter(_ mode: DialPool.Mode) {
        let spread = self.returnSpread
        self.dialling.enter(mode, at: self.now.monotonic, spread: spread, using: &self.generator)
        self.dial()
    }

    /// Ends what a client does with its host.
    private mutating func endClientWork() {
        self.verification = nil
        self.perform(self.reconciliation.breakOff())
        for wish in self.syncWishes { self.answer(wish, .unreachable) }
        self.syncWishes = []
    }
}
