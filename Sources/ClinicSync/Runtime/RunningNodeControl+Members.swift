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
        let (grants, progress) = try await StorageErrors.mapping {
            try await running.storage.read { (try $0.agentRows(AgentTables.grants), try $0.memberProgress()) }
        }
        let recorded = Dictionary(progress.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
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
            self.describe(
                row,
                MemberKnowledge(
                    peer: peers[row.id],
                    recorded: recorded[row.id],
                    isHost: core?.host?.id == row.id,
                    maySign: row.id == self.nodeID
                        ? running.trust.maySign : row.maySign || granted.contains(row.id),
                    certificateExpiresAt: running.trust.certificateExpiry(of: row.certificate),
                    revokedAt: revocations[row.id]
                )
            )
        }
        return NodesSummary(nodes: nodes.sorted { ($0.name, $0.id) < ($1.name, $1.id) })
    }

    /// What is known of a member beside its row.
    private struct MemberKnowledge {
        /// The node as it was when last connected, since this node's start.
        var peer: CoreStatus.Peer?
        /// How far it was when this node last wrote that down, perhaps long ago.
        var recorded: MemberLag?
        var isHost: Bool
        var maySign: Bool
        var certificateExpiresAt: Int64?
        var revokedAt: Int64?
    }

    private func describe(_ row: AgentTables.Node, _ known: MemberKnowledge) -> NodesSummary.Node {
        let isSelf = row.id == self.nodeID
        let seenAt = known.peer?.lastSeen.wallMilliseconds ?? known.recorded?.seenMilliseconds
        let lag = known.peer?.lagBatches ?? known.recorded?.lagBatches
        return NodesSummary.Node(
            id: row.id.description,
            name: row.name,
            address: row.addresses.first ?? "",
            addresses: row.addresses,
            role: known.revokedAt != nil ? "revoked" : known.isHost ? "host" : "client",
            isSelf: isSelf,
            connected: isSelf || known.peer?.isConnected == true,
            lastSeen: isSelf ? nil : seenAt.map(UTCTimestamp.init(milliseconds:)),
            lagBatches: isSelf ? 0 : lag.map { Int(clamping: $0) },
            version: row.softwareVersion,
            maySign: known.maySign,
            certificateExpires: known.certificateExpiresAt.map(UTCTimestamp.init(milliseconds:)),
            revokedAt: known.revokedAt.map(UTCTimestamp.init(milliseconds:))
        )
    }

    func rename(node text: String, to name: String) async throws {
        try NodeSetup.check(name: name, of: "node")
        let running = try self.current()
        let rows = try await self.memberRows(running)
        let row = try RunningNodeControl.find(text, in: rows)
        guard !running.trust.isRevoked(row.id) else {
            throw ClinicSyncError(.refused, "This node was revoked: it needs no name any more.")
        }
        let others = rows.filter { $0.id != row.id && !running.trust.isRevoked($0.id) }
        guard !others.contains(where: { $0.name.lowercased() == name.lowercased() }) else {
            throw ClinicSyncError(
                .refused,
                "Another node is called \"\(name)\": choose another name, or rename that one first."
            )
        }
        _ = try await StorageErrors.mapping {
            try await running.storage.write { writer in
                try writer.putAgentRow(
                    table: AgentTables.nodes,
                    values: ["id": row.values["id"] ?? .null, "name": .text(Array(name.utf8))]
                )
            }
        }
        running.inbox.post(.localCommitNoticed)
        // When it is this node's own row: its files take the name over.
        running.exchange.tablesChanged()
    }

    func transferHost(to text: String) async throws {
        let running = try self.current()
        let row = try RunningNodeControl.find(text, in: try await self.memberRows(running))
        guard !running.trust.isRevoked(row.id) else {
            throw ClinicSyncError(.refused, "This node was revoked and cannot be host: name another one.")
        }
        guard case .hostTransferred(let outcome) = await running.driver.perform(.transferHost(row.id)) else { return }
        switch outcome {
        case .done: return
        case .unknownNode:
            throw ClinicSyncError(.refused, "This node is not connected with the host: start it, then try again.")
        case .neverHost:
            throw ClinicSyncError(
                .refused,
                "This node's priority is 0, so it is never host: change its configuration first."
            )
        case .noHost:
            throw ClinicSyncError(.refused, "The clinic has no host at the moment: try again in some seconds.")
        case .timedOut:
            throw ClinicSyncError(
                .timeout,
                "The node did not become host in time, and the present host goes on: see in status whether it lags behind."
            )
        }
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

    func memberRows(_ running: Running) async throws -> [AgentTables.Node] {
        try await StorageErrors.mapping {
            try await running.storage.read { try $0.agentRows(AgentTables.nodes).compactMap(AgentTables.Node.init) }
        }
    }

    /// Finds the member a person means: by id, by the beginning of its id, or by its name.
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
