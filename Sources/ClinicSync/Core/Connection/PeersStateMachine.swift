package import ClinicSyncModel
import OrderedCollections

/// Connections with other nodes, from the dial to the loss, and what the node knows of its peers.
///
/// A connection becomes a *link* when both sides have said hello. What a link means for replication, the election and
/// logins is not decided here: the directives ``Directive/established(_:)`` and ``Directive/lost(_:)`` say when it
/// begins and ends.
package struct PeersStateMachine: Sendable, Hashable {
    private let configuration: CoreConfiguration
    private var connections: OrderedDictionary<ConnectionID, PeerConnectionStateMachine> = [:]
    private var links: OrderedDictionary<ConnectionID, PeerLink> = [:]
    /// Every peer that said hello since the start.
    package private(set) var directory = PeerDirectory()
    private var dialler: Dialler
    private var duplicates: DuplicateWatch
    private var heartbeat: Heartbeat
    /// The members whose membership is verified.
    package var members: KnownMembers
    /// Where this node is reached, the likeliest address first.
    package var addresses: [String]

    /// Makes a machine without connections.
    package init(_ configuration: CoreConfiguration) {
        self.configuration = configuration
        self.dialler = Dialler(configuration)
        self.duplicates = DuplicateWatch(own: configuration.origin.node, seed: configuration.randomSeed)
        self.heartbeat = Heartbeat(
            interval: configuration.heartbeatInterval,
            silenceLimit: configuration.silenceLimit
        )
        self.members = configuration.members
        self.addresses = configuration.addresses
    }

    private var own: NodeID { self.configuration.origin.node }

    /// What this node says first on a connection.
    ///
    /// - Parameters:
    ///   - report: What the node says of the host.
    ///   - context: What may be read of the node: the clinic's time and the vector.
    ///   - partials: Batches of which the node has some chunks.
    ///   - schemaVersion: The number of the newest migration of the store.
    /// - Returns: The hello.
    package func hello(
        report: HostReport,
        _ context: NodeContext,
        partials: [PartialBatch],
        schemaVersion: UInt32
    ) -> Hello {
        Hello(
            protocolVersion: CoreLimits.protocolVersion,
            clinicID: self.configuration.clinicID,
            nodeName: self.configuration.nodeName,
            softwareVersion: self.configuration.softwareVersion,
            schemaVersion: schemaVersion,
            addresses: self.addresses,
            hostReport: report,
            // A PC with a dead battery may believe that it is 1969. The message has no place for a negative time.
            wallMilliseconds: max(context.clinicMilliseconds, 0),
            vector: context.vector,
            partials: partials,
            creditBytes: UInt32(clamping: self.configuration.creditBytes),
            runID: self.duplicates.runID,
            takesState: true,
            knowsEpochs: true,
            epoch: self.configuration.epoch,
            gathersProbes: true,
            reportsMembers: true
        )
    }

    // MARK: - A connection opens

    /// A connection was opened.
    ///
    /// - Parameters:
    ///   - id: The connection.
    ///   - dialled: The address that this node dialled; `nil` when the peer dialled.
    ///   - peer: The node in the peer's certificate.
    ///   - greeting: This node's hello, when this node must speak first and may speak already.
    ///   - time: The time.
    /// - Returns: What is to be done.
    package mutating func opened(
        _ id: ConnectionID,
        dialled: String?,
        peer: NodeID,
        greeting: Hello?,
        at time: Duration
    ) -> [Directive] {
        if case .refused(let reason, let retryAfter) = self.dialler.opened(dialled: dialled, peer: peer, at: time) {
            return [.effect(.turnAway(id, reason, retryAfter: retryAfter))]
        }
        let ofPeer = self.connections.values.count { $0.peer == peer }
        guard self.connections.count < self.configuration.connectionsMax, ofPeer < CoreLimits.connectionsPerPeerMax
        else { return [.effect(.close(id, .overloaded)), .effect(.notify(.connectionRefused(.overloaded)))] }
        self.connections[id] = PeerConnectionStateMachine(id: id, dialled: dialled, peer: peer)
        let limit = greeting == nil ? self.configuration.handshakeLimit : self.configuration.greetingLimit
        let timer = Directive.effect(.setTimer(.handshake(id), after: limit * self.patience))
        return [timer] + (greeting.map { self.greet(id, with: $0) } ?? [])
    }

    /// The node may speak from now on: greets a peer that it dialled before, and takes what the peer said meanwhile.
    ///
    /// - Returns: What is to be done, and the messages to receive after that.
    package mutating func takeEarly(_ id: ConnectionID, greeting: Hello) -> (greeting: [Directive], early: [Message]) {
        guard var connection = self.connections[id] else { return ([], []) }
        let early = connection.takeEarly()
        self.connections[id] = connection
        return (connection.dialled == nil ? [] : self.greet(id, with: greeting), early)
    }

    private mutating func greet(_ id: ConnectionID, with hello: Hello) -> [Directive] {
        self.connections[id]?.greeted = hello.vector
        self.connections[id]?.greetedReport = hello.hostReport
        return [.effect(.send([id], .hello(hello)))]
    }

    /// Judges the peer's hello; a peer that is accepted has a link from now on.
    ///
    /// - Parameters:
    ///   - hello: The peer's hello.
    ///   - id: The connection.
    ///   - greeting: This node's hello, for a peer that dialled.
    ///   - now: The time.
    /// - Returns: What is to be done.
    package mutating func welcome(
        _ hello: Hello,
        on id: ConnectionID,
        greeting: Hello,
        at now: Now
    ) -> [Directive] {
        guard var connection = self.connections[id] else { return [] }
        if let refusal = connection.receive(hello, rules: HelloRules(self.configuration)) {
            let isOwn = refusal == .duplicateIdentity
            let notices = isOwn ? self.duplicates.metOwnIdentity(hello.runID, at: now.monotonic) : []
            self.connections[id] = connection
            let news = refusal == .otherEpoch ? self.exchangeEpochs(hello, on: id, greeting: greeting) : []
            return notices.directives + news + self.refuse(id, refusal)
        }
        let verdict = self.duplicates.heard(hello.runID, of: connection.peer, at: now.monotonic)
        if case .outlived(let isNews) = verdict {
            return self.refuseOutlived(connection.peer, on: id, isNews: isNews)
        }
        if connection.dialled == nil,
            case .refused(let reason, let retryAfter) = self.dialler.judge(
                hello,
                of: connection.peer,
                at: now.monotonic
            )
        {
            self.connections.removeValue(forKey: id)
            return [.effect(.cancelTimer(.handshake(id))), .effect(.turnAway(id, reason, retryAfter: retryAfter))]
        }
        let others = self.links.elements.filter { $0.value.identity.node == connection.peer }.map(\.key)
        guard others.allSatisfy({ self.isPreferred(connection, to: $0) }) else { return [.close(id, .replaced)] }
        self.connections[id] = connection
        var actions = [Directive.effect(.cancelTimer(.handshake(id)))]
        if connection.greeted == nil { actions += self.greet(id, with: greeting) }
        actions += self.establish(id, hello, at: now)
        // The old connections close after the new one is up, so that the election does not lose a host that is still
        // there.
        return actions + others.map { .close($0, .replaced) }
    }

    /// The peer's data is of another epoch: the node with the smaller one learns of the greater one.
    ///
    /// Each hears the other's epoch before the connection closes, whoever dialled.
    private mutating func exchangeEpochs(_ hello: Hello, on id: ConnectionID, greeting: Hello) -> [Directive] {
        if let epoch = hello.epoch, hello.epoch.exceeds(self.configuration.epoch) {
            // A peer that is still given the state has less than the epoch says. Who followed it might find nobody with the state.
            return hello.vector.total >= epoch.batches ? [.effect(.learn(.epoch(epoch.statement)))] : []
        }
        return self.connections[id]?.greeted == nil ? self.greet(id, with: greeting) : []
    }

    private mutating func establish(_ id: ConnectionID, _ hello: Hello, at now: Now) -> [Directive] {
        guard let connection = self.connections[id], case .established(let identity) = connection.state else {
            return []
        }
        self.links[id] = PeerLink(
            identity: identity,
            report: hello.hostReport,
            term: hello.hostReport.term,
            lastHeard: now.monotonic,
            since: now.monotonic,
            isQuiet: self.dialler.isRepeating(identity.node),
            wallAhead: hello.wallMilliseconds &- now.wallMilliseconds
        )
        // A vector for each of many peers would be much memory, and nobody asks for it any more.
        self.connections[id]?.greeted = nil
        self.directory.connected(identity, by: id, vector: hello.vector, at: now)
        self.dialler.linked(identity, dialled: connection.dialled, at: now.monotonic)
        let isHost = hello.hostReport.role == .host
        let introduction = PeerIntroduction(
            connection: id,
            identity: identity,
            hello: hello,
            greetedVector: connection.greeted,
            greetedReport: connection.greetedReport
        )
        let notice = Effect.notify(.peerConnected(identity.node, name: identity.name, isHost: isHost))
        return (self.dialler.isRepeating(identity.node) ? [] : [.effect(notice)]) + [.established(introduction)]
    }

    /// Refuses a process whose place another process with the same identity has taken.
    ///
    /// The other process hears of it too: its connection is closed with the reason, and it may connect again at once.
    private func refuseOutlived(_ peer: NodeID, on id: ConnectionID, isNews: Bool) -> [Directive] {
        guard isNews else { return self.refuse(id, .duplicateIdentity) }
        let others = self.links.elements.filter { $0.value.identity.node == peer && $0.key != id }
        return [.effect(.notify(.duplicateIdentity(peer, isSelf: false)))]
            + others.map { .close($0.key, .duplicateIdentity) } + self.refuse(id, .duplicateIdentity)
    }

    /// Which of two connections with one node stays; both ends must come to the same answer.
    ///
    /// A connection with a process that ended is dead, although nothing may show it but silence: the connection with the
    /// process that took its place stays. Of two connections that the same end dialled, the newer one stays; ids ascend with
    /// age. Of two that both ends dialled, the one stays that the node with the smaller id dialled.
    private func isPreferred(_ connection: PeerConnectionStateMachine, to other: ConnectionID) -> Bool {
        let (run, former) = (connection.process?.runID ?? 0, self.connections[other]?.process?.runID ?? 0)
        if run != former, run != 0, former != 0 { return true }
        let wasDialled = self.connections[other]?.dialled != nil
        if wasDialled == (connection.dialled != nil) { return connection.id > other }
        return (connection.dialled != nil) == (self.own < connection.peer)
    }

    // MARK: - A connection ends

    /// The peer has not said hello in time.
    package func handshakeTimedOut(_ id: ConnectionID) -> [Directive] {
        // Race: the hello came with the timer.
        guard let connection = self.connections[id], connection.state == .awaitingHello else { return [] }
        // A peer that this node dialled may have answered on a path that was broken. A new connection may work.
        return connection.dialled == nil ? self.refuse(id, .handshakeTimeout) : [.close(id, .peerSilent)]
    }

    private func refuse(_ id: ConnectionID, _ reason: CloseReason) -> [Directive] {
        // Operators hear once of a peer that waits, when its connection is closed.
        let isNotice = !reason.isLasting || reason == .duplicateIdentity
        return (isNotice ? [.effect(.notify(.connectionRefused(reason)))] : []) + [.close(id, reason)]
    }

    /// Closes a connection; does nothing when it is gone already.
    package mutating func close(
        _ id: ConnectionID,
        _ reason: CloseReason,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> [Directive] {
        guard self.connections[id] != nil else { return [] }
        return [.effect(.close(id, reason))] + self.closed(id, reason, at: time, using: &generator)
    }

    /// A connection is gone, whoever closed it.
    ///
    /// Messages that still arrive name an unknown id and are ignored.
    package mutating func closed(
        _ id: ConnectionID,
        _ reason: CloseReason,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> [Directive] {
        guard let connection = self.connections.removeValue(forKey: id) else { return [] }
        let link = self.links[id]
        let notices = self.dialler.ended(connection, link, reason, at: time, using: &generator)
        let end = link == nil ? [.effect(.cancelTimer(.handshake(id)))] : self.unlink(id, reason)
        return end + notices.directives + [.dial]
    }

    /// Removes a link.
    package mutating func unlink(_ id: ConnectionID, _ reason: CloseReason) -> [Directive] {
        guard let link = self.links.removeValue(forKey: id) else { return [] }
        let node = link.identity.node
        self.directory.disconnected(node, from: id)
        return (link.isQuiet ? [] : [.effect(.notify(.peerLost(node, reason)))]) + [.lost(id)]
    }

    /// The node stops: the effects that close every connection.
    package var goodbyes: [Effect] { self.connections.keys.map { .close($0, .shuttingDown) } }

    /// The node stops: the effects that end the waiting for a hello.
    package var handshakeEnds: [Effect] {
        self.connections.values.filter { $0.state == .awaitingHello }.map { .cancelTimer(.handshake($0.id)) }
    }

    /// The node has stopped: forgets the connections.
    package mutating func removeConnections() { self.connections = [:] }

    // MARK: - Messages

    /// A message arrived.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - term: The term in its frame; `nil` for a message that was kept and is checked no more.
    ///   - id: The connection.
    ///   - isReady: Whether this node may answer; before that, the first messages are kept.
    ///   - now: The time.
    /// - Returns: What is to be done.
    package mutating func received(
        _ message: Message,
        term: UInt64?,
        on id: ConnectionID,
        isReady: Bool,
        at now: Now
    ) -> [Directive] {
        if let term, let link = self.links[id], !message.isTermless {
            guard term >= link.term else { return self.refuse(id, .protocolViolation) }
            self.links[id]?.term = term
        }
        // Race: the message was on its way when this node closed the connection.
        guard var connection = self.connections[id] else { return [] }
        guard isReady else {
            let hasRoom = connection.keep(message)
            self.connections[id] = connection
            return hasRoom ? [] : [.close(id, .protocolViolation)]
        }
        switch connection.state {
        case .awaitingHello: return self.receivedFirst(message, on: connection, at: now)
        case .established(let identity): return self.received(message, on: id, from: identity, at: now)
        case .closed: return []
        }
    }

    private mutating func receivedFirst(
        _ message: Message,
        on connection: PeerConnectionStateMachine,
        at now: Now
    ) -> [Directive] {
        switch message {
        case .hello(let hello): return [.judge(hello, connection.id)]
        case .revocation(let entry): return [.effect(.learn(.revocation(entry)))]
        case .goodbye(let reason, let wait):
            return self.saidGoodbye(reason, retryAfter: wait, on: connection.id, from: connection.peer, at: now)
        case .ping, .pong, .chunk, .acknowledge, .digests, .rowHashes, .rowStates, .syncRequest, .verifyRequest,
            .verifyReport, .syncReport, .memberProof, .hostReport, .handOver, .transferRequest, .loginRequest,
            .loginReply, .state, .stateRanges, .stateWants:
            return self.refuse(connection.id, .protocolViolation)
        }
    }

    private mutating func received(
        _ message: Message,
        on id: ConnectionID,
        from identity: PeerIdentity,
        at now: Now
    ) -> [Directive] {
        self.links[id]?.lastHeard = now.monotonic
        self.directory.heard(identity.node, at: now)
        switch message {
        case .hello: return [.close(id, .protocolViolation)]
        case .revocation(let entry): return [.effect(.learn(.revocation(entry)))]
        case .memberProof(let chain): return [.effect(.learn(.member(chain: chain)))]
        case .goodbye(let reason, let wait):
            return self.saidGoodbye(reason, retryAfter: wait, on: id, from: identity.node, at: now)
        case .ping, .pong, .chunk, .acknowledge, .digests, .rowHashes, .rowStates, .syncRequest, .verifyRequest,
            .verifyReport, .syncReport, .hostReport, .handOver, .transferRequest, .loginRequest, .loginReply, .state,
            .stateRanges, .stateWants:
            // Peer violation: a node says what it is before it speaks as client or as host, and when it no longer is.
            if case .ping = message { self.links[id]?.hasPinged = true }
            let role = self.links[id]?.report.role
            let isWrong = (message.isForHosts && role != .client) || (message.isForClients && role != .host)
            return [isWrong ? .close(id, .protocolViolation) : .deliver(message, id, identity.node)]
        }
    }

    private mutating func saidGoodbye(
        _ reason: CloseReason,
        retryAfter milliseconds: UInt32?,
        on id: ConnectionID,
        from peer: NodeID,
        at now: Now
    ) -> [Directive] {
        self.connections[id]?.farewell = PeerConnectionStateMachine.Farewell(
            retryAfter: milliseconds.map { .milliseconds($0) }
        )
        return self.duplicates.heed(reason, from: peer, at: now.monotonic).directives + [.close(id, reason)]
    }

    // MARK: - Heartbeat

    /// By how much this node's patience with others is multiplied, because it is late itself; 1 while it is in time.
    package var patience: Int { self.heartbeat.patience }

    /// The first beat of the heart is due after one interval.
    package mutating func startHeartbeat(at time: Duration) -> Effect {
        self.heartbeat.plan(at: time + self.configuration.heartbeatInterval)
        return .setTimer(.heartbeat, after: self.configuration.heartbeatInterval)
    }

    /// Counts a beat and finds the peers that are silent for too long.
    ///
    /// A client pings its host at each beat, and the answer says all that a ping of the host would say. So a host pings a
    /// peer that pings it only at every ``CoreLimits/roundTripBeats``th beat, each at another one, for the round trip.
    package mutating func beat(at time: Duration, isHost: Bool) -> HeartbeatOutcome {
        let (ping, wasAsleep) = self.heartbeat.beat(at: time)
        let limit = self.configuration.silenceLimit * self.patience
        var beat = HeartbeatOutcome(ping: ping, silent: [], next: self.configuration.heartbeatInterval)
        for (index, id) in self.links.keys.enumerated() {
            var link = self.links.values[index]
            defer { self.links.values[index] = link }
            if wasAsleep { link.lastHeard = max(link.lastHeard, time - self.configuration.silenceLimit / 2) }
            let remaining = link.lastHeard + limit - time
            guard remaining > .zero else {
                beat.silent.append(id)
                continue
            }
            // The next beat comes when a peer's time is up, rather than half a second later.
            beat.next = min(beat.next, remaining)
            if time - link.since >= CoreLimits.usefulAfter { beat.notices += self.prove(&link) }
            let isMeasured = (ping &+ id.rawValue).isMultiple(of: CoreLimits.roundTripBeats)
            if !isHost || isMeasured || !link.hasPinged { beat.pinged.append(id) }
            link.hasPinged = false
        }
        self.heartbeat.plan(at: time + beat.next)
        return beat
    }

    /// Forgets that a peer waited, because its link has lasted long enough.
    ///
    /// - Returns: The notice of a link of which nobody was told.
    private mutating func prove(_ link: inout PeerLink) -> [Effect] {
        self.dialler.proved(link.identity.node)
        guard link.isQuiet else { return [] }
        link.isQuiet = false
        let isHost = link.report.role == .host
        return [.notify(.peerConnected(link.identity.node, name: link.identity.name, isHost: isHost))]
    }

    /// Takes the answer to a ping.
    ///
    /// - Returns: The round trip; `nil` when the ping is unknown or too old.
    package mutating func answered(_ pong: Pong, by node: NodeID, at time: Duration) -> Duration? {
        guard let roundTrip = self.heartbeat.roundTrip(of: pong.id, at: time) else { return nil }
        self.directory.measured(node, roundTrip: roundTrip)
        return roundTrip
    }

    // MARK: - Knowledge of peers

    /// The connections, linked or not, in the order of their opening.
    package var connectionIDs: [ConnectionID] { Array(self.connections.keys) }

    /// The links in the order of their beginning.
    package var linkIDs: [ConnectionID] { Array(self.links.keys) }

    /// Whether there is no link.
    package var isAlone: Bool { self.links.isEmpty }

    /// Whether the connection is a link.
    package func isLinked(_ id: ConnectionID) -> Bool { self.links[id] != nil }

    /// The link of a connection; `nil` when there is none.
    package func link(_ id: ConnectionID) -> PeerLink? { self.links[id] }

    /// The first link whose peer is a client of some host.
    package var firstClient: PeerLink? { self.links.values.first { $0.report.role == .client } }

    /// The linked peers in the order of their links.
    package var linkedPeers: [LinkedPeer] {
        self.links.map { id, link in
            LinkedPeer(
                connection: id,
                identity: link.identity,
                candidacy: link.report.candidacy,
                isFollower: link.report.role == .client && link.report.reign?.host == self.own,
                acknowledged: self.acknowledged(by: link.identity.node) ?? VersionVector(),
                isStoreLocked: link.report.lockedSince != nil
            )
        }
    }

    /// The linked peers that a program's write transaction keeps from writing; at most ``HostReport/lockedPeersMax``.
    package var lockedPeers: [HostReport.LockedPeer] {
        let locked = self.links.values.compactMap { link in
            link.report.lockedSince.map { HostReport.LockedPeer(node: link.identity.node, since: $0) }
        }
        return Array(locked.prefix(HostReport.lockedPeersMax))
    }

    /// The linked peer with this id.
    package func linkedPeer(_ node: NodeID) -> LinkedPeer? { self.linkedPeers.first { $0.identity.node == node } }

    /// What a peer has said it has applied; `nil` for a peer that never said hello.
    package func acknowledged(by node: NodeID) -> VersionVector? { self.directory[node]?.acknowledged }

    /// What is known of a peer; `nil` for one that never said hello.
    package func known(_ node: NodeID) -> KnownPeer? { self.directory[node] }

    /// The nodes whose identity two processes carry, this node first.
    package func duplicates(at time: Duration) -> [NodeID] { self.duplicates.duplicates(at: time) }

    /// A peer says something else of the clinic's host than before.
    package mutating func reported(_ report: HostReport, on id: ConnectionID) { self.links[id]?.report = report }

    /// This node has applied these batches: peers that have applied the same are remembered in the same memory.
    package mutating func share(_ vector: VersionVector) { self.directory.share(vector) }

    /// A peer has applied these batches.
    package mutating func acknowledged(_ entries: [VersionVector.Entry], by node: NodeID) {
        self.directory.acknowledged(node, entries)
    }

    /// A peer sent the end of a batch, so it has the batch.
    package mutating func sent(_ batch: BatchID, on id: ConnectionID) {
        if let node = self.links[id]?.identity.node { self.directory.sent(node, batch) }
    }

    /// Returns the progress of members that the store does not know yet, and counts it as known.
    package mutating func takeProgress(
        at now: Now,
        offsetMilliseconds: Int64,
        everything: Bool
    ) -> [MemberProgress] {
        self.directory.takeProgress(at: now, offsetMilliseconds: offsetMilliseconds, everything: everything)
    }

    // MARK: - Dialling

    /// Whether no address of another node is known.
    package var knowsNoAddress: Bool { self.dialler.knowsNoAddress }

    /// Takes over addresses at which members may be reached.
    package mutating func learn(_ hints: [PeerHint], at time: Duration) {
        self.dialler.learn(hints.filter { !self.addresses.contains($0.address) }, at: time)
    }

    /// Takes over the addresses that the configuration names.
    package mutating func learnConfigured(at time: Duration) {
        self.dialler.learn(self.configuration.hints, at: time)
    }

    /// Returns the dials that are due, and the timer for the next ones.
    package mutating func dial(at time: Duration) -> [Effect] {
        // Connections without a hello count too: a second connection would only replace the first.
        var linked = Set(self.connections.values.map(\.peer))
        linked.insert(self.own)
        return self.dialler.dial(at: time, linked: linked, patience: self.patience)
    }

    /// The nodes that may turn out to be host, or know the host; `nil` in it: a node that is not known yet.
    package func asked(at time: Duration) -> Set<NodeID?> { self.dialler.asked(at: time) }

    /// A dialled address has accepted the socket.
    package mutating func dialAnswered(_ address: String, at time: Duration) {
        self.dialler.dialAnswered(address, at: time)
    }

    /// A person wants every peer to be tried now, also those that wait.
    package mutating func retryNow(at time: Duration) { self.dialler.retryNow(at: time) }

    /// The peers that wait, for people.
    package func backOffs(at time: Duration) -> [CoreStatus.BackOff] { self.dialler.backOffs(at: time) }

    /// A dial failed.
    package mutating func dialFailed(
        _ address: String,
        _ failure: DialFailure,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> [Effect] {
        self.dialler.dialFailed(address, failure, at: time, using: &generator)
    }

    /// The addresses that were tried, for people; the wall time of `now` is the clinic's.
    package func dials(at now: Now) -> [CoreStatus.Dial] { self.dialler.dials(at: now) }

    /// Changes what the node dials for.
    package mutating func enter(_ mode: DialPool.Mode, at time: Duration, using generator: inout SplitMix64) {
        self.dialler.enter(mode, at: time, using: &generator)
    }

    /// The node starts to look for a host.
    package mutating func beginSearch(at time: Duration, using generator: inout SplitMix64) {
        self.dialler.enter(.search, isAtOnce: true, at: time, using: &generator)
    }

    /// The node lost its host: it looks for another one, first at the successors of the lost one, then at the lost one.
    package mutating func searchHost(
        successors: [NodeAddresses],
        at time: Duration,
        using generator: inout SplitMix64
    ) {
        self.dialler.searchHost(successors: successors, at: time, using: &generator)
    }

    /// A better host is said to be at these addresses.
    package mutating func seek(
        _ host: NodeAddresses,
        successors: [NodeAddresses],
        at time: Duration,
        using generator: inout SplitMix64
    ) {
        self.dialler.seek(host, successors: successors, at: time, using: &generator)
    }
}
