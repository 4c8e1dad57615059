import ClinicSyncCore
package import ClinicSyncModel

/// How far members are: the table `clinicsync_member`.
struct Members {
    /// A member that was silent for this long no longer holds the log: 30 days.
    static let lapseMilliseconds: Int64 = 30 * 86_400_000

    let origins: Origins
    let clock: StoreClock

    /// Records how far members are.
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

    /// The largest number of an own batch that a member is known to have.
    ///
    /// A node that is not the host is connected with the host alone, so the members it knows are those that were its host.
    func acknowledgedOwn(on connection: Connection) throws -> UInt64 {
        var largest: UInt64 = 0
        try connection.query("SELECT vector FROM clinicsync_member").forEach { row in
            largest = max(largest, try VectorCoding.decode(row.blob(0))[self.origins.own])
        }
        return largest
    }

    /// What every member that was not silent for too long has; `nil` without such members.
    func commonVector(on connection: Connection) throws -> VersionVector? {
        var common: VersionVector?
        try connection.query("SELECT vector FROM clinicsync_member WHERE seenAt > ?1")
            .bind(1, self.clock.wallMilliseconds - Members.lapseMilliseconds)
            .forEach { row in
                let vector = try VectorCoding.decode(row.blob(0))
                common = common.map { $0.meet(vector) } ?? vector
            }
        return common
    }
}

/// How far a member was when that was last written down.
package struct MemberLag: Sendable, Hashable {
    /// The member.
    package var node: NodeID
    /// When the member was last heard of, corrected milliseconds since 1970.
    package var seenMilliseconds: Int64
    /// The number of batches that are applied here and that the member had not then.
    package var lagBatches: UInt64
}
