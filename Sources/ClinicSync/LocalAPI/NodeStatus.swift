/// What `clinic-node status --json` and `GET /v1/status` show.
///
/// The names of the properties are the names of the JSON keys; keys may be added, never changed.
package struct NodeStatus: Sendable, Hashable, Codable {
    /// The node's part in the clinic.
    package enum Role: String, Sendable, Hashable, Codable {
        /// Relays for all others.
        case host
        /// Connected to the host.
        case client
        /// Looking for the host.
        case searching
        /// Not running.
        case stopped
    }

    /// The node itself.
    package struct Node: Sendable, Hashable, Codable {
        /// Its id.
        package var id: String
        /// Its name for people.
        package var name: String
        /// The program's version.
        package var version: String
        /// The number of the newest migration.
        package var schemaVersion: Int
        /// Seconds since it started.
        package var uptimeSeconds: Int

        /// Makes a node's description.
        package init(id: String, name: String, version: String, schemaVersion: Int, uptimeSeconds: Int) {
            self.id = id
            self.name = name
            self.version = version
            self.schemaVersion = schemaVersion
            self.uptimeSeconds = uptimeSeconds
        }
    }

    /// The clinic.
    package struct Clinic: Sendable, Hashable, Codable {
        /// Its id.
        package var id: String
        /// Its name for people.
        package var name: String

        /// Makes a clinic's description.
        package init(id: String, name: String) {
            self.id = id
            self.name = name
        }
    }

    /// The host as this node knows it.
    package struct Host: Sendable, Hashable, Codable {
        /// Its id.
        package var id: String
        /// Its name for people.
        package var name: String
        /// Where it listens.
        package var address: String

        /// Makes a host's description.
        package init(id: String, name: String, address: String) {
            self.id = id
            self.name = name
            self.address = address
        }
    }

    /// The last reconciliation.
    package struct Reconciliation: Sendable, Hashable, Codable {
        /// When it ended.
        package var at: UTCTimestamp
        /// How it ended: `equal`, `repaired`, `differs` or `unreachable`.
        package var result: String
        /// How long it took.
        package var milliseconds: Int
        /// Rows it repaired.
        package var repairedRows: Int

        /// Makes a reconciliation's description.
        package init(at: UTCTimestamp, result: String, milliseconds: Int, repairedRows: Int) {
            self.at = at
            self.result = result
            self.milliseconds = milliseconds
            self.repairedRows = repairedRows
        }
    }

    /// The conflict journal in numbers.
    package struct Conflicts: Sendable, Hashable, Codable {
        /// Entries nobody has dealt with.
        package var open: Int

        /// Makes the numbers.
        package init(open: Int) { self.open = open }
    }

    /// Another node.
    package struct Peer: Sendable, Hashable, Codable {
        /// Its id.
        package var id: String
        /// Its name for people.
        package var name: String
        /// Where it listens or was last seen.
        package var address: String
        /// `host` or `client`.
        package var role: String
        /// Whether there is a connection now.
        package var connected: Bool
        /// Batches it has not applied yet.
        package var lagBatches: Int
        /// When it was last heard of.
        @Nullable package var lastSeen: UTCTimestamp?
        /// The round trip of the last ping.
        @Nullable package var roundTripMilliseconds: Double?

        /// Makes a peer's description.
        package init(
            id: String,
            name: String,
            address: String,
            role: String,
            connected: Bool,
            lagBatches: Int,
            lastSeen: UTCTimestamp?,
            roundTripMilliseconds: Double?
        ) {
            self.id = id
            self.name = name
            self.address = address
            self.role = role
            self.connected = connected
            self.lagBatches = lagBatches
            self.lastSeen = lastSeen
            self.roundTripMilliseconds = roundTripMilliseconds
        }
    }

    /// Rows of a table that could not be applied yet.
    package struct Waiting: Sendable, Hashable, Codable {
        /// The table.
        package var table: String
        /// How many rows.
        package var rows: Int
        /// Why, in words.
        package var reason: String

        /// Makes an entry.
        package init(table: String, rows: Int, reason: String) {
            self.table = table
            self.rows = rows
            self.reason = reason
        }
    }

    /// How far this node is while it catches up.
    package struct Progress: Sendable, Hashable, Codable {
        /// Batches known to exist that are not applied here yet.
        package var missingBatches: Int
        /// Batches that have arrived in part.
        package var partialBatches: Int

        /// Makes a progress.
        package init(missingBatches: Int, partialBatches: Int) {
            self.missingBatches = missingBatches
            self.partialBatches = partialBatches
        }
    }

    /// The node itself.
    package var node: Node
    /// The clinic.
    package var clinic: Clinic
    /// The node's part.
    package var role: Role
    /// The term of the host.
    package var term: Int
    /// The host, if one is known.
    @Nullable package var host: Host?
    /// Connections with other nodes.
    package var activeConnections: Int
    /// Local changes the host has not acknowledged.
    package var pendingChanges: Int
    /// What is added to this PC's clock.
    package var clockOffsetMilliseconds: Int
    /// The last reconciliation, if there was one.
    @Nullable package var lastReconciliation: Reconciliation?
    /// The conflict journal.
    package var conflicts: Conflicts
    /// All replicated tables as the node knows them.
    package var tables: [DigestSummary.Table]
    /// The other nodes.
    package var peers: [Peer]
    /// Rows set aside.
    package var waiting: [Waiting]
    /// How far the node is while it catches up; `null` when it has everything it knows of.
    @Nullable package var progress: Progress?

    /// Makes a status.
    package init(
        node: Node,
        clinic: Clinic,
        role: Role,
        term: Int,
        host: Host?,
        activeConnections: Int,
        pendingChanges: Int,
        clockOffsetMilliseconds: Int,
        lastReconciliation: Reconciliation?,
        conflicts: Conflicts,
        tables: [DigestSummary.Table],
        peers: [Peer],
        waiting: [Waiting],
        progress: Progress?
    ) {
        self.node = node
        self.clinic = clinic
        self.role = role
        self.term = term
        self.host = host
        self.activeConnections = activeConnections
        self.pendingChanges = pendingChanges
        self.clockOffsetMilliseconds = clockOffsetMilliseconds
        self.lastReconciliation = lastReconciliation
        self.conflicts = conflicts
        self.tables = tables
        self.peers = peers
        self.waiting = waiting
        self.progress = progress
    }
}
