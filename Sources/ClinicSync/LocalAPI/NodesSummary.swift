/// The answer of `clinic-node nodes --json` and `GET /v1/nodes`: the members, including revoked ones.
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
        /// `host`, `client`, or `revoked`.
        public var role: String
        /// How far it takes part in the clinic: `active`; `joining` while it has joined and has nothing of the other nodes yet; `lapsed`
        /// after a silence of 30 days; or `revoked`.
        public var standing: String
        /// Whether the member is the node that answers.
        public var isSelf: Bool
        /// Whether the member is connected with the host; without a host, with the node that answers.
        public var connected: Bool
        /// When the host last heard from it, or the answering node, when there is no host; `null` for the answering node
        /// itself, and when the member was never heard of.
        public var lastSeen: UTCTimestamp?
        /// How many of the host's batches the member lacks; without a host, of the answering node's.
        ///
        /// Computed from the member's last report; `null` when the member never reported.
        public var lagBatches: Int?
        /// The member's program version in its last report; empty when unknown.
        public var version: String
        /// Whether it may invite, renew and revoke.
        public var maySign: Bool
        /// When the member's certificate ends, as far as this node knows.
        public var certificateExpires: UTCTimestamp?
        /// When it was revoked.
        public var revokedAt: UTCTimestamp?
        /// When it lapsed, after 30 days of silence; `nil` for a member that did not, or is back.
        public var lapsedAt: UTCTimestamp?

        /// Describes a member.
        public init(
            id: String,
            name: String,
            address: String,
            addresses: [String],
            role: String,
            standing: String,
            isSelf: Bool,
            connected: Bool,
            lastSeen: UTCTimestamp?,
            lagBatches: Int?,
            version: String,
            maySign: Bool,
            certificateExpires: UTCTimestamp?,
            revokedAt: UTCTimestamp?,
            lapsedAt: UTCTimestamp? = nil
        ) {
            self.id = id
            self.name = name
            self.address = address
            self.addresses = addresses
            self.role = role
            self.standing = standing
            self.isSelf = isSelf
            self.connected = connected
            self.lastSeen = lastSeen
            self.lagBatches = lagBatches
            self.version = version
            self.maySign = maySign
            self.certificateExpires = certificateExpires
            self.revokedAt = revokedAt
            self.lapsedAt = lapsedAt
        }
    }

    /// The members, ordered by name and id.
    public var nodes: [Node]

    /// Makes a list.
    public init(nodes: [Node]) { self.nodes = nodes }
}
