/// A hybrid logical timestamp: 48 bits of milliseconds since 1970 and a 16-bit counter.
///
/// Source: Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in Globally Distributed
/// Databases", 2014. A stamp is one 64-bit number, so that comparing two stamps is comparing two integers.
///
/// Times end with ``lastTime``. The stamps above are for edits of values with such a late stamp, and have no time: see
/// ``limited(toBatches:)``. Larger numbers are no stamps, so every stamp has a successor in SQLite's range.
package struct HybridTimestamp: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Milliseconds in the upper 48 bits, counter in the lower 16; at most ``largest``.
    package let rawValue: UInt64

    /// The stamp of seed rows, which is before every other stamp.
    package static let genesis = HybridTimestamp(unchecked: 0)

    /// The last stamp of a time.
    package static let lastTime = HybridTimestamp(milliseconds: Bounds.millisecondsMax, counter: .max)

    /// The largest stamp.
    package static let largest = HybridTimestamp(unchecked: HybridTimestamp.lastTime.rawValue + (1 << 56))

    /// The largest number of batches that counts in ``limited(toBatches:)``, and the bits of a place within a batch.
    private static let (batchesMax, placeBits) = (UInt64(1) << 40, UInt64(16))

    /// Makes a stamp from its packed value.
    ///
    /// A value above ``largest`` is no stamp and counts as ``genesis``, on every node alike. It comes from damage, or from
    /// a batch that an earlier version applied, and must not win over any other.
    package init(rawValue: UInt64) {
        self = HybridTimestamp(exactly: rawValue) ?? .genesis
    }

    /// Makes a stamp from its packed value; `nil` for a value above ``largest``.
    package init?(exactly rawValue: UInt64) {
        guard rawValue <= HybridTimestamp.largest.rawValue else { return nil }
        self.rawValue = rawValue
    }

    /// Makes a stamp from a number in a batch; `nil` for a number that SQLite could not store.
    ///
    /// Versions before the range had an end took every such number. One above ``largest`` counts as ``largest``, which
    /// ``limited(toBatches:)`` limits.
    package init?(inBatch rawValue: UInt64) {
        guard rawValue <= UInt64(Int64.max) else { return nil }
        self.rawValue = min(rawValue, HybridTimestamp.largest.rawValue)
    }

    /// Makes a stamp from `milliseconds`, clamped to 0...``Bounds/millisecondsMax``.
    package init(milliseconds: Int64, counter: UInt16 = 0) {
        self.rawValue = UInt64(Bounds.milliseconds(clamping: milliseconds)) << 16 | UInt64(counter)
    }

    private init(unchecked rawValue: UInt64) { self.rawValue = rawValue }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    package var milliseconds: Int64 { Int64(self.rawValue >> 16) }

    /// The next larger stamp; ``largest`` is its own successor.
    ///
    /// A full counter carries into the milliseconds.
    package var successor: HybridTimestamp {
        self < .largest ? HybridTimestamp(unchecked: self.rawValue + 1) : self
    }

    /// Returns the stamp that counts for a change in a batch whose author had seen `count` batches, this one included.
    ///
    /// A stamp of a time counts as it is. A later one is limited to the (65 536 × `count`)th after ``lastTime``. Whoever
    /// edits a value with such a stamp has seen its batch and all that its author had seen, so its own limit is higher,
    /// by enough for 65 536 edits of the value in one batch. So nobody can give a value a stamp that no edit exceeds.
    package func limited(toBatches count: @autoclosure () -> UInt64) -> HybridTimestamp {
        guard self > .lastTime else { return self }
        let limit =
            HybridTimestamp.lastTime.rawValue + min(count(), HybridTimestamp.batchesMax) << HybridTimestamp.placeBits
        return HybridTimestamp(unchecked: min(self.rawValue, limit))
    }

    /// `milliseconds.counter`.
    package var description: String { "\(self.milliseconds).\(self.rawValue & 0xFFFF)" }

    /// Orders by time, then counter.
    package static func < (left: HybridTimestamp, right: HybridTimestamp) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// A hybrid logical clock that adopts the stamps of others.
///
/// The clock is a value, not a service. The caller passes the wall time, so tests and the simulator control it.
package struct HybridClock: Sendable, Hashable {
    /// The largest stamp that the clock has adopted.
    package private(set) var adopted: HybridTimestamp

    /// Starts at `adopted`, normally the largest stamp in the store.
    package init(adopted: HybridTimestamp = .genesis) {
        self.adopted = adopted
    }

    /// Returns the stamp of a change at `wall` milliseconds: this time, or the next stamp after every adopted one.
    ///
    /// It does not depend on stamps that were made before. So changes get their own times in whatever order they are stamped.
    /// The caller ensures that a change's stamp exceeds the stamps of the values it replaces.
    package func stamp(wall: Int64) -> HybridTimestamp {
        max(HybridTimestamp(milliseconds: wall), self.adopted.successor)
    }

    /// Forgets the adopted stamp if it is more than `toleranceMilliseconds` ahead of `wall`.
    ///
    /// The wall clock was set back or corrected since. If the clock continued from there, one wrong hour would win conflicts
    /// until the real time reaches that hour.
    package mutating func correct(wall: Int64, toleranceMilliseconds: Int64) {
        guard self.adopted.milliseconds > wall &+ toleranceMilliseconds else { return }
        self.adopted = HybridTimestamp(milliseconds: wall)
    }

    /// Adopts a received stamp unless it is more than `toleranceMilliseconds` ahead of `wall`.
    ///
    /// A stamp beyond the tolerance comes from a wrong clock. If the clock adopted it, the wrong clock would win every later
    /// conflict through this node.
    package mutating func observe(_ stamp: HybridTimestamp, wall: Int64, toleranceMilliseconds: Int64) {
        guard stamp.milliseconds <= wall &+ toleranceMilliseconds else { return }
        self.adopted = max(self.adopted, stamp)
    }
}
