import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// Sends notices to programs.
struct NodeNoticeControl: NoticeControl {
    let state: NodeState
    let storage: StorageService
    let trust: TrustStore
    let members: MemberList
    /// Called after rows were written, so that the collector makes a batch of these rows.
    let wrote: @Sendable () -> Void

    func notify(_ text: String, node: String?, user: String?) async throws -> String {
        guard NoticeText.isText(text) else {
            throw ClinicSyncError(
                .usage,
                "A notice has 1 to \(NoticeText.charactersMax) characters on one line: change the text."
            )
        }
        guard node == nil || user == nil else {
            throw ClinicSyncError(.usage, "A notice is for a node or for a user: name one of them.")
        }
        let target = try node.map { try self.members.find($0).id }
        if let target, self.trust.isRevoked(target) {
            throw ClinicSyncError(.refused, "This node was revoked and gets nothing any more: name another one.")
        }
        let (userID, count) = try await StorageErrors.mapping {
            try await self.storage.read { reader in
                (try user.flatMap { try reader.userID(named: $0) }, try NoticeTable.count(reader))
            }
        }
        if let user, userID == nil {
            throw ClinicSyncError(.refused, "There is no user \"\(user)\": clinic-node users lists all.")
        }
        guard count < NoticeTable.noticesMax else {
            throw ClinicSyncError(
                .refused,
                "There are \(count) notices of the last two days already: wait until the oldest are removed."
            )
        }
        return try await self.write(text, node: target, user: userID)
    }

    private func write(_ text: String, node: NodeID?, user: SQLiteValue?) async throws -> String {
        var generator = SystemRandomNumberGenerator()
        let now = self.state.correctedMilliseconds
        let notice = NoticeTable.NewNotice(
            id: RowKey.make(at: now, using: &generator),
            node: node,
            user: user,
            text: text,
            createdAt: now,
            createdBy: self.state.id
        )
        try await StorageErrors.mapping { try await self.storage.writeForPeople { try NoticeTable.add(notice, $0) } }
        self.wrote()
        return notice.id
    }
}
