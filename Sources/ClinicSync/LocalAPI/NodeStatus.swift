/// The answer of `clinic-node status --json` and `GET /v1/status`.
///
/// The names of the properties are the names of the JSON keys; keys may be added, never changed.
public struct NodeStatus: Sendable, Hashable, Codable {
    /// The node's part in the clinic.
    public enum Role: String, Sendable, Hashable, Codable {
        /// Relays changes for all other nodes.
        case host
        /// Connected to the host.
        case client
        /// Looking for the host.
        case searching
        /// Not running.
        case stopped
    }

    /// The node itself.
    public struct Node: Sendable, Hashable, Codable {
        /// Its id.
        public var id: String
        /// Its name for people.
        public var name: String
        /// The program's version.
        public var version: String
        /// The number of the newest migration.
        public var schemaVersion: Int
        /// Seconds since the node started.
        public var uptimeSeconds: Int

        /// Makes a node's description.
        public init(id: String, name: String, version: String, schemaVersion: Int, uptimeSeconds: Int) {
            self.id = id
            self.name = name
            self.version = version
            self.schemaVersion = schemaVersion
            self.uptimeSeconds = uptimeSeconds
        }
    }

    /// The clinic.
    public struct Clinic: Sendable, Hashable, Codable {
        /// Its id.
        public var id: String
        /// Its name for people.
        public var name: String

        /// Makes a clinic's description.
        public init(id: String, name: String) {
            self.id = id
            self.name = name
        }
    }

    /// The host as this node knows it.
    public struct Host: Sendable, Hashable, Codable {
        /// Its id.
        public var id: String
        /// Its name for people.
        public var name: String
        /// Where it listens.
        public var address: String

        /// Makes a host's description.
        public init(id: String, name: String, address: String) {
            self.id = id
            self.name = name
            self.address = address
        }
    }

    /// The last reconciliation.
    public struct Reconciliation: Sendable, Hashable, Codable {
        /// When it ended.
        public var at: UTCTimestamp
        /// How it ended: `equal`, `repaired`, `differs` or `unreachable`.
        public var result: String
        /// How long it took.
        public var milliseconds: Int
        /// Rows it repaired.
        public var repairedRows: Int

        /// Makes a reconciliation's description.
        public init(at: UTCTimestamp, result: String, milliseconds: Int, repairedRows: Int) {
            self.at = at
            self.result = result
            self.milliseconds = milliseconds
            self.repairedRows = repairedRows
        }
    }

    /// The conflict journal in numbers.
    public struct Conflicts: Sendable, Hashable, Codable {
        /// Open entries.
        public var open: Int

        /// Makes the numbers.
        public init(open: Int) { self.open = open }
    }

    /// Another node.
    public struct Peer: Sendable, Hashable, Codable {
        /// Its id.
        public var id: String
        /// Its name for people.
        public var name: String
        /// Where it listens or was last seen.
        public var address: String
        /// `host` or `client`.
        public var role: String
        /// Whether there is a connection now.
        public var connected: Bool
        /// Batches that the peer has not applied yet.
        public var lagBatches: Int
        /// When this node last heard from the peer.
        @Nullable public var lastSeen: UTCTimestamp?
        /// The round trip of the last ping.
        @Nullable public var roundTripMilliseconds: Double?
        /// Why connections with the peer end again and again; `nil` for a peer that works.
        @Nullable public var backOff: BackOff?
        /// Whether the peer has joined and has nothing of the other nodes yet.
        public var joining: Bool

        /// Makes a peer's description.
        public init(
            id: String,
            name: String,
            address: String,
            role: String,
            connected: Bool,
            lagBatches: Int,
            lastSeen: UTCTimestamp?,
            roundTripMilliseconds: Double?,
            backOff: BackOff? = nil,
            joining: Bool = false
        ) {
            self.id = id
            self.name = name
            self.address = address
            self.role = role
            self.connected = connected
            self.lagBatches = lagBatches
            self.lastSeen = lastSeen
            self.roundTripMilliseconds = roundTripMilliseconds
            self.backOff = backOff
            self.joining = joining
        }
    }

    /// Why two nodes cannot work together, and when they try again.
    public struct BackOff: Sendable, Hashable, Codable {
        /// The reason of the last end, for example `protocolViolation` or `protocolVersion`; see `docs/PROTOCOL.md`.
        public var reason: String
        /// The reason in one sentence, for people.
        public var message: String
        /// Which node ends the connections: `self` or `peer`.
        public var by: String
        /// How many connections ended in a row.
        public var failures: Int
        /// Seconds since the first of these ends.
        public var lastedSeconds: Int
        /// Seconds until the next try; 0 when it is due or in progress.
        public var retrySeconds: Int

