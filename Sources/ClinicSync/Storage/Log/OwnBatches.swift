import ClinicSyncModel

/// Makes the batches of this node: opens, fills and closes them.
final class OwnBatches {
    private let origins: Origins
    private let log: BatchLog
    private let unshared: UnsharedBatches
    private let clock: StoreClock
    private let schemaVersion: UInt32
    private let chunkBytes: Int

    /// Makes batches of the schema version `schemaVersion`, in chunks of about `chunkBytes`.
    init(
        origins: Origins,
        log: BatchLog,
        unshared: UnsharedBatches,
        clock: StoreClock,
        schemaVersion: UInt32,
        chunkBytes: Int
    ) {
        self.origins = origins
        self.log = log
        self.unshared = unshared
        self.clock = clock
        self.schemaVersion = schemaVersion
        self.chunkBytes = chunkBytes
    }

    /// The own batch whose first chunks are in the log and whose end is not.
    ///
    /// It is the batch of a bulk, possibly of a bulk that a crash interrupted.
    func open(on connection: Connection) throws -> BatchBuilder? {
        let sequence = self.origins.sequence(of: self.origins.ownID) &+ 1
        guard let nextChunk = try self.log.nextChunk(of: self.origins.ownID, sequence: sequence, on: connection),
            let header = try self.log.header(of: self.origins.ownID, sequence: sequence, on: connection)
        else { return nil }
        return self.builder(sequence: sequence, header: header, nextChunk: nextChunk)
    }

    /// Begins a batch.
    func begin(timestamp: HybridTimestamp) -> BatchBuilder {
        let own = self.origins.own
        let seen = self.origins.seen(by: self.origins.ownID)
        let dependencies = VersionVector(self.origins.vector.entries(beyond: seen).filter { $0.origin != own })
        let header = BatchHeader(
            timestamp: timestamp,
            dependencies: dependencies,
            schemaVersion: self.schemaVersion
        )
        return self.builder(sequence: self.origins.sequence(of: self.origins.ownID) &+ 1, header: header, nextChunk: 0)
    }

    /// Returns the stamp that counts for a change of `batch`, or of the next batch; see
    /// ``HybridTimestamp/limited(toBatches:)``.
    func limited(_ timestamp: HybridTimestamp, in batch: BatchBuilder?) -> HybridTimestamp {
        timestamp.limited(toBatches: batch?.seen.total ?? self.origins.vector.total &+ 1)
    }

    private func builder(sequence: UInt64, header: BatchHeader, nextChunk: UInt32) -> BatchBuilder {
        var seen = self.origins.vector
        seen.advance(self.origins.own, to: sequence)
        return BatchBuilder(
            id: BatchID(origin: self.origins.own, sequence: sequence),
            header: header,
            seen: seen,
            nextChunk: nextChunk,
            clockOffset: self.clock.offsetMilliseconds
        )
    }

    /// Logs the current chunk of a batch when it is full.
    ///
    /// - Returns: The logged chunk, if there is one.
    func logFullChunk(
        of batch: inout BatchBuilder?,
        in transaction: borrowing WriteTransaction
    ) throws -> LoggedChunk? {
        guard batch?.chunk.isFull(at: self.chunkBytes) == true, let chunk = batch?.takeChunk(isLast: false) else {
            return nil
        }
        return try self.log.append(chunk, in: transaction)
    }

    /// Logs the changes that a batch has so far; the next slice of a bulk continues the batch.
    ///
    /// - Returns: The logged chunk, if there is one.
    func suspend(_ batch: inout BatchBuilder?, in transaction: borrowing WriteTransaction) throws -> LoggedChunk? {
        guard let chunk = batch?.takeChunk(isLast: false), let batch, batch.hasChanges else { return nil }
        let logged = try self.log.append(chunk, in: transaction)
        try self.unshared.note(batch, in: transaction)
        return logged
    }

    /// Logs the last chunk of a batch and counts the batch as applied here.
    ///
    /// - Returns: The logged chunk; `nil` when there is no batch.
    func close(_ batch: inout BatchBuilder?, in transaction: borrowing WriteTransaction) throws -> LoggedChunk? {
        guard var closing = batch else { return nil }
        batch = nil
        let logged = try self.log.append(closing.takeChunk(isLast: true), in: transaction)
        try self.unshared.note(closing, in: transaction)
        self.origins.noteSeen(closing.header.dependencies, by: self.origins.ownID)
        self.origins.advance(self.origins.ownID, to: closing.id.sequence)
        return logged
    }
}
