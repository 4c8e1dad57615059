import ClinicSyncModel

/// The store's time: this PC's clock, the known estimate of the clinic's time, and the stamps of own changes.
final class StoreClock: TransactionPart {
    /// The largest lead of a received stamp over this node's time: 500 ms; the clock does not adopt stamps with a
    /// larger lead.
    static let toleranceMilliseconds: Int64 = 500
    /// The largest age of a write that counts as made now.
    ///
    /// A program made an older write while the node did not run. Such a write keeps its own time.
    private static let liveMilliseconds: Int64 = 5_000

    /// The difference between the clinic's time and this PC's time: add it to this PC's time to get the clinic's time.
    var offsetMilliseconds: Int64 = 0
    /// Gives stamps to changes that are made now; they are larger than every adopted stamp.
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

    /// The known estimate of the clinic's time, milliseconds since 1970.
    var clinicMilliseconds: Int64 { self.wallMilliseconds &+ self.offsetMilliseconds }

    /// Adopts a stamp, so that later stamps are larger.
    ///
    /// The clock does not adopt a stamp too far in the future: it comes from a PC with a wrong clock.
    func observe(_ stamp: HybridTimestamp) {
        self.hybrid.observe(
            stamp,
            wall: self.clinicMilliseconds,
            toleranceMilliseconds: StoreClock.toleranceMilliseconds
        )
    }

    /// The stamp of an own change: the time of the write, but always larger than the stamps of the values it replaces.
    ///
    /// Marks are read in the order of their keys. A change's stamp depends on no other change that is collected with it: of two
    /// edits of one value on two PCs, the older one would win otherwise, because its PC wrote another row later.
    ///
    /// - Parameters:
    ///   - writtenAt: when a program made the change, by this PC's clock.
    ///   - offset: the difference to add to `writtenAt` to get the clinic's time.
    ///   - replaced: the largest stamp of the values that the change replaces.
    /// - Returns: The stamp.
    func stamp(writtenAt: Int64, offset: Int64, after replaced: HybridTimestamp) -> HybridTimestamp {
        let now = self.wallMilliseconds
        // Any program may have written the mark, and with it the time.
        let written = max(0, min(writtenAt, now))
        self.hybrid.correct(wall: now &+ offset, toleranceMilliseconds: StoreClock.toleranceMilliseconds)
        let stamp =
            now &- written < StoreClock.liveMilliseconds
            ? self.hybrid.stamp(wall: written &+ offset)
            : HybridTimestamp(milliseconds: written &+ offset)
        return max(stamp, replaced.successor)
    }
}
