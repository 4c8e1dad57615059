package import ClinicSyncModel
package import ClinicSyncStorage

/// The table of notices: writes a notice, and removes old ones.
package enum NoticeTable {
    /// The table's name.
    package static let name = "clinicsync_notice"
    /// How long a notice is kept: one day for nodes that return, and one day for clock differences.
    package static let keptMilliseconds: Int64 = 2 * 86_400_000
    /// The largest number of notices in the table.
    ///
    /// Nobody can send more until some notices are old.
    package static let noticesMax = 1_000

    /// The content of a new notice.
    package struct NewNotice: Sendable {
        /// The row's key.
        package var id: String
        /// The node whose programs get the event; `nil` for all nodes.
        package var node: NodeID?
        /// The key of the user whom the notice concerns; `nil` for all users.
        package var user: SQLiteValue?
        /// One line of text.
        package var text: String
        /// When the notice was written, by the clinic's time.
        package var createdAt: Int64
        /// The node that writes the notice.
        package var createdBy: NodeID

        /// Makes a notice.
        package init(id: String, node: NodeID?, user: SQLiteValue?, text: String, createdAt: Int64, createdBy: NodeID) {
            self.id = id
            self.node = node
            self.user = user
            self.text = text
            self.createdAt = createdAt
            self.createdBy = createdBy
        }
    }

    /// Returns the number of notices.
    ///
    /// - Throws: ``StoreError``.
    package static func count(_ reader: ReplicaReader) throws -> Int {
        try reader.agentRowCount(self.name, limit: self.noticesMax)
    }

    /// Writes a notice.
    ///
    /// The caller then posts `localCommitNoticed`.
    ///
    /// - Throws: ``StoreError``; then nothing was written.
    package static func add(_ notice: NewNotice, _ writer: ReplicaWriter) throws {
        try writer.putAgentRow(
            table: self.name,
            values: [
                "id": .string(notice.id),
                "node": notice.node.map { .string($0.description) } ?? .null,
                "userId": notice.user ?? .null,
                "text": .string(notice.text),
                "createdAt": .integer(notice.createdAt),
                "createdBy": .string(notice.createdBy.description),
            ]
        )
    }

    /// Returns keys of notices that are too old at `now`, and of notices with a time in the future.
    ///
    /// A call looks at as many notices as nodes can have sent, and returns as many keys at most. Of more rows, which only a
    /// program can have written, a later call returns the rest.
    ///
    /// - Throws: ``StoreError``.
    package static func outdated(at now: Int64, _ reader: ReplicaReader) throws -> [SQLiteValue] {
        let kept = (now - self.keptMilliseconds)...(now + self.keptMilliseconds)
        var keys: [SQLiteValue] = []
        var last: SQLiteValue?
        var seen = 0
        while keys.count < self.noticesMax, seen < 16 * self.noticesMax {
            let rows = try reader.agentRows(self.name, after: last)
            guard let key = rows.last?["id"] else { break }
            last = key
            seen += rows.count
            keys += rows.filter { row in
                guard case .integer(let time)? = row["createdAt"] else { return true }
                return !kept.contains(time)
            }
            .compactMap { $0["id"] }
        }
        return keys
    }

    /// Removes notices.
    ///
    /// The caller posts `localCommitNoticed` when some were removed.
    ///
    /// - Returns: The number of removed notices.
    /// - Throws: ``StoreError``; then nothing was removed.
    package static func remove(_ keys: [SQLiteValue], _ writer: ReplicaWriter) throws -> Int {
        try writer.deleteAgentRows(table: self.name, keys: keys)
    }
}
