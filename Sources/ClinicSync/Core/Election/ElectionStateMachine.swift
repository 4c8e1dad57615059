package import ClinicSyncModel
import OrderedCollections

/// Who is host, as one node sees it.
///
/// There is no vote and no quorum: a part of the clinic that is cut off must go on with a host of its own, and no host
/// has a say over data. A node that finds no host claims a term higher than any it has heard of; everybody follows the
/// highest ``Reign`` it meets, and of two hosts the lower becomes the other's client. Who waits how long before it
/// claims only keeps claims from colliding; when two collide all the same, the order of reigns decides.
///
/// Source of terms, leases and of stepping down for a higher term: Ongaro and Ousterhout, "In Search of an
/// Understandable Consensus Algorithm", 2014, 5.1 and 5.2; without its majority, and so without its guarantee of one
/// leader through a partition. `docs/design/0007-election.md` says why.
package struct ElectionStateMachine: Sendable, Hashable {
    /// What the node is.
    package enum State: Sendable, Hashable {
        /// Not started, or stopped.
        case idle
        /// There is no host; the node may claim from `claimAt` on. Can transition to `client`, `host`.
        case searching(since: Duration, claimAt: Duration)
        /// The host of the reign is at the other end of the connection. Can transition to `searching`, `client` of
        /// another, `host` when it is handed over.
        case client(Reign, ConnectionID)
        /// This node is host. Can transition to `client`, `searching`.
        case host(Reign)
    }

    /// What is done as soon as its term is in the store.
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
        /// Write the term to the store, and tell the election.
        case record(term: UInt64)
        /// Wake the election after this time; in place of an earlier wish.
        case setTimer(after: Duration)
        /// The node is host from now on.
        case becomeHost(Reign)
        /// The node is client of the host at the other end from now on; `wasHost`: it was host itself.
        case follow(ConnectionID, Reign, wasHost: Bool)
        /// The node has no host from now on; these addresses are the likeliest to answer.
        case search
        /// A better host than ours is said to be at these addresses: connect with it.
        case seek(Reign, addresses: [String])
        /// Tell all peers what this node is.
        case announce
        /// Neither end needs the connection.
        case close(ConnectionID)
        /// Two hosts met.
        case healed(other: NodeID)
    }

    /// What the node is.
    package private(set) var state: State = .idle
    /// How good a host this node would make; kept up to date by the caller.
    package var candidacy: Candidacy
    /// The highest term ever heard of.
    package private(set) var highestTerm: UInt64 = 0
    /// The highest term in the store.
    package private(set) var recordedTerm: UInt64 = 0
    /// Who was to claim when the last host is gone.
    package private(set) var successors: [NodeAddresses] = []

    /// Whether this host has told of nobody who could succeed it.
    ///
    /// A host without clients yields to one with clients, whatever their terms: it was cut off, and its clock, which would
    /// become the clinic's, has nobody to agree with it.
    package var isLone = true

    /// Whom this host has asked to take its place: that one is followed though it has no clients yet.
    package var heir: NodeID?

    private let timing: ElectionTiming
    private var pending: Pending?
    private var peers: OrderedDictionary<ConnectionID, Peer> = [:]

    /// Makes an election that has not started.
    package init(candidacy: Candidacy, timing: ElectionTiming) {
        self.candidacy = candidacy
        self.timing = timing
    }

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

    /// The connection with the host, of a client.
    package var hostConnection: ConnectionID? {
        if case .client(_, let id) = self.state { id } else { nil }
    }

    /// Whether a host is followed as soon as its term is in the store.
    package var isAdopting: Bool {
        if case .adopt = self.pending { true } else { false }
    }

    // MARK: - Inputs

    /// Begins to look for a host.
    ///
    /// - Parameters:
    ///   - recordedTerm: The highest term in the store.
    ///   - isAlone: Whether no other member is known, so that there is nobody to wait for.
    ///   - time: The time.
    ///   - generator: For jitter.
    /// - Returns: What is to be done.
    package mutating func start(
        recordedTerm: UInt64,
        isAlone: Bool,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> [Action] {
        self.recordedTerm = recordedTerm
        self.highestTerm = max(self.highestTerm, recordedTerm)
        let wait = isAlone ? .zero : self.timing.startWait + generator.duration(upTo: self.timing.startWait / 4)
        self.state = .searching(since: time, claimAt: time + wait)
        return self.timerFired(at: time)
    }

    /// Takes what a peer says of itself and of the host: its hello, or a change of that.
    package mutating func reported(
        _ id: ConnectionID,
        by node: NodeID,
        _ report: HostReport,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> [Action] {
        self.peers[id] = Peer(node: node, report: report)
        self.highestTerm = max(self.highestTerm, report.term)
        switch (report.role, report.reign) {
        case (.host, let reign?):
            return self.met(reign, on: id, report.successors, at: time)
        case (.client, let reign?):
            return self.lostIfHost(id, at: time, &generator) + self.heard(of: reign, report.addresses) + self.tidy()
        case (.searching, _), (_, nil):
            let actions = self.lostIfHost(id, at: time, &generator) + self.outbid()
            // What forbade a claim may be over: its host is gone as well.
            return actions.isEmpty ? self.timerFired(at: time) : actions
        }
    }

    /// Takes note that a connection is gone.
    package mutating func lost(
        _ id: ConnectionID,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> [Action] {
        self.peers.removeValue(forKey: id)
        if case .adopt(_, id) = self.pending { self.pending = nil }
        return self.lostIfHost(id, at: time, &generator)
    }

    /// The term is in the store: what waited for it is done, unless something better has come.
    package mutating func recorded(_ term: UInt64) -> [Action] {
        self.recordedTerm = max(self.recordedTerm, term)
        self.highestTerm = max(self.highestTerm, term)
        guard let pending = self.pending, pending.reign.term <= self.recordedTerm else { return [] }
        self.pending = nil
        switch pending {
        case .claim(let reign):
            if !self.isHost { self.isLone = true }
            self.state = .host(reign)
            return [.becomeHost(reign), .announce]
        case .adopt(let reign, let id):
            return self.follow(reign, id)
        }
    }

    /// The store could not write the term: nothing is claimed or followed, and it is tried again.
    package mutating func recordingFailed(retryAfter delay: Duration) -> [Action] {
        self.pending = nil
        return [.setTimer(after: delay)]
    }

    /// Claims when the time has come and nobody else should.
    package mutating func timerFired(at time: Duration) -> [Action] {
        guard self.pending == nil else { return [] }
        if let (id, reign) = self.betterHost { return self.adopt(reign, id) }
        guard case .searching(_, let claimAt) = self.state else { return [] }
        guard self.candidacy.priority > 0 else { return [.setTimer(after: self.timing.startWait)] }
        if time < claimAt { return [.setTimer(after: claimAt - time)] }
        // A client's host is alive, though we may not reach it: a host of our own would take that client from it.
        if self.peers.values.contains(where: { $0.report.role == .client }) {
            return [.setTimer(after: self.timing.recheck)]
        }
        if self.place == nil, time < claimAt + self.timing.grace, self.isOutranked {
            return [.setTimer(after: min(self.timing.recheck, claimAt + self.timing.grace - time))]
        }
        return self.claim()
    }

    /// The host hands over to this node.
    package mutating func handedOver(by id: ConnectionID) -> [Action] {
        // Benign race: the host that asks is ours no more.
        guard case .client(_, id) = self.state, self.pending == nil, self.candidacy.priority > 0 else { return [] }
        return self.claim()
    }

    /// The PC slept so long that the clinic must have another host: what was true before proves nothing.
    package mutating func woke(at time: Duration) -> [Action] {
        self.isHost ? self.yield(at: time) : []
    }

    /// Ends the election; nothing is claimed or followed any more.
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
            // A lower term than one we have followed: its host hears of ours by our report, and claims anew.
            guard reign.term >= self.recordedTerm else { return [] }
            if let pending = self.pending, pending.reign > reign { return [] }
            return self.adopt(reign, id)
        case .client(let current, let connection):
            if reign == current {
                // The same host over a newer connection, or with other successors.
                self.state = .client(current, id)
                self.successors = successors
                return connection == id ? [] : [.follow(id, current, wasHost: false)]
            }
            // A host without clients will follow ours, or ours will follow it.
            if successors.isEmpty { return [] }
            return reign > max(current, self.pending?.reign ?? current) ? self.adopt(reign, id) : []
        case .host(let own):
            if self.isLone, !successors.isEmpty, reign < own { return self.yield(at: time) }
            if !self.isLone, successors.isEmpty, reign.host != self.heir { return [.healed(other: reign.host)] }
            let healed: [Action] = reign < own ? [.healed(other: reign.host)] : []
            return reign > max(own, self.pending?.reign ?? own) ? self.adopt(reign, id) : healed
        }
    }

    /// Steps down for a host of a lower term, which claims a higher one when it hears of ours.
    private mutating func yield(at time: Duration) -> [Action] {
        self.pending = nil
        self.successors = []
        self.state = .searching(since: time, claimAt: time + self.timing.startWait)
        return [.search, .announce, .setTimer(after: self.timing.startWait)]
    }

    private mutating func heard(of reign: Reign, _ addresses: [String]) -> [Action] {
        guard reign.host != self.candidacy.node, !addresses.isEmpty else { return [] }
        switch self.state {
        case .idle: return []
        case .searching: return [.seek(reign, addresses: addresses)]
        case .client(let current, _), .host(let current):
            return reign > current ? [.seek(reign, addresses: addresses)] : []
        }
    }

    /// A host to whose term somebody may not go back claims a new one, so that it can be followed.
    private mutating func outbid() -> [Action] {
        guard case .host(let own) = self.state, self.highestTerm > own.term, self.pending == nil else { return [] }
        return self.claim()
    }

    private mutating func adopt(_ reign: Reign, _ id: ConnectionID) -> [Action] {
        if reign.term <= self.recordedTerm {
            self.pending = nil
            return self.follow(reign, id)
        }
        self.pending = .adopt(reign, id)
        return [.record(term: reign.term)]
    }

    private mutating func follow(_ reign: Reign, _ id: ConnectionID) -> [Action] {
        // It may have stepped down while its term was written.
        guard let report = self.peers[id]?.report, report.role == .host, report.reign == reign else { return [] }
        let wasHost = self.isHost
        self.state = .client(reign, id)
        self.successors = report.successors
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
        return [.search, .announce, .setTimer(after: wait)]
    }

    private func jitter(_ generator: inout SplitMix64) -> Duration {
        self.place == nil ? generator.duration(upTo: self.timing.step) : .zero
    }

    /// This node's place in the succession of the last host.
    private var place: Int? { self.successors.firstIndex { $0.node == self.candidacy.node } }

    /// Whether a peer that searches as well is the better host.
    private var isOutranked: Bool {
        self.peers.values.contains { peer in
            peer.report.role == .searching && peer.report.candidacy.priority > 0
                && peer.report.candidacy > self.candidacy
        }
    }

    /// The best host at the other end of a connection, if it is better than what this node has.
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

    private mutating func claim() -> [Action] {
        let term = max(self.highestTerm, self.recordedTerm) + 1
        self.highestTerm = term
        self.pending = .claim(Reign(term: term, candidacy: self.candidacy))
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

/// How long an election waits for what.
package struct ElectionTiming: Sendable, Hashable {
    /// At the start, before a node that knows others claims: discovery and dialling take that long.
    package var startWait: Duration = .seconds(1)
    /// After the loss of the host, before the first successor claims: long enough to come back to a host that only
    /// lost the connection.
    package var firstWait: Duration = .milliseconds(100)
    /// What each further successor waits longer.
    package var step: Duration = .milliseconds(150)
    /// How much longer a node waits for a better one to claim.
    package var grace: Duration = .seconds(1)
    /// Until a claim that something forbids is thought over again.
    package var recheck: Duration = .milliseconds(250)

    /// Makes the standard times.
    package init() {}

    /// The wait of the successor at `place`; `nil`: of everybody else.
    func wait(place: Int?) -> Duration {
        self.firstWait + self.step * (place ?? HostReport.successorsMax)
    }
}
