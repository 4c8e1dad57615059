/// How late this node itself has been, and how much more patience it has with others because of that.
///
/// A node that handles its own timers late cannot tell a dead peer from its own slowness: the peer's messages may wait to be
/// read. Each late beat of its heart adds one to the multiplier of its patience, up to a bound; each whole interval without
/// a late beat takes one away.
///
/// Source: Dadgar, Phillips and Currey, "Lifeguard: Local Health Awareness for More Accurate Failure Detection", DSN 2018
/// (the local health multiplier). `docs/design/0032-overload.md` says why.
package struct LocalHealth: Sendable, Hashable {
    private let interval: Duration
    /// By how much the node's patience is multiplied, 1 to ``CoreLimits/patienceMax``; 1 while the node is in time.
    package private(set) var patience = 1
    /// When the multiplier last changed, or was confirmed by a late beat.
    private var since: Duration = .zero

    /// Starts healthy; `interval` is the time between two beats.
    package init(interval: Duration) {
        self.interval = interval
    }

    /// A beat came at `time`, later than it was due by `lateness`.
    ///
    /// A beat that is late by less than half an interval counts as timely: a processor that is busy for a moment explains
    /// it, and no peer is silent for as long because of it.
    package mutating func beat(at time: Duration, lateness: Duration) {
        if lateness * 2 >= self.interval {
            self.patience = min(self.patience &+ 1, CoreLimits.patienceMax)
            self.since = time
        } else if self.patience > 1, time - self.since >= self.interval {
            self.patience -= 1
            self.since = time
        }
    }
}
