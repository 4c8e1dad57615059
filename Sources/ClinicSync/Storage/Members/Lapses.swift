import ClinicSyncCore
import ClinicSyncModel

/// The members that have lapsed: the replicated table `clinicsync_lapse`.
///
/// A host has a member lapse that was silent for ``CoreLimits/silenceMilliseconds``.
///
/// A member that lapsed keeps neither the log nor logins nor migrations waiting. It may return: it is active again as soon as
/// a host finds that it has everything.
enum Lapses {
    /// The table.
    static let table = "clinicsync_lapse"

    /// When members lapsed, milliseconds since 1970, by a host's decision; at most as many as a clinic can have.
    ///
    /// - Throws: what SQLite reports.
    static func all(on connection: Connection) throws -> [NodeID: Int64] {
        // A program may have removed the table.
        guard try connection.hasTable(self.table) else { return [:] }
        var lapses: [NodeID: Int64] = [:]
        try connection.query("SELECT node, since FROM clinicsync_lapse LIMIT ?1").bind(1, self.rowsMax).forEach { row in
            // Any program may have written anything there.
            guard let node = NodeID(row.string(0)) else { return }
            lapses[node] = row.milliseconds(1)
        }
        return lapses
    }

    /// The rows that are read at a time.
    private static let rowsMax = 4_096

    /// The keys of rows that name none of `members`, at most `limit`.
    ///
    /// - Throws: what SQLite reports.
    static func strays(among members: [NodeID], limit: Int, on connection: Connection) throws -> [SQLiteValue] {
        guard try connection.hasTable(self.table) else { return [] }
        let names = Set(members.map(\.description))
        var strays: [SQLiteValue] = []
        try connection.query("SELECT node FROM clinicsync_lapse").forEach { row in
            if strays.count < limit, !names.contains(row.string(0)) { strays.append(row.ref(0).value) }
        }
        return strays
    }

    /// Those of `nodes` that have lapsed by a host's decision.
    ///
    /// - Throws: what SQLite reports.
    static func decided(among nodes: [NodeID], on connection: Connection) throws -> [NodeID] {
        // A program may have removed the table.
        guard try connection.hasTable(self.table) else { return [] }
        return try nodes.filter { node in
            try connection.query("SELECT 1 FROM clinicsync_lapse WHERE node = ?1").bind(1, text: node.description)
                .first { _ in true } ?? false
        }
    }

    /// Those of `nodes` that have lapsed, and of which this node knows by a signature that they did not run lately.
    ///
    /// Any program of any member can write the table. So a member counts for logins and migrations unless its own last signed statement
    /// is old too, and this node has not heard it since.
    ///
    /// - Parameters:
    ///   - nodes: the members.
    ///   - days: when members last ran, by their signed statements.
    ///   - now: the time, milliseconds since 1970.
    ///   - silence: the silence after which members lapse, in milliseconds.
    ///   - connection: the connection that reads.
    /// - Returns: The members, in the order of `nodes`.
    /// - Throws: what SQLite reports.
    static func confirmed(
        among nodes: [NodeID],
        days: [NodeID: Int64],
        at now: Int64,
        silence: Int64 = CoreLimits.silenceMilliseconds,
        on connection: Connection
    ) throws -> [NodeID] {
        let silent = nodes.filter { node in days[node].map { $0 < now &- silence } ?? false }
        return try self.decided(among: silent, on: connection)
            .filter { node in
                let heard =
                    try connection.query("SELECT seenAt FROM clinicsync_member WHERE node = ?1")
                    .bind(1, blob: node.storedBytes)
                    .first { $0.milliseconds(0) }
                return (heard ?? 0) < now &- silence
            }
    }
}
