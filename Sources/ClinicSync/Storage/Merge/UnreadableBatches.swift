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
    private let journal: ConflictJournal
    /// Batches that begin at this position or before were in the log when the file was opened.
    private let openedAt: UInt64

    /// The bytes of a batch that its journal entry keeps, counted from the first chunk: 256 KiB.
    static let keptBytesMax = 256 << 10

    /// Looks at the batches of `log`.
    ///
    /// - Throws: what SQLite reports.
    init(log: BatchLog, journal: ConflictJournal, on connection: Connection) throws {
        self.log = log
        self.journal = journal
        self.openedAt = try log.head(on: connection)
    }

    /// Reads a batch in full, if it is one that may be unreadable.
    ///
    /// - Parameters:
    ///   - batch: a complete batch.
    ///   - id: its author's small number.
    ///   - isDistrusted: whether also a batch is read that was read when it arrived.
    ///   - connection: the connection.
    /// - Returns: Why no node can read the batch; `nil` when it can be applied.
    /// - Throws: what SQLite reports.
    func reason(
        against batch: BatchLog.CompleteBatch,
        of id: Int,
        isDistrusted: Bool,
        on connection: Connection
    ) throws -> String? {
        guard isDistrusted || batch.position <= self.openedAt else { return nil }
        do {
            for chunk in 0..<batch.chunks {
                try self.log.withPayload(of: id, sequence: batch.id.sequence, chunk: chunk, on: connection) { payload in
                    try ChunkCheck.read(payload, base: batch.header.timestamp)
                }
            }
            return nil
        } catch let malformed as MalformedRecord {
            return malformed.reason
        }
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
