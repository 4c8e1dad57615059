package import ClinicSyncModel

extension ReplicaReader {
    /// Rows of a table that nodes fill, values by column, in the order of their keys.
    ///
    /// Any program may have written them: believe nothing that is not signed. A call returns at most `limit` rows and about
    /// ``SystemTableLimits/pageBytes``, so no number of rows fills the memory. A value that is larger than the table's values
    /// may be is left out.
    ///
    /// - Parameters:
    ///   - table: one of the tables that nodes fill; naming another is a programming error.
    ///   - after: the key after which to begin; `nil` for the first rows.
    ///   - limit: the largest number of rows.
    /// - Returns: The rows; none when there is no further row.
    /// - Throws: ``StoreError``.
    package func agentRows(
        _ table: String,
        after: SQLiteValue? = nil,
        limit: Int = SystemTableLimits.pageRows
    ) throws -> [[String: SQLiteValue]] {
        try self.perform { try self.agentTables.rows(table, after: after, limit: limit) }
    }

    /// The row of a table that nodes fill with this key, values by column.
    ///
    /// - Throws: ``StoreError``.
    package func agentRow(_ table: String, key: SQLiteValue) throws -> [String: SQLiteValue]? {
        try self.perform { try self.agentTables.row(table, key: key) }
    }

    /// The number of rows of a table that nodes fill, counted up to `limit`.
    ///
    /// - Throws: ``StoreError``.
    package func agentRowCount(_ table: String, limit: Int) throws -> Int {
        try self.perform { try self.agentTables.count(table, limit: limit) }
    }

    private var agentTables: AgentTableReading { AgentTableReading(plans: self.plans, connection: self.connection) }

    /// When nodes lapsed by a host's decision, milliseconds since 1970.
    ///
    /// - Throws: ``StoreError``.
    package func lapses() throws -> [NodeID: Int64] { try self.perform { try Lapses.all(on: self.connection) } }

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

    /// Those of `nodes` that have joined and have nothing of the other nodes yet, by what this node has stored.
    ///
    /// A node hears only from nodes that it is connected with. So another member counts as joining here when this node has no
    /// batch of it, or when it has told this node that it has nothing of others.
    ///
    /// - Throws: ``StoreError``.
    package func joiningMembers(among nodes: [NodeID]) throws -> Set<NodeID> {
        let vector = try self.digests().vector
        let own = self.own.origin.node
        return try self.perform {
            let hasJoined =
                try self.connection.query("SELECT 1 FROM clinicsync_setting WHERE name = 'joined'").first { _ in true }
            if hasJoined != nil, !vector.hasOthers(than: own) { return nodes.contains(own) ? [own] : [] }
            let authors = Set(vector.entries.map(\.origin.node))
            var joining = Set(authors.isEmpty ? [] : nodes.filter { $0 != own && !authors.contains($0) })
            try self.connection.query("SELECT node, vector FROM clinicsync_member").forEach { row in
                guard let node = NodeID(storedBytes: row.blob(0)), nodes.contains(node), vector.hasOthers(than: node)
                else { return }
                let told = try VectorCoding.decode(row.blob(1))
                if !told.isEmpty, !told.hasOthers(than: node) { joining.insert(node) }
            }
            return joining
        }
    }
}
