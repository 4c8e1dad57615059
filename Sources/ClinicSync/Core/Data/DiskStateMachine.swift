import ClinicSyncModel

/// Faults of the disk under the store, while they last: `docs/design/0030-disk.md`.
///
/// A disk that refuses something refuses it at one moment and not at the next: the write-ahead log has room for a small
/// transaction and not for a large one. So a refusal is over when a write of some size succeeds and nothing else has failed
/// for a while.
package struct DiskStateMachine: Sendable, Hashable {
    private struct Fault: Sendable, Hashable {
        var kind: DiskFault
        /// What SQLite or the watch said last, for people.
        var reason: String
        /// When it began, by the node's monotonic clock.
        var began: Duration
        /// When the disk last refused something.
        var last: Duration
        /// The kinds that people were told of since it began.
        var told: [DiskFault]
    }

    /// The time between two probes.
    package static let probeInterval: Duration = .seconds(2)
    /// Events that wait for the disk; the oldest is dropped for a further one.
    package static let eventsMax = 64

    private var refusal: Fault?
    private var slowness: Fault?
    /// When the probe in progress was given to the store, or the last one; `nil` before the first.
    private var probedAt: Duration?
    private var isProbing = false
    /// Events that the disk refused.
    private var events: [NamedEvent] = []

    /// Starts without faults.
    package init() {}

    /// Whether the disk refuses what the store needs, so that the node cannot do its part.
    package var isRefusing: Bool { self.refusal != nil }

    /// How long nothing may have failed before a refusal is over.
    ///
    /// A page that cannot be read is met again by what reads it, which is every half minute at the least.
    package static func quiet(after kind: DiskFault) -> Duration {
        switch kind {
        case .full, .readOnly: .seconds(5)
        case .failing: .seconds(60)
        case .slow: .zero
        }
    }

    /// The store could not carry out a request.
    ///
    /// - Returns: What is to be done; nothing when the disk is not the cause.
    package mutating func failed(
        _ request: StorageRequest,
        _ failure: StorageFailure,
        at time: Duration
    ) -> [Directive] {
        if case .probeDisk = request { self.isProbing = false }
        guard case .disk(let kind, let reason) = failure else { return [] }
        if case .recordEvent(let event) = request { self.keep(event) }
        var fault = self.refusal ?? Fault(kind: kind, reason: reason, began: time, last: time, told: [])
        fault.kind = kind
        fault.reason = reason
        fault.last = time
        let isNew = !fault.told.contains(kind)
        if isNew { fault.told.append(kind) }
        self.refusal = fault
        return isNew ? [.effect(.notify(.diskFault(kind, reason)))] : []
    }

    private mutating func keep(_ event: NamedEvent) {
        if self.events.count == DiskStateMachine.eventsMax { self.events.removeFirst() }
        self.events.append(event)
    }

    /// Every sync of the disk takes long.
    package mutating func slow(_ reason: String, at time: Duration) -> [Directive] {
        guard self.slowness == nil else { return [] }
        self.slowness = Fault(kind: .slow, reason: reason, began: time, last: time, told: [])
        return [.effect(.notify(.diskFault(.slow, reason)))]
    }

    /// The disk's syncs take a usual time again.
    package mutating func quick(at time: Duration) -> [Directive] {
        guard let slowness = self.slowness else { return [] }
        self.slowness = nil
        return [.effect(.notify(.diskRecovered(.slow, after: time - slowness.began)))]
    }

    /// A heartbeat: the disk is probed while a fault lasts, and a host tries again to hand over.
    package mutating func review(at time: Duration) -> [Directive] {
        guard self.refusal != nil || self.slowness != nil else { return [] }
        let unfit: [Directive] = self.isRefusing ? [.unfit] : []
        return unfit + self.probe(at: time)
    }

    /// Finds out whether the disk takes writes, unless that was asked just now.
    package mutating func probe(at time: Duration) -> [Directive] {
        let isDue = self.probedAt.map { time - $0 >= DiskStateMachine.probeInterval } ?? true
        guard isDue, !self.isProbing else { return [] }
        self.probedAt = time
        self.isProbing = true
        return [.effect(.storage(.probeDisk))]
    }

    /// The disk took a write of some size.
    package mutating func probed(at time: Duration) -> [Directive] {
        self.isProbing = false
        guard let fault = self.refusal, time - fault.last >= DiskStateMachine.quiet(after: fault.kind) else {
            return []
        }
        self.refusal = nil
        defer { self.events = [] }
        return self.events.map { .effect(.storage(.recordEvent($0))) }
            + [.effect(.notify(.diskRecovered(fault.kind, after: time - fault.began)))]
    }

    /// Describes the faults for people.
    ///
    /// - Parameters:
    ///   - time: The time by the node's monotonic clock.
    ///   - clinicMilliseconds: The clinic's time.
    /// - Returns: The faults that last; none when all is well.
    package func status(at time: Duration, clinicMilliseconds: Int64) -> [CoreStatus.DiskFault] {
        [self.refusal, self.slowness].compactMap { $0 }
            .map { fault in
                let (seconds, attoseconds) = (time - fault.began).components
                let lasted = seconds &* 1_000 &+ attoseconds / 1_000_000_000_000_000
                return CoreStatus.DiskFault(
                    kind: fault.kind,
                    reason: fault.reason,
                    sinceMilliseconds: Bounds.milliseconds(clamping: clinicMilliseconds &- lasted)
                )
            }
    }
}
