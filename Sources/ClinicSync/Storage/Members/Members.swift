import ClinicSyncCore
package import ClinicSyncModel

/// The progress of the members: the table `clinicsync_member`.
struct Members {
    /// The silence after which the log is no longer kept for a member: 30 days.
    static let lapseMilliseconds: Int64 = 30 * 86_400_000

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
        var largest: UInt64 = 0
        try connection.query("SELECT vector FROM clinicsync_member").forEach { row in
            let vector = try OwnDamage.reading(.member) { try VectorCoding.decode(row.blob(0)) }
            largest = max(largest, vector[self.origins.own])
        }
        return largest
    }

    /// The vector of the batches that all members have; `nil` without members.
    ///
    /// Members that were silent for too long do not count.
    func commonVector(on connection: Connection) throws -> VersionVector? {
        var common: VersionVector?
        try connection.query("SELECT vector FROM clinicsync_member WHERE seenAt > ?1")
            .bind(1, self.clock.wallMilliseconds - Members.lapseMilliseconds)
            .forEach { row in
                let vector = try OwnDamage.reading(.member) { try VectorCoding.decode(row.blob(0)) }
                common = common.map { $0.meet(vector) } ?? vector
            }
        return common
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
