import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

// Members: who there is, who may come, who must go.
extension RunningNodeControl {
    func invite(ttl: Duration, uses: Int) async throws -> String {
        let running = try self.current()
        let listen = try NetworkAddress(parsing: running.listen)
        let addresses = AdvertisedAddresses.addresses(listening: listen)
        return try await running.blocking { running in
            try running.desk.invite(ttl: ttl, uses: uses, addresses: addresses).description
        }
    }

    func nodes() async throws -> NodesSummary {
        let running = try self.current()
        let rows = try await self.memberRows(running)
        let grants = try await StorageErrors.mapping {
            try await running.storage.read { try $0.agentRows(AgentTables.grants) }
        }
        let granted = Set(grants.compactMap { AgentTables.node($0["node"]) })
        let core = running.driver.status
        let peers = Dictionary(
            core?.peers.map { ($0.id, $0) } ?? [],
            uniquingKeysWith: { first, _ in first }
        )
        let revocations = Dictionary(
            running.trust.knownRevocations.filter { running.trust.isRevoked($0.node) }.map { ($0.node, $0.revokedAt) },
            uniquingKeysWith: { first, _ in first }
        )
        let nodes = rows.map { row in
            let isSelf = row.id == self.nodeID
            let isHost = core?.host?.id == row.id
            let peer = peers[row.id]
            let revokedAt = revocations[row.id]
            return NodesSummary.Node(
                id: row.id.description,
                name: row.name,
                address: row.addresses.first ?? "",
                role: revokedAt != nil ? "revoked" : isHost ? "host" : "client",
                isSelf: isSelf,
                connected: isSelf || peer?.isConnected == true,
                lastSeen: peer.map { UTCTimestamp(milliseconds: $0.lastSeen.wallMilliseconds) },
                lagBatches: peer.map { Int($0.lagBatches) } ?? (isSelf ? 0 : nil),
                maySign: isSelf ? running.trust.maySign : row.maySign || granted.contains(row.id),
                certificateExpires: running.trust.certificateExpiry(of: row.certificate)
                    .map(UTCTimestamp.init(milliseconds:)),
                revokedAt: revokedAt.map(UTCTimestamp.init(milliseconds:))
            )
        }
        return NodesSummary(nodes: nodes.sorted { ($0.name, $0.id) < ($1.name, $1.id) })
    }

    func revoke(node text: String) async throws {
        let running = try self.current()
        let rows = try await self.memberRows(running)
        let row = try RunningNodeControl.find(text, in: rows)
        guard row.id != self.nodeID else {
            throw ClinicSyncError(.usage, "A node cannot revoke itself: run the command on another PC that may sign.")
        }
        let vouched = rows.map(\.id).filter { $0 != row.id && !running.trust.isRevoked($0) }
        _ = try await running.blocking { try $0.trust.revoke(row.id, vouching: vouched) }
        // At once, not when the tables have been written: from now on the node gets nothing.
        running.transport.reviewPeers()
        running.exchange.tablesChanged()
    }

    func grant(node text: String) async throws {
        let running = try self.current()
        let row = try RunningNodeControl.find(text, in: try await self.memberRows(running))
        guard row.id != self.nodeID else {
            throw ClinicSyncError(.usage, "This node may sign already: name another one.")
        }
        guard !running.trust.isRevoked(row.id) else {
            throw ClinicSyncError(.refused, "This node was revoked: let the PC join again first.")
        }
        let grants = try await StorageErrors.mapping {
            try await running.storage.read { try $0.agentRows(AgentTables.grants) }
        }
        // Any program can write the row: only a certificate that the clinic signed for this very node counts.
        let isMember = await running.trust.isMember(
            row.certificate,
            of: row.id,
            grants: grants.compactMap { AgentTables.blob($0["certificate"]) }
        )
        guard isMember else {
            throw ClinicSyncError(
                .refused,
                "The certificate in the list of nodes is not that of a member: wait until that PC has connected again."
            )
        }
        let certificate = try await running.blocking { try $0.trust.grant(to: row.certificate) }
        _ = try await StorageErrors.mapping {
            try await running.storage.write { writer in
                try writer.putAgentRow(
                    table: AgentTables.grants,
                    values: AgentTables.grantValues(of: row.id, certificate: certificate)
                )
            }
        }
        running.inbox.post(.localCommitNoticed)
    }

    private func memberRows(_ running: Running) async throws -> [AgentTables.Node] {
        try await StorageErrors.mapping {
            try await running.storage.read { try $0.agentRows(AgentTables.nodes).compactMap(AgentTables.Node.init) }
        }
    }

    /// Finds the member a person means: by id, by the beginning of its id, or by its name.
    private static func find(_ text: String, in rows: [AgentTables.Node]) throws -> AgentTables.Node {
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
