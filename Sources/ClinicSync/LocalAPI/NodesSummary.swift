/// What `clinic-node nodes --json` and `GET /v1/nodes` show: the members, those who were sent away included.
public struct NodesSummary: Sendable, Hashable, Codable {
    /// One member.
    public struct Node: Sendable, Hashable, Codable {
        /// Its id.
        public var id: String
        /// Its name for people.
        public var name: String
        /// Where it was last known to listen; empty when that is unknown.
        public var address: String
        /// All its addresses, the likeliest first.
        public var addresses: [String]
        /// `host`, `client` or, for a member that was sent away, `revoked`.
        public var role: String
        /// Whether it is the node that answers.
        public var isSelf: Bool
        /// Whether it is connected with the node that answers.
        public var connected: Bool
        /// When it was last heard of by the node that answers; `null` for itself, and when it never heard of it.
        ///
        /// A node hears of those that it is connected with, which for a client is mostly the host.
        public var lastSeen: UTCTimestamp?
        /// How many of the answering node's batches it lacks.
        ///
        /// As far as known here: it goes by what the member last said that it has. `null` when it never said so here.
        public var lagBatches: Int?
        /// The version of its program, as it last said; empty when that is unknown.
        public var version: String
        /// Whether it may invite, renew and revoke.
        public var maySign: Bool
        /// When its certificate ends, as far as known here.
        public var certificateExpires: UTCTimestamp?
        /// When it was sent away.
        public var revokedAt: UTCTimestamp?

        /// Describes a member.
        public init(
            id: String,
            name: String,
            address: String,
            addresses: [String],
            role: String,
            isSelf: Bool,
            connected: Bool,
            lastSeen: UTCTimestamp?,
            lagBatches: Int?,
            version: String,
            maySign: Bool,
            certificateExpires: UTCTimestamp?,
            revokedAt: UTCTimestamp?
        ) {
            self.id = id
            self.name = name
            self.address = address
            self.addresses = addresses
            self.role = role
            self.isSelf = isSelf
            self.connected = connected
            self.lastSeen = lastSeen
            self.lagBatches = lagBatches
            self.version = version
            self.maySign = maySign
            self.certificateExpires = certificateExpires
            self.revokedAt = revokedAt
        }
    }

    /// The members, by name and id.
    public var nodes: [Node]

    /// Makes a list.
    public init(nodes: [Node]) { self.nodes = nodes }
}
