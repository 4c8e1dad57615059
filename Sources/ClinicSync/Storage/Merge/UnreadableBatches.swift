import ClinicSyncCore
import ClinicSyncModel

/// A batch in the log cannot be read.
struct UnreadableBatch: Error, Hashable {
    var batch: BatchID
    /// What was wrong.
    var reason: String
}

/// Finds batches in the log that no node can read, and sets them aside.
///
/// A node of this version logs nothing that it has not read in full. Such batches come from a file that an older version
/// wrote, or from a program that wrote to the log. Every node that has the batch sets it aside, because what is
/// unreadable follows from its bytes alone (``ChunkCheck``).
final class UnreadableBatches {
    private let log: BatchLog
    private let origins: Origins
    private let journal: ConflictJournal

    /// The bytes of a batch that its journal entry keeps, counted from the first chunk: 256 KiB.
    static let keptBytesMax = 256 << 10

    /// Looks at the batches of `log`.
    init(log: BatchLog, origins: Origins, journal: ConflictJournal) {
        self.log = log
        self.origins = origins
        self.journal = journal
    }

    /// Reads in full what is in the log and not applied, and sets aside what no node can read.
    ///
    /// A part of a batch that cannot be read is removed: its batch can never be applied.
    ///
    /// - Returns: Whether the log had such a batch.
    func examine(events: inout EventCollector, in transaction: borrowing WriteTransaction) throws -> Bool {
        var hasFound = false
        for id in self.origins.ids where id != self.origins.ownID {
            for sequence in try self.unreadable(of: id, on: transaction.connection) {
                hasFound = true
                do {
                    if let batch = try self.log.complete(of: id, sequence: sequence, on: transaction.connection) {
                        try self.setAside(batch, of: id, events: &events, in: transaction)
                        continue
                    }
                } catch is OwnDamage {
                    // Another chunk of it is damaged, so nobody can say what the batch was.
                }
                try self.log.removeBatch(of: id, sequence: sequence, in: transaction)
            }
        }
        return hasFound
    }

    /// The numbers of an author's batches that are not applied and have a chunk that cannot be read.
    private func unreadable(of id: Int, on connection: Connection) throws -> [UInt64] {
        var numbers: [UInt64] = []
        var base: (sequence: UInt64, timestamp: HybridTimestamp)?
        try self.log.forEachUnapplied(of: id, on: connection) { sequence, header, payload in
            if let header { base = (sequence, header.timestamp) }
            guard let base, base.sequence == sequence, numbers.last != sequence else { return }
            if UnreadableBatches.reason(against: payload, base: base.timestamp) != nil { numbers.append(sequence) }
        }
        return numbers
    }

    private static func reason(against payload: UnsafeRawBufferPointer, base: HybridTimestamp) -> String? {
        do throws(MalformedRecord) {
            try ChunkCheck.read(payload, base: base)
            return nil
        } catch {
            return error.reason
        }
    }

    /// Reads a complete batch in full.
    ///
    /// - Returns: Why no node can read the batch; `nil` when it can be applied.
    /// - Throws: what SQLite reports.
    func reason(
        against batch: BatchLog.CompleteBatch,
        of id: Int,
        on connection: Connection
    ) throws -> String? {
        var reason: String?
        for chunk in 0..<batch.chunks where reason == nil {
            try self.log.withPayload(of: id, sequence: batch.id.sequence, chunk: chunk, on: connection) { payload in
                reason = UnreadableBatches.reason(against: payload, base: batch.header.timestamp)
            }
        }
        return reason
    }

    /// Sets a batch aside: the journal keeps its bytes, and a batch without changes takes its place in the log.
    ///
    /// So the author's later batches and other nodes go on, and a node that joins later gets the batch without changes.
    func setAside(
        _ batch: BatchLog.CompleteBatch,
        of id: Int,
        events: inout EventCollector,
        in transaction: borrowing WriteTransaction
    ) throws {
        var bytes: [UInt8] = []
        for chunk in 0..<batch.chunks where bytes.count < UnreadableBatches.keptBytesMax {
            try self.log.withPayload(of: id, sequence: batch.id.sequence, chunk: chunk, on: transaction.connection) {
                bytes += $0.prefix(UnreadableBatches.keptBytesMax - bytes.count)
            }
        }
        let entry = Conflict(
            kind: .batch,
            table: Conflict.batches,
            key: .string("\(batch.id.origin):\(batch.id.sequence)"),
            column: nil,
            value: .blob(bytes),
            version: Version(
                timestamp: batch.header.timestamp,
                origin: batch.id.origin,
                sequence: batch.id.sequence
            ),
            related: nil
        )
        try self.journal.enter(entry, isShown: false, events: &events, in: transaction)
        try self.log.empty(batch, of: id, in: transaction)
    }
}
