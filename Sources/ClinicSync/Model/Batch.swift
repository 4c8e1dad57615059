/// The name of a batch: its author and its number in the author's contiguous sequence, from 1.
package struct BatchID: Sendable, Hashable, Comparable {
    /// The author.
    package let origin: Origin
    /// The number, from 1, without gaps.
    package let sequence: UInt64

    /// Makes a name.
    package init(origin: Origin, sequence: UInt64) {
        self.origin = origin
        self.sequence = sequence
    }

    /// Orders by origin, then number.
    package static func < (left: BatchID, right: BatchID) -> Bool {
        left.origin == right.origin ? left.sequence < right.sequence : left.origin < right.origin
    }
}

/// The facts about a batch that a receiver needs before the first row; the batch's first chunk carries them.
package struct BatchHeader: Sendable, Hashable {
    /// The batch's stamp; the stamps of its changes are relative to it.
    package let timestamp: HybridTimestamp
    /// The batches that the author has applied since its previous batch.
    ///
    /// Only this difference travels. The sum over the author's batches is everything that the author had seen. The
    /// author's own earlier batches are implied.
    package let dependencies: VersionVector
    /// The number of the author's newest schema migration.
    package let schemaVersion: UInt32

    /// Makes a header.
    package init(timestamp: HybridTimestamp, dependencies: VersionVector, schemaVersion: UInt32) {
        self.timestamp = timestamp
        self.dependencies = dependencies
        self.schemaVersion = schemaVersion
    }
}

/// A piece of a batch as it is logged and sent: at most 256 KiB of encoded changes.
///
/// `docs/PROTOCOL.md`, section "Chunk payload", describes the payload's format. Nodes store and relay the payload
/// byte for byte, so a relay neither decodes nor encodes rows.
package struct BatchChunk: Sendable, Hashable {
    /// The batch that the chunk is a part of.
    package let batch: BatchID
    /// The chunk's place in the batch, from 0.
    package let index: UInt32
    /// The batch's header; present exactly when `index` is 0.
    package let header: BatchHeader?
    /// Whether this is the batch's last chunk.
    package var isLast: Bool
    /// SipHash-2-4 of `payload`; a receiver refuses a chunk with another checksum.
    package let checksum: UInt64
    /// The encoded changes.
    package let payload: [UInt8]

    /// Makes a chunk.
    package init(
        batch: BatchID,
        index: UInt32,
        header: BatchHeader?,
        isLast: Bool,
        checksum: UInt64,
        payload: [UInt8]
    ) {
        self.batch = batch
        self.index = index
        self.header = header
        self.isLast = isLast
        self.checksum = checksum
        self.payload = payload
    }
}

/// A chunk with its place in this node's log.
package struct LoggedChunk: Sendable, Hashable {
    /// The place.
    ///
    /// Places ascend in the order in which this node stored the chunks, which is a causal order.
    package let position: UInt64
    /// The chunk.
    package let chunk: BatchChunk

    /// Makes a logged chunk.
    package init(position: UInt64, chunk: BatchChunk) {
        self.position = position
        self.chunk = chunk
    }
}

/// How much of an incomplete batch has arrived, so that a peer sends only the rest.
package struct PartialBatch: Sendable, Hashable {
    /// The batch.
    package let batch: BatchID
    /// The first chunk that is missing.
    package let nextChunk: UInt32
    /// What tells these chunks from other content of the same name.
    package let content: Content

    /// What tells the chunks of a batch from other content of the same name; 0 for what is not known.
    ///
    /// The first and the newest chunk suffice: content of another author's making is a whole beginning or the end of what has
    /// arrived, because a chunk that differs from a later copy of the author removes the batch.
    package struct Content: Sendable, Hashable {
        /// The checksum of the first chunk.
        package var first: UInt64
        /// The timestamp in the first chunk's header.
        package var timestamp: UInt64
        /// The checksum of the newest chunk, the one before ``PartialBatch/nextChunk``.
        package var newest: UInt64

        /// Makes a description.
        package init(first: UInt64 = 0, timestamp: UInt64 = 0, newest: UInt64 = 0) {
            self.first = first
            self.timestamp = timestamp
            self.newest = newest
        }
    }

    /// Makes a partial batch.
    package init(batch: BatchID, nextChunk: UInt32, content: Content = Content()) {
        self.batch = batch
        self.nextChunk = nextChunk
        self.content = content
    }

    /// Whether `chunk` is of the same name, and of other content.
    package func contradicts(_ chunk: BatchChunk) -> Bool {
        guard chunk.batch == self.batch else { return false }
        func differs(_ known: UInt64, _ other: UInt64?) -> Bool { known != 0 && known != other }
        if chunk.index == 0, differs(self.content.first, chunk.checksum) { return true }
        if chunk.index == 0, differs(self.content.timestamp, chunk.header?.timestamp.rawValue) { return true }
        return chunk.index &+ 1 == self.nextChunk && differs(self.content.newest, chunk.checksum)
    }

    /// What is known of the batch with one chunk more.
    package func adding(_ chunk: BatchChunk) -> PartialBatch {
        guard chunk.index >= self.nextChunk else { return self }
        var content = self.content
        if chunk.index == 0 {
            content.first = chunk.checksum
            content.timestamp = chunk.header?.timestamp.rawValue ?? 0
        }
        content.newest = chunk.checksum
        return PartialBatch(batch: self.batch, nextChunk: chunk.index &+ 1, content: content)
    }
}

/// A chunk that a node lost to damage, and perhaps the chunks after it.
package struct LostChunk: Sendable, Hashable {
    /// The batch.
    package let batch: BatchID
    /// The place of the first chunk that is lost.
    package let index: UInt32

    /// Names a chunk.
    package init(batch: BatchID, index: UInt32 = 0) {
        self.batch = batch
        self.index = index
    }
}
