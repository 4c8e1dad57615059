package import ClinicSyncModel

/// What the tables' manifest says about rows whose deletion and edit were concurrent.
package enum DeletePolicy: String, Sendable, Hashable, CaseIterable {
    /// An edit the deleter had not seen keeps the row alive.
    case keep
    /// The deletion wins; only a new insertion brings the row back.
    case win
}

/// The whole replicated state of one row: a join-semilattice.
///
/// A column is a last-writer-wins register, a counter column a sum of one total for each origin; the row's life is
/// the newest insertion and what deleters had seen. `merge` is commutative, associative and idempotent, so that nodes
/// that know the same changes hold the same state, in whatever order they came. Sources: Shapiro et al., "A comprehensive
/// study of Convergent and Commutative Replicated Data Types", 2011 (registers, counters); Almeida et al.,
/// "Delta State Replicated Data Types", 2018 (a change is a small state).
package struct RowState: Sendable, Hashable {
    /// A column's value and who wrote it.
    package struct Register: Sendable, Hashable {
        /// The value.
        package var value: SQLiteValue
        /// Its author and time.
        package var version: Version

        /// Makes a register.
        package init(value: SQLiteValue, version: Version) {
            self.value = value
            self.version = version
        }
    }

    /// One origin's part of a counter column.
    package struct CounterPart: Sendable, Hashable {
        /// The column's slot.
        package var slot: Int
        /// Whose part.
        package var origin: Origin
        /// The sum of all changes the origin made.
        package var total: Int64
        /// The batch after which that is the sum.
        package var sequence: UInt64

        /// Makes a part.
        package init(slot: Int, origin: Origin, total: Int64, sequence: UInt64) {
            self.slot = slot
            self.origin = origin
            self.total = total
            self.sequence = sequence
        }
    }

    /// What is known of a row's deletions.
    package struct Deletion: Sendable, Hashable {
        /// Everything that deleters of this row had seen, their own batches included.
        package var seen: VersionVector
        /// The newest deletion.
        package var version: Version

        /// Makes a deletion.
        package init(seen: VersionVector, version: Version) {
            self.seen = seen
            self.version = version
        }
    }

    /// A value that lost to one whose author had not seen it; the two may be equal.
    package struct Loss: Sendable, Hashable {
        /// The column's slot.
        package var slot: Int
        /// What lost.
        package var loser: Register
        /// What it lost to.
        package var winner: Version

        /// Makes a loss.
        package init(slot: Int, loser: Register, winner: Version) {
            self.slot = slot
            self.loser = loser
            self.winner = winner
        }
    }

    /// The primary key.
    package var key: SQLiteValue
    /// The newest insertion.
    package var birth: Version
    /// The columns by slot; `nil` where the slot is the key, is a counter, or was never written.
    package var registers: [Register?]
    /// The counters' parts in ascending order of slot and origin.
    package var counters: [CounterPart]
    /// Deletions that some column or insertion may have survived; `nil` when nobody ever deleted the row.
    package var deletion: Deletion?

    /// The value of a column that is no counter, as far as one is known.
    package func value(slot: Int) -> SQLiteValue? {
        self.registers.indices.contains(slot) ? self.registers[slot]?.value : nil
    }

    /// The version of a column that is no counter, as far as one is known.
    package func version(slot: Int) -> Version? {
        self.registers.indices.contains(slot) ? self.registers[slot]?.version : nil
    }

    /// Makes a state.
    package init(
        key: SQLiteValue,
        birth: Version,
        registers: [Register?],
        counters: [CounterPart] = [],
        deletion: Deletion? = nil
    ) {
        self.key = key
        self.birth = birth
        self.registers = registers
        self.counters = counters
        self.deletion = deletion
    }

    /// Whether the row shows in its table.
    package func isVisible(_ policy: DeletePolicy) -> Bool {
        guard let deletion = self.deletion else { return true }
        if !deletion.seen.covers(self.birth) { return true }
        switch policy {
        case .win:
            return false
        case .keep:
            return self.hasEdits(beyond: deletion.seen)
        }
    }

    /// Whether some column or counter was written by a batch that `seen` does not cover; the insertion does not count.
    package func hasEdits(beyond seen: VersionVector) -> Bool {
        if self.registers.contains(where: { $0.map { !seen.covers($0.version) } ?? false }) { return true }
        // An increment is an edit like any other.
        return self.counters.contains { seen[$0.origin] < $0.sequence }
    }

    /// The sum of a counter column.
    package func counterValue(slot: Int) -> Int64 {
        self.counters.reduce(0) { $1.slot == slot ? $0 &+ $1.total : $0 }
    }

    /// The largest timestamp in the state; a new local change must exceed it.
    package var largestTimestamp: HybridTimestamp {
        var largest = max(self.birth.timestamp, self.deletion?.version.timestamp ?? .genesis)
        for register in self.registers {
            if let register { largest = max(largest, register.version.timestamp) }
        }
        return largest
    }

    /// Whether `batch` wrote a part of the state.
    package func isTouched(by batch: BatchID) -> Bool {
        func isOf(_ version: Version) -> Bool {
            version.origin == batch.origin && version.sequence == batch.sequence
        }
        if isOf(self.birth) || self.deletion.map({ isOf($0.version) }) == true { return true }
        if self.registers.contains(where: { $0.map { isOf($0.version) } == true }) { return true }
        return self.counters.contains { $0.origin == batch.origin && $0.sequence == batch.sequence }
    }

    /// Joins `other`, a state of the same row, into this one.
    ///
    /// `hasSeen` says whether the author of its first version had seen the second one. The result are the values that lost to
    /// concurrent ones, equal ones among them: whether they stay equal depends on what comes.
    package mutating func merge(
        _ other: RowState,
        hasSeen: (_ author: Version, _ version: Version) -> Bool
    ) -> [Loss] {
        var losses: [Loss] = []
        self.birth = max(self.birth, other.birth)
        if other.registers.count > self.registers.count {
            let missing = other.registers.count - self.registers.count
            self.registers.append(contentsOf: repeatElement(nil, count: missing))
        }
        for (slot, theirs) in other.registers.enumerated() {
            guard let theirs else { continue }
            guard let ours = self.registers[slot] else {
                self.registers[slot] = theirs
                continue
            }
            guard ours.version != theirs.version else { continue }
            let (winner, loser) = ours.version < theirs.version ? (theirs, ours) : (ours, theirs)
            self.registers[slot] = winner
            if loser.version.sequence > 0, !hasSeen(winner.version, loser.version) {
                losses.append(Loss(slot: slot, loser: loser, winner: winner.version))
            }
        }
        self.merge(other.counters)
        if let theirs = other.deletion {
            if var ours = self.deletion {
                ours.seen.merge(theirs.seen)
                ours.version = max(ours.version, theirs.version)
                self.deletion = ours
            } else {
                self.deletion = theirs
            }
        }
        return losses
    }

    /// Raises one origin's part of a counter.
    package mutating func merge(_ part: CounterPart) { self.merge([part]) }

    /// Raises origins' parts of counters, given in any order.
    ///
    /// Of two parts of one origin with equal sequences the one that was there stays.
    package mutating func merge(_ parts: [CounterPart]) {
        guard !parts.isEmpty else { return }
        // The sort is stable, so that of equal parts the present one comes first.
        let sorted = (self.counters + parts).sorted {
            ($0.slot, $0.origin, $1.sequence) < ($1.slot, $1.origin, $0.sequence)
        }
        self.counters.removeAll(keepingCapacity: true)
        for part in sorted {
            if let last = self.counters.last, last.slot == part.slot, last.origin == part.origin { continue }
            self.counters.append(part)
        }
    }
}
