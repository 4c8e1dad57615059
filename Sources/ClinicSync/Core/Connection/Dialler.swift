import ClinicSyncModel

/// Decides whom this node dials, and which peers must wait, whoever dials.
///
/// ``DialPool`` knows addresses, ``PeerBackOff`` knows peers. A peer's waits hold for all its addresses.
struct Dialler: Sendable, Hashable {
    private let own: NodeID
    private var pool: DialPool
    private var backOff: PeerBackOff
    /// The last peer that was host when its link ended.
    private struct LastHost: Sendable, Hashable {
        let host: NodeAddresses
        /// Whether it had said nothing for long.
        let wasSilent: Bool
    }

    private var lastHost: LastHost?

    /// Starts without addresses.
    init(_ configuration: CoreConfiguration) {
        self.own = configuration.origin.node
        self.pool = DialPool(delayMin: configuration.redialDelayMin, delayMax: configuration.redialDelayMax)
        self.backOff = PeerBackOff(
            delayMin: configuration.backOffMin,
            delayMax: configuration.backOffMax,
            storageDelayMax: configuration.redialDelayMax
        )
    }

    /// Whether no address of another node is known.
    var knowsNoAddress: Bool { self.pool.addresses.isEmpty }

    /// Takes over addresses at which members may be reached.
    mutating func learn(_ hints: [PeerHint], at time: Duration) { self.pool.learn(hints, at: time) }

    // MARK: - Connections

    /// A connection was opened; the certificate names the peer.
    ///
    /// - Returns: The refusal of a peer that dialled before its wait is over.
    mutating func opened(dialled: String?, peer: NodeID, at time: Duration) -> PeerBackOff.Admission {
        guard let dialled else { return self.backOff.admit(peer, at: time) }
        self.pool.identified(dialled, peer)
        return .admitted
    }

    /// Judges the hello of a peer that dialled.
    mutating func judge(_ hello: Hello, of peer: NodeID, at time: Duration) -> PeerBackOff.Admission {
        self.backOff.judge(PeerBackOff.Process(hello), of: peer, at: time)
    }

    /// A link begins.
    mutating func linked(_ identity: PeerIdentity, dialled: String?, at time: Duration) {
        if let dialled {
            self.pool.reached(dialled, identity.node)
            self.pool.answered(dialled, .linked, at: time)
        }
        let told = identity.addresses.map { PeerHint(address: $0, node: identity.node, source: .told) }
        self.pool.learn(told, at: time)
    }

    /// Whether links with the peer end again and again, so that no one needs to hear of each.
    func isRepeating(_ peer: NodeID) -> Bool { self.backOff.isRepeating(peer) }

