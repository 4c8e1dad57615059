package import ClinicSyncModel
import OrderedCollections

/// The peers that wait, because their connections ended for a reason that a new connection does not change.
///
/// Without this memory, a peer that breaks the protocol after each hello connects again without end. The wait belongs
/// to the peer and not to an address, so it holds whoever dials. It grows with each such end, and is forgotten only when
/// a connection was useful for a while. A reason that passes by itself, such as a lost connection, costs no wait, unless
/// many connections in a row end at once. See `docs/design/0017-back-off.md`.
package struct PeerBackOff: Sendable, Hashable {
    /// The process at the other end of a connection, as its hello described it.
    package struct Process: Sendable, Hashable {
        /// The run id, which is new for each process.
        package var runID: UInt64
        /// The program's version.
        package var softwareVersion: String

        /// Describes the process of a hello.
        package init(_ hello: Hello) {
            self.runID = hello.runID
            self.softwareVersion = hello.softwareVersion
        }
    }

    /// The end of a connection.
    package struct End: Sendable, Hashable {
        /// Why the connection ended.
        package var reason: CloseReason
        /// Whether the peer ended the connection with this reason.
        package var isPeersWord: Bool
        /// How long the peer asks this node to wait; `nil` when the peer named no time.
        package var retryAfter: Duration?
        /// The process at the other end; `nil` when it said no hello.
        package var process: Process?
        /// How long the connection was a link; `nil` when it never was.
        package var linkedFor: Duration?

        /// Describes an end.
        package init(
            reason: CloseReason,
            isPeersWord: Bool,
            retryAfter: Duration?,
            process: Process?,
            linkedFor: Duration?
        ) {
            self.reason = reason
            self.isPeersWord = isPeersWord
            self.retryAfter = retryAfter
            self.process = process
            self.linkedFor = linkedFor
        }
    }

    /// Why a peer waits, for people.
    package struct Cause: Sendable, Hashable {
        /// The reason of the last end.
        package var reason: CloseReason
        /// Whether the peer gave the reason, and not this node.
        package var isPeersWord: Bool
        /// When connections began to end for this reason.
        package var since: Duration
        /// How many connections ended in a row.
        package var failures: Int
        /// The end of the present wait; it may be over.
        package var until: Duration
    }

    /// The answer to a peer that dialled this node.
    package enum Admission: Sendable, Hashable {
        /// The peer may say hello.
        case admitted
        /// The peer must come back after the time.
        case refused(CloseReason, retryAfter: Duration)
    }

    /// Peers that are not dialled, each before a time.
    package struct Waits: Sendable, Hashable {
        private var times: OrderedDictionary<NodeID, Duration> = [:]

        /// Makes waits, each with the time of its end.
        package init(_ times: [(node: NodeID, until: Duration)] = []) {
            for (node, until) in times { self.times[node] = until }
        }

        /// Whether no peer waits.
        package var isEmpty: Bool { self.times.isEmpty }

        /// The end of a peer's wait; `nil` for a peer that may be dialled.
        package fileprivate(set) subscript(node: NodeID) -> Duration? {
            get { self.times[node] }
            set { self.times[node] = newValue }
        }
    }

    private struct Record: Sendable, Hashable {
        var cause: Cause?
        var process: Process?
        /// Whether the peer must be refused until ``Cause/until``.
        ///
        /// A node that was sent away does not dial, but lets the other node come.
        var isRefused = false
        /// A peer in a wait may say hello after this time, because it may have been started again.
        var hearingAfter: Duration = .zero
        /// How many new processes of the peer were heard before their time.
        var pardons = 0
        /// Connections that ended at once, in a row, for reasons that pass or by the peer's word.
        var shortEnds = 0
        var lastEnd: Duration = .zero
        /// The end of the rest after ``shortEnds``.
        var restUntil: Duration = .zero
    }

    private let delayMin: Duration
    private let delayMax: Duration
    private let storageDelayMax: Duration
    private var records: OrderedDictionary<NodeID, Record> = [:]

    /// Makes a memory without peers.
    ///
    /// - Parameters:
    ///   - delayMin: The bound of the first wait; the bound doubles with each further one.
    ///   - delayMax: The largest bound.
    ///   - storageDelayMax: The largest bound after `storageFailed` and `otherEpoch`, which pass without this node's doing.
    package init(delayMin: Duration, delayMax: Duration, storageDelayMax: Duration) {
        self.delayMin = delayMin
        self.delayMax = delayMax
        self.storageDelayMax = min(storageDelayMax, delayMax)
    }

    /// Why a peer waits, or waited until a connection with it is useful; `nil` for all other peers.
    package func cause(of peer: NodeID) -> Cause? { self.records[peer]?.cause }

    /// The peers with a cause, in the order of their first end.
    package var causes: [(node: NodeID, cause: Cause)] {
        self.records.elements.compactMap { element in element.value.cause.map { (element.key, $0) } }
    }

    /// Peers that this node does not dial now, and until when.
    package func waits(at time: Duration) -> Waits {
        var waits = Waits()
        for (node, record) in self.records {
            let until = max(record.cause?.until ?? .zero, record.restUntil)
            if until > time { waits[node] = until }
        }
        return waits
    }

    /// Whether connections with the peer end again and again, so that no one needs to hear of each.
    package func isRepeating(_ peer: NodeID) -> Bool {
        guard let record = self.records[peer] else { return false }
        return (record.cause?.failures ?? 0) > 1 || record.shortEnds >= CoreLimits.shortLinksMax
    }

    // MARK: - The end of a connection

    /// A connection with a peer ended.
    ///
    /// - Returns: Whether that is the first end of the peer for this reason, which operators must hear of.
    package mutating func ended(
        _ peer: NodeID,
        _ end: End,
        at time: Duration,
        using generator: inout SplitMix64
    ) -> Bool {
        guard end.reason.isLasting else {
            self.endedShort(peer, end, at: time)
            return false
        }
        // Two processes have this identity, and the other one may be the right one. ``RunWatch`` refuses this one by
        // its run id.
        if end.reason == .duplicateIdentity, !end.isPeersWord { return false }
        var record = self.record(of: peer)
        let former = record.cause
        let isNews = former?.reason != end.reason || former?.isPeersWord != end.isPeersWord
        var cause = Cause(
            reason: end.reason,
            isPeersWord: end.isPeersWord,
            since: isNews ? time : former?.since ?? time,
            failures: former?.failures ?? 0,
            until: time
        )
        if let retryAfter = end.retryAfter {
            // The peer counts for both.
            cause.failures = max(cause.failures, 1)
            cause.until = time + min(retryAfter, self.delayMax) + generator.duration(upTo: CoreLimits.retryJitter)
        } else {
            let isPassing = end.reason == .storageFailed || end.reason == .otherEpoch
            let limit = isPassing ? self.storageDelayMax : self.delayMax
            let bound = self.bound(after: cause.failures, max: limit)
            cause.failures = min(cause.failures &+ 1, CoreLimits.backOffFailuresMax)
            cause.until = time + bound / 2 + generator.duration(upTo: bound / 2)
        }
        record.cause = cause
        record.isRefused = !end.isPeersWord
        // This node refuses nobody for a reason that the peer gave. So such ends count as short ones, too.
        if end.isPeersWord { self.countShort(end, in: &record, at: time) }
        if let process = end.process { record.process = process }
        record.hearingAfter = time + self.hearingInterval(record)
        self.keep(record, of: peer)
        return isNews
    }

    /// Counts a connection that ended for a reason that passes.
    private mutating func endedShort(_ peer: NodeID, _ end: End, at time: Duration) {
        let isShort = (end.linkedFor ?? .zero) < CoreLimits.shortLink
        guard isShort || self.records[peer] != nil else { return }
        var record = self.record(of: peer)
        if end.reason == .overloaded {
            // Being turned away is no new reason to rest: else two nodes that rest would turn each other away for ever.
            record.shortEnds = max(record.shortEnds, 1)
            record.restUntil = max(record.restUntil, time + min(end.retryAfter ?? .zero, CoreLimits.dialRest))
            return self.keep(record, of: peer)
        }
        self.countShort(end, in: &record, at: time)
        if let retryAfter = end.retryAfter {
            record.restUntil = max(record.restUntil, time + min(retryAfter, CoreLimits.dialRest))
        }
        self.keep(record, of: peer)
    }

    /// Counts an end in the row of those that came at once; after a handful of them the peer rests.
    private func countShort(_ end: End, in record: inout Record, at time: Duration) {
        let isShort = (end.linkedFor ?? .zero) < CoreLimits.shortLink
        let isInRow = isShort && time - record.lastEnd < CoreLimits.shortLinkMemory
        record.shortEnds = isInRow ? min(record.shortEnds &+ 1, CoreLimits.backOffFailuresMax) : isShort ? 1 : 0
        record.lastEnd = time
        if record.shortEnds >= CoreLimits.shortLinksMax { record.restUntil = time + CoreLimits.dialRest }
    }

    /// The bound of the wait after so many failures.
    private func bound(after failures: Int, max limit: Duration) -> Duration {
        var bound = self.delayMin
        for _ in 0..<failures {
            bound = bound * 2
            if bound >= limit { return limit }
        }
        return min(bound, limit)
    }

    private func hearingInterval(_ record: Record) -> Duration {
        min(CoreLimits.hearingInterval * (1 << min(record.pardons, 8)), CoreLimits.hearingIntervalMax)
    }

    private func record(of peer: NodeID) -> Record { self.records[peer] ?? Record() }

    /// Keeps a record, or forgets it when it says nothing.
    ///
    /// When there are too many, the peer whose wait ends first is forgotten.
    private mutating func keep(_ record: Record, of peer: NodeID) {
        guard record.cause != nil || record.shortEnds > 0 else {
            self.records.removeValue(forKey: peer)
            return
        }
        self.records[peer] = record
        guard self.records.count > CoreLimits.knownPeersMax else { return }
        let first = self.records.elements.min { left, right in
            (left.value.cause?.until ?? .zero, left.value.lastEnd)
                < (right.value.cause?.until ?? .zero, right.value.lastEnd)
        }
        if let first { self.records.removeValue(forKey: first.key) }
    }

    // MARK: - A connection begins

    /// Judges a connection that a peer opened, before its hello.
    package mutating func admit(_ peer: NodeID, at time: Duration) -> Admission {
        guard var record = self.records[peer] else { return .admitted }
        if record.restUntil > time { return .refused(.overloaded, retryAfter: record.restUntil - time) }
        guard record.isRefused, let cause = record.cause, cause.until > time else { return .admitted }
        guard record.hearingAfter > time else {
            record.hearingAfter = time + self.hearingInterval(record)
            self.records[peer] = record
            return .admitted
        }
        return .refused(cause.reason, retryAfter: cause.until - time)
    }

    /// Judges a peer's hello.
    ///
    /// A peer in its wait is refused, unless the process is new: a person started it again, perhaps with a new version.
    package mutating func judge(_ process: Process, of peer: NodeID, at time: Duration) -> Admission {
        guard var record = self.records[peer], record.isRefused, let cause = record.cause, cause.until > time else {
            return .admitted
        }
        guard let former = record.process, former == process else {
            record.process = process
            record.pardons += 1
            record.cause?.until = time
            self.records[peer] = record
            return .admitted
        }
        return .refused(cause.reason, retryAfter: cause.until - time)
    }

    // MARK: - Forgetting

    /// A connection with the peer has been useful for ``CoreLimits/usefulAfter``.
    package mutating func proved(_ peer: NodeID) { self.records.removeValue(forKey: peer) }

    /// A person wants every peer to be tried now.
    ///
    /// The next wait of a peer that fails again is as long as if nobody had asked.
    package mutating func pardonAll(at time: Duration) {
        for index in self.records.values.indices {
            self.records.values[index].cause?.until = time
            self.records.values[index].restUntil = time
        }
    }
}

extension CloseReason {
    /// Whether a new connection would be refused for the same reason, for a while or until somebody changes something.
    ///
    /// The peer then waits (``PeerBackOff``).
    package var isLasting: Bool {
        switch self {
        case .protocolViolation, .protocolVersion, .wrongClinic, .duplicateIdentity, .storageFailed, .otherEpoch: true
        case .shuttingDown, .peerSilent, .connectionLost, .notHost, .replaced, .notAMember, .handshakeTimeout,
            .overloaded, .revoked:
            false
        }
    }
}
