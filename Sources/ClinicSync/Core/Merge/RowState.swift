package import ClinicSyncModel

/// What happens to a row that one node deleted and another node edited concurrently; the manifest sets it for each
/// table.
package enum DeletePolicy: String, Sendable, Hashable, CaseIterable {
    /// An edit that the deleter had not seen keeps the row alive.
    case keep
    /// The deletion wins; only a new insertion brings the row back.
    case win
}

/// The whole replicated state of one row: a join-semilattice.
///
/// A column is a last-writer-wins register. A counter column is a register too, for the value that somebody set it to,
/// and a sum with one total for each origin, for what was counted beyond the value. The newest insertion and the changes that deleters had seen say whether the row is alive. `merge` is commutative, associative
/// and idempotent, so nodes that know the same changes hold the same state, in whatever order the changes arrived.
/// Sources: Shapiro et al., "A comprehensive study of Convergent and Commutative Replicated Data Types", 2011
/// (registers, counters); Almeida et al., "Delta State Replicated Data Types", 2018 (a change is a small state).
package struct RowState: Sendable, Hashable {
    /// A column's value with the version that wrote it.
    package struct Register: Sendable, Hashable {
        /// The value.
        package var value: SQLiteValue
        /// The author and the time of the value.
        package var version: Version

        /// Makes a register.
        package init(value: SQLiteValue, version: Version) {
            self.value = value
            self.version = version
        }

        /// Whether `other`, whose stamp and author are the same, counts more: a rule that is the same on every node.
        fileprivate func isBeaten(by other: Register) -> Bool {
            guard self.value == other.value else { return self.value.sortsBefore(other.value) }
            return self.version.sequence < other.version.sequence
        }
    }

    /// One origin's part of a counter column.
    package struct CounterPart: Sendable, Hashable {
        /// The column's slot.
        package var slot: Int
        /// The origin that made the changes.
        package var origin: Origin
        /// The sum of all changes that the origin made.
        package var total: Int64
        /// The number of the origin's batch that made the last of these changes.
        package var sequence: UInt64

        /// Makes a part.
        package init(slot: Int, origin: Origin, total: Int64, sequence: UInt64) {
            self.slot = slot
            self.origin = origin
            self.total = total
            self.sequence = sequence
        }
    }

    /// The deletions of a row.
    package struct Deletion: Sendable, Hashable {
        /// Everything that the deleters of this row had seen, their own batches included.
        package var seen: VersionVector
        /// The newest deletion.
        package var version: Version

        /// Makes a deletion.
        package init(seen: VersionVector, version: Version) {
            self.seen = seen
            self.version = version
        }
    }

    /// A value that lost to a concurrent value; the two values may be equal.
    package struct Loss: Sendable, Hashable {
        /// The column's slot.
        package var slot: Int
        /// The value that lost.
        package var loser: Register
        /// The version of the value that won.
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
    /// The columns by slot; `nil` where the slot is the key, is a counter that was never set, or was never written.
    package var registers: [Register?]
    /// The counters' parts in ascending order of slot and origin.
    package var counters: [CounterPart]
    /// The parts that those who set a counter had seen, in ascending order of slot and origin.
    ///
    /// The set value stands for them: only what a part has grown since then counts.
    package var bases: [CounterPart]
    /// The row's deletions; `nil` when no node has deleted the row.
    package var deletion: Deletion?

    /// The value of a column that is not a counter, or the value that a counter was set to; `nil` when no value is known.
    package func value(slot: Int) -> SQLiteValue? {
        self.registers.indices.contains(slot) ? self.registers[slot]?.value : nil
    }

    /// The version of ``value(slot:)``; `nil` when no version is known.
    package func version(slot: Int) -> Version? {
        self.registers.indices.contains(slot) ? self.registers[slot]?.version : nil
    }

    /// Makes a state.
    package init(
        key: SQLiteValue,
        birth: Version,
        registers: [Register?],
        counters: [CounterPart] = [],
        bases: [CounterPart] = [],
        deletion: Deletion? = nil
    ) {
        self.key = key
        self.birth = birth
        self.registers = registers
        self.counters = counters
        self.bases = bases
        self.deletion = deletion
    }

    /// Whether the table shows the row.
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

    /// Whether a batch that `seen` does not cover wrote a column or a counter of the row; the insertion does not count.
    package func hasEdits(beyond seen: VersionVector) -> Bool {
        // An increment counts as an edit.
        self.hasValues(beyond: seen) || self.counters.contains { seen[$0.origin] < $0.sequence }
    }

    /// Whether a batch that `seen` does not cover wrote a column of the row.
    package func hasValues(beyond seen: VersionVector) -> Bool {
        self.registers.contains { $0.map { !seen.covers($0.version) } ?? false }
    }

    /// What was counted in a counter column since it was set.
    package func counted(slot: Int) -> Int64 {
        let sum = self.counters.reduce(Int64(0)) { $1.slot == slot ? $0 &+ $1.total : $0 }
        return self.bases.reduce(sum) { $1.slot == slot ? $0 &- $1.total : $0 }
    }

    /// The value of a counter column: what it was set to and what was counted since then.
    ///
    /// A counter that was set to something that is no whole number shows this value, until somebody sets a whole number.
    package func counterValue(slot: Int) -> SQLiteValue {
        switch self.value(slot: slot) {
        case nil: .integer(self.counted(slot: slot))
        case .integer(let number): .integer(number &+ self.counted(slot: slot))
        case let other?: other
        }
    }

    /// The largest timestamp in the state; a new local change must exceed it.
    package var largestTimestamp: HybridTimestamp {
        var largest = max(self.birth.timestamp, self.deletion?.version.timestamp ?? .genesis)
        for register in self.registers {
            if let register { largest = max(largest, register.version.timestamp) }
        }
        return largest
    }

    /// Returns the state with its stamps limited as those of batches are, for a state that a peer sent.
    ///
    /// - Parameter count: The number of batches that this node has applied; all that made the state are among them.
    /// - Returns: The limited state.
    package func limited(toBatches count: @autoclosure () -> UInt64) -> RowState {
        // Nearly all states have stamps of times.
        guard self.largestTimestamp > .lastTime else { return self }
        let limit = count()
        func limited(_ version: Version) -> Version {
            Version(
                timestamp: version.timestamp.limited(toBatches: limit),
                origin: version.origin,
                sequence: version.sequence
            )
        }
        var state = self
        state.birth = limited(self.birth)
        state.registers = self.registers.map { $0.map { Register(value: $0.value, version: limited($0.version)) } }
        state.deletion = self.deletion.map { Deletion(seen: $0.seen, version: limited($0.version)) }
        return state
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
    /// - Parameters:
    ///   - other: The other state.
    ///   - hasSeen: Says whether the author of the first version had seen the second version.
    /// - Returns: The values that lost to concurrent writes. Equal values are included, because a later merge can make
    ///   them differ.
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
            guard ours != theirs else { continue }
            let isOurs =
                theirs.version < ours.version || (!(ours.version < theirs.version) && theirs.isBeaten(by: ours))
            let (winner, loser) = isOurs ? (ours, theirs) : (theirs, ours)
            self.registers[slot] = winner
            // Two values of one version: the file of a node was damaged, and no version says which value is right.
            let isDamage = ours.version == theirs.version
            if isDamage || (loser.version.sequence > 0 && !hasSeen(winner.version, loser.version)) {
                losses.append(Loss(slot: slot, loser: loser, winner: winner.version))
            }
        }
        self.merge(other.counters)
        self.merge(bases: other.bases)
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

    /// Joins one origin's part of a counter.
    package mutating func merge(_ part: CounterPart) { self.merge([part]) }

    /// Joins parts of counters, given in any order.
    ///
    /// Of two parts of one origin with equal sequences the larger total stays, on every node. Only damage makes two such parts.
    package mutating func merge(_ parts: [CounterPart]) {
        guard !parts.isEmpty else { return }
        self.counters = RowState.joined(self.counters, parts)
    }

    /// Joins the parts that somebody had seen who set a counter, given in any order.
    package mutating func merge(bases: [CounterPart]) {
        guard !bases.isEmpty else { return }
        self.bases = RowState.joined(self.bases, bases)
        // A part that somebody has seen exists; it may not have come here yet.
        self.merge(bases)
    }

    /// The newest part of each origin.
    private static func joined(_ ours: [CounterPart], _ theirs: [CounterPart]) -> [CounterPart] {
        let sorted = (ours + theirs).sorted {
            ($0.slot, $0.origin, $1.sequence, $1.total) < ($1.slot, $1.origin, $0.sequence, $0.total)
        }
        var joined: [CounterPart] = []
        for part in sorted {
            if let last = joined.last, last.slot == part.slot, last.origin == part.origin { continue }
            joined.append(part)
        }
        return joined
    }
}
