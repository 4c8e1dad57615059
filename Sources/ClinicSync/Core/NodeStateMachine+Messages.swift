import ClinicSyncModel
import OrderedCollections

// Who may say what, and who hears it.
extension NodeStateMachine {
    /// Handles a message after its term: on a connection it never goes back, since its sender's never does.
    mutating func receive(_ message: Message, term: UInt64, on id: ConnectionID) {
        if let link = self.links[id], !message.isTermless {
            guard term >= link.term else { return self.refuse(id, .protocolViolation) }
            self.links[id]?.term = term
        }
        self.receive(message, on: id)
    }

    mutating func receive(_ message: Message, on id: ConnectionID) {
        // Benign race: the message was on its way when we closed.
        guard var connection = self.connections[id] else { return }
        if self.phase == .starting {
            let hasRoom = connection.keep(message)
            self.connections[id] = connection
            if !hasRoom { self.close(id, .protocolViolation) }
            return
        }
        switch connection.state {
        case .awaitingHello: self.receiveFirst(message, on: id)
        case .established(let identity): self.receive(message, on: id, from: identity)
        case .closed: break
        }
    }

    private mutating func receiveFirst(_ message: Message, on id: ConnectionID) {
        switch message {
        case .hello(let hello): self.receive(hello, on: id)
        case .revocation(let entry): self.emit(.learn(revocation: entry))
        case .goodbye(let reason):
            if let peer = self.connections[id]?.peer { self.heed(reason, from: peer) }
            self.close(id, reason)
        case .ping, .pong, .chunk, .acknowledge, .digests, .rowHashes, .rowStates, .syncRequest, .verifyRequest,
            .verifyReport, .syncReport, .hostReport, .handOver, .transferRequest, .loginRequest, .loginReply:
            self.refuse(id, .protocolViolation)
        }
    }

    private mutating func receive(_ message: Message, on id: ConnectionID, from identity: PeerIdentity) {
        self.links[id]?.lastHeard = self.now.monotonic
        self.directory.heard(identity.node, at: self.now)
        switch message {
        case .ping(let ping):
            let pong = Pong(id: ping.id, wallMilliseconds: self.correctedMilliseconds)
            self.emit(.send([id], .pong(pong)))
        case .pong(let pong): self.receive(pong, on: id, from: identity)
        case .chunk(let chunk): self.receive(chunk, on: id)
        case .acknowledge(let acknowledgement): self.receive(acknowledgement, on: id, from: identity)
        case .rowStates(let page): self.receive(page, on: id)
        case .goodbye(let reason):
            if let peer = self.connections[id]?.peer { self.heed(reason, from: peer) }
            self.close(id, reason)
        case .hostReport(let report): self.receive(report, on: id, from: identity)
        case .digests(let report): self.receive(report, on: id)
        case .rowHashes, .syncRequest, .verifyReport, .transferRequest, .loginRequest:
            self.receiveFromClient(message, on: id)
        case .verifyRequest, .syncReport, .handOver, .loginReply:
            self.receiveFromHost(message, on: id)
        case .revocation(let entry): self.emit(.learn(revocation: entry))
        case .hello:
            self.close(id, .protocolViolation)
        }
    }

    /// A client's question, or the host's answer.
    private mutating func receive(_ report: DigestReport, on id: ConnectionID) {
        if self.isHost {
            self.receive(question: report, on: id)
        } else if id == self.hostConnection {
            self.perform(self.reconciliation.answered(report))
        }
    }

    private mutating func receiveFromClient(_ message: Message, on id: ConnectionID) {
        // Peer violation: a node tells that it is client before it speaks as one.
        guard self.links[id]?.report.role == .client else { return self.close(id, .protocolViolation) }
        // Benign race: this node was host when that was sent.
        guard self.isHost else { return }
        switch message {
        case .rowHashes(let page): self.receive(hashes: page, on: id)
        case .syncRequest(let request):
            self.perform(self.sync.request(.peer(id, id: request.id), table: request.table))
        case .verifyReport(let report):
            self.perform(self.sync.reported(report, from: id, clients: self.clients))
        case .transferRequest(let node):
            self.beginHandOver(to: node)
        case .loginRequest(let login):
            self.decide(login, for: id)
        case .hello, .goodbye, .ping, .pong, .chunk, .acknowledge, .rowStates, .verifyRequest, .syncReport,
            .revocation, .digests, .hostReport, .handOver, .loginReply:
            break
        }
    }

    private mutating func receiveFromHost(_ message: Message, on id: ConnectionID) {
        // Peer violation: a node tells that it is host before it speaks as one, and when it no longer is.
        guard self.links[id]?.report.role == .host else { return self.close(id, .protocolViolation) }
        // Benign race: the sender does not know yet that this node follows another.
        guard id == self.hostConnection else { return }
        switch message {
        case .verifyRequest(let request): self.beginVerification(request, for: id)
        case .syncReport(let report): self.receive(report)
        case .handOver: self.perform(self.election.handedOver(by: id))
        case .loginReply(let reply): self.receive(reply, on: id)
        case .hello, .goodbye, .ping, .pong, .chunk, .acknowledge, .rowStates, .rowHashes, .syncRequest,
            .verifyReport, .revocation, .digests, .hostReport, .transferRequest, .loginRequest:
            break
        }
    }
}

extension Message {
    /// Whether the transport may send it too, which knows no term.
    fileprivate var isTermless: Bool {
        switch self {
        case .goodbye, .revocation: true
        case .hello, .ping, .pong, .chunk, .acknowledge, .digests, .rowHashes, .rowStates, .syncRequest,
            .verifyRequest, .verifyReport, .syncReport, .hostReport, .handOver, .transferRequest, .loginRequest,
            .loginReply:
            false
        }
    }
}
