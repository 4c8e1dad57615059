package import ClinicSyncModel

// What a row's state says of batches, and how much of that can be believed.
extension RowState {
    /// Whether `exists` holds for every batch that the state says wrote a part of it: the insertion, the columns, the counters
    /// and the newest deletion.
    ///
    /// Seed rows are of no batch.
    package func names(only exists: (Version) -> Bool) -> Bool {
        func isPossible(_ version: Version) -> Bool { version.sequence == 0 || exists(version) }
        // Most columns have the version of the insertion.
        guard isPossible(self.birth) else { return false }
        for case let register? in self.registers where register.version != self.birth {
            guard isPossible(register.version) else { return false }
        }
        for part in self.counters {
            let version = Version(timestamp: .genesis, origin: part.origin, sequence: part.sequence)
            guard isPossible(version) else { return false }
        }
        return self.deletion.map { isPossible($0.version) } ?? true
    }

    /// Limits what the row's deleters are said to have seen to the batches of `existing`.
    ///
    /// Nobody has seen what does not exist yet. With a larger claim, everything that people enter later under the row's key
    /// would count as deleted.
    package mutating func limitSeen(to existing: VersionVector) {
        guard let seen = self.deletion?.seen, !existing.covers(seen) else { return }
        self.deletion?.seen = seen.meet(existing)
    }
}

extension VersionVector {
    /// This vector, read from the node's own file, without what cannot be: `existing` gives the number of an author's newest
    /// batch that this node has.
    ///
    /// One batch more is possible: the one that is being applied or collected when the vector is read.
    package func withoutImpossible(existing: (Origin) -> UInt64) -> VersionVector {
        func isPossible(_ entry: Entry) -> Bool { entry.sequence <= existing(entry.origin) &+ 1 }
        guard !self.entries.allSatisfy(isPossible) else { return self }
        return VersionVector(
            self.entries.map { isPossible($0) ? $0 : Entry(origin: $0.origin, sequence: existing($0.origin)) }
        )
    }
}
