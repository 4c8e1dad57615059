package import ClinicSyncStorage

extension ReplicaReader {
    /// Returns sessions, active sessions first, then the newest; at most `limit`.
    ///
    /// - Throws: ``StoreError``.
    package func sessions(onlyActive: Bool, limit: Int) throws -> [SessionRow] {
        guard self.clinicTables.contains(SessionTable.name) else { return [] }
        return try self.read { connection in
            var rows: [SessionRow] = []
            let condition = onlyActive ? "WHERE s.isActive <> 0" : ""
            try connection
                .query(
                    """
                    SELECT \(SessionRow.columns) FROM \(SessionRow.source) \(condition)
                    ORDER BY s.isActive <> 0 DESC, s.loginTime DESC, s.id LIMIT ?1
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
    package func session(_ id: String) throws -> SessionRow? {
        try self.read { connection in try SessionTable.session(id, on: connection) }
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
                    SELECT CASE WHEN isActive <> 0 THEN 'active' ELSE coalesce(endReason, 'unknown') END AS reason, count(*)
                    FROM user_sessions GROUP BY reason
                    """
                )
                .forEach { counts[$0.string(0)] = $0.int(1) }
            return counts
        }
    }
}
