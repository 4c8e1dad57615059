import ClinicSyncModel

/// The store's time: this PC's clock, the clinic's time as far as it is known, and the stamps of own changes.
final class StoreClock: TransactionPart {
    /// A received stamp further ahead of this node's time than this is not adopted by its clock: 500 ms.
    static let toleranceMilliseconds: Int64 = 500
    /// A write found later than this after it was made was made while the node did not run; it keeps the time it was made.
    private static let liveMilliseconds: Int64 = 5_000

    /// What to add to this PC's time to get the clinic's.
    var offsetMilliseconds: Int64 = 0
    /// Gives stamps to changes that are made now; never behind a stamp that was adopted.
    private var hybrid = HybridClock()
    private let wallClock: @Sendable () -> Int64

    /// Makes a clock.
    ///
    /// - Parameter wallClock: this PC's time, milliseconds since 1970.
    init(wallClock: @escaping @Sendable () -> Int64) { self.wallClock = wallClock }

    func memory() -> () -> Void {
        let saved = self.hybrid
        return { self.hybrid = saved }
    }

    /// This PC's time, milliseconds since 1970.
    var wallMilliseconds: Int64 { self.wallClock() }

    /// The clinic's time as far as it is known, milliseconds since 1970.
    var clinicMilliseconds: Int64 { self.wallClock() + self.offsetMilliseconds }

    /// Adopts a stamp, so that later stamps are larger; a stamp too far in the future, of a PC with a wrong clock, is not adopted.
    func observe(_ stamp: HybridTimestamp) {
        _ = self.hybrid.observe(
            stamp,
            wall: self.clinicMilliseconds,
            toleranceMilliseconds: StoreClock.toleranceMilliseconds
        )
    }

    /// The stamp of an own change: when it was written, and after everything that it replaces.
    ///
    /// - Parameters:
    ///   - writtenAt: when a program wrote it, by this PC's clock.
    ///   - offset: what to add to that to get the clinic's time.
    ///   - replaced: the largest stamp of what the change replaces.
    /// - Returns: The stamp.
    func stamp(writtenAt: Int64, offset: Int64, after replaced: HybridTimestamp) -> HybridTimestamp {
        let now = self.wallClock()
        let written = min(writtenAt, now)
        self.hybrid.correct(wall: now + offset, toleranceMilliseconds: StoreClock.toleranceMilliseconds)
        let stamp =
            now - written < StoreClock.liveMilliseconds
            ? self.hybrid.tick(wall: written + offset)
            : HybridTimestamp(milliseconds: written + offset)
        return max(stamp, replaced.successor)
    }
}