        /// Makes a description.
        public init(
            reason: String,
            message: String,
            by: String,
            failures: Int,
            lastedSeconds: Int,
            retrySeconds: Int
        ) {
            self.reason = reason
            self.message = message
            self.by = by
            self.failures = failures
            self.lastedSeconds = lastedSeconds
            self.retrySeconds = retrySeconds
        }
    }

    /// Rows of a table that the node could not apply yet, or a table that is missing in the PC's database.
    public struct Waiting: Sendable, Hashable, Codable {
        /// The table.
        public var table: String
        /// How many rows; 0 when the table itself is missing or does not fit.
        public var rows: Int
        /// The reason in words.
        public var reason: String

        /// Makes an entry.
        public init(table: String, rows: Int, reason: String) {
            self.table = table
            self.rows = rows
            self.reason = reason
        }
    }

    /// Damage in one table of the node's own bookkeeping, since the node started.
    public struct Damage: Sendable, Hashable, Codable {
        /// The table, for example `clinicsync_row`.
        public var table: String
        /// How many entries were damaged.
        public var entries: Int
        /// What the node did: `rebuilt`, `refetching`, `leftOut` or `failed`.
        public var outcome: String
        /// What was wrong, in words; never a value of a row.
        public var reason: String
        /// When damage was found last.
        public var at: UTCTimestamp

        /// Makes an entry.
        public init(table: String, entries: Int, outcome: String, reason: String, at: UTCTimestamp) {
            self.table = table
            self.entries = entries
            self.outcome = outcome
            self.reason = reason
            self.at = at
        }

        /// What was damaged and what became of it, without a full stop.
        var whatAndOutcome: String {
            let what = "\(self.table): \(self.entries) damaged entr\(self.entries == 1 ? "y" : "ies") (\(self.reason))"
            return switch self.outcome {
            case "rebuilt": "\(what), repaired"
            case "refetching": "\(what), another PC's copy takes the place"
            case "leftOut": "\(what), left out because no PC has an undamaged copy; the rows are not affected"
            default: "\(what), cannot be repaired"
            }
        }

        /// One sentence for people.
        public var sentence: String {
            let isLost = !["rebuilt", "refetching", "leftOut"].contains(self.outcome)
            return self.whatAndOutcome + (isLost ? ": restore clinic.db from a backup, or join again" : "")
        }
    }

    /// A PC whose `clinic.db` a program keeps locked by a write transaction that it does not end.
    public struct LockedFile: Sendable, Hashable, Codable {
        /// A process.
        public struct Process: Sendable, Hashable, Codable {
            /// Its number.
            public var id: Int
            /// The name of its program; empty when the system does not tell it.
            public var program: String

            /// Makes a process.
            public init(id: Int, program: String) {
                self.id = id
                self.program = program
            }
        }

        /// The PC's id.
        public var node: String
        /// The PC's name for people.
        public var name: String
        /// When the PC's node began to wait for the file.
        public var since: UTCTimestamp
        /// The process that has the transaction open; `null` when the system does not tell, and for other PCs.
        @Nullable public var process: Process?

        /// Makes an entry.
        public init(node: String, name: String, since: UTCTimestamp, process: Process?) {
            self.node = node
            self.name = name
            self.since = since
            self.process = process
        }

        /// Puts the lock into words.
        ///
        /// - Parameter isHere: whether the file is this PC's.
        /// - Returns: One sentence for people.
        public func sentence(isHere: Bool) -> String {
            guard isHere else {
                return
                    "a program on \(self.name) keeps clinic.db locked: 'clinic-node status' on that PC names the program"
            }
            return
                "\(self.holder(otherwise: "a program")) keeps a write transaction in clinic.db open: save or discard the changes in it"
        }

        /// The program and its process, or `otherwise` when the system does not tell.
        func holder(otherwise: String) -> String {
            self.process.map { process in
                process.program.isEmpty ? "process \(process.id)" : "\(process.program) (process \(process.id))"
            } ?? otherwise
        }
    }

    /// The progress of this node while it catches up.
    public struct Progress: Sendable, Hashable, Codable {
        /// Known batches that this node has not applied yet.
        public var missingBatches: Int
        /// Batches that have arrived in part.
        public var partialBatches: Int
        /// The state that this node gets in place of history; `null` when it gets none.
        @Nullable public var state: StateTransferSummary?

        /// Makes a progress value.
        public init(missingBatches: Int, partialBatches: Int, state: StateTransferSummary? = nil) {
            self.missingBatches = missingBatches
            self.partialBatches = partialBatches
            self.state = state
        }
    }

    /// The node's certificate, rights and refusals.
    public struct Security: Sendable, Hashable, Codable {
        /// When this node's certificate ends.
        ///
        /// The node renews it long before.
        public var certificateExpires: UTCTimestamp
        /// Whether this node may invite, renew and revoke.
        public var maySign: Bool
        /// The number of connections refused since the start: no certificate, a foreign or invalid certificate, or too
        /// many connections.
        public var refusedConnections: UInt64
        /// The number of nodes that the clinic has revoked.
        public var revokedNodes: Int
        /// What other accounts of this PC may do with the node's files and should not, in one sentence each.
        public var warnings: [String]
        /// The number of rows in the tables of members, grants and revocations that nobody signed; the node ignores them.
        public var unsignedRows: Int

