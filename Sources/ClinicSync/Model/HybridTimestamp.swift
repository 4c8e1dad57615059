/// A hybrid logical timestamp: 48 bits of milliseconds since 1970 and a 16-bit counter.
///
/// Source: Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in Globally Distributed
/// Databases", 2014. Packed into 64 bits so that comparing two stamps is comparing two integers.
package struct HybridTimestamp: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Milliseconds in the upper 48 bits, counter in the lower 16.
    package let rawValue: UInt64

    /// Before everything: the stamp of seed rows.
    package static let genesis = HybridTimestamp(rawValue: 0)

    /// Takes a packed value as it is.
    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Packs `milliseconds` (clamped to 0...2^47-1, so that the packed form is a positive `Int64`).
    package init(milliseconds: Int64, counter: UInt16 = 0) {
        let clamped = UInt64(min(max(milliseconds, 0), 1 << 47 - 1))
        self.rawValue = clamped << 16 | UInt64(counter)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    package var milliseconds: Int64 { Int64(self.rawValue >> 16) }

    /// The next larger stamp; carries into the milliseconds when the counter is full.
    package var successor: HybridTimestamp { HybridTimestamp(rawValue: self.rawValue &+ 1) }

    /// `milliseconds.counter`.
    package var description: String { "\(self.milliseconds).\(self.rawValue & 0xFFFF)" }

    /// Orders by time, then counter.
    package static func < (left: HybridTimestamp, right: HybridTimestamp) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// A hybrid logical clock.
///
/// A value, not a service: the caller passes the wall time in, so that tests and the simulator own it.
package struct HybridClock: Sendable, Hashable {
    /// The largest stamp given out or adopted so far.
    package private(set) var last: HybridTimestamp

    /// Starts at `last`, normally the largest stamp in the store.
    package init(last: HybridTimestamp = .genesis) {
        self.last = last
    }

    /// Returns a stamp larger than every earlier one, at `wall` milliseconds if the clock allows.
    package mutating func tick(wall: Int64) -> HybridTimestamp {
        self.last = max(HybridTimestamp(milliseconds: wall), self.last.successor)
        return self.last
    }

    /// Forgets stamps given out that are more than `toleranceMilliseconds` ahead of `wall`.
    ///
    /// They came of a wall clock that has been set back or corrected since. Going on from them would let one wrong hour win
    /// conflicts until that hour is there; that a change's stamp exceeds those of what it replaces is the caller's care.
    package mutating func correct(wall: Int64, toleranceMilliseconds: Int64) {
        guard self.last.milliseconds > wall + toleranceMilliseconds else { return }
        self.last = HybridTimestamp(milliseconds: wall)
    }

    /// Adopts a received stamp unless it is more than `toleranceMilliseconds` ahead of `wall`.
    ///
    /// - Returns: Whether the stamp was within the tolerance. One that is not comes from a clock that
    ///   is wrong; adopting it would let that clock win every later conflict through this node.
    package mutating func observe(
        _ stamp: HybridTimestamp,
        wall: Int64,
        toleranceMilliseconds: Int64
    ) -> Bool {
        guard stamp.milliseconds <= wall + toleranceMilliseconds else { return false }
        self.last = max(self.last, stamp)
        return true
    }
}
