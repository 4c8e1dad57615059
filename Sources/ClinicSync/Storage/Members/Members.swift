import ClinicSyncCore
package import ClinicSyncModel

/// The progress of the members: the table `clinicsync_member`.
struct Members {
    let origins: Origins
    let clock: StoreClock

    /// Records the progress of members.
    func record(_ members: [MemberProgress], in transaction: borrowing WriteTransaction) throws {
        for member in members {
            try transaction
                .statement(
                    """
                    INSERT INTO clinicsync_member (node, vector, seenAt) VALUES (?1, ?2, ?3)
                    ON CONFLICT (node) DO UPDATE SET vector = ?2, seenAt = ?3
                    """
                )
                .bind(1, blob: member.node.storedBytes)
                .bind(2, blob: VectorCoding.encode(member.vector))
                .bind(3, member.seenMilliseconds)
                .run()
        }
    }

    /// The largest number of an own batch that at least one member is known to have.
    ///
    /// A client is connected only with its host. So it knows only the progress of members that were its host.
    func acknowledgedOwn(on connection: Connection) throws -> UInt64 {
        try Members.acknowledged(self.origins.own, on: connection)
    }

    /// The largest number of an author's batch that at least one member is known to have.
    static func acknowledged(_ author: Origin, on connection: Connection) throws -> UInt64 {
        var largest: UInt64 = 0
        try connection.query("SELECT vector FROM clinicsync_member").forEach { row in
            let vector = try OwnDamage.reading(.member) { try VectorCoding.decode(row.blob(0)) }
            largest = max(largest, vector[author])
        }
        return largest
    }

    /// The progress of every member that this node has met.
    ///
    /// - Throws: ``OwnDamage`` when one cannot be read; what SQLite reports.
    func progress(on connection: Connection) throws -> [NodeID: MemberProgress] {
        var members: [NodeID: MemberProgress] = [:]
        try connection.query("SELECT node, vector, seenAt FROM clinicsync_member").forEach { row in
            guard let node = NodeID(storedBytes: row.blob(0)) else { return }
            let vector = try OwnDamage.reading(.member) { try VectorCoding.decode(row.blob(1)) }
            members[node] = MemberProgress(node: node, vector: vector, seenMilliseconds: row.milliseconds(2))
        }
        return members
    }
}

/// The progress of a member when this node last recorded it.
package struct MemberLag: Sendable, Hashable {
    /// The member.
    package var node: NodeID
    /// The time of the member's last sign of life, in corrected milliseconds since 1970.
    package var seenMilliseconds: Int64
    /// The number of batches that are applied here and that the member lacked at that time.
    package var lagBatches: UInt64
}
