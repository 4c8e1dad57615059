import ClinicSyncModel
import OrderedCollections

// Connections from their opening to their end.
extension NodeStateMachine {
    mutating func open(_ id: ConnectionID, dialled: String?, peer: NodeID) {
        guard self.connections.count < self.configuration.connectionsMax else {
            self.emit(.close(id, .overloaded))
            self.emit(.notify(.connectionRefused(.overloaded)))
            return
        }
        self.connections[id] = PeerConnectionStateMachine(id: id, dialled: dialled, peer: peer)
        self.emit(.setTimer(.handshake(id), after: self.configuration.handshakeLimit))
        // One side must begin; a hello in answer can say what was applied meanwhile.
        if dialled != nil, self.phase == .running { self.greet(id) }
    }

    /// Says hello.
    mutating func greet(_ id: ConnectionID) {
        let hello = Hello(
            protocolVersion: CoreLimits.protocolVersion,
            clinicID: self.configuration.clinicID,
            nodeName: self.configuration.nodeName,
            softwareVersion: self.configuration.softwareVersion,
            schemaVersion: self.schemaVersion,
            term: CoreLimits.staticTerm,
            isHost: self.isHost,
            listenAddress: self.configuration.listenAddress,
            vector: self.ledger.vector,
            partials: self.ledger.partials,
            creditBytes: UInt32(clamping: self.configuration.creditBytes)
        )
        self.connections[id]?.greeted = self.ledger.vector
        self.emit(.send([id], .hello(hello)))
    }

    mutating func receive(_ hello: Hello, on id: ConnectionID) {
        guard var connection = self.connections[id] else { return }
        let refusal = connection.receive(hello, rules: self.helloRules)
        if let refusal { return self.refuse(id, refusal) }
        self.connections[id] = connection
        self.emit(.cancelTimer(.handshake(id)))
        for (other, link) in self.links where link.identity.node == connection.peer {
            // Ids ascend with age, whichever hello came first.
            guard other < id else { return self.close(id, .replaced) }
            self.close(other, .replaced)
        }
        if connection.greeted == nil { self.greet(id) }
        self.establish(id, hello)
    }

    private mutating func establish(_ id: ConnectionID, _ hello: Hello) {
        guard let connection = self.connections[id], case .established(let identity) = connection.state else {
            return
        }
        self.links[id] = PeerLink(
            identity: identity,
            lastHeard: self.now.monotonic,
            outbound: PeerOutboundStateMachine(
                vector: hello.vector,
                partials: hello.partials,
                credit: Int(hello.creditBytes)
            ),
            inbound: PeerInboundStateMachine(credit: Int(UInt32(clamping: self.configuration.creditBytes))),
            announced: connection.greeted ?? self.ledger.vector
        )
        self.directory.connected(identity, by: id, vector: hello.vector, at: self.now)
        self.emit(.notify(.peerConnected(identity.node, name: identity.name, isHost: identity.isHost)))
        self.emit(.storage(.locate(for: id, vector: hello.vector)))
        guard identity.isHost else { return }
        self.acknowledgedByHost = hello.vector[self.configuration.origin]
        if connection.dialled != nil { self.dialling.established(at: self.now.monotonic) }
        let delay = CoreLimits.firstReconcileDelay
        self.emit(.setTimer(.reconcile, after: delay + self.generator.duration(upTo: delay)))
    }

    mutating func handshakeTimedOut(_ id: ConnectionID) {
        // Benign race: the hello came with the timer.
        guard self.connections[id]?.state == .awaitingHello else { return }
        self.refuse(id, .handshakeTimeout)
    }

    mutating func refuse(_ id: ConnectionID, _ reason: CloseReason) {
        self.emit(.notify(.connectionRefused(reason)))
        self.close(id, reason)
    }

    /// Closes a connection and forgets it; one that is gone already is left alone.
    mutating func close(_ id: ConnectionID, _ reason: CloseReason) {
        guard self.connections[id] != nil else { return }
        self.emit(.close(id, reason))
        self.drop(id, reason)
    }

    /// Forgets a connection that is gone.
    ///
    /// Messages still on their way name an unknown id and are ignored.
    mutating func drop(_ id: ConnectionID, _ reason: CloseReason) {
        guard let connection = self.connections.removeValue(forKey: id) else { return }
        if self.links[id] != nil {
            self.forget(id, reason)
            if connection.dialled != nil {
                self.perform(self.dialling.lost(reason, at: self.now.monotonic, using: &self.generator))
            }
            return
        }
        self.emit(.cancelTimer(.handshake(id)))
        if let address = connection.dialled { self.dialFailed(address) }
    }

    /// Ends everything that needed the peer.
    mutating func forget(_ id: ConnectionID, _ reason: CloseReason) {
        guard let link = self.links.removeValue(forKey: id) else { return }
        self.directory.disconnected(link.identity.node, from: id)
        self.emit(.notify(.peerLost(link.identity.node, reason)))
        if self.isHost {
            self.perform(self.sync.lost(id, clients: self.clients))
            return
        }
        guard link.identity.isHost else { return }
        if self.verification?.connection == id { self.verification = nil }
        self.perform(self.reconciliation.breakOff())
        for wish in self.syncWishes { self.answer(wish, .unreachable) }
        self.syncWishes = []
    }

    // MARK: - Dialling

    mutating func dialFailed(_ address: String) {
        self.perform(self.dialling.failed(address: address, using: &self.generator), failed: address)
    }

    mutating func perform(_ step: DialStateMachine.Step?, failed: String? = nil) {
        switch step {
        case .dial(let address):
            self.emit(.dial(address: address))
        case .wait(let address, let delay):
            if let failed { self.emit(.notify(.dialFailed(address: failed, nextTry: delay))) }
            self.emit(.setTimer(.redial(address: address), after: delay))
        case nil:
            break
        }
    }
}
