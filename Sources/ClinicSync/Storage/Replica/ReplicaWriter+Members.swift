package import ClinicSyncCore
package import ClinicSyncModel

/// Members' progress and the log's end.
extension ReplicaWriter {
    /// Records how far members are.
    package func recordAcknowledged(_ members: [MemberProgress]) throws {
        try self.transaction {
            for member in members {
                try self.connection
                    .statement(
                        """
                        INSERT INTO clinicsync_member (node, vector, seenAt) VALUES (?1, ?2, ?3)
                        ON CONFLICT (node) DO UPDATE SET vector = ?2, seenAt = ?3
                        """
                    )
                    .bind(1, blob: ReplicaWriter.bytes(of: member.node))
                    .bind(2, blob: VectorCoding.encode(member.vector))
                    .bind(3, member.seenMilliseconds)
                    .run()
            }
        }
    }

    /// The largest number of an own batch that a member is known to have.
    ///
    /// A node that is not the host is connected with the host alone, so the members it knows are those that were its host.
    func acknowledgedOwn() throws -> UInt64 {
        var largest: UInt64 = 0
        try self.connection.statement("SELECT vector FROM clinicsync_member").forEach { row in
            largest = max(largest, try VectorCoding.decode(row.blob(0))[self.origin])
        }
        return largest
    }

    /// How many chunks one call of ``prune(retentionMilliseconds:)`` removes at most: a short transaction.
    static let pruneChunksMax = 256

    /// A member that was silent for so long no longer holds the log: 30 days.
    static let lapseMilliseconds: Int64 = 30 * 86_400_000

    /// The write-ahead log is cut back to nothing when it is larger than this and nobody reads it: 4 MiB.
    static let idleLogFramesMax = 1_024

    /// What has to be done now and then: prune the log, go on with the slow sweep, and move the write-ahead log into the file, so
    /// that programs need not.
    ///
    /// - Returns: Chunks removed, and rows found that had been written without a mark.
    package func maintain(retentionMilliseconds: Int64) throws -> (pruned: Int, escaped: Int) {
        let pruned = try self.prune(retentionMilliseconds: retentionMilliseconds)
        // During a bulk collection its snapshot is the truth; the sweep waits for its end.
        let escaped = self.bulk == nil ? try self.continueSlowSweep() : 0
        try self.pruneEvents()
        try self.checkpoint()
        if self.hasFilledCache, self.bulk == nil {
            self.hasFilledCache = false
            try self.perform { try self.connection.execute("PRAGMA shrink_memory") }
        }
        return (pruned, escaped)
    }

    private func checkpoint() throws {
        guard self.database.snapshots != nil, self.bulk == nil else { return }
        try self.perform {
            let frames = try self.connection.statement("PRAGMA wal_checkpoint(PASSIVE)").first { $0.int(1) } ?? 0
            guard frames > ReplicaWriter.idleLogFramesMax else { return }
            // Gives up at once when somebody reads or writes: the next time will do.
            try self.connection.execute("PRAGMA busy_timeout = 0")
            _ = try self.connection.statement("PRAGMA wal_checkpoint(TRUNCATE)").first { $0.int(0) }
            try self.connection.execute("PRAGMA busy_timeout = \(Int(StoreDatabase.busyTimeoutSeconds * 1_000))")
        }
    }

    /// Removes chunks from the log that are older than the retention and that every known member has.
    ///
    /// Without known members nothing is removed. Call it again until it returns 0.
    ///
    /// - Returns: How many chunks were removed.
    package func prune(retentionMilliseconds: Int64) throws -> Int {
        var floor: VersionVector?
        try self.perform {
            let lapsed = self.wallClock() - ReplicaWriter.lapseMilliseconds
            try self.connection.statement("SELECT vector FROM clinicsync_member WHERE seenAt > ?1")
                .bind(1, lapsed)
                .forEach { row in
                    let vector = try VectorCoding.decode(row.blob(0))
                    floor = floor.map { $0.meet(vector) } ?? vector
                }
            // A batch with rows this version does not understand is read again after an update.
            let isKept: Bool? = try self.connection.statement(
                "SELECT 1 FROM clinicsync_unread WHERE typeof(pk) = 'text'"
            )
            .first { _ in true }
            if isKept == true { floor = nil }
        }
        guard let floor else { return 0 }
        let horizon = self.wallClock() - retentionMilliseconds
        return try self.transaction {
            var removed = 0
            for entry in floor.entries {
                guard let id = self.ledger.id(of: entry.origin) else { continue }
                try self.connection
                    .statement(
                        """
                        DELETE FROM clinicsync_log WHERE position IN (
                        SELECT position FROM clinicsync_log WHERE origin = ?1 AND sequence <= ?2 AND storedAt < ?3 LIMIT ?4)
                        """
                    )
                    .bind(1, id)
                    .bind(2, min(entry.sequence, self.ledger.origins[id].sequence))
                    .bind(3, horizon)
                    .bind(4, ReplicaWriter.pruneChunksMax)
                    .run()
                removed += self.connection.changes
            }
            return removed
        }
    }
}

/// How far a member was when that was last written down.
package struct MemberLag: Sendable, Hashable {
    /// The member.
    package var node: NodeID
    /// When it was heard of then, corrected milliseconds since 1970.
    package var seenMilliseconds: Int64
    /// How many of the batches that are applied here it had not then.
    package var lagBatches: UInt64
}

extension ReplicaReader {
    /// What is written down of members, those that are not connected included.
    ///
    /// - Throws: ``StoreError``.
    package func memberProgress() throws -> [MemberLag] {
        let vector = try self.digests().vector
        return try self.perform {
            var members: [MemberLag] = []
            try self.connection.statement("SELECT node, vector, seenAt FROM clinicsync_member ORDER BY node")
                .forEach { row in
                    guard let node = ReplicaWriter.nodeID(of: row.blob(0)) else { return }
                    let lag = vector.count(beyond: try VectorCoding.decode(row.blob(1)))
                    members.append(MemberLag(node: node, seenMilliseconds: row.int64(2), lagBatches: lag))
                }
            return members
        }
    }
}
