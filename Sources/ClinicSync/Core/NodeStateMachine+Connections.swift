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
        // One side must begin; a hello in answer can say what was applied meanwhile.
        let isGreeting = dialled != nil && self.phase == .running
        let limit = isGreeting ? self.configuration.greetingLimit : self.configuration.handshakeLimit
        self.emit(.setTimer(.handshake(id), after: limit))
        if isGreeting { self.greet(id) }
    }

    /// Says hello.
    mutating func greet(_ id: ConnectionID) {
        let report = self.hostReport
        let hello = Hello(
            protocolVersion: CoreLimits.protocolVersion,
            clinicID: self.configuration.clinicID,
            nodeName: self.configuration.nodeName,
            softwareVersion: self.configuration.softwareVersion,
            schemaVersion: self.schemaVersion,
            addresses: self.addresses,
            hostReport: report,
            // A dead battery's 1969 is no time that could travel.
            wallMilliseconds: max(self.correctedMilliseconds, 0),
            vector: self.ledger.vector,
            partials: self.ledger.partials,
            creditBytes: UInt32(clamping: self.configuration.creditBytes),
            runID: self.runID
        )
        self.connections[id]?.greeted = self.ledger.vector
        self.connections[id]?.greetedReport = report
        self.emit(.send([id], .hello(hello)))
    }

    mutating func receive(_ hello: Hello, on id: ConnectionID) {
        guard var connection = self.connections[id] else { return }
        let refusal = connection.receive(hello, rules: self.helloRules)
        if let refusal {
            if refusal == .duplicateIdentity { self.metOwnIdentity(hello) }
            return self.refuse(id, refusal)
        }
        if self.refuseOutlived(hello, on: id, from: connection.peer) { return }
        let others = self.links.elements.filter { $0.value.identity.node == connection.peer }.map(\.key)
        guard others.allSatisfy({ self.isPreferred(connection, to: $0) }) else {
            return self.close(id, .replaced)
        }
        self.connections[id] = connection
        self.emit(.cancelTimer(.handshake(id)))
        if connection.greeted == nil { self.greet(id) }
        self.establish(id, hello)
        // Only now, so that a host with two connections is not lost with the first.
        for other in others { self.close(other, .replaced) }
    }

    /// Which of two connections with one node stays: both ends must come to the same answer.
    ///
    /// Of two that the same end dialled the newer, since ids ascend with age; else the one that the smaller id dialled.
    private func isPreferred(_ connection: PeerConnectionStateMachine, to other: ConnectionID) -> Bool {
        let wasDialled = self.connections[other]?.dialled != nil
        if wasDialled == (connection.dialled != nil) { return connection.id > other }
        return (connection.dialled != nil) == (self.configuration.origin.node < connection.peer)
    }

    private mutating func establish(_ id: ConnectionID, _ hello: Hello) {
        guard let connection = self.connections[id], case .established(let identity) = connection.state else {
            return
        }
        self.links[id] = PeerLink(
            identity: identity,
            report: hello.hostReport,
            term: hello.hostReport.term,
            lastHeard: self.now.monotonic,
            outbound: PeerOutboundStateMachine(
                vector: hello.vector,
                partials: hello.partials,
                credit: Int(hello.creditBytes)
            ),
            inbound: PeerInboundStateMachine(credit: Int(UInt32(clamping: self.configuration.creditBytes))),
            announced: connection.greeted ?? self.ledger.vector,
            wallAhead: hello.wallMilliseconds &- self.now.wallMilliseconds
        )
        self.directory.connected(identity, by: id, vector: hello.vector, at: self.now)
        let isHost = hello.hostReport.role == .host
        self.emit(.notify(.peerConnected(identity.node, name: identity.name, isHost: isHost)))
        if let address = connection.dialled { self.dialling.reached(address, identity.node) }
        let told = identity.addresses.map { PeerHint(address: $0, node: identity.node, source: .told) }
        self.dialling.learn(told, at: self.now.monotonic)
        if self.isolation == .over { self.emit(.storage(.locate(for: id, vector: hello.vector))) }
        self.correct(connection.greetedReport, on: id)
        self.consider(hello.hostReport, on: id, from: identity)
        if self.isHost { self.endIsolation() }
    }

    mutating func handshakeTimedOut(_ id: ConnectionID) {
        // Benign race: the hello came with the timer.
        guard let connection = self.connections[id], connection.state == .awaitingHello else { return }
        // Who was dialled may have answered on a path that was broken; a new connection may do better.
        if connection.dialled != nil { return self.close(id, .peerSilent) }
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
        let wasUp = self.links[id] != nil
        if let address = connection.dialled {
            self.dialling.ended(
                address,
                isRejection: reason.isRejection,
                wasUp: wasUp,
                at: self.now.monotonic,
                using: &self.generator
            )
        }
        if wasUp { self.forget(id, reason) } else { self.emit(.cancelTimer(.handshake(id))) }
        self.dial()
    }

    /// Ends everything that needed the peer.
    mutating func forget(_ id: ConnectionID, _ reason: CloseReason) {
        guard let link = self.links.removeValue(forKey: id) else { return }
        self.directory.disconnected(link.identity.node, from: id)
        self.emit(.notify(.peerLost(link.identity.node, reason)))
        if link.report.role == .host {
            self.lastHost = NodeAddresses(
                node: link.identity.node,
                addresses: Array(self.dialling.addresses(of: link.identity.node).prefix(NodeAddresses.addressesMax))
            )
        }
        if self.links.isEmpty, self.phase == .running { self.beginIsolation() }
        if self.isHost { self.perform(self.sync.lost(id, clients: self.clients)) }
        if self.handOver?.connection == id { self.handOverTimedOut() }
        self.perform(self.election.lost(id, at: self.now.monotonic, using: &self.generator))
    }

    // MARK: - Dialling

    mutating func learn(_ hints: [PeerHint]) {
        self.dialling.learn(hints.filter { !self.addresses.contains($0.address) }, at: self.now.monotonic)
        self.dial()
    }

    mutating func dialFailed(_ address: String) {
        let delay = self.dialling.ended(
            address,
            isRejection: false,
            wasUp: false,
            at: self.now.monotonic,
            using: &self.generator
        )
        self.emit(.notify(.dialFailed(address: address, nextTry: delay)))
        self.dial()
    }

    /// Dials what is due, and wakes up for what will be.
    mutating func dial() {
        guard self.phase == .running else { return }
        // Those that have not said hello yet too: a second connection would only replace the first.
        var linked = Set(self.connections.values.map(\.peer))
        linked.insert(self.configuration.origin.node)
        let (addresses, wait) = self.dialling.next(at: self.now.monotonic, linked: linked)
        for address in addresses { self.emit(.dial(address: address)) }
        if let wait { self.emit(.setTimer(.dial, after: wait)) }
    }
}
