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
        for partial in partials { self.raise(partial) }
    }

    /// Whether the set contains the chunk.
    package func has(_ chunk: BatchChunk) -> Bool {
        if self.vector[chunk.batch.origin] >= chunk.batch.sequence { return true }
        return self.partial(of: chunk.batch).map { $0.nextChunk > chunk.index } ?? false
    }

    /// Whether the set has chunks of other content under the batch's name.
    package func contradicts(_ chunk: BatchChunk) -> Bool {
        self.partial(of: chunk.batch)?.contradicts(chunk) ?? false
    }

    /// Adds a chunk; the batch counts as whole with its last chunk.
    ///
    /// The vector takes a batch only when no batch before it is missing. Otherwise the peer's own vector
    /// (``merge(_:)``) adds the batch later.
    package mutating func record(_ chunk: BatchChunk) {
        let batch = chunk.batch
        guard chunk.isLast, self.vector[batch.origin] &+ 1 == batch.sequence else {
            return self.raise(chunk)
        }
        self.merge([VersionVector.Entry(origin: batch.origin, sequence: batch.sequence)])
    }

    /// Adds a chunk; the batch counts as whole only when ``merge(_:)`` says so.
    package mutating func hold(_ chunk: BatchChunk) {
        self.raise(chunk)
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

    /// Uses the memory of `vector` when the set has the same whole batches.
    package mutating func share(_ vector: VersionVector) { self.vector.share(vector) }

    /// Removes the chunks of batches that are not whole.
    package mutating func forget(_ batches: [BatchID]) {
        guard !batches.isEmpty else { return }
        self.partials.removeAll { batches.contains($0.batch) }
    }

    private mutating func raise(_ chunk: BatchChunk) {
        let known = self.partial(of: chunk.batch) ?? PartialBatch(batch: chunk.batch, nextChunk: 0)
        self.raise(known.adding(chunk))
    }

    private mutating func raise(_ partial: PartialBatch) {
        guard self.vector[partial.batch.origin] < partial.batch.sequence else { return }
        let index = self.index(of: partial.batch)
        if index < self.partials.count, self.partials[index].batch == partial.batch {
            if self.partials[index].nextChunk < partial.nextChunk { self.partials[index] = partial }
        } else {
            self.partials.insert(partial, at: index)
            if self.partials.count > CoreLimits.partialsMax { self.partials.removeFirst() }
        }
    }

    private func partial(of batch: BatchID) -> PartialBatch? {
        let index = self.index(of: batch)
        guard index < self.partials.count, self.partials[index].batch == batch else { return nil }
        return self.partials[index]
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
