/// A set of batches: for each origin, the sequence up to which the set has every batch.
///
/// Source: Parker et al., "Detection of Mutual Inconsistency in Distributed Systems", 1983. Entries are sorted by
/// origin, so that iteration, encoding and description are the same on every node.
package struct VersionVector: Sendable, Hashable {
    /// One origin's entry.
    package struct Entry: Sendable, Hashable {
        /// The origin.
        package let origin: Origin
        /// The set has all batches 1...sequence of the origin.
        package var sequence: UInt64

        /// Makes an entry.
        package init(origin: Origin, sequence: UInt64) {
            self.origin = origin
            self.sequence = sequence
        }
    }

    /// The entries in ascending order of their origins; no entry has sequence 0.
    package private(set) var entries: [Entry] = []

    /// Makes the empty vector.
    package init() {}

    /// Makes a vector from `entries` in any order; of several entries for one origin the largest counts.
    package init(_ entries: some Sequence<Entry>) {
        // Sorts once: inserting each entry at its place would take minutes for 65 536 entries in descending order.
        let sorted = entries.sorted { ($0.origin, $1.sequence) < ($1.origin, $0.sequence) }
        self.entries.reserveCapacity(sorted.count)
        for entry in sorted where entry.sequence > 0 && entry.origin != self.entries.last?.origin {
            self.entries.append(entry)
        }
    }

    /// Whether no batch is covered.
    package var isEmpty: Bool { self.entries.isEmpty }

    /// The highest contiguous sequence of `origin`; 0 without an entry.
    package subscript(origin: Origin) -> UInt64 {
        let index = self.position(of: origin)
        guard index < self.entries.count, self.entries[index].origin == origin else { return 0 }
        return self.entries[index].sequence
    }

    /// The number of covered batches, at most `UInt64.max`.
    package var total: UInt64 {
        self.entries.reduce(0) { sum, entry in
            let (total, overflow) = sum.addingReportingOverflow(entry.sequence)
            return overflow ? .max : total
        }
    }

    /// Whether the batch that carried `version` is covered.
    ///
    /// Seed rows are covered by every vector.
    package func covers(_ version: Version) -> Bool {
        version.sequence == 0 || self[version.origin] >= version.sequence
    }

    /// Whether a batch of another node than `node` is covered.
    package func hasOthers(than node: NodeID) -> Bool {
        self.entries.contains { $0.origin.node != node }
    }

    /// Whether every batch of `other` is covered.
    package func covers(_ other: VersionVector) -> Bool {
        if self == other { return true }
        var reader = Reader(self)
        return other.entries.allSatisfy { reader.sequence(of: $0.origin) >= $0.sequence }
    }

    /// Uses the memory of `other` when both cover the same batches.
    ///
    /// A node holds several vectors for each peer. At rest all are equal, and vectors that share their memory are compared
    /// in one step.
    package mutating func share(_ other: VersionVector) {
        if self == other { self.entries = other.entries }
    }

    /// Raises the entry of `origin` to `sequence`; a lower `sequence` changes nothing.
    package mutating func advance(_ origin: Origin, to sequence: UInt64) {
        guard sequence > 0 else { return }
        let index = self.position(of: origin)
        if index < self.entries.count, self.entries[index].origin == origin {
            self.entries[index].sequence = max(self.entries[index].sequence, sequence)
        } else {
            self.entries.insert(Entry(origin: origin, sequence: sequence), at: index)
        }
    }

    /// Raises the entries of these origins; new origins that would make more than `originsMax` entries are left out.
    package mutating func advance(_ entries: some Sequence<Entry>, originsMax: Int) {
        for entry in entries where self.entries.count < originsMax || self[entry.origin] > 0 {
            self.advance(entry.origin, to: entry.sequence)
        }
    }

    /// Raises every entry to at least that of `other`: the least upper bound.
    package mutating func merge(_ other: VersionVector) {
        guard !self.covers(other) else { return }
        for entry in other.entries { self.advance(entry.origin, to: entry.sequence) }
    }

    /// Returns the batches that both vectors cover: the greatest lower bound.
    package func meet(_ other: VersionVector) -> VersionVector {
        if other.covers(self) { return self }
        var reader = Reader(other)
        return VersionVector(
            self.entries.map { Entry(origin: $0.origin, sequence: min($0.sequence, reader.sequence(of: $0.origin))) }
        )
    }

    /// Returns the vector that covers none of `batches`, and of their authors only what came before the first of them.
    package func limited(before batches: some Sequence<BatchID>) -> VersionVector {
        var result = self
        for batch in batches {
            let index = result.position(of: batch.origin)
            guard index < result.entries.count, result.entries[index].origin == batch.origin,
                result.entries[index].sequence >= batch.sequence
            else { continue }
            if batch.sequence > 1 {
                result.entries[index].sequence = batch.sequence &- 1
            } else {
                result.entries.remove(at: index)
            }
        }
        return result
    }

    /// Returns the entries of the origins for which `isIncluded` holds.
    package func filter(_ isIncluded: (Origin) -> Bool) -> VersionVector {
        // Most often nothing is left out, and nothing is copied.
        guard let first = self.entries.firstIndex(where: { !isIncluded($0.origin) }) else { return self }
        var result = VersionVector()
        result.entries = Array(self.entries[..<first])
        result.entries += self.entries[first...].filter { isIncluded($0.origin) }
        return result
    }

    /// Returns the entries in which `self` is ahead of `other`.
    package func entries(beyond other: VersionVector) -> [Entry] {
        if self == other { return [] }
        var reader = Reader(other)
        return self.entries.filter { reader.sequence(of: $0.origin) < $0.sequence }
    }

    /// Returns the number of batches that `self` covers and `other` does not.
    package func count(beyond other: VersionVector) -> UInt64 {
        if self == other { return 0 }
        var reader = Reader(other)
        return self.entries.reduce(0) { sum, entry in
            let known = reader.sequence(of: entry.origin)
            return entry.sequence > known ? sum &+ (entry.sequence - known) : sum
        }
    }

    /// The index of the first entry from `start` on whose origin is not smaller than `origin`.
    private func position(of origin: Origin, from start: Int = 0) -> Int {
        var low = start
        var high = self.entries.count
        while low < high {
            let middle = (low + high) / 2
            if self.entries[middle].origin < origin { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Looks up origins in ascending order, so that two vectors are compared in one pass.
    private struct Reader {
        /// Entries that are skipped one by one before the rest is halved.
        private static let stepsMax = 4

        private let vector: VersionVector
        private var index = 0

        /// Starts at the first entry.
        init(_ vector: VersionVector) { self.vector = vector }

        /// Returns the sequence of `origin`, which must be greater than the origin of the call before.
        mutating func sequence(of origin: Origin) -> UInt64 {
            let entries = self.vector.entries
            var steps = 0
            while self.index < entries.count, entries[self.index].origin < origin {
                guard steps < Reader.stepsMax else {
                    self.index = self.vector.position(of: origin, from: self.index)
                    break
                }
                self.index += 1
                steps += 1
            }
            guard self.index < entries.count, entries[self.index].origin == origin else { return 0 }
            return entries[self.index].sequence
        }
    }
}
