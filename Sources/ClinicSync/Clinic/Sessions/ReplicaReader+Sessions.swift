package import ClinicSyncModel
package import ClinicSyncStorage

extension ReplicaReader {
    /// Returns sessions, active sessions first, then the newest; at most `limit`.
    ///
    /// - Throws: ``StoreError``.
    package func sessions(onlyActive: Bool, limit: Int) throws -> [SessionRow] {
        guard self.clinicTables.contains(SessionTable.name) else { return [] }
        return try self.read { connection in
            var rows: [SessionRow] = []
            let condition = onlyActive ? "WHERE \(SessionRow.isActive)" : ""
            try connection
                .query(
                    """
                    SELECT \(SessionRow.columns) FROM \(SessionRow.source) \(condition)
                    ORDER BY \(SessionRow.isActive) DESC, \(WrittenForms.milliseconds("s.loginTime")) DESC, s.id LIMIT ?1
                    """
                )
                .bind(1, limit)
                .forEach { rows.append(SessionRow($0)) }
            return rows
        }
    }

    /// Returns the session with this key.
    ///
    /// - Throws: ``StoreError``.
    package func session(_ id: SQLiteValue) throws -> SessionRow? {
        try self.read { connection in try SessionTable.session(id, on: connection) }
    }

    /// Returns the active sessions whose rows have this user name or one of these users' keys, in the order of their
    /// own keys.
    ///
    /// - Throws: ``StoreError``.
    package func activeSessions(named username: String, orUserIDs ids: [SQLiteValue]) throws -> [SessionRow] {
        try self.read { connection in
            let named = try SessionTable.active(ofUserNamed: .string(username), on: connection)
            let keyed = try ids.flatMap { try SessionTable.active(ofUser: $0, on: connection) }
            var seen: Set<SQLiteValue> = []
            return (named + keyed).filter { seen.insert($0.id).inserted }.sorted { $0.id.sortsBefore($1.id) }
        }
    }

    /// Returns the number of sessions for each end reason, and of active sessions under the reason `active`.
    ///
    /// - Throws: ``StoreError``.
    package func sessionCounts() throws -> [String: Int] {
        guard self.clinicTables.contains(SessionTable.name) else { return [:] }
        return try self.read { connection in
            var counts: [String: Int] = [:]
            try connection
                .query(
                    """
                    SELECT CASE WHEN \(SessionRow.isActive) THEN 'active' ELSE coalesce(endReason, 'unknown') END AS reason,
                        count(*)
                    FROM user_sessions AS s GROUP BY reason
                    """
                )
                .forEach { counts[$0.string(0)] = $0.int(1) }
            return counts
        }
    }
}
