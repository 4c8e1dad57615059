package import ClinicSyncModel
import OrderedCollections

/// Who is host, as one node sees it.
///
/// There is no vote and no quorum, because a part of the clinic that is cut off must continue with a host of its own,
/// and a host has no authority over data. A node that finds no host claims a term higher than any that it has heard of.
/// Every node follows the highest ``Reign`` that it meets, and of two hosts the one with the lower reign becomes the
/// client of the other. Nodes wait for different times before they claim, so that claims seldom collide. When two
/// claims collide, the order of reigns decides.
///
/// Source of terms, leases and of stepping down for a higher term: Ongaro and Ousterhout, "In Search of an
/// Understandable Consensus Algorithm", 2014, 5.1 and 5.2; without its majority, and so without its guarantee of one
/// leader through a partition. `docs/design/0007-election.md` says why.
package struct ElectionStateMachine: Sendable, Hashable {
    /// The node's role in the election.
    package enum State: Sendable, Hashable {
        /// The election has not started, or has stopped. Can transition to `searching`.
        case idle
        /// The node has no host; it may claim from `claimAt` on, and later if it is late itself. Entered at the start,
        /// with the loss of the host, and when a host yields. Can transition to `client`, `host`.
        case searching(since: Duration, claimAt: Duration)
        /// The host of the reign is at the other end of the connection. Entered when the reign's term is in the store.
        /// Can transition to `searching`, to `client` of another host, and to `host` by a hand-over.
        case client(Reign, ConnectionID)
        /// This node is host. Entered when the claimed term is in the store. Can transition to `client`, `searching`.
        case host(Reign)
    }

    /// What the node does as soon as the term is in the store.
    enum Pending: Sendable, Hashable {
        /// Become host.
        case claim(Reign)
        /// Follow the host at the other end.
        case adopt(Reign, ConnectionID)

        var reign: Reign {
            switch self {
            case .claim(let reign), .adopt(let reign, _): reign
            }
        }
    }

    /// A peer with which there is a connection.
    struct Peer: Sendable, Hashable {
        let node: NodeID
        var report: HostReport
    }

    /// What the node has to do, in this order.
    package enum Action: Sendable, Hashable {
        /// Write the term to the store, then call ``ElectionStateMachine/recorded(_:at:)``.
        case record(term: UInt64)
        /// Restart the election's timer.
        case setTimer(after: Duration)
        /// This node is host from now on.
        case becomeHost(Reign)
        /// This node is client of the host at the other end from now on. `wasHost`: this node was host before.
        case follow(ConnectionID, Reign, wasHost: Bool)
        /// This node has no host from now on.
        case search
        /// A better host than this node's host is said to be at these addresses: connect with it.
        case seek(Reign, addresses: [String])
        /// Send this node's report to all peers.
        case announce
        /// Close the connection, which neither end needs.
        case close(ConnectionID)
        /// Report that two hosts met.
        case healed(other: NodeID)
    }

    /// The node's role in the election.
    package private(set) var state: State = .idle
    /// What this node would be worth as host.
    package private(set) var candidacy: Candidacy
    /// The highest term that this node has heard of.
    package private(set) var highestTerm: UInt64 = 0
    /// The highest term in the store.
    package private(set) var recordedTerm: UInt64 = 0
    /// Who may claim before this node.
    private var succession = Succession()
    /// Who claims first when this host is gone; empty on a node that is not host.
    ///
    /// A host without successors is *lone*: it has no clients that could take its place. It yields to a host with
    /// successors, whatever their terms: it was cut off, and no other node agrees with its clock, which would become
    /// the clinic's.
    package private(set) var ownSuccessors: [NodeAddresses] = []
    /// The node that this host has asked to take its place.
    ///
    /// This host follows that node even without successors.
    private var heir: NodeID?

    /// The node's priority while another program's write transaction keeps its store from writing; otherwise `nil`.
    ///
    /// The candidacy of such a node has priority 0. So it claims nothing, and no host names it as a successor.
    private var suspendedPriority: UInt32?
    private var timing: ElectionTiming
    private var startedAt: Duration = .zero
    private var pending: Pending?
    private var peers: OrderedDictionary<ConnectionID, Peer> = [:]

    /// Makes an election that has not started.
    package init(candidacy: Candidacy, timing: ElectionTiming) {
        self.candidacy = candidacy
        self.timing = timing
    }

    /// Makes the election of a node that has not started.
    package init(_ configuration: CoreConfiguration) {
        let (priority, node) = (configuration.priority, configuration.origin.node)
        let candidacy = Candidacy(priority: priority, coverage: 0, uptimeBucket: 0, node: node)
        self.init(candidacy: candidacy, timing: configuration.election)
    }

    /// Who claims first when the host that this node follows, or followed last, is gone: as that host said.
    package var successors: [NodeAddresses] { self.succession.successors }

    /// Whether this node is host.
    package var isHost: Bool {
        if case .host = self.state { true } else { false }
    }

    /// The reign that this node follows, or its own.
    package var reign: Reign? {
        switch self.state {
        case .client(let reign, _), .host(let reign): reign
        case .idle, .searching: nil
        }
    }

    /// On a client, the connection with the host.
    package var hostConnection: ConnectionID? {
        if case .client(_, let id) = self.state { id } else { nil }
    }

    /// Whether this node follows a host as soon as that host's term is in the store.
    package var isAdopting: Bool {
        if case .adopt = self.pending { true } else { false }
    }

    /// What this node says of itself and of the host.
    ///
    /// - Parameter addresses: Where the host is reached.
    /// - Returns: The report.
    package func report(addresses: [String]) -> HostReport {
        let role: MemberRole = self.isHost ? .host : self.reign == nil ? .searching : .client
        return HostReport(
            role: role,
            term: self.highestTerm,
            reign: self.reign,
            addresses: addresses,
            candidacy: self.candidacy,
            successors: self.isHost ? self.ownSuccessors : self.nominee.map { [$0] } ?? []
        )
    }

    private var isLone: Bool { self.ownSuccessors.isEmpty }

    // MARK: - What the node tells its election

    /// Takes what the store holds when the node starts.
    ///
    /// - Parameters:
    ///   - recordedTerm: The highest term in the store; 0 when there is none.
    ///   - time: The time.
    package mutating func restore(recordedTerm: UInt64, at time: Duration) {
        self.recordedTerm = recordedTerm
        self.startedAt = time
    }

    /// Brings this node's worth as host up to date.
    ///
    /// - Parameters:
    ///   - coverage: How many batches the node has applied.
    ///   - patience: By how much the node waits longer before it claims, because it is late itself.
    ///   - asked: The nodes that were asked for a host and whose answer may come; `nil` in it: a node that is not known.
    ///   - time: The time.
    package mutating func refresh(
        coverage: UInt64,
        patience: Int = 1,
        asked: Set<NodeID?> = [],
        at time: Duration
    ) {
        let minutes = UInt64(max((time - self.startedAt) / .seconds(60), 0))
        let doublings = UInt32(UInt64.bitWidth - minutes.leadingZeroBitCount)
        self.candidacy.uptimeBucket = min(doublings, CoreLimits.uptimeBucketsMax)
        self.candidacy.coverage = coverage
        self.timing.patience = patience
        self.succession.asked = asked
    }

    /// Chooses this host's successors: first the followers that have applied everything, then those that run longest.
    ///
    /// - Parameters:
    ///   - peers: The linked peers.
    ///   - vector: What this host has applied.
    /// - Returns: Whether the successors changed, so that the peers must hear of it.
    package mutating func chooseSuccessors(among peers: [LinkedPeer], vector: VersionVector) -> Bool {
        // A host that is about to follow another one says nothing of its successors any more: the other one may have no
        // clients yet, and would yield to it.
        guard self.isHost, !self.isAdopting else { return false }
        let candidates = peers.filter { $0.isFollower && $0.candidacy.priority > 0 }.map { peer in
            var candidacy = peer.candidacy
            candidacy.coverage = peer.acknowledged.covers(vector) ? 1 : 0
            return (candidacy, NodeAddresses(node: peer.identity.node, addresses: peer.identity.addresses))
        }
        let best = candidates.sorted { $0.0 > $1.0 }.prefix(HostReport.successorsMax).map(\.1)
        defer { self.ownSuccessors = best }
        return best != self.ownSuccessors
    }

    /// This host has asked a node to take its place; `nil`: no node any more.
    package mutating func nameHeir(_ node: NodeID?) { self.heir = node }

    // MARK: - Inputs

    /// Begins to look for a host.
    ///
    /// - Parameters:
    ///   - isAlone: Whether no other member is known, so that the node need not wait for one.
    ///   - time: The time.
    ///   - generator: For jitter.
    /// - Returns: What is to be done.
    package mutating func start(
        isAlone: Bool,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> [Action] {
        self.highestTerm = max(self.highestTerm, self.recordedTerm)
        let wait = isAlone ? .zero : self.timing.startWait + generator.duration(upTo: self.timing.startWait / 4)
        self.state = .searching(since: time, claimAt: time + wait)
        return self.timerFired(at: time)
    }

    /// A peer said what it is and which host it follows: in its hello, or later.
    package mutating func reported(
        _ id: ConnectionID,
        by node: NodeID,
        _ report: HostReport,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> [Action] {
        let nominee = self.nominee
        self.peers[id] = Peer(node: node, report: report)
        self.highestTerm = max(self.highestTerm, report.term)
        switch (report.role, report.reign) {
        case (.host, let reign?):
            return self.met(reign, on: id, report.successors, at: time)
        case (.client, let reign?):
            return self.lostIfHost(id, at: time, &generator) + self.heard(of: reign, report.addresses) + self.tidy()
        case (.searching, _), (_, nil):
            let actions = self.lostIfHost(id, at: time, &generator) + self.outbid()
            if !actions.isEmpty { return actions }
            // The peer had a host, which forbade a claim of this node. Now the peer has none.
            if self.isHost { return [] }
            let next = self.timerFired(at: time)
            return self.nominee == nominee ? next : [.announce] + next
        }
    }

    /// A link is gone.
    package mutating func lost(
        _ id: ConnectionID,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> [Action] {
        let nominee = self.nominee
        self.peers.removeValue(forKey: id)
        let end = self.lostIfHost(id, at: time, &generator)
        guard case .adopt(_, id) = self.pending else {
            return end.isEmpty && self.nominee != nominee ? [.announce] : end
        }
        self.pending = nil
        return end + self.timerFired(at: time)
    }

    /// The term is in the store: the node does what waited for it, unless it has met a better host meanwhile.
    package mutating func recorded(_ term: UInt64, at time: Duration) -> [Action] {
        self.recordedTerm = max(self.recordedTerm, term)
        self.highestTerm = max(self.highestTerm, term)
        guard let pending = self.pending, pending.reign.term <= self.recordedTerm else { return [] }
        self.pending = nil
        switch pending {
        case .claim(let reign):
            if !self.isHost { self.ownSuccessors = [] }
            self.state = .host(reign)
            return [.becomeHost(reign), .announce] + self.outbidSearching()
        case .adopt(let reign, let id):
            let actions = self.follow(reign, id)
            if !actions.isEmpty { return actions }
            // The host has stepped down meanwhile. The timer may have fired while the term was written; or this node is still
            // host, and the other one, which searches, follows a higher term alone.
            let outbid = self.outbidSearching()
            return outbid.isEmpty ? self.timerFired(at: time) : outbid
        }
    }

    /// The store could not write the term: the node claims and follows nothing, and tries again later.
    package mutating func recordingFailed(retryAfter delay: Duration) -> [Action] {
        self.pending = nil
        return [.setTimer(after: delay)]
    }

    /// The timer fired, or this host's successors changed.
    ///
    /// A node that searches claims, if it has waited long enough and no better node should claim. A host that has lost
    /// its clients yields to one that has some.
    package mutating func timerFired(at time: Duration) -> [Action] {
        guard self.pending == nil else { return [] }
        if let (id, reign) = self.betterHost { return self.adopt(reign, id) }
        if self.isHost, self.isLone, self.knowsHostWithClients { return self.yield(at: time) }
        guard case .searching(let since, let planned) = self.state else { return [] }
        guard self.candidacy.priority > 0 else { return [.setTimer(after: self.timing.startWait)] }
        let claimAt = since + (planned - since) * self.timing.patience
        if time < claimAt { return [.setTimer(after: claimAt - time)] }
        // The host of a client is alive, though this node may not reach it. A claim would take the client from that
        // host.
        if self.peers.values.contains(where: { $0.report.role == .client }) {
            return [.setTimer(after: self.timing.recheck)]
        }
        let waitEnd = claimAt + self.timing.candidateWait * self.timing.patience
        if time < waitEnd, self.succession.isAwaited(by: self.candidacy.node) {
            return [.setTimer(after: min(self.timing.recheck, waitEnd - time))]
        }
        if time < claimAt + self.timing.grace, self.isOutranked {
            return [.setTimer(after: min(self.timing.recheck, claimAt + self.timing.grace - time))]
        }
        return self.claim()
    }

    /// The host asks this node to take its place.
    package mutating func handedOver(by id: ConnectionID) -> [Action] {
        // Race: this node follows another host now.
        guard case .client(_, id) = self.state, self.pending == nil, self.candidacy.priority > 0 else { return [] }
        return self.claim()
    }

    private var isStoreLocked: Bool { self.suspendedPriority != nil }

    /// The store has waited for long, and its end is not known.
    ///
    /// A claim that waits for the store is given up: the clinic would get it when it does not expect it any more. A host
    /// that waits to be followed is followed now.
    package mutating func storeLocked() -> [Action] {
        guard !self.isStoreLocked else { return [] }
        self.suspendedPriority = self.candidacy.priority
        self.candidacy.priority = 0
        defer { self.pending = nil }
        guard case .adopt(let reign, let id) = self.pending else { return [.announce] }
        let actions = self.follow(reign, id)
        return actions.isEmpty ? [.announce] : actions
    }

    /// The store writes again: what was put off for it goes on.
    package mutating func storeUnlocked(at time: Duration) -> [Action] {
        guard let priority = self.suspendedPriority else { return [] }
        self.suspendedPriority = nil
        self.candidacy.priority = priority
        // The node followed this term without writing it down.
        let unwritten = self.reign.map { $0.term > self.recordedTerm ? $0.term : 0 } ?? 0
        let record: [Action] = unwritten > 0 ? [.record(term: unwritten)] : []
        let outbid = self.outbid()
        return record + [.announce] + (outbid.isEmpty ? self.timerFired(at: time) : outbid)
    }

    /// The PC slept for so long that the clinic must have another host by now.
    package mutating func woke(at time: Duration) -> [Action] {
        self.isHost ? self.yield(at: time) : []
    }

    /// Ends the election; the node claims and follows nothing any more.
    package mutating func stop() {
        self.pending = nil
        self.state = .idle
    }

    // MARK: - Meeting hosts

    private mutating func met(
        _ reign: Reign,
        on id: ConnectionID,
        _ successors: [NodeAddresses],
        at time: Duration
    ) -> [Action] {
        switch self.state {
        case .idle:
            return []
        case .searching:
            // This node has followed a higher term. The other host learns of it from this node's report and claims
            // again.
            guard reign.term >= self.recordedTerm else { return [] }
            // A claim that waits for the store is given up: the clinic has a host already. Two hosts that meet later would
            // both stay, because neither has anything new to say.
            if case .adopt(let better, _) = self.pending, better > reign { return [] }
            return self.adopt(reign, id)
        case .client(let current, let connection):
            if reign == current {
                // The same host over a newer connection, or with other successors.
                self.state = .client(current, id)
                self.succession.successors = successors
                return connection == id ? [] : [.follow(id, current, wasHost: false)]
            }
            // A host without clients will follow this node's host, or this node's host will follow it.
            if successors.isEmpty { return [] }
            return self.isBetter(reign, than: current) ? self.adopt(reign, id) : []
        case .host(let own):
            if self.isLone, !successors.isEmpty, reign < own { return self.yield(at: time) }
            if !self.isLone, successors.isEmpty, reign.host != self.heir { return [.healed(other: reign.host)] }
            let healed: [Action] = reign < own ? [.healed(other: reign.host)] : []
            return self.isBetter(reign, than: own) ? self.adopt(reign, id) : healed
        }
    }

    /// Whether a reign is better than the node's own one, and at least as good as the one that the node awaits.
    ///
    /// The awaited reign counts again when its host is met over a newer connection, because the older one will close.
    private func isBetter(_ reign: Reign, than own: Reign) -> Bool {
        reign > own && reign >= self.pending?.reign ?? reign
    }

    /// Steps down for a host with a lower term, which claims a higher term when it learns of this node's term.
    private mutating func yield(at time: Duration) -> [Action] {
        self.pending = nil
        self.succession.successors = []
        self.ownSuccessors = []
        self.state = .searching(since: time, claimAt: time + self.timing.startWait)
        return [.search, .announce, .setTimer(after: self.timing.startWait)]
    }

    private mutating func heard(of reign: Reign, _ addresses: [String]) -> [Action] {
        guard reign.host != self.candidacy.node, !addresses.isEmpty else { return [] }
        switch self.state {
        case .idle: return []
        case .searching: return [.seek(reign, addresses: addresses)]
        case .client(let current, _): return reign > current ? [.seek(reign, addresses: addresses)] : []
        case .host(let current):
            // A lone host would yield to the host of this client, which does not know where the lone host is.
            return reign > current || self.isLone ? [.seek(reign, addresses: addresses)] : []
        }
    }

    /// A host claims a new term when a peer has heard of a higher one, because that peer could not follow it otherwise.
    private mutating func outbid() -> [Action] {
        guard case .host(let own) = self.state, self.highestTerm > own.term, self.pending == nil, !self.isStoreLocked
        else { return [] }
        return self.claim()
    }

    /// A host outbids a searching peer that said its term while the store wrote one for this node.
    private mutating func outbidSearching() -> [Action] {
        guard case .host(let own) = self.state else { return [] }
        let isRefused = self.peers.values.contains { $0.report.role == .searching && $0.report.term > own.term }
        return isRefused ? self.outbid() : []
    }

    private mutating func adopt(_ reign: Reign, _ id: ConnectionID) -> [Action] {
        if reign.term <= self.recordedTerm || self.isStoreLocked {
            self.pending = nil
            return self.follow(reign, id)
        }
        self.pending = .adopt(reign, id)
        return [.record(term: reign.term)]
    }

    private mutating func follow(_ reign: Reign, _ id: ConnectionID) -> [Action] {
        // The host may have stepped down while the store wrote its term.
        guard let report = self.peers[id]?.report, report.role == .host, report.reign == reign else { return [] }
        let wasHost = self.isHost
        self.state = .client(reign, id)
        self.succession.successors = report.successors
        self.ownSuccessors = []
        let isHealed = wasHost && reign.host != self.heir
        self.heir = nil
        return (isHealed ? [.healed(other: reign.host)] : []) + [.follow(id, reign, wasHost: wasHost), .announce]
            + self.tidy()
    }

    // MARK: - Without a host

    private mutating func lostIfHost(
        _ id: ConnectionID,
        at time: Duration,
        _ generator: inout SplitMix64
    ) -> [Action] {
        guard case .client(_, id) = self.state else { return [] }
        let wait = self.timing.wait(place: self.place) + self.jitter(&generator)
        self.state = .searching(since: time, claimAt: time + wait)
        return [.search, .announce, .setTimer(after: wait * self.timing.patience)]
    }

    private func jitter(_ generator: inout SplitMix64) -> Duration {
        self.place == nil ? generator.duration(upTo: self.timing.step) : .zero
    }

    /// This node's place in the succession of the last host.
    private var place: Int? { self.succession.place(of: self.candidacy.node) }

    /// Whether another searching node should claim: a successor of the last host with a better place; or, for a node
    /// without a place, a peer with a better candidacy, or the node that a peer takes for the best.
    private var isOutranked: Bool {
        let own = self.place
        return self.peers.values.contains { peer in
            guard peer.report.role == .searching else { return false }
            let mayClaim = peer.report.candidacy.priority > 0
            if mayClaim, let place = self.succession.place(of: peer.node), place < own ?? .max { return true }
            guard own == nil else { return false }
            if let named = peer.report.successors.first, named.node != self.candidacy.node { return true }
            return mayClaim && peer.report.candidacy > self.candidacy
        }
    }

    /// The best searching peer, if it is better than this node.
    ///
    /// Nodes that search all ask the same few, which tell them of each other in this way.
    private var nominee: NodeAddresses? {
        guard case .searching = self.state, self.pending == nil else { return nil }
        let best = self.peers.values.filter { $0.report.role == .searching && $0.report.candidacy.priority > 0 }
            .max { $0.report.candidacy < $1.report.candidacy }
        guard let best, best.report.candidacy > self.candidacy else { return nil }
        return NodeAddresses(node: best.node, addresses: [])
    }

    /// The best host among the peers, if it is better than this node's host.
    private var betterHost: (id: ConnectionID, reign: Reign)? {
        if case .idle = self.state { return nil }
        let hosts = self.peers.compactMap { id, peer -> (id: ConnectionID, reign: Reign)? in
            guard peer.report.role == .host, let reign = peer.report.reign else { return nil }
            guard let own = self.reign else { return reign.term >= self.recordedTerm ? (id, reign) : nil }
            let isRelevant = !peer.report.successors.isEmpty || (self.isHost && self.isLone)
            return isRelevant && reign > own ? (id, reign) : nil
        }
        return hosts.max { $0.reign < $1.reign }
    }

    /// Whether a peer is a host that has named successors.
    private var knowsHostWithClients: Bool {
        self.peers.values.contains { $0.report.role == .host && !$0.report.successors.isEmpty }
    }

    private mutating func claim() -> [Action] {
        let term = Bounds.term(after: max(self.highestTerm, self.recordedTerm))
        self.highestTerm = term
        var candidacy = self.candidacy
        // The largest term is its own successor. A claim by hand-over must exceed the reign that it ends all the same.
        if let reign = self.reign, reign.term == term { candidacy.raise(above: reign.candidacy) }
        self.pending = .claim(Reign(term: term, candidacy: candidacy))
        return [.record(term: term)]
    }

    /// Connections between two clients of one host are not needed.
    private func tidy() -> [Action] {
        guard case .client(let reign, let host) = self.state else { return [] }
        return self.peers.elements.compactMap { id, peer in
            id != host && peer.report.role == .client && peer.report.reign == reign ? .close(id) : nil
        }
    }
}
