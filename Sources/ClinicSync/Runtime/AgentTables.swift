import ClinicSyncModel
import ClinicSyncStorage

/// The replicated tables that belong to the agents: their names, and rows as values.
enum AgentTables {
    /// The members, each with what it says of itself.
    static let nodes = "clinicsync_node"
    /// The nodes that were given the signing right.
    static let grants = "clinicsync_grant"
    /// The nodes that were sent away.
    static let revocations = "clinicsync_revocation"

    /// The newest measurement of each node.
    static let probes = "clinicsync_probe"
    /// What nodes answered to the measurements of others.
    static let probeAnswers = "clinicsync_probe_answer"

    /// The tables by which trust spreads.
    static let trust: Set<String> = [AgentTables.nodes, AgentTables.grants, AgentTables.revocations]

    /// A member's row.
    struct Node: Sendable, Hashable {
        var id: NodeID
        var name: String
        /// Where it may be reached, the likeliest first; at most ``addressesMax``.
        var addresses: [String]
        /// Its certificate in DER; shown to people and used for grants, never to decide on a connection.
        var certificate: [UInt8]
        var softwareVersion: String
        /// Whether it says that it may sign: a hint where to ask for a renewal.
        var maySign: Bool
        /// The number of the newest migration that its program has; 0 when an older program wrote the row.
        var schemaVersion: Int64
        /// The day on which it last ran, milliseconds since 1970; 0 as above.
        var aliveAt: Int64

        /// Addresses at most.
        static let addressesMax = 4
        /// Bytes of all of them that are looked at: any program can write the row.
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
            aliveAt: Int64 = 0
        ) {
            self.id = id
            self.name = name
            self.addresses = addresses
            self.certificate = certificate
            self.softwareVersion = softwareVersion
            self.maySign = maySign
            self.schemaVersion = schemaVersion
            self.aliveAt = aliveAt
        }

        /// Reads a row; `nil` when a program has put nonsense into it.
        init?(_ row: [String: SQLiteValue]) {
            guard let id = AgentTables.node(row["id"]) else { return nil }
            let listed = AgentTables.text(row["addresses"]) ?? ""
            let text = listed.isEmpty ? AgentTables.text(row["address"]) ?? "" : listed
            // Others than those that can be dialled a program must have written.
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
                aliveAt: AgentTables.integer(row["aliveAt"]) ?? 0
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

    /// The node that a text names.
    static func node(_ value: SQLiteValue?) -> NodeID? { AgentTables.text(value).flatMap { NodeID($0) } }

    /// A text of valid UTF-8.
    static func text(_ value: SQLiteValue?) -> String? {
        guard case .text(let bytes) = value else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    /// An integer.
    static func integer(_ value: SQLiteValue?) -> Int64? {
        guard case .integer(let number) = value else { return nil }
        return number
    }

    /// A blob.
    static func blob(_ value: SQLiteValue?) -> [UInt8]? {
        guard case .blob(let bytes) = value else { return nil }
        return bytes
    }
}
