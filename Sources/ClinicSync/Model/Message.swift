/// Everything that two nodes say to each other.
///
/// `docs/PROTOCOL.md` describes who sends what when.
package enum Message: Sendable, Hashable {
    /// First message of both sides: who I am and what I have.
    case hello(Hello)
    /// Last message before an orderly close, with the reason.
    case goodbye(CloseReason)
    /// A sign of life that asks for one back.
    case ping(Ping)
    /// The answer to a ping.
    case pong(Pong)
    /// A piece of a batch.
    case chunk(BatchChunk)
    /// What has been applied and how much more may be sent.
    case acknowledge(Acknowledgement)
    /// Counts and digests of all tables at a vector: a question from a client, an answer from the host.
    case digests(DigestReport)
    /// A page of row hashes of a table that differs, from the client.
    case rowHashes(RowHashPage)
    /// Rows with all their versions, in either direction.
    case rowStates(RowStatePage)
    /// A client asks the host for a manual sync of the whole clinic.
    case syncRequest(SyncRequest)
    /// The host asks a client to sweep its tables and reconcile at once.
    case verifyRequest(SyncRequest)
    /// A client's answer to `verifyRequest`.
    case verifyReport(VerifyReport)
    /// The host's answer to `syncRequest`.
    case syncReport(SyncReport)
    /// A signed revocation that the receiver must know, its own above all; before or after `hello`.
    case revocation([UInt8])
    /// What the sender says of the clinic's host, when that has changed.
    case hostReport(HostReport)
    /// The host asks a client to be host in its place.
    case handOver
    /// A client asks the host to hand over to this node.
    case transferRequest(NodeID)
    /// A client asks the host to decide on a login; the answer repeats the client's number.
    case loginRequest(id: UInt64, LoginRequest)
    /// The host's answer to `loginRequest`.
    case loginReply(LoginReply)
}

/// The first message on a connection, from both sides.
///
/// Who the sender is stands in its certificate and nowhere else.
package struct Hello: Sendable, Hashable {
    /// Version of this protocol: 1.
    package var protocolVersion: UInt32
    /// The clinic; peers of another clinic are refused.
    package var clinicID: String
    /// The sender's name for people, at most 64 bytes.
    package var nodeName: String
    /// The program's version, for people.
    package var softwareVersion: String
    /// The number of the sender's newest migration.
    package var schemaVersion: UInt32
    /// Where the sender is reached, each as `address:port`, the likeliest first; at most four.
    package var addresses: [String]
    /// What the sender says of the clinic's host.
    package var hostReport: HostReport
    /// The sender's corrected time, milliseconds since 1970.
    package var wallMilliseconds: Int64
    /// What the sender has applied.
    package var vector: VersionVector
    /// Batches the sender has pieces of.
    package var partials: [PartialBatch]
    /// How many payload bytes the receiver may send before it is acknowledged.
    package var creditBytes: UInt32
    /// Which process of the sender this is: drawn anew at each start; 0 says nothing.
    package var runID: UInt64

    /// Makes a hello.
    package init(
        protocolVersion: UInt32,
        clinicID: String,
        nodeName: String,
        softwareVersion: String,
        schemaVersion: UInt32,
        addresses: [String],
        hostReport: HostReport,
        wallMilliseconds: Int64,
        vector: VersionVector,
        partials: [PartialBatch],
        creditBytes: UInt32,
        runID: UInt64 = 0
    ) {
        self.protocolVersion = protocolVersion
        self.clinicID = clinicID
        self.nodeName = nodeName
        self.softwareVersion = softwareVersion
        self.schemaVersion = schemaVersion
        self.addresses = addresses
        self.hostReport = hostReport
        self.wallMilliseconds = wallMilliseconds
        self.vector = vector
        self.partials = partials
        self.creditBytes = creditBytes
        self.runID = runID
    }
}

/// Why a connection ends.
///
/// The raw value travels in `goodbye` and in the WebSocket close frame as 4000 + raw value.
package enum CloseReason: UInt16, Sendable, Hashable, CaseIterable {
    /// The node is stopping.
    case shuttingDown = 0
    /// Nothing was heard from the peer for the time a live peer cannot be silent.
    case peerSilent = 1
    /// The peer broke the protocol: an undecodable or impossible message, a limit exceeded.
    case protocolViolation = 2
    /// The peer speaks another protocol version.
    case protocolVersion = 3
    /// The peer is of another clinic.
    case wrongClinic = 4
    /// The peer's certificate is none of a member, or no longer.
    case notAMember = 5
    /// Another connection with the same peer took this one's place.
    case replaced = 6
    /// The peer did not say hello in time.
    case handshakeTimeout = 7
    /// The peer carries our own identity.
    case duplicateIdentity = 8
    /// Both sides have a host, or have the same to go to, so there is nothing to say.
    case notHost = 9
    /// The connection broke: there was no orderly close.
    case connectionLost = 10
    /// Too many connections or joins at once.
    case overloaded = 12
    /// The store cannot take changes now (disk full, for instance); the connection is tried again later.
    case storageFailed = 13
    /// The peer was revoked; the revocation went before.
    case revoked = 14
}

/// A sign of life.
package struct Ping: Sendable, Hashable {
    /// Repeated in the answer.
    package var id: UInt64

    /// Makes a ping.
    package init(id: UInt64) { self.id = id }
}

