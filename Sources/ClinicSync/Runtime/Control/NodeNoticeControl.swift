import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// Sends notices to programs.
struct NodeNoticeControl: NoticeControl {
    let state: NodeState
    let storage: StorageService
    let trust: TrustStore
    /// Called when rows were written, so that the collector makes a batch of them.
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
        let rows = try await MemberList(state: self.state, storage: self.storage).rows()
        let target = try node.map { try MemberList.find($0, in: rows).id }
        if let target, self.trust.isRevoked(target) {
            throw ClinicSyncError(.refused, "This node was revoked and gets nothing any more: name another one.")
        }
        let (userID, count) = try await StorageErrors.mapping {
            try await self.storage.read { reader in
                (try user.flatMap { try reader.userID(named: $0) }, try reader.agentRows(AgentTables.notices).count)
            }
        }
        if let user, userID == nil {
            throw ClinicSyncError(.refused, "There is no user \"\(user)\": clinic-node users lists all.")
        }
        guard count < NoticeKeeper.noticesMax else {
            throw ClinicSyncError(
                .refused,
                "There are \(count) notices of the last two days already: wait until the oldest are removed."
            )
        }
        return try await self.write(text, node: target, user: userID)
    }

    private func write(_ text: String, node: NodeID?, user: String?) async throws -> String {
        var generator = SystemRandomNumberGenerator()
        let number = generator.next()
        let now = self.state.correctedMilliseconds
        let id = NodeNoticeControl.hex(UInt64(max(now, 0)), 12) + NodeNoticeControl.hex(number, 16)
        let values: [String: SQLiteValue] = [
            "id": .text(Array(id.utf8)),
            "node": node.map { .text(Array($0.description.utf8)) } ?? .null,
            "userId": user.map { .text(Array($0.utf8)) } ?? .null,
            "text": .text(Array(text.utf8)),
            "createdAt": .integer(now),
            "createdBy": .text(Array(self.state.id.description.utf8)),
        ]
        _ = try await StorageErrors.mapping {
            try await self.storage.write { try $0.putAgentRow(table: AgentTables.notices, values: values) }
        }
        self.wrote()
        return id
    }

    private static func hex(_ number: UInt64, _ digits: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
