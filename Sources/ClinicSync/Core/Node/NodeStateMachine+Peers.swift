import ClinicSyncModel

// Connections, links, and the messages of linked peers.
extension NodeStateMachine {
    /// A connection was opened.
    mutating func open(_ id: ConnectionID, dialled: String?, peer: NodeID) {
        // The end that dialled speaks first. The hello in answer can then say what was applied meanwhile.
        let greeting = dialled != nil && self.phase == .running ? Hello(of: self) : nil
        let time = self.now.monotonic
        self.carryOut(self.peers.opened(id, dialled: dialled, peer: peer, greeting: greeting, at: time))
    }

    /// Closes a connection, if it is still there.
    mutating func close(_ id: ConnectionID, _ reason: CloseReason) {
        let time = self.now.monotonic
        self.carryOut(self.peers.close(id, reason, at: time, using: &self.turn.generator))
    }

    /// A link begins.
    mutating func established(_ introduction: PeerIntroduction) {
        let (id, report) = (introduction.connection, HostReport(of: self))
        self.carryOut(self.data.linked(introduction))
        // Between this node's hello and the peer's hello, a change of the host was announced to links alone.
        if let greeted = introduction.greetedReport, (greeted.role, greeted.reign) != (report.role, report.reign) {
            self.emit(.send([id], .hostReport(report)))
        }
        self.consider(introduction.hello.hostReport, on: id, from: introduction.identity.node)
        if self.isHost { self.endIsolation() }
    }

    /// A link is gone.
    mutating func lost(_ id: ConnectionID) {
        let isLast = self.peers.isAlone && self.phase == .running
        let clients = self.isHost ? self.peers.linkedPeers : nil
        let time = self.now.monotonic
        self.carryOut(self.data.lost(id, isLast: isLast, clients: clients, at: time))
        self.carryOut(self.handOver.lost(id))
        self.refreshCandidacy()
        self.carryOut(self.election.lost(id, at: time, using: &self.turn.generator))
    }

    /// Dials the addresses that are due.
    mutating func dial() {
        if self.phase == .running { self.emit(self.peers.dial(at: self.now.monotonic)) }
    }

    /// The clinic's time is known, or this node's time is the clinic's: the exchange of changes may begin.
    mutating func endIsolation() {
        guard !self.peers.isAlone, !self.election.isAdopting else { return }
        self.carryOut(self.data.endIsolation(self.context))
    }

    /// The heartbeat timer fired: sends pings and closes links whose peer is silent.
    mutating func beat() {
        let beat = self.peers.beat(at: self.now.monotonic, isHost: self.isHost)
        for id in beat.silent { self.close(id, .peerSilent) }
        self.emit(beat.notices)
        self.carryOut(self.data.announce())
        self.chooseSuccessors()
        if self.isHost, self.data.access.peersChanged(to: self.peers.lockedPeers) { self.announce() }
        self.carryOut(self.data.access.review(isWaiting: self.turn.unansweredRequests > 0, at: self.now.monotonic))
        if !beat.pinged.isEmpty { self.emit(.send(beat.pinged, .ping(Ping(id: beat.ping)))) }
        self.emit(.setTimer(.heartbeat, after: beat.next))
    }

    // MARK: - Messages

    /// A message arrived; `term` is `nil` for a message that was kept until the node was ready.
    mutating func receive(_ message: Message, term: UInt64?, on id: ConnectionID) {
        let (isReady, time) = (self.phase == .running, self.now)
        self.carryOut(self.peers.received(message, term: term, on: id, isReady: isReady, at: time))
    }

    /// Routes the message of a linked peer, which may send such a message in its present role.
    mutating func deliver(_ message: Message, on id: ConnectionID, from node: NodeID) {
        // Races: this node was host when the client sent the message; the host does not know yet that this node follows
        // another one.
        if message.isForHosts, !self.isHost { return }
        if message.isForClients, id != self.hostConnection { return }
        switch message {
        case .ping(let ping): self.emit(.send([id], .pong(Pong(to: ping, self.context))))
        case .pong(let pong):
            let roundTrip = self.peers.answered(pong, by: node, at: self.now.monotonic)
            guard let roundTrip, id == self.hostConnection else { return }
            self.clock.hostAnswered(pong, roundTrip: roundTrip, at: self.now)
        case .chunk(let chunk):
            self.carryOut(self.data.received(chunk, on: id))
            if chunk.isLast { self.peers.sent(chunk.batch, on: id) }
        case .acknowledge(let acknowledgement):
            self.peers.acknowledged(acknowledgement.applied, by: node)
            let isHost = id == self.hostConnection
            self.carryOut(self.data.acknowledged(acknowledgement, on: id, isHost: isHost))
            if self.sessions.isDeciding {
                self.carryOut(self.sessions.settle(peers: self.peers.linkedPeers, self.context))
            }
            self.carryOut(self.data.readNext(for: id))
            self.carryOut(self.data.wanted(acknowledgement.wanted, by: id))
            if !acknowledgement.unproven.isEmpty { self.emit(.prove(acknowledgement.unproven, to: id)) }
            self.carryOut(self.probes.received(acknowledgement.probe, on: id, from: node, self.context))
            self.handOverWhenCovered()
        case .hostReport(let report):
            guard report.candidacy.node == node else { return self.close(id, .protocolViolation) }
            self.peers.reported(report, on: id)
            self.consider(report, on: id, from: node)
            if report.lockedSince != nil { self.carryOut(self.data.locked(id, clients: self.peers.linkedPeers)) }
        case .syncRequest(let request) where request.isAboutMembers:
            self.emit(.send([id], .syncReport(SyncReport(aboutMembersOf: self, id: request.id))))
        case .digests, .rowHashes, .rowStates, .syncRequest, .syncReport, .verifyRequest, .state, .stateRanges,
            .stateWants:
            self.carryOut(self.data.received(message, on: id, self.context))
        case .verifyReport(let report):
            self.carryOut(self.data.verified(report, by: id, clients: self.peers.linkedPeers))
        case .transferRequest(let node):
            self.carryOut(self.handOver.requested(to: self.peers.linkedPeer(node), self.context))
        case .handOver: self.carryOut(self.election.handedOver(by: id))
        case .loginRequest(let number, let login):
            let peers = self.peers.linkedPeers
            self.carryOut(self.sessions.requested(login, number: number, by: id, peers: peers, self.context))
        case .loginReply(let reply): self.carryOut(self.sessions.answered(reply, on: id, self.context))
        case .hello, .goodbye, .revocation, .memberProof:
            // The peers' machine has dealt with these.
            break
        }
    }
}
