import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage

/// One look at the replicated tables that distribute trust: takes what is signed, and names what nobody signed.
///
/// Any program of any member can fill the tables, with millions of rows too. So a look reads a bounded number of rows, and
/// the next look goes on where this one stopped. What must be in the tables is looked up by its key, so no number of
/// forged rows hides it.
struct TrustLook {
    /// Where the next look goes on in each table; no entry: from the beginning.
    typealias Places = [String: SQLiteValue]

    /// A row that nobody signed.
    struct Row: Sendable, Hashable {
        var table: String
        var key: SQLiteValue
    }

    /// What a look found.
    struct Findings: Sendable {
        /// Whether a peer's standing may have changed.
        var hasNewRevocation = false
        /// Whether this node has the right to sign from now on.
        var isGranted = false
        /// Whether something new is known of members.
        var hasNewMember = false
        /// Rows that nobody signed, and that belong to no known member, grant or revocation.
        var unsigned: [Row] = []
        /// Facts in the rows of members that have not signed a statement.
        var facts: [NodeID: NodeStatement.Facts] = [:]
        /// What becomes of the epochs that peers offered.
        var epochs: [TrustStore.EpochVerdict] = []
        /// The failures to write down what is known.
        var failures: [any Error] = []
    }

    /// The largest number of rows of each table that one look reads.
    static let rowsMax = 1_024

    let trust: TrustStore
    let register: MemberRegister

    /// Reads the next rows of all tables.
    ///
    /// - Throws: the store's errors.
    func look(_ reader: ReplicaReader, from places: inout Places) throws -> Findings {
        var findings = Findings()
        // Grants come first, because certificates may depend on them. Revocations change what counts.
        try self.read(AgentTables.grants, reader, &places) { self.learn(grant: $0, &findings) }
        var revocations: [[UInt8]] = []
        try self.read(AgentTables.revocations, reader, &places) { row in
            if let entry = self.revocation(in: row, &findings) { revocations.append(entry) }
        }
        findings.learn(revocations, self.trust)
        try self.read(AgentTables.nodes, reader, &places) { self.learn(node: $0, &findings) }
        return findings
    }

    private func read(
        _ table: String,
        _ reader: ReplicaReader,
        _ places: inout Places,
        _ body: ([String: SQLiteValue]) -> Void
    ) throws {
        var last = places[table]
        var seen = 0
        while seen < TrustLook.rowsMax {
            let rows = try reader.agentRows(table, after: last)
            guard let row = rows.last else {
                places[table] = nil
                return
            }
            last = row[AgentTables.keyColumn(of: table)]
            seen += rows.count
            for row in rows { body(row) }
        }
        places[table] = last
    }

    private func learn(grant row: [String: SQLiteValue], _ findings: inout Findings) {
        let node = AgentTables.node(row["node"])
        let certificate = AgentTables.blob(row["certificate"])
        let finding = node.flatMap { node in certificate.map { self.register.learn(grant: $0, of: node) } } ?? .invalid
        switch finding {
        case .known: break
        case .new: findings.hasNewMember = true
        case .invalid:
            // The owner of the right puts its row back.
            if node.flatMap({ self.register.grant(of: $0) }) == nil { findings.note(row, of: AgentTables.grants) }
            return
        }
        guard node == self.trust.nodeID, let certificate else { return }
        do {
            if try self.trust.learn(grant: certificate) { findings.isGranted = true }
        } catch {
            findings.failures.append(error)
        }
    }

    /// The signed revocation of a row; `nil` when nobody signed it.
    private func revocation(in row: [String: SQLiteValue], _ findings: inout Findings) -> [UInt8]? {
        guard let node = AgentTables.node(row["node"]), let entry = AgentTables.blob(row["entry"]),
            self.register.accepts(revocation: entry, of: node)
        else {
            let isKnown = AgentTables.node(row["node"]).map { self.trust.revocations[$0] != nil } ?? false
            if !isKnown { findings.note(row, of: AgentTables.revocations) }
            return nil
        }
        return entry
    }

    private func learn(node row: [String: SQLiteValue], _ findings: inout Findings) {
        guard let id = AgentTables.node(row["id"]) else { return findings.note(row, of: AgentTables.nodes) }
        if let certificate = AgentTables.blob(row["certificate"]),
            self.register.learn(certificate: certificate, of: id) == .new
        {
            findings.hasNewMember = true
        }
        guard let member = self.register.member(id) else { return findings.note(row, of: AgentTables.nodes) }
        if let statement = AgentTables.blob(row["statement"]),
            self.register.learn(statement: statement, of: id) == .new
        {
            findings.hasNewMember = true
        }
        if let renaming = AgentTables.blob(row["renaming"]), self.register.learn(renaming: renaming, of: id) == .new {
            findings.hasNewMember = true
        }
        if member.statement == nil, let node = AgentTables.Node(row) { findings.facts[id] = node.facts }
    }
}

extension TrustLook.Findings {
    /// Takes what peers sent.
    mutating func learn(_ offers: [SignedEntry], _ trust: TrustStore, _ register: MemberRegister) {
        var revocations: [[UInt8]] = []
        var epochs: [[UInt8]] = []
        for offer in offers {
            switch offer {
            case .revocation(let entry): revocations.append(entry)
            case .epoch(let statement): epochs.append(statement)
            case .member(let chain): if register.learn(chain: chain) == .new { self.hasNewMember = true }
            }
        }
        self.learn(revocations, trust)
        for statement in epochs {
            do {
                self.epochs.append(try trust.learn(epoch: statement))
            } catch {
                self.failures.append(error)
            }
        }
    }

    /// Takes signed revocations, and writes them down at once.
    mutating func learn(_ revocations: [[UInt8]], _ trust: TrustStore) {
        do {
            if try trust.learn(revocations: revocations) { self.hasNewRevocation = true }
        } catch {
            // The revocations still take effect until the node stops.
            self.failures.append(error)
            self.hasNewRevocation = true
        }
    }

    fileprivate mutating func note(_ row: [String: SQLiteValue], of table: String) {
        guard let key = row[AgentTables.keyColumn(of: table)] else { return }
        self.unsigned.append(TrustLook.Row(table: table, key: key))
    }
}
