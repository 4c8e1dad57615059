import ClinicSyncModel
import OrderedCollections

/// A host's wish to be followed by somebody.
struct HandOver: Sendable, Hashable {
    /// The successor's connection.
    let connection: ConnectionID
    /// Whether the node stops afterwards.
    let isShutdown: Bool
    /// Whether the successor was asked.
    var isAsked = false
}

/// An administrator's wish that waits for its fulfilment.
struct TransferWish: Sendable, Hashable {
    let request: RequestID
    let node: NodeID
}

// The graceful change of the host.
extension NodeStateMachine {
    // MARK: - At the end

    /// Stops in order: a host first lets another take its place.
    mutating func shutDown() {
        guard self.phase == .running, self.isHost, self.handOver?.isShutdown != true else { return self.stop() }
        self.updateSuccessors()
        let heir = self.successors.first?.node
        guard let connection = self.links.first(where: { $0.value.identity.node == heir })?.key else {
            return self.stop()
        }
        self.handOver = HandOver(connection: connection, isShutdown: true)
        self.emit(.setTimer(.handOver, after: CoreLimits.handOverLimit))
        self.handOverWhenCovered()
    }

    /// Whether a host that stops has been followed by another, and has told everybody.
    var isLastWordSpoken: Bool {
        self.phase == .running && self.handOver?.isShutdown == true && !self.isHost
    }

    // MARK: - At an administrator's wish

    mutating func transferHost(to node: NodeID, for request: RequestID) {
        guard let reign = self.election.reign else { return self.answer(request, .noHost) }
        if reign.host == node { return self.answer(request, .done(term: reign.term)) }
        if self.isHost {
            if let refusal = self.beginHandOver(to: node) { return self.answer(request, refusal) }
        } else {
            guard let host = self.hostConnection else { return self.answer(request, .noHost) }
            self.emit(.send([host], .transferRequest(node)))
        }
        if let earlier = self.transferWish { self.answer(earlier.request, .timedOut) }
        self.transferWish = TransferWish(request: request, node: node)
        self.emit(.setTimer(.transfer, after: CoreLimits.transferLimit))
    }

    /// Begins to hand over to `node`.
    ///
    /// - Returns: Why that cannot be; `nil` when it can.
    @discardableResult
    mutating func beginHandOver(to node: NodeID) -> HostTransfer? {
        guard let link = self.links.first(where: { $0.value.identity.node == node }) else { return .unknownNode }
        guard link.value.report.candidacy.priority > 0 else { return .neverHost }
        self.handOver = HandOver(connection: link.key, isShutdown: false)
        self.emit(.setTimer(.handOver, after: CoreLimits.transferLimit))
        self.handOverWhenCovered()
        return nil
    }

    mutating func transferTimedOut() {
        guard let wish = self.transferWish else { return }
        self.transferWish = nil
        self.answer(wish.request, .timedOut)
    }

    /// Somebody else is host, or the same in a new term.
    mutating func transferred(to reign: Reign) {
        if !self.isHost, let handOver = self.handOver, !handOver.isShutdown {
            self.handOver = nil
            self.emit(.cancelTimer(.handOver))
        }
        guard let wish = self.transferWish, wish.node == reign.host else { return }
        self.transferWish = nil
        self.emit(.cancelTimer(.transfer))
        self.answer(wish.request, .done(term: reign.term))
    }

    mutating func answer(_ request: RequestID, _ transfer: HostTransfer) {
        self.emit(.reply(request, .hostTransferred(transfer)))
    }

    // MARK: - The host's part

    /// Asks the successor as soon as it has all that this node has, so that nothing goes back with the change.
    mutating func handOverWhenCovered() {
        guard let handOver = self.handOver, !handOver.isAsked, self.isHost,
            let node = self.links[handOver.connection]?.identity.node,
            self.directory[node]?.acknowledged.covers(self.ledger.vector) == true
        else { return }
        self.handOver?.isAsked = true
        self.election.heir = node
        self.emit(.send([handOver.connection], .handOver))
    }

    mutating func handOverTimedOut() {
        guard let handOver = self.handOver else { return }
        self.handOver = nil
        self.election.heir = nil
        if handOver.isShutdown { self.stop() }
    }
}
