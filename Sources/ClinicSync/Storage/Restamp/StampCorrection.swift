import ClinicSyncModel

/// Computes new stamps for changes that were stamped with a wrong clock; it needs no database.
///
/// The wrong clock ran at the right pace. So the correction of a stamp is the offset known now minus the offset that
/// was used for the stamp. If the corrected stamp is in the future, the change was stamped before the clock was set
/// back. Such a change counts as written now, its latest possible time. A corrected stamp before the last contact with
/// other nodes is raised to that contact, because the change was written after it. A change of a row always stays above
/// the earlier changes of the same row and above the shared value that it replaced.
struct StampCorrection {
    /// The stamp of one change before and after the correction.
    struct Correction {
        var sequence: UInt64
        var old: HybridTimestamp
        var new: HybridTimestamp
    }

    /// The name of a row.
    struct Row: Hashable {
        var table: String
        var key: SQLiteValue
    }

    /// The offset that is known now.
    let clockOffset: Int64
    /// The corrected time now.
    let now: HybridTimestamp
    /// The largest stamp of other nodes before the isolation, without stamps in the future.
    let lastContact: HybridTimestamp
    /// The corrections made so far, in the order of the batches.
    private(set) var corrections: [Row: [Correction]] = [:]

    /// Makes a correction that knows no change yet.
    init(clockOffset: Int64, now: HybridTimestamp, lastContact: HybridTimestamp) {
        self.clockOffset = clockOffset
        self.now = now
        self.lastContact = lastContact
    }

    /// The estimated stamp of a change of `batch`, without regard to its row.
    ///
    /// - Parameters:
    ///   - stamp: its stamp.
    ///   - storedAt: this PC's time when the change was logged, in milliseconds since 1970. A later stamp was raised
    ///     above the value that the change replaced, so it does not show the time of the change.
    ///   - batch: its batch.
    /// - Returns: the corrected stamp, which is larger than the stamps of the values that the batch replaced.
    func estimate(_ stamp: HybridTimestamp, storedAt: Int64, of batch: UnsharedBatches.Noted) -> HybridTimestamp {
        let wall = min(stamp.milliseconds &- batch.clockOffset, storedAt)
        let shifted = HybridTimestamp(
            milliseconds: wall &+ self.clockOffset,
            counter: UInt16(truncatingIfNeeded: stamp.rawValue)
        )
        let estimate = max(min(shifted, self.now), self.lastContact)
        // The batch's note does not show which change replaced the value at the floor. A change that is not above the
        // floor may have replaced a value just below its own stamp. So its stamp is not lowered.
        return max(estimate, stamp > batch.floor ? batch.floor.successor : stamp)
    }

    /// The new stamp of a change; call it in the order of the batches and of the changes in each batch.
    mutating func correct(
        _ stamp: HybridTimestamp,
        of row: Row,
        storedAt: Int64,
        in batch: UnsharedBatches.Noted
    ) -> HybridTimestamp {
        var new = self.estimate(stamp, storedAt: storedAt, of: batch)
        for earlier in self.corrections[row] ?? [] where earlier.old < stamp { new = max(new, earlier.new.successor) }
        let correction = Correction(sequence: batch.sequence, old: stamp, new: new)
        self.corrections[row, default: []].append(correction)
        return new
    }
}
