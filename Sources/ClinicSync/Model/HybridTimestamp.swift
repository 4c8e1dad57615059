/// A hybrid logical timestamp: 48 bits of milliseconds since 1970 and a 16-bit counter.
///
/// Source: Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in Globally Distributed
/// Databases", 2014. A stamp is one 64-bit number, so that comparing two stamps is comparing two integers.
package struct HybridTimestamp: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Milliseconds in the upper 48 bits, counter in the lower 16.
    package let rawValue: UInt64

    /// The stamp of seed rows, which is before every other stamp.
    package static let genesis = HybridTimestamp(rawValue: 0)

    /// Makes a stamp from its packed value.
    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Makes a stamp from `milliseconds`, clamped to 0...2^47-1 so that the packed form is a positive `Int64`.
    package init(milliseconds: Int64, counter: UInt16 = 0) {
        let clamped = UInt64(min(max(milliseconds, 0), 1 << 47 - 1))
        self.rawValue = clamped << 16 | UInt64(counter)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    package var milliseconds: Int64 { Int64(self.rawValue >> 16) }

    /// The next larger stamp.
    ///
    /// A full counter carries into the milliseconds.
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
/// The clock is a value, not a service. The caller passes the wall time, so tests and the simulator control it.
package struct HybridClock: Sendable, Hashable {
    /// The largest stamp that the clock has made or adopted.
    package private(set) var last: HybridTimestamp

    /// Starts at `last`, normally the largest stamp in the store.
    package init(last: HybridTimestamp = .genesis) {
        self.last = last
    }

    /// Returns a stamp larger than every earlier stamp, at `wall` milliseconds if that is larger.
    package mutating func tick(wall: Int64) -> HybridTimestamp {
        self.last = max(HybridTimestamp(milliseconds: wall), self.last.successor)
        return self.last
    }

    /// Forgets the last stamp if it is more than `toleranceMilliseconds` ahead of `wall`.
    ///
    /// Such a stamp comes from a wall clock that was set back or corrected since. If the clock continued from it, one
    /// wrong hour would win conflicts until the real time reaches that hour. The caller ensures that a change's stamp
    /// exceeds the stamps of the values it replaces.
    package mutating func correct(wall: Int64, toleranceMilliseconds: Int64) {
        guard self.last.milliseconds > wall + toleranceMilliseconds else { return }
        self.last = HybridTimestamp(milliseconds: wall)
    }

    /// Adopts a received stamp unless it is more than `toleranceMilliseconds` ahead of `wall`.
    ///
    /// - Returns: Whether the stamp was within the tolerance. A stamp beyond it comes from a wrong clock. If the
    ///   clock adopted it, the wrong clock would win every later conflict through this node.
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