    /// A connection ended.
    ///
    /// - Parameters:
    ///   - connection: The connection.
    ///   - link: Its link; `nil` when it never was one.
    ///   - reason: Why it ended.
    ///   - time: The time.
    ///   - generator: For jitter.
    /// - Returns: What operators must hear of.
    mutating func ended(
        _ connection: PeerConnectionStateMachine,
        _ link: PeerLink?,
        _ reason: CloseReason,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> [Effect] {
        if let address = connection.dialled {
            self.pool.answered(address, .closed(reason, isPeersWord: connection.farewell != nil), at: time)
            self.pool.ended(
                address,
                isRejection: reason.isRejection,
                wasUp: link != nil,
                at: time,
                using: &generator
            )
        }
        if let link, link.report.role == .host {
            let node = link.identity.node
            let addresses = self.pool.addresses(of: node).prefix(NodeAddresses.addressesMax)
            let host = NodeAddresses(node: node, addresses: Array(addresses))
            self.lastHost = LastHost(host: host, wasSilent: reason == .peerSilent)
        }
        let end = PeerBackOff.End(
            reason: reason,
            isPeersWord: connection.farewell != nil,
            retryAfter: connection.farewell?.retryAfter,
            process: connection.process,
            linkedFor: link.map { time - $0.since }
        )
        let isNews = self.backOff.ended(connection.peer, end, at: time, using: &generator)
        return isNews ? [.notify(.peerBacksOff(connection.peer, reason, isPeersWord: end.isPeersWord))] : []
    }

    /// A link has been useful: forgets that the peer waited.
    mutating func proved(_ peer: NodeID) { self.backOff.proved(peer) }

    /// A person wants every peer to be tried now, also those that wait.
    mutating func retryNow(at time: Duration) {
        self.backOff.pardonAll(at: time)
        self.pool.retryNow(at: time)
    }

    /// The peers that wait, for people.
    func backOffs(at time: Duration) -> [CoreStatus.BackOff] {
        self.backOff.causes.map { node, cause in
            CoreStatus.BackOff(
                id: node,
                reason: cause.reason,
                isPeersWord: cause.isPeersWord,
                failures: cause.failures,
                lasted: time - cause.since,
                retryIn: max(cause.until - time, .zero)
            )
        }
    }

    // MARK: - Dialling

    /// Returns the dials that are due, and the timer for the next ones.
    ///
    /// - Parameters:
    ///   - time: The time.
    ///   - linked: Nodes with which there is a connection already.
    ///   - patience: By how much the node waits longer for a candidate, because it is late itself.
    /// - Returns: The effects.
    mutating func dial(at time: Duration, linked: Set<NodeID>, patience: Int) -> [Effect] {
        let waits = self.backOff.waits(at: time)
        let (addresses, wait) = self.pool.next(at: time, linked: linked, waits: waits, patience: patience)
        return addresses.map { .dial(address: $0) } + (wait.map { [.setTimer(.dial, after: $0)] } ?? [])
    }

    /// The nodes that may turn out to be host, or know the host; `nil` in it: a node that is not known yet.
    func asked(at time: Duration) -> Set<NodeID?> {
        self.pool.asked(waits: self.backOff.waits(at: time))
    }

    /// A dialled address has accepted the socket.
    mutating func dialAnswered(_ address: String, at time: Duration) { self.pool.accepted(address, at: time) }

    /// A dial failed.
    mutating func dialFailed(
        _ address: String,
        _ failure: DialFailure,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> [Effect] {
        self.pool.answered(address, .failed(failure), at: time)
        let delay = self.pool.ended(address, isRejection: false, wasUp: false, at: time, using: &generator)
        return [.notify(.dialFailed(address: address, failure, nextTry: delay))]
    }

    /// The addresses that were tried, for people.
    ///
    /// - Parameter now: The time, whose wall time is the clinic's.
    /// - Returns: The addresses in the order in which they became known.
    func dials(at now: Now) -> [CoreStatus.Dial] {
        self.pool.records.map { address, node, source, record in
            CoreStatus.Dial(
                address: address,
                node: node,
                source: source,
                answer: record.answer,
                atMilliseconds: now.wallMilliseconds(at: record.at),
                sinceMilliseconds: now.wallMilliseconds(at: record.since),
                tries: record.tries
            )
        }
    }

    /// Changes what the node dials for.
    mutating func enter(
        _ mode: DialPool.Mode,
        isAtOnce: Bool = false,
        at time: Duration,
        using generator: inout SplitMix64
    ) {
        let spread = isAtOnce ? .zero : self.returnSpread
        self.pool.enter(mode, at: time, spread: spread, using: &generator)
    }

    /// The node lost its host: it looks for another one at the successors of the lost one, in their order.
    ///
    /// The lost one is asked before them, because perhaps only the connection was lost, and after them if it was silent.
    mutating func searchHost(
        successors: [NodeAddresses],
        at time: Duration,
        using generator: inout SplitMix64
    ) {
        let due = self.returnTime(successors: successors, at: time, using: &generator)
        let last = self.lastHost
        // What is named last is asked first.
        if let last, last.wasSilent { self.pool.hurry(last.host.addresses, node: last.host.node, at: due) }
        for successor in successors.reversed() where successor.node != self.own {
            self.pool.hurry(successor.addresses, node: successor.node, at: due)
        }
        if let last, !last.wasSilent { self.pool.hurry(last.host.addresses, node: last.host.node, at: time) }
        self.enter(.search, at: time, using: &generator)
    }

    /// A better host is said to be at these addresses.
    mutating func seek(
        _ host: NodeAddresses,
        successors: [NodeAddresses],
        at time: Duration,
        using generator: inout SplitMix64
    ) {
        let due = self.returnTime(successors: successors, at: time, using: &generator)
        self.pool.hurry(host.addresses, node: host.node, at: due)
    }

    /// When this node dials the next host: the clients of a large clinic must not all connect in the same instant.
    private func returnTime(
        successors: [NodeAddresses],
        at time: Duration,
        using generator: inout SplitMix64
    ) -> Duration {
        let isSuccessor = successors.contains { $0.node == self.own }
        return time + (isSuccessor ? .zero : generator.duration(upTo: self.returnSpread))
    }

    private var returnSpread: Duration {
        min(CoreLimits.returnSpreadMax, CoreLimits.returnSpread * self.pool.addresses.count)
    }
}
