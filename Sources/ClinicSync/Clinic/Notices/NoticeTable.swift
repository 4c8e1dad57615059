package import ClinicSyncModel
package import ClinicSyncStorage

/// The table of notices: writes a notice, and removes old ones.
package enum NoticeTable {
    /// The table's name.
    package static let name = "clinicsync_notice"
    /// How long a notice is kept: a day for those that come back, and one for clocks.
    package static let keptMilliseconds: Int64 = 2 * 86_400_000
    /// Notices that may be in the table; more cannot be sent until some are old.
    package static let noticesMax = 1_000

    /// A notice that is to be.
    package struct NewNotice: Sendable {
        /// The row's key.
        package var id: String
        /// The node whose programs get the event; `nil` for all nodes.
        package var node: NodeID?
        /// The key of the user it is about; `nil` for everybody.
        package var user: String?
        /// One line of text.
        package var text: String
        /// When it was written, by the clinic's time.
        package var createdAt: Int64
        /// The node that writes it.
        package var createdBy: NodeID

        /// Makes a notice.
        package init(id: String, node: NodeID?, user: String?, text: String, createdAt: Int64, createdBy: NodeID) {
            self.id = id
            self.node = node
            self.user = user
            self.text = text
            self.createdAt = createdAt
            self.createdBy = createdBy
        }
    }

    /// How many notices there are.
    ///
    /// - Throws: ``StoreError``.
    package static func count(_ reader: ReplicaReader) throws -> Int { try reader.agentRows(self.name).count }

    /// Writes a notice; post `localCommitNoticed` then.
    ///
    /// - Throws: ``StoreError``; nothing was written then.
    package static func add(_ notice: NewNotice, _ writer: ReplicaWriter) throws {
        try writer.putAgentRow(
            table: self.name,
            values: [
                "id": .string(notice.id),
                "node": notice.node.map { .string($0.description) } ?? .null,
                "userId": notice.user.map { .string($0) } ?? .null,
                "text": .string(notice.text),
                "createdAt": .integer(notice.createdAt),
                "createdBy": .string(notice.createdBy.description),
            ]
        )
    }

    /// The keys of the notices that are too old at `now`, and of those that claim to be from the future.
    ///
    /// - Throws: ``StoreError``.
    package static func outdated(at now: Int64, _ reader: ReplicaReader) throws -> [SQLiteValue] {
        let kept = (now - self.keptMilliseconds)...(now + self.keptMilliseconds)
        return try reader.agentRows(self.name)
            .filter { row in
                guard case .integer(let time)? = row["createdAt"] else { return true }
                return !kept.contains(time)
            }
            .compactMap { $0["id"] }
    }

    /// Removes notices; post `localCommitNoticed` when there were some.
    ///
    /// - Returns: How many there were.
    /// - Throws: ``StoreError``; nothing was removed then.
    package static func remove(_ keys: [SQLiteValue], _ writer: ReplicaWriter) throws -> Int {
        try writer.deleteAgentRows(table: self.name, keys: keys)
    }
}