        /// Makes a description.
        public init(
            certificateExpires: UTCTimestamp,
            maySign: Bool,
            refusedConnections: UInt64,
            revokedNodes: Int,
            warnings: [String] = [],
            unsignedRows: Int = 0
        ) {
            self.certificateExpires = certificateExpires
            self.maySign = maySign
            self.refusedConnections = refusedConnections
            self.revokedNodes = revokedNodes
            self.warnings = warnings
            self.unsignedRows = unsignedRows
        }
    }

    /// The node itself.
    public var node: Node
    /// The clinic.
    public var clinic: Clinic
    /// The node's part.
    public var role: Role
    /// The term of the host.
    public var term: Int
    /// The host, if one is known.
    @Nullable public var host: Host?
    /// Connections with other nodes.
    public var activeConnections: Int
    /// The node's certificate, rights and refusals.
    public var security: Security
    /// Local changes that the host has not acknowledged.
    public var pendingChanges: Int
    /// Milliseconds that are added to this PC's clock.
    public var clockOffsetMilliseconds: Int
    /// The last reconciliation, if there was one.
    @Nullable public var lastReconciliation: Reconciliation?
    /// The conflict journal.
    public var conflicts: Conflicts
    /// All replicated tables as the node knows them.
    public var tables: [DigestSummary.Table]
    /// The other nodes.
    public var peers: [Peer]
    /// Rows that the node set aside because it could not apply them yet.
    public var waiting: [Waiting]
    /// The progress of the node while it catches up; `null` when the node has every change it knows of.
    @Nullable public var progress: Progress?

    /// Node ids that two PCs use with the same key, as after cloning a disk; this node's id comes first.
    public var duplicateIdentities: [String]
    /// Ids of members that have lapsed: they were silent for 30 days, and nothing waits for them.
    public var lapsedNodes: [String]
    /// Damage in the node's own bookkeeping since the node started; empty when all is well.
    public var damage: [Damage]
    /// PCs whose `clinic.db` a program keeps locked, this PC first; empty when all is well.
    ///
    /// While this PC is among them, ``pendingChanges`` is at least 1 and the result of ``lastReconciliation`` is
    /// `unreachable`, because what waits for the file is not known.
    public var lockedFiles: [LockedFile]
    /// What is wrong with the disk under this PC's `clinic.db`, while it lasts; empty when all is well.
    ///
    /// While the disk is full, read-only or failing, ``pendingChanges`` and ``lastReconciliation`` are as for a locked file.
    public var diskFaults: [DiskFaultSummary]
    /// Sentences about what a person should look after on this PC, since the node started; never with a value of a row.
    public var warnings: [String]
    /// The addresses of other PCs that this node dialled since its start, each with its newest answer.
    public var dials: [DialSummary]
    /// Whether this PC and the others have equal tables; `nil` only while the node stops.
    @Nullable public var verdict: VerdictSummary?
    /// What is not well, with causes and remedies, the worst first; empty when all is well.
    public var findings: [Finding]

    /// Makes a status.
    public init(
        node: Node,
        clinic: Clinic,
        role: Role,
        term: Int,
        host: Host?,
        activeConnections: Int,
        security: Security,
        pendingChanges: Int,
        clockOffsetMilliseconds: Int,
        lastReconciliation: Reconciliation?,
        conflicts: Conflicts,
        tables: [DigestSummary.Table],
        peers: [Peer],
        waiting: [Waiting],
        progress: Progress?,
        duplicateIdentities: [String] = [],
        lapsedNodes: [String] = [],
        damage: [Damage] = [],
        lockedFiles: [LockedFile] = [],
        diskFaults: [DiskFaultSummary] = [],
        warnings: [String] = [],
        dials: [DialSummary] = [],
        verdict: VerdictSummary? = nil,
        findings: [Finding] = []
    ) {
        self.node = node
        self.clinic = clinic
        self.role = role
        self.term = term
        self.host = host
        self.activeConnections = activeConnections
        self.security = security
        self.pendingChanges = pendingChanges
        self.clockOffsetMilliseconds = clockOffsetMilliseconds
        self.lastReconciliation = lastReconciliation
        self.conflicts = conflicts
        self.tables = tables
        self.peers = peers
        self.waiting = waiting
        self.progress = progress
        self.duplicateIdentities = duplicateIdentities
        self.lapsedNodes = lapsedNodes
        self.damage = damage
        self.lockedFiles = lockedFiles
        self.diskFaults = diskFaults
        self.warnings = warnings
        self.dials = dials
        self.verdict = verdict
        self.findings = findings
    }
}
