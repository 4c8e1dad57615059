import ClinicSyncCore
import ClinicSyncModel

/// The members that have lapsed: the replicated table `clinicsync_lapse`.
///
/// A host has a member lapse that was silent for ``CoreLimits/silenceMilliseconds``. A member that lapsed keeps neither the log nor logins nor migrations waiting. It may return: it is active again as soon as a host
/// finds that it has everything.
enum Lapses {
    /// The table.
    static let table = "clinicsync_lapse"
    /// So many rows are read; a clinic has fewer members.
    private static let rowsMax = 4_096

    /// The members that have lapsed by a host's decision, ascending; none when a program removed the table.
    ///
    /// - Throws: what SQLite reports.
    static func decided(on connection: Connection) throws -> [NodeID] {
        guard try connection.hasTable(self.table) else { return [] }
        var nodes: Set<NodeID> = []
        try connection.query("SELECT node FROM clinicsync_lapse LIMIT ?1").bind(1, self.rowsMax)
            .forEach { row in
                if let node = NodeID(row.string(0)) { nodes.insert(node) }
            }
        return nodes.sorted()
    }

    /// The members that have lapsed, as far as this node has heard nothing else.
    ///
    /// Any program of any member can write the table. So a member that this node heard lately counts for logins and migrations,
    /// whatever the table says.
    ///
    /// - Parameters:
    ///   - now: the time, milliseconds since 1970.
    ///   - silence: the silence after which members lapse, in milliseconds.
    ///   - connection: the connection that reads.
    /// - Returns: The members, ascending.
    /// - Throws: what SQLite reports.
    static func confirmed(
        at now: Int64,
        silence: Int64 = CoreLimits.silenceMilliseconds,
        on connection: Connection
    ) throws -> [NodeID] {
        try self.decided(on: connection)
            .filter { node in
                let seen =
                    try connection.query("SELECT seenAt FROM clinicsync_member WHERE node = ?1")
                    .bind(1, blob: node.storedBytes)
                    .first { $0.milliseconds(0) }
                return (seen ?? 0) < now &- silence
            }
    }
}
