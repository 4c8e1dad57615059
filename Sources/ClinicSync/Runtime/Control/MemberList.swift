import ClinicSyncModel
import ClinicSyncStorage

/// Reads the replicated list of members.
struct MemberList: Sendable {
    /// The state of the reading node.
    let state: NodeState
    let storage: StorageService

    /// The members' rows.
    ///
    /// - Throws: ``ClinicSyncError`` of the store.
    func rows() async throws -> [AgentTables.Node] {
        try await StorageErrors.mapping {
            try await self.storage.read { try $0.agentRows(AgentTables.nodes).compactMap(AgentTables.Node.init) }
        }
    }

    /// Returns the display names of the clinic's PCs.
    ///
    /// This node's own name comes from its state, which is the newest.
    ///
    /// - Throws: ``ClinicSyncError`` of the store.
    func names() async throws -> [NodeID: String] {
        var names = Dictionary(
            try await self.rows().map { ($0.id, $0.name) },
            uniquingKeysWith: { first, _ in first }
        )
        names[self.state.id] = self.state.name
        return names
    }

    /// Finds the member that a person names by id, by the beginning of its id, or by its name.
    ///
    /// - Throws: ``ClinicSyncError`` of code `usage` when the text matches no member, or several members.
    static func find(_ text: String, in rows: [AgentTables.Node]) throws -> AgentTables.Node {
        let wanted = text.lowercased()
        let matches = [
            rows.filter { $0.id.description == wanted }, rows.filter { $0.name == text },
            wanted.utf8.count >= 4 ? rows.filter { $0.id.description.hasPrefix(wanted) } : [],
        ]
        guard let found = matches.first(where: { !$0.isEmpty }) else {
            throw ClinicSyncError(.usage, "There is no node \"\(text)\": clinic-node nodes lists all.")
        }
        guard let node = found.first, found.count == 1 else {
            throw ClinicSyncError(
                .usage,
                "\"\(text)\" means \(found.count) nodes: use the id that clinic-node nodes shows."
            )
        }
        return node
    }
}
