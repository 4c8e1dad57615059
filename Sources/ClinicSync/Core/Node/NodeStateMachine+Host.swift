import ClinicSyncModel

// Who is host: carries out what the election decides, and hands over.
extension NodeStateMachine {
    /// Carries out what the election decided.
    mutating func carryOut(_ actions: [ElectionStateMachine.Action]) {
        for action in actions {
            switch action {
            case .record(let term): self.emit(.storage(.recordTerm(term)))
            case .setTimer(let delay): self.emit(.setTimer(.election, after: delay))
            case .becomeHost(let reign): self.becomeHost(reign)
            case .follow(let id, let reign, let wasHost): self.follow(id, reign, wasHost: wasHost)
            case .search: self.search()
            case .seek(let reign, let addresses):
                let better = NodeAddresses(node: reign.host, addresses: addresses)
                let (successors, time) = (self.election.successors, self.now.monotonic)
                self.peers.seek(better, successors: successors, at: time, using: &self.turn.generator)
                self.dial()
            case .announce: self.announce()
            case .close(let id): self.close(id, .notHost)
            case .healed(let other): self.emit(.notify(.splitHealed(other)))
            }
        }
        // Logins move after the announcement: a client says that it is client before it asks as a client.
        if self.sessions.hasLogins {
            self.carryOut(self.sessions.hostMayHaveChanged(peers: self.peers.linkedPeers, self.context))
        }
        // A node that stops has told everybody that its successor is host.
        if self.phase == .running, self.handOver.isShutdown, !self.isHost { self.stop() }
    }

    // MARK: - Reports

    /// Gives the election a peer's report.
    mutating func consider(_ report: HostReport, on id: ConnectionID, from node: NodeID) {
        self.refreshCandidacy()
        self.carryOut(self.election.reported(id, by: node, report, at: self.now.monotonic, using: &self.turn.generator))
    }

    /// Tells the election what this node would be worth as host now.
    mutating func refreshCandidacy() {
        let (patience, time) = (self.peers.patience, self.now.monotonic)
        let asked = self.election.reign == nil ? self.peers.asked(at: time) : []
        self.election.refresh(coverage: self.data.vector.total, patience: patience, asked: asked, at: time)
    }

    /// Sends this node's report to all peers.
    mutating func announce() {
        let links = self.peers.linkIDs
        if !links.isEmpty { self.emit(.send(links, .hostReport(HostReport(of: self)))) }
    }

    /// On the host: says who shall claim when this host is gone, when that has changed.
    mutating func chooseSuccessors() {
        guard self.isHost else { return }
        let (peers, vector) = (self.peers.linkedPeers, self.data.vector)
        guard self.election.chooseSuccessors(among: peers, vector: vector) else { return }
        self.announce()
        self.electionTimerFired()
    }

    // MARK: - Decisions of the election

    /// The election's timer fired, or the successors changed.
    mutating func electionTimerFired() {
        self.refreshCandidacy()
        self.carryOut(self.election.timerFired(at: self.now.monotonic))
        // A node that reaches no host exchanges with a client of one: that is better than waiting for the host.
        guard self.data.isIsolated, self.election.reign == nil, let peer = self.peers.firstClient else { return }
        self.clock.borrow(ahead: peer.wallAhead)
        self.endIsolation()
    }

    private mutating func becomeHost(_ reign: Reign) {
        self.carryOut(self.data.hostChanged(self.context))
        self.emit(.cancelTimer(.election))
        self.emit(.notify(.hostChanged(reign.host, name: self.configuration.nodeName, term: reign.term)))
        self.peers.enter(.probe, at: self.now.monotonic, using: &self.turn.generator)
        self.dial()
        self.endIsolation()
        self.carryOut(self.handOver.hostChanged(to: reign, isHost: true))
        self.sessions.becameHost(at: self.now.monotonic)
        self.keepSessionRule()
    }

    private mutating func follow(_ id: ConnectionID, _ reign: Reign, wasHost: Bool) {
        guard let link = self.peers.link(id) else { return }
        self.carryOut(self.data.hostChanged(self.context))
        self.carryOut(self.data.abdicated(wasHost: wasHost))
        self.sessions.abdicated()
        self.clock.follow(ahead: link.wallAhead)
        self.endIsolation()
        self.data.follow(acknowledged: self.peers.acknowledged(by: link.identity.node))
        self.emit(.cancelTimer(.election))
        self.emit(.notify(.hostChanged(reign.host, name: link.identity.name, term: reign.term)))
        let delay = CoreLimits.firstReconcileDelay
        self.emit(.setTimer(.reconcile, after: delay + self.turn.generator.duration(upTo: delay)))
        self.peers.enter(.rest, at: self.now.monotonic, using: &self.turn.generator)
        self.dial()
        self.carryOut(self.handOver.hostChanged(to: reign, isHost: self.isHost))
    }

    private mutating func search() {
        self.carryOut(self.data.hostChanged(self.context))
        self.sessions.abdicated()
        self.carryOut(self.data.abdicated(wasHost: true))
        self.emit(.notify(.hostChanged(nil, name: nil, term: self.election.highestTerm)))
        let (successors, time) = (self.election.successors, self.now.monotonic)
        self.peers.searchHost(successors: successors, at: time, using: &self.turn.generator)
        self.dial()
    }

    // MARK: - Hand-over

    /// Stops in order: a host lets another node take its place first.
    mutating func shutDown() {
        guard self.phase == .running, self.isHost, !self.handOver.isShutdown else { return self.stop() }
        self.chooseSuccessors()
        guard let heir = self.election.ownSuccessors.first, let peer = self.peers.linkedPeer(heir.node) else {
            return self.stop()
        }
        self.carryOut(self.handOver.begin(with: peer.connection, isShutdown: true))
    }

    /// Asks the successor as soon as it has applied everything that this host has.
    mutating func handOverWhenCovered() {
        guard let id = self.handOver.awaited, self.isHost, let node = self.peers.link(id)?.identity.node,
            self.peers.acknowledged(by: node)?.covers(self.data.vector) == true
        else { return }
        self.carryOut(self.handOver.covered(by: node))
    }

    /// This node's store is damaged beyond repair, or locked: a peer takes its place at once, if it is host.
    ///
    /// Nothing more can get into the store. So it would be in vain to wait until the peer has everything.
    mutating func handOverAsUnfit() {
        guard self.phase == .running, self.isHost, !self.handOver.isShutdown, !self.handOver.isAsked else { return }
        self.chooseSuccessors()
        guard let heir = self.election.ownSuccessors.first, let peer = self.peers.linkedPeer(heir.node) else { return }
        let beginning = self.handOver.begin(with: peer.connection, isShutdown: false)
        self.carryOut(beginning + self.handOver.covered(by: heir.node))
    }
}
