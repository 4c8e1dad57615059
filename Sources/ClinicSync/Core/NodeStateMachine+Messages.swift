import ClinicSyncModel
import OrderedCollections

// Who may say what, and who hears it.
extension NodeStateMachine {
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
        case .goodbye(let reason): self.close(id, reason)
        case .ping, .pong, .chunk, .acknowledge, .digests, .rowHashes, .rowStates, .syncRequest, .verifyRequest,
            .verifyReport, .syncReport:
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
        case .goodbye(let reason): self.close(id, reason)
        case .digests, .rowHashes, .syncRequest, .verifyRequest, .verifyReport, .syncReport:
            if self.isHost {
                self.receiveFromClient(message, on: id)
            } else {
                self.receiveFromHost(message, on: id)
            }
        case .revocation(let entry): self.emit(.learn(revocation: entry))
        case .hello:
            self.close(id, .protocolViolation)
        }
    }

    private mutating func receiveFromClient(_ message: Message, on id: ConnectionID) {
        switch message {
        case .digests(let question): self.receive(question: question, on: id)
        case .rowHashes(let page): self.receive(hashes: page, on: id)
        case .syncRequest(let request):
            self.perform(self.sync.request(.peer(id, id: request.id), table: request.table))
        case .verifyReport(let report):
            self.perform(self.sync.reported(report, from: id, clients: self.clients))
        case .hello, .goodbye, .ping, .pong, .chunk, .acknowledge, .rowStates, .verifyRequest, .syncReport,
            .revocation:
            // Peer violation: only a host says this.
            self.close(id, .protocolViolation)
        }
    }

    private mutating func receiveFromHost(_ message: Message, on id: ConnectionID) {
        switch message {
        case .digests(let answer): self.perform(self.reconciliation.answered(answer))
        case .verifyRequest(let request): self.beginVerification(request, for: id)
        case .syncReport(let report): self.receive(report)
        case .hello, .goodbye, .ping, .pong, .chunk, .acknowledge, .rowStates, .rowHashes, .syncRequest,
            .verifyReport, .revocation:
            // Peer violation: only a client says this.
            self.close(id, .protocolViolation)
        }
    }
}
