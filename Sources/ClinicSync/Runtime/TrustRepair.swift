import ClinicSyncModel
import ClinicSyncStorage

/// Finds out which rows of the tables of trust lack what this node can prove.
struct TrustRepair {
    /// A row to write.
    struct Row: Sendable, Hashable {
        var table: String
        var values: [String: SQLiteValue]
    }

    let trust: TrustStore
    let register: MemberRegister

    /// Returns the rows that are missing or wrong: revocations first, then this node's own, then the proofs of others.
    ///
    /// - Throws: the store's errors.
    func missing(
        own: AgentTables.Node,
        others: [MemberRegister.Member],
        joinedAt: Int64,
        _ reader: ReplicaReader
    ) throws -> [Row] {
        var rows: [Row] = []
        for revocation in self.trust.knownRevocations {
            let row = try reader.agentRow(AgentTables.revocations, key: AgentTables.key(revocation.node))
            let entry = AgentTables.blob(row?["entry"])
            if entry.map({ self.trust.accepts(revocation: $0, of: revocation.node) }) ?? false { continue }
            let values = AgentTables.revocationValues(
                of: revocation.node,
                number: revocation.number,
                entry: revocation.bytes
            )
            rows.append(Row(table: AgentTables.revocations, values: values))
        }
        rows += try self.missing(own: own, joinedAt: joinedAt, reader)
        rows += try self.grant(of: own.id, reader)
        for member in others {
            rows += try self.proof(of: member, reader)
            rows += try self.grant(of: member.node, reader)
        }
        return rows
    }

    private func missing(own: AgentTables.Node, joinedAt: Int64, _ reader: ReplicaReader) throws -> [Row] {
        let row = try reader.agentRow(AgentTables.nodes, key: AgentTables.key(own.id))
        guard row.flatMap(AgentTables.Node.init) != own else { return [] }
        var values = own.values
        if row == nil { values["joinedAt"] = .integer(joinedAt) }
        return [Row(table: AgentTables.nodes, values: values)]
    }

    private func grant(of node: NodeID, _ reader: ReplicaReader) throws -> [Row] {
        guard let grant = self.register.grant(of: node) else { return [] }
        let row = try reader.agentRow(AgentTables.grants, key: AgentTables.key(node))
        if let certificate = AgentTables.blob(row?["certificate"]),
            self.register.learn(grant: certificate, of: node) != .invalid
        {
            return []
        }
        let values = AgentTables.grantValues(of: node, certificate: grant.bytes)
        return [Row(table: AgentTables.grants, values: values)]
    }

    /// What the row of another member lacks: its certificate, its statement, and a name that counts.
    private func proof(of known: MemberRegister.Member, _ reader: ReplicaReader) throws -> [Row] {
        let row = try reader.agentRow(AgentTables.nodes, key: AgentTables.key(known.node))
        // Race: the row may be newer than the last look.
        if let bytes = AgentTables.blob(row?["statement"]) { self.register.learn(statement: bytes, of: known.node) }
        if let bytes = AgentTables.blob(row?["renaming"]) { self.register.learn(renaming: bytes, of: known.node) }
        let member = self.register.member(known.node) ?? known
        var values: [String: SQLiteValue] = [:]
        let certificate = AgentTables.blob(row?["certificate"])
        if certificate.map({ self.register.learn(certificate: $0, of: member.node) == .invalid }) ?? true {
            values["certificate"] = .blob(member.proof.certificate)
        }
        let renaming = self.register.renaming(of: member)
        if let statement = member.statement {
            // The columns repeat for programs what is signed, with a name that another node gave.
            let node = AgentTables.Node(
                id: member.node,
                facts: self.register.facts(of: member),
                certificate: member.proof.certificate,
                maySign: self.register.maySign(member.node),
                statement: statement.bytes
            )
            let shown = row.flatMap(AgentTables.Node.init)
            if shown?.statement != node.statement || shown?.facts != node.facts { values.merge(node.values) { $1 } }
        }
        if let renaming, AgentTables.blob(row?["renaming"]) != renaming.bytes {
            values["renaming"] = .blob(renaming.bytes)
            values["name"] = .string(renaming.name)
        }
        guard !values.isEmpty else { return [] }
        values["id"] = AgentTables.key(member.node)
        return [Row(table: AgentTables.nodes, values: values)]
    }
}
