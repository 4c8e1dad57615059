import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import NIOPosix

/// Lists and changes the members of the clinic for people.
struct NodeMemberControl: MemberControl {
    let state: NodeState
    let storage: StorageService
    let driver: NodeDriver
    let transport: PeerTransport
    let trust: TrustStore
    let register: MemberRegister
    let desk: EnrollmentDesk
    let exchange: TrustExchange
    let inbox: Inbox
    /// What is known of the other members.
    let others: ClinicMembers
    /// Called after rows were written, so that the collector makes a batch of these rows.
    let wrote: @Sendable () -> Void

    private var list: MemberList { MemberList(state: self.state, register: self.register) }

    func invite(ttl: Duration, uses: Int) async throws -> String {
        let addresses = self.state.listen.map(AdvertisedAddresses.addresses(listening:)) ?? []
        return try await NodeMemberControl.blocking {
            try self.desk.invite(ttl: ttl, uses: uses, addresses: addresses).description
        }
    }

    func nodes() async throws -> NodesSummary {
        let rows = self.list.rows
        let (progress, lapses, joining) = try await StorageErrors.mapping {
            try await self.storage.read {
                (try $0.memberProgress(), try $0.lapses(), try $0.joiningMembers(among: rows.map(\.id)))
            }
        }
        let recorded = Dictionary(progress.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
        let core = await self.inbox.status()
        let reports = if let core { await self.others.reports(core) } else { [NodeID: MemberReport]() }
        let revocations = Dictionary(
            self.trust.knownRevocations.filter { self.trust.isRevoked($0.node) }.map { ($0.node, $0.revokedAt) },
            uniquingKeysWith: { first, _ in first }
        )
        let nodes = rows.map { row in
            self.describe(
                row,
                MemberKnowledge(
                    report: reports[row.id],
                    recorded: recorded[row.id],
                    isJoining: joining.contains(row.id),
                    isHost: core?.host?.id == row.id,
                    maySign: row.maySign,
                    certificateExpiresAt: self.trust.certificateExpiry(of: row.certificate),
                    revokedAt: revocations[row.id],
                    lapsedAt: lapses[row.id]
                )
            )
        }
        let all = nodes + self.admitted(besides: Set(nodes.map(\.id)))
        return NodesSummary(nodes: all.sorted { ($0.name, $0.id) < ($1.name, $1.id) })
    }

    /// The PCs that joined here and never ran: no member knows more of them.
    private func admitted(besides known: Set<String>) -> [NodesSummary.Node] {
        self.desk.admissions.filter { admission in
            !known.contains(admission.node) && !(NodeID(admission.node).map(self.trust.isRevoked) ?? true)
        }
        .map { admission in
            NodesSummary.Node(
                id: admission.node,
                name: admission.name,
                address: "",
                addresses: [],
                role: "client",
                standing: "joining",
                isSelf: false,
                connected: false,
                lastSeen: nil,
                lagBatches: nil,
                version: "",
                maySign: false,
                certificateExpires: nil,
                revokedAt: nil
            )
        }
    }

    /// The facts about a member besides its row.
    private struct MemberKnowledge {
        /// What the host knows of the member, or this node as host.
        var report: MemberReport?
        /// The member's last recorded progress, which may be old.
        var recorded: MemberLag?
        /// Whether the member has joined and has nothing of others, by what is stored here.
        var isJoining: Bool
        var isHost: Bool
        var maySign: Bool
        var certificateExpiresAt: Int64?
        var revokedAt: Int64?
        var lapsedAt: Int64?

        /// See ``NodesSummary/Node/standing``.
        var standing: String {
            if self.revokedAt != nil { return "revoked" }
            if self.lapsedAt != nil { return "lapsed" }
            // What a connected member says counts more than what was stored.
            let isJoining = self.report.map { $0.isConnected ? $0.isJoining : self.isJoining } ?? self.isJoining
            return isJoining ? "joining" : "active"
        }
    }

    private func describe(_ row: AgentTables.Node, _ known: MemberKnowledge) -> NodesSummary.Node {
        let isSelf = row.id == self.state.id
        let seenAt = known.report?.lastSeen ?? known.recorded?.seenMilliseconds
        let lag = known.report?.lagBatches ?? known.recorded?.lagBatches
        return NodesSummary.Node(
            id: row.id.description,
            name: row.name,
            address: row.addresses.first ?? "",
            addresses: row.addresses,
            role: known.revokedAt != nil ? "revoked" : known.isHost ? "host" : "client",
            standing: known.standing,
            isSelf: isSelf,
            connected: isSelf || known.report?.isConnected == true,
            lastSeen: isSelf ? nil : seenAt.map(UTCTimestamp.init(milliseconds:)),
            lagBatches: isSelf ? 0 : lag.map { Int(clamping: $0) },
            version: row.softwareVersion,
            maySign: known.maySign,
            certificateExpires: known.certificateExpiresAt.map(UTCTimestamp.init(milliseconds:)),
            revokedAt: known.revokedAt.map(UTCTimestamp.init(milliseconds:)),
            lapsedAt: known.lapsedAt.map(UTCTimestamp.init(milliseconds:))
        )
    }

    func rename(node text: String, to name: String) async throws {
        try NodeSetup.check(name: name, of: "node")
        let row = try self.list.find(text)
        guard !self.trust.isRevoked(row.id) else {
            throw ClinicSyncError(.refused, "This node was revoked: it needs no name any more.")
        }
        guard !self.list.isTaken(name, besides: row.id) else {
            throw ClinicSyncError(
                .refused,
                "Another node is called \"\(name)\": choose another name, or rename that one first."
            )
        }
        if row.id == self.state.id {
            try await NodeMemberControl.blocking { try self.exchange.renameSelf(name) }
        } else {
            let statement = try self.register.rename(row.id, to: name)
            _ = try await StorageErrors.mapping {
                try await self.storage.writeForPeople { writer in
                    try writer.putAgentRow(
                        table: AgentTables.nodes,
                        values: [
                            "id": AgentTables.key(row.id), "name": .string(name), "renaming": .blob(statement.bytes),
                        ]
                    )
                }
            }
            self.wrote()
        }
        // The exchange writes the row of this node, and the file of the members.
        self.exchange.tablesChanged()
    }

    func transferHost(to text: String) async throws {
        let row = try self.list.find(text)
        guard !self.trust.isRevoked(row.id) else {
            throw ClinicSyncError(.refused, "This node was revoked and cannot be host: name another one.")
        }
        guard case .hostTransferred(let outcome) = await self.driver.perform(.transferHost(row.id)) else { return }
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
        let row = try self.list.find(text)
        guard row.id != self.state.id else {
            throw ClinicSyncError(.usage, "A node cannot revoke itself: run the command on another PC that may sign.")
        }
        let vouched = self.register.known.present.filter { $0 != row.id }
        _ = try await NodeMemberControl.blocking { try self.trust.revoke(row.id, vouching: vouched) }
        // Review at once, before the tables are written: from now on, the revoked node must receive nothing.
        self.transport.reviewPeers()
        self.exchange.tablesChanged()
    }

    func grant(node text: String) async throws {
        let row = try self.list.find(text)
        guard row.id != self.state.id else {
            throw ClinicSyncError(.usage, "This node may sign already: name another one.")
        }
        guard !self.trust.isRevoked(row.id) else {
            throw ClinicSyncError(.refused, "This node was revoked: let the PC join again first.")
        }
        let certificate = try await NodeMemberControl.blocking { try self.trust.grant(to: row.certificate) }
        _ = try await StorageErrors.mapping {
            try await self.storage.writeForPeople { writer in
                try writer.putAgentRow(
                    table: AgentTables.grants,
                    values: AgentTables.grantValues(of: row.id, certificate: certificate)
                )
            }
        }
        self.register.learn(grant: certificate, of: row.id)
        self.wrote()
    }

    /// Runs file operations on a thread that may block.
    private static func blocking<Result: Sendable>(
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await NIOThreadPool.singleton.runIfActive(body)
    }
}
