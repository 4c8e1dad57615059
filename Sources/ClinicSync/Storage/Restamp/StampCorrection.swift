import ClinicSyncModel

/// Computes new stamps for changes that were stamped with a wrong clock; it needs no database.
///
/// The wrong clock kept its pace: the difference between the offset that is known now and the one that was used then corrects
/// a stamp. What that leaves in the future was stamped before the clock was set back; it counts as written now, the latest it
/// can be. What it leaves before the last contact with others was written after that contact. A change of a row stays above
/// the changes of the same row before it, and above the shared value that it replaced, whatever the clocks show.
struct StampCorrection {
    /// One change before and after.
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
    /// The largest stamp of others before the isolation, the future left out.
    let lastContact: HybridTimestamp
    /// The corrections made so far, in the order of the batches.
    private(set) var corrections: [Row: [Correction]] = [:]

    /// Makes a correction that knows no change yet.
    init(clockOffset: Int64, now: HybridTimestamp, lastContact: HybridTimestamp) {
        self.clockOffset = clockOffset
        self.now = now
        self.lastContact = lastContact
    }

    /// When a change of `batch` seems to have been made; its row is not looked at.
    ///
    /// - Parameters:
    ///   - stamp: its stamp.
    ///   - storedAt: what this PC's clock showed when the change was logged, in milliseconds since 1970. A stamp beyond it was
    ///     raised above the value that the change replaced and says nothing of the time.
    ///   - batch: its batch.
    /// - Returns: the corrected stamp, above what the batch replaced.
    func estimate(_ stamp: HybridTimestamp, storedAt: Int64, of batch: UnsharedBatches.Noted) -> HybridTimestamp {
        let wall = min(stamp.milliseconds - batch.clockOffset, storedAt)
        let shifted = HybridTimestamp(
            milliseconds: wall + self.clockOffset,
            counter: UInt16(truncatingIfNeeded: stamp.rawValue)
        )
        let estimate = max(min(shifted, self.now), self.lastContact)
        // Which of its values a batch replaced at its floor is not noted: what is not above it may have replaced a value just
        // below its own stamp, so it is not lowered.
        return max(estimate, stamp > batch.floor ? batch.floor.successor : stamp)
    }

    /// The stamp of a change from now on; to be asked in the order of the batches and of the changes in them.
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
