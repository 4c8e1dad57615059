package import ClinicSyncModel

extension ReplicaReader {
    /// Every row of a table that nodes fill, values by column, in the order of their keys.
    ///
    /// Any program may have written them: believe nothing that is not signed.
    ///
    /// - Throws: ``StoreError``.
    package func agentRows(_ table: String) throws -> [[String: SQLiteValue]] {
        guard let plan = self.plans[table], !plan.definition.isClinical else {
            preconditionFailure("\(table) is no table that nodes fill")
        }
        return try self.perform {
            var rows: [[String: SQLiteValue]] = []
            try self.connection.query(plan.sql.selectAllInOrder).forEach { row in
                var values: [String: SQLiteValue] = [:]
                for (slot, name) in plan.names.enumerated() {
                    if let name { values[name] = row.ref(Int32(slot)).value }
                }
                rows.append(values)
            }
            return rows
        }
    }

    /// What is written down of members, those that are not connected included.
    ///
    /// - Throws: ``StoreError``.
    package func memberProgress() throws -> [MemberLag] {
        let vector = try self.digests().vector
        return try self.perform {
            var members: [MemberLag] = []
            try self.connection.query("SELECT node, vector, seenAt FROM clinicsync_member ORDER BY node")
                .forEach { row in
                    guard let node = NodeID(storedBytes: row.blob(0)) else { return }
                    let lag = vector.count(beyond: try VectorCoding.decode(row.blob(1)))
                    members.append(MemberLag(node: node, seenMilliseconds: row.int64(2), lagBatches: lag))
                }
            return members
        }
    }
}
