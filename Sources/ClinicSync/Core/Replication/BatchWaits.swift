package import ClinicSyncModel
import OrderedCollections

/// Measures how long batches wait, by the monotonic clock of this process.
///
/// The time in the log says when a chunk came by the PC's clock, which may be set, and goes on while the PC is off. Then a
/// large batch in transit would be removed and fetched again from its beginning.
package struct BatchWaits: Sendable, Hashable {
    /// A batch that may wait for too long.
    package struct Candidate: Sendable, Hashable {
        /// The batch, with the number of chunks that are here.
        package var partial: PartialBatch
        /// The linked peers that have applied it.
        package var holders: [ConnectionID]

        /// Describes a batch.
        package init(partial: PartialBatch, holders: [ConnectionID]) {
            self.partial = partial
            self.holders = holders
        }
    }

    private struct Wait: Sendable, Hashable {
        var candidate: Candidate
        var since: Duration
    }

    private var waits: OrderedDictionary<BatchID, Wait> = [:]

    /// Starts without batches.
    package init() {}

    /// Looks at the batches.
    ///
    /// - Parameters:
    ///   - candidates: All batches that may wait for too long; what is remembered of others is forgotten.
    ///   - time: The time.
    /// - Returns: How long each has waited, as far as earlier calls know.
    package mutating func update(_ candidates: [Candidate], at time: Duration) -> [WaitingBatch] {
        var waits: OrderedDictionary<BatchID, Wait> = [:]
        for candidate in candidates {
            let batch = candidate.partial.batch
            var wait = Wait(candidate: candidate, since: time)
            if let last = self.waits[batch], last.candidate.partial == candidate.partial {
                let holders = candidate.holders.filter { last.candidate.holders.contains($0) }
                if candidate.holders.isEmpty || !holders.isEmpty {
                    wait.since = last.since
                    wait.candidate.holders = holders
                }
            }
            waits[batch] = wait
        }
        self.waits = waits
        return candidates.map { candidate in
            let since = waits[candidate.partial.batch]?.since ?? time
            return WaitingBatch(
                candidate.partial.batch,
                isHeldByPeer: !candidate.holders.isEmpty,
                waited: time - since
            )
        }
    }
}
