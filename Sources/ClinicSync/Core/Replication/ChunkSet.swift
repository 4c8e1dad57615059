package import ClinicSyncModel

/// The set of chunks that a node has: whole batches as a vector, other batches by their first missing chunk.
package struct ChunkSet: Sendable, Hashable {
    /// Whole batches.
    package private(set) var vector: VersionVector
    /// Batches of which some chunks are missing, and whole batches behind a gap, in ascending order.
    package private(set) var partials: [PartialBatch]

    /// Makes a set.
    package init(vector: VersionVector, partials: [PartialBatch]) {
        self.vector = vector
        self.partials = []
        for partial in partials { self.raise(partial.batch, to: partial.nextChunk) }
    }

    /// Whether the set contains the chunk.
    package func has(_ chunk: BatchChunk) -> Bool {
        if self.vector[chunk.batch.origin] >= chunk.batch.sequence { return true }
        let index = self.index(of: chunk.batch)
        guard index < self.partials.count, self.partials[index].batch == chunk.batch else { return false }
        return self.partials[index].nextChunk > chunk.index
    }

    /// Adds a chunk; the batch counts as whole with its last chunk.
    ///
    /// The vector takes a batch only when no batch before it is missing. Otherwise the peer's own vector
    /// (``merge(_:)``) adds the batch later.
    package mutating func record(_ chunk: BatchChunk) {
        let batch = chunk.batch
        guard chunk.isLast, self.vector[batch.origin] &+ 1 == batch.sequence else {
            return self.raise(batch, to: chunk.index &+ 1)
        }
        self.merge([VersionVector.Entry(origin: batch.origin, sequence: batch.sequence)])
    }

    /// Adds a chunk; the batch counts as whole only when ``merge(_:)`` says so.
    package mutating func hold(_ chunk: BatchChunk) {
        self.raise(chunk.batch, to: chunk.index &+ 1)
    }

    /// Adds whole batches.
    package mutating func merge(_ vector: VersionVector) {
        self.vector.merge(vector)
        self.dropCovered()
    }

    /// Adds whole batches; those of authors beyond ``CoreLimits/vectorEntriesMax`` are left out.
    package mutating func merge(_ entries: [VersionVector.Entry]) {
        self.vector.advance(entries, originsMax: CoreLimits.vectorEntriesMax)
        self.dropCovered()
    }

    /// Removes the chunks of batches that are not whole.
    package mutating func forget(_ batches: [BatchID]) {
        guard !batches.isEmpty else { return }
        self.partials.removeAll { batches.contains($0.batch) }
    }

    private mutating func raise(_ batch: BatchID, to nextChunk: UInt32) {
        guard self.vector[batch.origin] < batch.sequence else { return }
        let index = self.index(of: batch)
        if index < self.partials.count, self.partials[index].batch == batch {
            let next = max(self.partials[index].nextChunk, nextChunk)
            self.partials[index] = PartialBatch(batch: batch, nextChunk: next)
        } else {
            self.partials.insert(PartialBatch(batch: batch, nextChunk: nextChunk), at: index)
            if self.partials.count > CoreLimits.partialsMax { self.partials.removeFirst() }
        }
    }

    private mutating func dropCovered() {
        guard !self.partials.isEmpty else { return }
        self.partials.removeAll { self.vector[$0.batch.origin] >= $0.batch.sequence }
    }

    /// The index of the first partial batch not smaller than `batch`.
    private func index(of batch: BatchID) -> Int {
        var low = 0
        var high = self.partials.count
        while low < high {
            let middle = (low + high) / 2
            if self.partials[middle].batch < batch { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
