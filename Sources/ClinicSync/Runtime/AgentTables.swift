import ClinicSyncModel
import ClinicSyncStorage

/// The replicated tables that belong to the agents: their names, and rows as values.
enum AgentTables {
    /// The members.
    ///
    /// Each member writes its own row.
    static let nodes = "clinicsync_node"
    /// The nodes that have the signing right.
    static let grants = "clinicsync_grant"
    /// The revoked nodes.
    static let revocations = "clinicsync_revocation"

    /// The newest measurement of each node.
    static let probes = "clinicsync_probe"
    /// The answers of nodes to the measurements of other nodes.
    static let probeAnswers = "clinicsync_probe_answer"

    /// The tables that distribute trust.
    static let trust: Set<String> = [AgentTables.nodes, AgentTables.grants, AgentTables.revocations]

    /// A member's row.
    struct Node: Sendable, Hashable {
        var id: NodeID
        var name: String
        /// The addresses of the member, the most likely first; at most ``addressesMax``.
        var addresses: [String]
        /// The member's certificate in DER.
        ///
        /// People see it and grants use it, but it never decides on a connection.
        var certificate: [UInt8]
        var softwareVersion: String
        /// Whether the member says that it may sign, which is a hint for renewals.
        var maySign: Bool
        /// The number of the newest migration in the member's program; 0 when an older program wrote the row.
        var schemaVersion: Int64
        /// The day on which the member last ran, in milliseconds since 1970; 0 when an older program wrote the row.
        var aliveAt: Int64
        /// What the member says of itself, signed; empty when an older program wrote the row.
        var statement: [UInt8]

        /// The largest number of addresses.
        static let addressesMax = 4
        /// The largest examined size of all addresses in bytes.
        ///
        /// A limit is necessary, because any program can write the row.
        private static let addressBytesMax = 512

        /// The row's values.
        var values: [String: SQLiteValue] {
            [
                "id": .text(Array(self.id.description.utf8)),
                "name": .text(Array(self.name.utf8)),
                "address": .text(Array((self.addresses.first ?? "").utf8)),
                "addresses": .text(Array(self.addresses.joined(separator: " ").utf8)),
                "certificate": .blob(self.certificate),
                "softwareVersion": .text(Array(self.softwareVersion.utf8)),
                "maySign": .integer(self.maySign ? 1 : 0),
                "schemaVersion": .integer(self.schemaVersion),
                "aliveAt": .integer(self.aliveAt),
                "statement": self.statement.isEmpty ? .null : .blob(self.statement),
            ]
        }

        init(
            id: NodeID,
            name: String,
            addresses: [String],
            certificate: [UInt8],
            softwareVersion: String,
            maySign: Bool,
            schemaVersion: Int64 = 0,
            aliveAt: Int64 = 0,
            statement: [UInt8] = []
        ) {
            self.id = id
            self.name = name
            self.addresses = addresses
            self.certificate = certificate
            self.softwareVersion = softwareVersion
            self.maySign = maySign
            self.schemaVersion = schemaVersion
            self.aliveAt = aliveAt
            self.statement = statement
        }

        /// Makes the row of a member that says `facts` of itself.
        init(
            id: NodeID,
            facts: NodeStatement.Facts,
            certificate: [UInt8],
            maySign: Bool,
            statement: [UInt8] = []
        ) {
            self.init(
                id: id,
                name: facts.name,
                // A member may say what it likes, so this line drops what cannot be dialled.
                addresses: Array(facts.addresses.filter(AdvertisedAddresses.isDialable).prefix(Node.addressesMax)),
                certificate: certificate,
                softwareVersion: facts.softwareVersion,
                maySign: maySign,
                schemaVersion: Int64(facts.schemaVersion),
                aliveAt: facts.aliveAt,
                statement: statement
            )
        }

        /// What the row says of the member.
        var facts: NodeStatement.Facts {
            NodeStatement.Facts(
                name: self.name,
                addresses: self.addresses,
                softwareVersion: self.softwareVersion,
                schemaVersion: UInt32(clamping: self.schemaVersion),
                aliveAt: self.aliveAt
            )
        }

        /// Reads a row; `nil` when a program has written invalid values.
        init?(_ row: [String: SQLiteValue]) {
            guard let id = AgentTables.node(row["id"]) else { return nil }
            let listed = AgentTables.text(row["addresses"]) ?? ""
            let text = listed.isEmpty ? AgentTables.text(row["address"]) ?? "" : listed
            // Only a program can have written addresses that cannot be dialled, so this line drops them.
            let words = text.utf8.count <= Node.addressBytesMax ? text.split(separator: " ") : []
            let addresses = words.map(String.init).filter(AdvertisedAddresses.isDialable)
            self.init(
                id: id,
                name: AgentTables.text(row["name"]) ?? "",
                addresses: Array(addresses.prefix(Node.addressesMax)),
                certificate: AgentTables.blob(row["certificate"]) ?? [],
                softwareVersion: AgentTables.text(row["softwareVersion"]) ?? "",
                maySign: row["maySign"] == .integer(1),
                schemaVersion: AgentTables.integer(row["schemaVersion"]) ?? 0,
                aliveAt: AgentTables.integer(row["aliveAt"]) ?? 0,
                statement: AgentTables.blob(row["statement"]) ?? []
            )
        }
    }

    /// The values of a grant's row.
    static func grantValues(of node: NodeID, certificate: [UInt8]) -> [String: SQLiteValue] {
        ["node": .text(Array(node.description.utf8)), "certificate": .blob(certificate)]
    }

    /// The values of a revocation's row.
    static func revocationValues(of node: NodeID, number: UInt64, entry: [UInt8]) -> [String: SQLiteValue] {
        [
            "node": .text(Array(node.description.utf8)),
            "number": .integer(Int64(clamping: number)),
            "entry": .blob(entry),
        ]
    }

    /// The name of the key's column of a table of trust.
    static func keyColumn(of table: String) -> String { table == AgentTables.nodes ? "id" : "node" }

    /// The key of a node's rows.
    static func key(_ node: NodeID) -> SQLiteValue { .string(node.description) }

    /// Returns the node that a text names.
    static func node(_ value: SQLiteValue?) -> NodeID? { AgentTables.text(value).flatMap { NodeID($0) } }

    /// Returns a text of valid UTF-8.
    static func text(_ value: SQLiteValue?) -> String? {
        guard case .text(let bytes) = value else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    /// Returns an integer.
    static func integer(_ value: SQLiteValue?) -> Int64? {
        guard case .integer(let number) = value else { return nil }
        return number
    }

    /// Returns a blob.
    static func blob(_ value: SQLiteValue?) -> [UInt8]? {
        guard case .blob(let bytes) = value else { return nil }
        return bytes
    }
}

/// What changed in the replicated tables that nodes fill.
struct AgentChanges: Sendable, Hashable {
    /// The tables.
    var tables: Set<String> = []
    /// The nodes whose measurements changed; `nil` when the changes do not name them.
    var probers: Set<NodeID>? = []

    /// Takes the changes of such tables out of events.
    init(_ events: [LoggedEvent]) {
        for change in events.lazy.filter({ $0.position == 0 }).compactMap(\.change) {
            self.tables.insert(change.table)
            guard change.table == AgentTables.probes else { continue }
            if let prober = AgentTables.node(change.recordID) {
                self.probers?.insert(prober)
            } else {
                self.probers = nil
            }
        }
    }
}
