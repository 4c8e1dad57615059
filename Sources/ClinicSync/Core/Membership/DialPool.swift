package import ClinicSyncModel
import OrderedCollections

/// Decides which addresses are dialled, and when.
///
/// A node without a host asks one candidate after the other, the most useful first. It waits for a candidate that has
/// accepted the socket, and asks the next one soon if nothing comes. All nodes have the same order, so that they meet at
/// one candidate: if each dialled many, the handshakes of a large clinic would overload it. A host dials the members with
/// which it has no connection, so that two parts of a clinic find each other soon. A client dials no address, except that of a
/// better host. After a failure an address rests for a random part (full jitter) of a bound that doubles up to a limit,
/// so that the clients of a failed host do not all return in the same instant. Source of full jitter: Brooker,
/// "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Source of the pause between two candidates: Schinazi and
/// Pauly, "Happy Eyeballs Version 2", RFC 8305, section 5 (connection attempt delay).
package struct DialPool: Sendable, Hashable {
    /// The purpose of dialling.
    package enum Mode: Sendable, Hashable {
        /// A client has its host and dials only urgent addresses. Can transition to `search`, `probe`.
        case rest
        /// The node looks for a host. Can transition to `rest`, `probe`.
        case search
        /// A host looks for missing members and other hosts. Can transition to `rest`, `search`.
        case probe
    }

    /// A dial in progress, until the peer's hello.
    struct Attempt: Sendable, Hashable {
        let began: Duration
        /// When the address accepted the socket.
        var answered: Duration?

        /// How long a searching node asks no other candidate.
        func holdsOthers(_ patience: Int) -> Duration {
            self.answered.map { $0 + CoreLimits.answerWait * patience } ?? self.began + CoreLimits.attemptDelay
        }
    }

    /// An address and what is known of it.
    struct Target: Sendable, Hashable {
        var node: NodeID?
        var source: PeerHint.Source
        /// The dial in progress.
        var attempt: Attempt?
        /// The address is not dialled before this time.
        var notBefore: Duration = .zero
        var failures = 0
        /// How many times in a row the connection was refused for a reason that a new connection does not change.
        var rejections = 0
        /// When the last connection, or the last attempt, ended.
        var endedAt: Duration = .zero
        /// Whether the address is dialled before others, and in any mode.
        var isUrgent = false
        /// The number of the call that made the address urgent; the oldest is the smallest.
        var urgency: UInt64 = 0
        /// The newest answer; `nil` for an address that was never tried.
        var record: DialRecord?

        /// Whether a dial is in progress.
        var isDialling: Bool { self.attempt != nil }
    }

    /// The purpose of dialling.
    package private(set) var mode: Mode = .rest
    private var targets: OrderedDictionary<String, Target> = [:]
    private var lastUrgency: UInt64 = 0
    private let delayMin: Duration
    private let delayMax: Duration

    /// Makes a pool without addresses.
    ///
    /// - Parameters:
    ///   - delayMin: The bound of the delay after the first failure.
    ///   - delayMax: The largest bound of a delay after refusals that a new connection does not change.
    package init(delayMin: Duration, delayMax: Duration) {
        self.delayMin = delayMin
        self.delayMax = delayMax
    }

    /// The addresses known.
    package var addresses: [String] { Array(self.targets.keys) }

    /// The known addresses of `node`.
    package func addresses(of node: NodeID) -> [String] {
        self.targets.elements.compactMap { $0.value.node == node ? $0.key : nil }
    }

    /// Takes over addresses; a better source corrects a worse one.
    ///
    /// Beyond ``CoreLimits/dialTargetsMax`` the least useful addresses are forgotten.
    package mutating func learn(_ hints: [PeerHint], at time: Duration) {
        for hint in hints {
            guard var target = self.targets[hint.address] else {
                self.targets[hint.address] = Target(node: hint.node, source: hint.source)
                continue
            }
            if hint.source <= target.source {
                target.source = hint.source
                target.node = hint.node ?? target.node
            }
            // The node was seen on the LAN just now, so a dial is likely to succeed.
            if hint.source == .discovered {
                target.failures = 0
                target.notBefore = min(target.notBefore, time)
            }
            self.targets[hint.address] = target
        }
        self.forget()
    }

    /// Dials these addresses before all others, in any mode, until they have been tried; the newest of such first.
    ///
    /// An address that was refused rests for a moment all the same: otherwise a peer that names a better host again and
    /// again would make this node dial without a pause. Beyond ``CoreLimits/urgentTargetsMax`` the addresses that were
    /// named first are urgent no more.
    package mutating func hurry(_ addresses: [String], node: NodeID, at time: Duration) {
        self.learn(addresses.map { PeerHint(address: $0, node: node, source: .told) }, at: time)
        self.lastUrgency += 1
        for address in addresses {
            guard var target = self.targets[address] else { continue }
            // Many may name the same host: the moment that was drawn for the first of them holds.
            let start = target.isUrgent ? min(target.notBefore, time) : time
            target.node = node
            target.isUrgent = true
            target.urgency = self.lastUrgency
            target.notBefore = target.rejections == 0 ? start : max(start, target.endedAt + CoreLimits.urgentRest)
            target.failures = 0
            self.targets[address] = target
        }
        self.calm()
    }

    /// Keeps the number of urgent addresses within its limit.
    private mutating func calm() {
        let urgent = self.targets.elements.filter { $0.value.isUrgent && !$0.value.isDialling }
        guard urgent.count > CoreLimits.urgentTargetsMax else { return }
        let oldest = urgent.sorted { $0.value.urgency < $1.value.urgency }
        for (address, _) in oldest.prefix(urgent.count - CoreLimits.urgentTargetsMax) {
            self.targets[address]?.isUrgent = false
        }
    }

    /// A person wants every address to be tried now, also those that were refused.
    package mutating func retryNow(at time: Duration) {
        for index in self.targets.values.indices where self.targets.values[index].rejections > 0 {
            self.targets.values[index].notBefore = min(self.targets.values[index].notBefore, time)
        }
    }

    /// Changes the purpose of dialling.
    ///
    /// - Parameters:
    ///   - mode: The new purpose.
    ///   - time: The time.
    ///   - spread: A searching node begins within this time. A host gives its clients this time to come of their own
    ///     accord, and dials every address in as much time after it, each at its own random moment.
    ///   - generator: The source of these moments.
    package mutating func enter(
        _ mode: Mode,
        at time: Duration,
        spread: Duration,
        using generator: inout SplitMix64
    ) {
        guard mode != self.mode else { return }
        self.mode = mode
        // A searching node has one moment for all, so that it keeps their order.
        let beginning = mode == .search ? generator.duration(upTo: spread) : spread
        for index in self.targets.values.indices {
            self.targets.values[index].failures = 0
            if mode == .rest { self.targets.values[index].isUrgent = false }
            guard !self.targets.values[index].isUrgent, self.targets.values[index].rejections == 0 else { continue }
            let moment = mode == .search ? .zero : generator.duration(upTo: spread)
            self.targets.values[index].notBefore = time + beginning + moment
        }
    }

    /// Returns the addresses to dial now, and counts them as dialled.
    ///
    /// - Parameters:
    ///   - time: The time.
    ///   - linked: Nodes with which there is a connection already.
    ///   - waits: Nodes that are not dialled before a time, whatever their addresses.
    ///   - patience: By how much the node waits longer for a candidate, because it is late itself.
    /// - Returns: The addresses, and how long to wait until the next one may be due; `nil` when no other address is
    ///   wanted.
    package mutating func next(
        at time: Duration,
        linked: Set<NodeID>,
        waits: PeerBackOff.Waits = PeerBackOff.Waits(),
        patience: Int = 1
    ) -> (dial: [String], wait: Duration?) {
        var room = CoreLimits.dialsMax - self.targets.values.count { $0.isDialling }
        var dialled: [String] = []
        var wait: Duration?
        let due = self.targets.elements.filter { self.isWanted($0.value, linked) }
            .sorted { self.isBefore($0.value, $1.value) }
        let isSearching = self.mode == .search
        // A few peers suffice to learn who is host. Without this limit, all nodes of a searching clinic would connect
        // with all.
        let isContent = isSearching && linked.count >= CoreLimits.searchLinksMax
        var isFreeAt = Duration.zero
        var others = Duration.zero
        if isSearching {
            isFreeAt = self.targets.values.compactMap { $0.attempt?.holdsOthers(patience) }.max() ?? .zero
            // A node that knows likely hosts asks them before all others.
            others = due.filter { self.isHoped(for: $0.value, waits) }.map(\.value.notBefore).max() ?? .zero
        }
        for (address, target) in due where target.isUrgent || !isContent {
            let moment = target.isUrgent ? target.notBefore : max(target.notBefore, others)
            let due = max(moment, target.node.flatMap { waits[$0] } ?? .zero, isFreeAt)
            if due > time {
                wait = min(wait ?? .seconds(3_600), due - time)
            } else if room > 0 {
                let attempt = Attempt(began: time)
                self.targets[address]?.attempt = attempt
                dialled.append(address)
                room -= 1
                if isSearching { isFreeAt = attempt.holdsOthers(patience) }
            }
        }
        return (dialled, wait)
    }

    /// The nodes that may turn out to be host, or know the host: those that have answered and whose handshake goes on, and
    /// those that are likely hosts and have not been asked yet; `nil` in it: a node that is not known yet.
    ///
    /// - Parameter waits: Nodes that are not dialled before a time.
    /// - Returns: The nodes.
    package func asked(waits: PeerBackOff.Waits) -> Set<NodeID?> {
        Set(
            self.targets.values.lazy.filter { target in
                target.attempt.map { $0.answered != nil } ?? self.isHoped(for: target, waits)
            }.map(\.node)
        )
    }

    /// Whether the address is a likely host's, and has not been asked yet.
    private func isHoped(for target: Target, _ waits: PeerBackOff.Waits) -> Bool {
        target.isUrgent && !target.isDialling && target.rejections == 0
            && target.node.flatMap { waits[$0] } == nil
    }

    /// The address has accepted the socket.
    package mutating func accepted(_ address: String, at time: Duration) {
        self.targets[address]?.attempt?.answered = time
    }

    /// The certificate of the node at this address was seen.
    package mutating func identified(_ address: String, _ node: NodeID) {
        self.targets[address]?.node = node
    }

    /// The node at this address answered.
    package mutating func reached(_ address: String, _ node: NodeID) {
        self.targets[address]?.node = node
        self.targets[address]?.failures = 0
        self.targets[address]?.isUrgent = false
        self.targets[address]?.attempt = nil
    }

    /// Records what came of dialling an address.
    package mutating func answered(_ address: String, _ answer: DialAnswer, at time: Duration) {
        // Whoever looks at the records wants to know why there is no connection. Here there is one.
        if case .closed(.replaced, _) = answer { return }
        let earlier = self.targets[address]?.record
        self.targets[address]?.record = DialRecord(answer, at: time, after: earlier)
    }

    /// The addresses that were tried, each with its newest answer, in the order in which they became known.
    package var records: [(address: String, node: NodeID?, source: PeerHint.Source, record: DialRecord)] {
        self.targets.elements.compactMap { address, target in
            target.record.map { (address, target.node, target.source, $0) }
        }
    }

    /// The dial failed, or the connection that it opened has ended.
    ///
    /// - Parameters:
    ///   - address: What was dialled.
    ///   - isRejection: Whether a new connection would be refused too, for now.
    ///   - wasUp: Whether both sides had said hello.
    ///   - time: The time.
    ///   - generator: For jitter.
    /// - Returns: How long the address rests.
    @discardableResult
    package mutating func ended(
        _ address: String,
        isRejection: Bool,
        wasUp: Bool,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> Duration {
        guard var target = self.targets[address] else { return .zero }
        target.attempt = nil
        target.isUrgent = false
        target.endedAt = time
        let bound: Duration
        if isRejection {
            bound = self.bound(afterFailures: target.rejections, max: self.delayMax)
            target.rejections += 1
        } else {
            if wasUp { (target.failures, target.rejections) = (0, 0) }
            bound = self.bound(afterFailures: target.failures, max: self.restMax)
            target.failures += 1
        }
        // A host dials at an even rate. Short random delays would only make bursts.
        let floor = self.mode == .probe ? bound / 2 : .zero
        let delay = floor + generator.duration(upTo: bound - floor)
        target.notBefore = time + delay
        self.targets[address] = target
        return delay
    }

    /// The upper bound of the delay after so many failures in a row.
    package func bound(afterFailures failures: Int, max limit: Duration) -> Duration {
        if self.mode == .probe { return limit }
        var bound = self.delayMin
        for _ in 0..<failures {
            bound = bound * 2
            if bound >= limit { return limit }
        }
        return min(bound, limit)
    }

    /// The longest rest of an address that does not answer; it grows with the number of addresses.
    private var restMax: Duration {
        max(CoreLimits.dialRest, .milliseconds(self.targets.count * 1_000 / CoreLimits.dialsPerSecond))
    }

    private func isWanted(_ target: Target, _ linked: Set<NodeID>) -> Bool {
        guard !target.isDialling else { return false }
        if let node = target.node, linked.contains(node) { return false }
        return target.isUrgent || self.mode != .rest
    }

    private func isBefore(_ left: Target, _ right: Target) -> Bool {
        if left.isUrgent != right.isUrgent { return left.isUrgent }
        if left.isUrgent, left.urgency != right.urgency { return left.urgency > right.urgency }
        let (one, other) = ((left.source, left.failures), (right.source, right.failures))
        if one != other { return one < other }
        // Of equal candidacies the larger id is the better one: who is asked by all is the one that will be host.
        if self.mode == .search, let one = left.node, let other = right.node, one != other { return one > other }
        return left.notBefore < right.notBefore
    }

    private mutating func forget() {
        // Sorting is costly, and a peer may name address after address.
        guard self.targets.count > CoreLimits.dialTargetsMax &+ CoreLimits.dialTargetsSlack else { return }
        let worst = self.targets.elements.filter { !$0.value.isDialling && !$0.value.isUrgent }
            .sorted { ($0.value.source, $0.value.failures) > ($1.value.source, $1.value.failures) }
        for (address, _) in worst.prefix(self.targets.count - CoreLimits.dialTargetsMax) {
            self.targets.removeValue(forKey: address)
        }
    }
}

extension CloseReason {
    /// Whether a new connection would be refused for the same reason.
    var isRejection: Bool {
        switch self {
        case .shuttingDown, .peerSilent, .connectionLost, .notHost, .replaced: false
        case .protocolViolation, .protocolVersion, .wrongClinic, .notAMember, .handshakeTimeout,
            .duplicateIdentity, .overloaded, .storageFailed, .revoked, .otherEpoch:
            true
        }
    }
}
