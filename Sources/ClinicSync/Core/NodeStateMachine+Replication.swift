import ClinicSyncModel
import OrderedCollections

// The stream of batches: from programs and peers to the store, and from the log to peers.
extension NodeStateMachine {
    // MARK: - In

    mutating func receive(_ chunk: BatchChunk, on id: ConnectionID) {
        guard self.links[id]?.inbound.receive(chunk) == true else { return self.close(id, .protocolViolation) }
        self.links[id]?.outbound.received(chunk)
        if chunk.isLast, let peer = self.links[id]?.identity.node { self.directory.sent(peer, chunk.batch) }
        self.storeNext(from: id)
    }

    /// Gives the store what waits of a peer, one request at a time.
    mutating func storeNext(from id: ConnectionID) {
        guard self.gate.isOpen, self.isolation == .over, let chunks = self.links[id]?.inbound.nextStore() else {
            return
        }
        self.emit(.storage(.store(from: id, chunks)))
    }

    mutating func stored(from id: ConnectionID, _ outcome: StoreOutcome) {
        self.absorb(outcome)
        if self.links[id] != nil {
            self.links[id]?.inbound.stored(bytes: outcome.storedBytes)
            self.acknowledge(to: id, creditBytes: outcome.storedBytes)
            self.storeNext(from: id)
        }
        if outcome.isApplyPending {
            self.isApplyPending = true
            self.applyStoredIfPending()
        }
    }

    mutating func storedApplied(_ outcome: StoreOutcome) {
        self.isApplying = false
        self.absorb(outcome)
        self.announceToAll()
        if outcome.isApplyPending { self.isApplyPending = true }
        self.applyStoredIfPending()
    }

    mutating func absorb(_ outcome: CollectOutcome) {
        if !outcome.repairedTables.isEmpty {
            self.emit(.notify(.captureRepaired(tables: outcome.repairedTables)))
        }
        self.absorb(logged: outcome.logged, vector: outcome.vector, events: outcome.events)
    }

    private mutating func absorb(_ outcome: StoreOutcome) {
        self.absorb(logged: outcome.logged, vector: outcome.vector, events: outcome.events)
        if outcome.conflicts > 0 { self.emit(.notify(.conflictsRecorded(outcome.conflicts))) }
        self.checkClock(outcome.largestTimestamp)
    }

    /// Takes over what the store committed: tell programs, pass on what was logged.
    mutating func absorb(logged: [LoggedChunk], vector: VersionVector, events: [LoggedEvent]) {
        for chunk in logged {
            self.logHead = max(self.logHead, chunk.position)
            self.ledger.hold(chunk.chunk)
        }
        self.ledger.merge(vector)
        self.finishArrivedLogins()
        if !events.isEmpty { self.emit(.publish(events)) }
        if events.contains(where: { $0.change?.category == .user }) { self.keepSessions() }
        for chunk in logged { self.relay(chunk) }
    }

    // MARK: - Out

    /// Sends a new chunk to every peer that keeps up; it is encoded once.
    private mutating func relay(_ logged: LoggedChunk) {
        // What is logged before the stamps are final is read from the log when they are.
        guard self.isolation == .over else { return }
        var receivers: [ConnectionID] = []
        for index in self.links.values.indices {
            if self.links.values[index].outbound.offer(logged) { receivers.append(self.links.keys[index]) }
        }
        if !receivers.isEmpty { self.emit(.send(receivers, .chunk(logged.chunk))) }
    }

    mutating func located(for id: ConnectionID, position: UInt64?) {
        guard let link = self.links[id] else { return }
        guard let position else {
            // Until the state itself can be transferred, such a peer cannot be served; it tries again with its
            // back-off, and reconciliation on another host may have helped it meanwhile.
            self.emit(.notify(.logTooShort(for: link.identity.node)))
            return self.close(id, .storageFailed)
        }
        self.links[id]?.outbound.located(position)
        self.readNext(for: id)
    }

    mutating func logRead(for id: ConnectionID, chunks: [LoggedChunk], head: UInt64) {
        self.logHead = max(self.logHead, head)
        guard let sending = self.links[id]?.outbound.logRead(chunks, head: head) else { return }
        for chunk in sending { self.emit(.send([id], .chunk(chunk))) }
        self.readNext(for: id)
    }

    private mutating func readNext(for id: ConnectionID) {
        let maxBytes = self.configuration.logReadBytes
        guard let read = self.links[id]?.outbound.nextRead(head: self.logHead, maxBytes: maxBytes) else { return }
        self.emit(.storage(.readLog(for: id, after: read.after, maxBytes: read.maxBytes)))
    }

    // MARK: - Acknowledgements

    mutating func receive(
        _ acknowledgement: Acknowledgement,
        on id: ConnectionID,
        from identity: PeerIdentity
    ) {
        self.directory.acknowledged(identity.node, acknowledgement.applied)
        if id == self.hostConnection {
            for entry in acknowledgement.applied where entry.origin == self.configuration.origin {
                self.acknowledgedByHost = max(self.acknowledgedByHost, entry.sequence)
            }
        }
        self.links[id]?.outbound.acknowledged(acknowledgement)
        self.settleGrants()
        self.readNext(for: id)
        self.handOverWhenCovered()
    }

    /// Tells the peer whose chunks were stored what rose, and gives it back its credit.
    private mutating func acknowledge(to id: ConnectionID, creditBytes: Int) {
        guard let rises = self.takeRises(for: id), !rises.isEmpty || creditBytes > 0 else { return }
        let acknowledgement = Acknowledgement(applied: rises, creditBytes: UInt32(clamping: creditBytes))
        self.emit(.send([id], .acknowledge(acknowledgement)))
    }

    /// Tells every peer what rose since it was last told; peers told the same share one message.
    mutating func announceToAll() {
        var groups: OrderedDictionary<[VersionVector.Entry], [ConnectionID]> = [:]
        for id in Array(self.links.keys) {
            guard let rises = self.takeRises(for: id), !rises.isEmpty else { continue }
            groups[rises, default: []].append(id)
        }
        for (rises, receivers) in groups {
            self.emit(.send(receivers, .acknowledge(Acknowledgement(applied: rises, creditBytes: 0))))
        }
    }

    private mutating func takeRises(for id: ConnectionID) -> [VersionVector.Entry]? {
        guard let announced = self.links[id]?.announced else { return nil }
        guard announced != self.ledger.vector else { return [] }
        self.links[id]?.announced = self.ledger.vector
        return self.ledger.vector.entries(beyond: announced)
    }
}
