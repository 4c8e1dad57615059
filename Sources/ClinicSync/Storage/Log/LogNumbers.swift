import ClinicSyncCore
import ClinicSyncModel

/// Mends the numbers of the change log when a file is opened, so that the log can be read and appended to.
enum LogNumbers {
    /// What is reported when a batch of this node has an impossible number.
    static var damage: OwnDamage { OwnDamage(.log, "a batch of this node has another number") }
    /// What is reported when a chunk has an impossible position.
    static var positionDamage: OwnDamage { OwnDamage(.log, "a chunk has an impossible position") }

    /// Removes peers' chunks with impossible numbers, and gives new positions to chunks whose positions leave no room.
    ///
    /// - Parameters:
    ///   - own: this node's small number; its chunks stay.
    ///   - transaction: the transaction.
    /// - Throws: what SQLite reports.
    static func mend(exceptOf own: Int, in transaction: borrowing WriteTransaction) throws {
        try self.removeImpossible(exceptOf: own, in: transaction)
        try self.renumber(in: transaction)
    }

    /// Removes peers' chunks with impossible numbers, which earlier versions took.
    ///
    /// Their batches can never be complete.
    private static func removeImpossible(exceptOf own: Int, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                """
                DELETE FROM clinicsync_log WHERE position IN (
                SELECT l.position FROM clinicsync_origin o
                JOIN clinicsync_log l ON l.origin = o.id AND l.sequence > o.sequence
                WHERE o.id <> ?1 AND (l.sequence > ?2 OR l.chunk NOT BETWEEN 0 AND ?3 OR (l.chunk = ?3 AND l.isLast = 0)))
                """
            )
            .bind(1, own)
            .bind(2, Bounds.sequenceMax)
            .bind(3, Bounds.chunkIndexMax)
            .run()
    }

    // MARK: - Own numbers

    /// Whether the log has a chunk of this node whose number is behind a gap.
    ///
    /// A batch of this node is applied when it is logged whole, and one that is not whole yet has the next number. So such a number
    /// was changed in the log. No peer may get the chunk: it would wait there for the batches before it.
    static func hasStray(of own: Int, after applied: UInt64, on connection: Connection) throws -> Bool {
        try connection.query("SELECT 1 FROM clinicsync_log WHERE origin = ?1 AND sequence > ?2 LIMIT 1")
            .bind(1, own)
            .bind(2, applied &+ 1)
            .first { _ in true } ?? false
    }

    /// Removes chunks of this node with numbers behind a gap.
    ///
    /// - Returns: The number of chunks.
    static func removeStray(of own: Int, after applied: UInt64, in transaction: borrowing WriteTransaction) throws
        -> Int
    {
        try transaction.statement("DELETE FROM clinicsync_log WHERE origin = ?1 AND sequence > ?2")
            .bind(1, own)
            .bind(2, applied &+ 1)
            .run()
        return transaction.changes
    }

    // MARK: - Positions

    /// The number of positions that must be left after the newest one.
    private static let room: UInt64 = 1 << 40

    /// The positions that chunks may have.
    private static var usable: UInt64 { Bounds.positionMax - self.room }

    /// Whether a chunk has a position at which it is never served, or which leaves no room for others.
    static func hasWrongPosition(on connection: Connection) throws -> Bool {
        try connection
            .query(
                """
                SELECT 1 FROM clinicsync_log WHERE position < 1
                UNION ALL SELECT 1 FROM clinicsync_log WHERE position > ?1 LIMIT 1
                """
            )
            .bind(1, self.usable)
            .first { _ in true } ?? false
    }

    /// Gives new positions to chunks whose positions leave no room for others, so that chunks can be appended.
    ///
    /// Only a program, or a disk, can have made such positions.
    ///
    /// - Returns: The number of chunks.
    @discardableResult
    static func renumber(in transaction: borrowing WriteTransaction) throws -> Int {
        let usable = self.usable
        let isSequenceWrong: Bool? = try transaction.statement(
            """
            SELECT 1 FROM sqlite_sequence WHERE name = 'clinicsync_log'
            AND (typeof(seq) <> 'integer' OR seq NOT BETWEEN 0 AND ?1)
            """
        )
        .bind(1, usable)
        .first { _ in true }
        guard try isSequenceWrong == true || self.hasWrongPosition(on: transaction.connection) else { return 0 }
        var wrong: [Int64] = []
        try transaction
            .statement("SELECT position FROM clinicsync_log WHERE position < 1 OR position > ?1 ORDER BY position")
            .bind(1, usable)
            .forEach { wrong.append($0.int64(0)) }
        var last =
            try transaction
            .statement("SELECT max(position) FROM clinicsync_log WHERE position BETWEEN 1 AND ?1")
            .bind(1, usable)
            .first { try $0.position(0) } ?? 0
        for position in wrong {
            last &+= 1
            try transaction.statement("UPDATE clinicsync_log SET position = ?2 WHERE position = ?1")
                .bind(1, position)
                .bind(2, last)
                .run()
        }
        try transaction.statement("UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'clinicsync_log'").bind(1, last)
            .run()
        return wrong.count
    }
}