/// The answer to a ping.
package struct Pong: Sendable, Hashable {
    /// The ping's id.
    package var id: UInt64
    /// The answering node's corrected wall time, milliseconds since 1970.
    package var wallMilliseconds: Int64

    /// Makes a pong.
    package init(id: UInt64, wallMilliseconds: Int64) {
        self.id = id
        self.wallMilliseconds = wallMilliseconds
    }
}

/// What a receiver has done with chunks.
package struct Acknowledgement: Sendable, Hashable {
    /// Entries of the receiver's vector that rose since its last acknowledgement.
    package var applied: [VersionVector.Entry]
    /// Payload bytes that were stored since the last acknowledgement, and may be sent again.
    package var creditBytes: UInt32

    /// Makes an acknowledgement.
    package init(applied: [VersionVector.Entry], creditBytes: UInt32) {
        self.applied = applied
        self.creditBytes = creditBytes
    }
}

/// Counts and digests of the tables at a moment.
package struct DigestReport: Sendable, Hashable {
    /// The client's number of the round; the answer repeats it.
    package var round: UInt64
    /// What was applied at that moment.
    package var vector: VersionVector
    /// All replicated tables, in the order of their names.
    package var tables: [TableDigest]

    /// Makes a report.
    package init(round: UInt64, vector: VersionVector, tables: [TableDigest]) {
        self.round = round
        self.vector = vector
        self.tables = tables
    }
}

/// The hash of one row.
package struct RowHash: Sendable, Hashable {
    /// The row's primary key.
    package var key: SQLiteValue
    /// The row's hash.
    package var hash: Digest

    /// Makes a row's hash.
    package init(key: SQLiteValue, hash: Digest) {
        self.key = key
        self.hash = hash
    }
}

/// The hashes of all rows of a table whose keys lie in a range, in the order of their keys.
package struct RowHashPage: Sendable, Hashable {
    /// The round.
    package var round: UInt64
    /// The table.
    package var table: String
    /// The range begins after this key; `nil`: at the smallest.
    package var after: SQLiteValue?
    /// The range ends with this key; `nil`: at the largest, and this is the table's last page.
    package var through: SQLiteValue?
    /// The rows, at most 2 000.
    package var rows: [RowHash]

    /// Makes a page.
    package init(
        round: UInt64,
        table: String,
        after: SQLiteValue?,
        through: SQLiteValue?,
        rows: [RowHash]
    ) {
        self.round = round
        self.table = table
        self.after = after
        self.through = through
        self.rows = rows
    }
}

/// Rows with the versions of all their columns, encoded by the store.
package struct RowStatePage: Sendable, Hashable {
    /// The round.
    package var round: UInt64
    /// The table.
    package var table: String
    /// Encoded row states, at most 256 KiB unless one row alone is larger.
    package var payload: [UInt8]
    /// Keys of rows that the sender wants from the receiver.
    package var wanted: [SQLiteValue]
    /// Whether this ends the answer to a page of hashes.
    package var isLast: Bool

    /// Makes a page.
    package init(
        round: UInt64,
        table: String,
        payload: [UInt8],
        wanted: [SQLiteValue],
        isLast: Bool
    ) {
        self.round = round
        self.table = table
        self.payload = payload
        self.wanted = wanted
        self.isLast = isLast
    }
}

/// A wish for a manual sync.
package struct SyncRequest: Sendable, Hashable {
    /// Repeated in the answer.
    package var id: UInt64
    /// The one table to compare; `nil`: all.
    package var table: String?

    /// Makes a request.
    package init(id: UInt64, table: String?) {
        self.id = id
        self.table = table
    }
}

/// How a comparison of two nodes ended.
package enum ReconciliationResult: UInt8, Sendable, Hashable, CaseIterable {
    /// Vectors, counts and digests were equal.
    case equal = 0
    /// Rows differed and are equal now.
    case repaired = 1
    /// Rows differ still.
    case differs = 2
    /// There was nobody to compare with, or the comparison broke off.
    case unreachable = 3
}

/// One client's answer to the host in a manual sync.
package struct VerifyReport: Sendable, Hashable {
    /// The request's id.
    package var id: UInt64
    /// The outcome of the client's reconciliation with the host.
    package var result: ReconciliationResult
    /// Rows repaired on both sides.
    package var repairedRows: UInt64

    /// Makes a report.
    package init(id: UInt64, result: ReconciliationResult, repairedRows: UInt64) {
        self.id = id
        self.result = result
        self.repairedRows = repairedRows
    }
}

/// The outcome of a manual sync of the whole clinic.
package struct SyncReport: Sendable, Hashable {
    /// One node's part.
    package struct Node: Sendable, Hashable {
        /// The node.
        package var id: NodeID
        /// Its name.
        package var name: String
        /// Its result against the host.
        package var result: ReconciliationResult

        /// Makes a node's part.
        package init(id: NodeID, name: String, result: ReconciliationResult) {
            self.id = id
            self.name = name
            self.result = result
        }
    }

    /// The request's id.
    package var id: UInt64
    /// The worst of the nodes' results; `equal` and `repaired` both mean that all are equal now.
    package var result: ReconciliationResult
    /// Rows repaired anywhere.
    package var repairedRows: UInt64
    /// Every node that was reachable, the host included.
    package var nodes: [Node]

    /// Makes a report.
    package init(id: UInt64, result: ReconciliationResult, repairedRows: UInt64, nodes: [Node]) {
        self.id = id
        self.result = result
        self.repairedRows = repairedRows
        self.nodes = nodes
    }
}
