/// A message between two nodes.
///
/// `docs/PROTOCOL.md` describes sender, receiver, time and limits of each message.
package enum Message: Sendable, Hashable {
    /// The first message of both sides: what the sender is and has.
    case hello(Hello)
    /// The last message before an orderly close, with the reason.
    ///
    /// `retryAfterMilliseconds`: when the sender lets the receiver connect again; `nil` when it names no time.
    case goodbye(CloseReason, retryAfterMilliseconds: UInt32? = nil)
    /// A sign of life that asks for an answer.
    case ping(Ping)
    /// The answer to a ping.
    case pong(Pong)
    /// A piece of a batch.
    case chunk(BatchChunk)
    /// The batches that the sender has applied, and how many more bytes the receiver may send.
    case acknowledge(Acknowledgement)
    /// Counts and digests of all tables at a vector: a question from a client, an answer from the host.
    case digests(DigestReport)
    /// A page of row hashes of a table that differs, from the client.
    case rowHashes(RowHashPage)
    /// Rows with all their versions, in either direction.
    case rowStates(RowStatePage)
    /// Ranges of the states of a table that differs: questions from the client, answers from the host.
    case stateRanges(StateRangePage)
    /// The client asks the host for states that it lacks.
    case stateWants(StateWants)
    /// A client asks the host for a manual sync of the whole clinic.
    case syncRequest(SyncRequest)
    /// The host asks a client to sweep its tables and reconcile at once.
    case verifyRequest(SyncRequest)
    /// A client's answer to `verifyRequest`.
    case verifyReport(VerifyReport)
    /// The host's answer to `syncRequest`.
    case syncReport(SyncReport)
    /// A signed revocation that the receiver must know, often the receiver's own; before or after `hello`.
    case revocation([UInt8])
    /// The proof that a node is or was a member: its certificate in DER, then its signer's; for a peer that asked for it.
    case memberProof([[UInt8]])
    /// The sender's view of the clinic's host, when the view has changed.
    case hostReport(HostReport)
    /// The host asks a client to become host in its place.
    case handOver
    /// A client asks the host to hand over to this node.
    case transferRequest(NodeID)
    /// A client asks the host to decide on a login; the answer repeats the client's number.
    case loginRequest(id: UInt64, LoginRequest)
    /// The host's answer to `loginRequest`.
    case loginReply(LoginReply)
    /// A message of a state transfer.
    case state(StateMessage)
}

/// The first message on a connection, from both sides.
///
/// It does not carry the sender's id. The sender's certificate proves the id.
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
    /// The sender's addresses, each as `address:port`, the likeliest first; at most four.
    package var addresses: [String]
    /// The sender's view of the clinic's host.
    package var hostReport: HostReport
    /// The sender's corrected time, milliseconds since 1970.
    package var wallMilliseconds: Int64
    /// What the sender has applied.
    package var vector: VersionVector
    /// The batches of which the sender has only some chunks.
    package var partials: [PartialBatch]
    /// The credit: how many payload bytes the receiver may send before the next acknowledgement.
    package var creditBytes: UInt32
    /// The id of the sender's process, random at each start; 0 means that the sender gives none.
    package var runID: UInt64
    /// Whether the sender can take the state in place of history; older versions cannot.
    package var takesState: Bool
    /// Whether the sender knows epochs; older versions do not.
    package var knowsEpochs: Bool
    /// The epoch of the sender's data, unverified; `nil` when there is none.
    package var epoch: Epoch?
    /// Whether the sender takes and passes on ``Acknowledgement/probe``; older versions do not.
    package var gathersProbes: Bool
    /// Whether the sender, as host, answers a ``SyncRequest`` that ``SyncRequest/isAboutMembers``.
    package var reportsMembers: Bool

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
        runID: UInt64 = 0,
        takesState: Bool = false,
        knowsEpochs: Bool = false,
        epoch: Epoch? = nil,
        gathersProbes: Bool = false,
        reportsMembers: Bool = false
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
        self.takesState = takesState
        self.knowsEpochs = knowsEpochs
        self.epoch = epoch
        self.gathersProbes = gathersProbes
        self.reportsMembers = reportsMembers
    }
}

extension Message {
    /// A goodbye that asks the receiver to come back after a time; `nil`: that names no time.
    package static func goodbye(_ reason: CloseReason, retryAfter: Duration?) -> Message {
        .goodbye(
            reason,
            retryAfterMilliseconds: retryAfter.map { wait in
                let (seconds, attoseconds) = wait.components
                return UInt32(clamping: min(seconds, 1_000_000) * 1_000 + attoseconds / 1_000_000_000_000_000 + 1)
            }
        )
    }
}

/// Why a connection ends.
///
/// The raw value travels in `goodbye` and in the WebSocket close frame as 4000 + raw value.
package enum CloseReason: UInt16, Sendable, Hashable, CaseIterable {
    /// The node is stopping.
    case shuttingDown = 0
    /// The peer sent nothing for longer than a live peer can be silent.
    case peerSilent = 1
    /// The peer broke the protocol: a message cannot be decoded, is impossible, or exceeds a limit.
    case protocolViolation = 2
    /// The peer speaks another protocol version.
    case protocolVersion = 3
    /// The peer belongs to another clinic.
    case wrongClinic = 4
    /// The peer's certificate is not, or no longer, a member's.
    case notAMember = 5
    /// Another connection with the same peer took this one's place.
    case replaced = 6
    /// The peer did not say hello in time.
    case handshakeTimeout = 7
    /// The peer has this node's own identity.
    case duplicateIdentity = 8
    /// Both sides have the same host, so neither needs the connection.
    case notHost = 9
    /// The connection ended without an orderly close.
    case connectionLost = 10
    /// There are too many connections or joins at once.
    case overloaded = 12
    /// The store cannot take changes now, for example because the disk is full. The peer retries the connection
    /// later.
    case storageFailed = 13
    /// The peer was revoked. The node sent the revocation before.
    case revoked = 14
    /// The peer's data is of another epoch: the whole clinic was brought back to a backup, and one of the two has not
    /// followed yet.
    case otherEpoch = 15
}

/// A sign of life.
package struct Ping: Sendable, Hashable {
    /// The number that the answer repeats.
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

/// What a receiver has stored and applied.
package struct Acknowledgement: Sendable, Hashable {
    /// Entries of the receiver's vector that rose since its last acknowledgement.
    package var applied: [VersionVector.Entry]
    /// The payload bytes that were stored since the last acknowledgement.
    ///
    /// The sender may send as many again. Stored bytes need not be on the disk.
    package var creditBytes: UInt32
    /// Chunks that the sender once had and lost to damage: the receiver sends them and those after them again, if it has them.
    package var wanted: [LostChunk]
    /// Nodes whose chunks the sender keeps aside until it has the proof that they are members: the receiver sends the proofs
    /// that it has.
    package var unproven: [NodeID]
    /// Answers to a probe; `nil` when there are none.
    package var probe: ProbeAnswers?

    /// Makes an acknowledgement.
    package init(
        applied: [VersionVector.Entry],
        creditBytes: UInt32,
        wanted: [LostChunk] = [],
        unproven: [NodeID] = [],
        probe: ProbeAnswers? = nil
    ) {
        self.applied = applied
        self.creditBytes = creditBytes
        self.wanted = wanted
        self.unproven = unproven
        self.probe = probe
    }
}

/// Counts and digests of the tables at a moment.
package struct DigestReport: Sendable, Hashable {
    /// The client's number of the round; the answer repeats it.
    package var round: UInt64
    /// The batches that were applied at that moment; empty in an answer that confirms ``sum``.
    package var vector: VersionVector
    /// The hash of all tables' names, counts and sums; `nil` from a node of an earlier version.
    package var sum: Digest?
    /// All replicated tables, in the order of their names; empty when the receiver needs only ``sum``.
    package var tables: [TableDigest]

    /// Makes a report.
    package init(round: UInt64, vector: VersionVector, sum: Digest? = nil, tables: [TableDigest]) {
        self.round = round
        self.vector = vector
        self.sum = sum
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
///
/// With ``hasHidden``, rows that the table does not show as they are count too: the hash of a key is the sum of the hashes of
/// what the table shows and of the state that it does not show.
package struct RowHashPage: Sendable, Hashable {
    /// The round.
    package var round: UInt64
    /// The table.
    package var table: String
    /// The range begins after this key; `nil`: at the smallest key.
    package var after: SQLiteValue?
    /// The range ends with this key; `nil`: at the largest key, and this is the table's last page.
    package var through: SQLiteValue?
    /// The rows, at most 2 000.
    package var rows: [RowHash]
    /// Whether hidden and deleted rows are among them.
    package var hasHidden: Bool

    /// Makes a page.
    package init(
        round: UInt64,
        table: String,
        after: SQLiteValue?,
        through: SQLiteValue?,
        rows: [RowHash],
        hasHidden: Bool = false
    ) {
        self.round = round
        self.table = table
        self.after = after
        self.through = through
        self.rows = rows
        self.hasHidden = hasHidden
    }
}

/// A message of a range-based reconciliation of one table.
package struct StateRangePage: Sendable, Hashable {
    /// The round.
    package var round: UInt64
    /// The table.
    package var table: String
    /// The ranges, as `docs/PROTOCOL.md` describes them; empty in an answer that finds no difference.
    package var ranges: [UInt8]
    /// Whether the states differ in too many places, so that keys must be compared instead.
    package var isTooLong: Bool

    /// Makes a message.
    package init(round: UInt64, table: String, ranges: [UInt8], isTooLong: Bool = false) {
        self.round = round
        self.table = table
        self.ranges = ranges
        self.isTooLong = isTooLong
    }
}

/// The states of one table that a client lacks.
package struct StateWants: Sendable, Hashable {
    /// The round.
    package var round: UInt64
    /// The table.
    package var table: String
    /// The states, by the lower halves of their hashes.
    package var ids: [UInt64]

    /// Makes a wish.
    package init(round: UInt64, table: String, ids: [UInt64]) {
        self.round = round
        self.table = table
        self.ids = ids
    }
}

/// Keys of a table from one key to another, in the order in which pages name them: SQLite's own.
package struct KeyRange: Sendable, Hashable {
    /// The range begins after this key; `nil`: at the smallest key.
    package var after: SQLiteValue?
    /// The range ends with this key; `nil`: at the largest key.
    package var through: SQLiteValue?

    /// The whole table.
    package static let all = KeyRange(after: nil, through: nil)

    /// Makes a range.
    package init(after: SQLiteValue?, through: SQLiteValue?) {
        self.after = after
        self.through = through
    }

    /// Whether a key lies in the range.
    package func contains(_ key: SQLiteValue) -> Bool {
        if let after = self.after, !after.sortsBefore(key) { return false }
        if let through = self.through, through.sortsBefore(key) { return false }
        return true
    }
}

/// Rows with the versions of all their columns, encoded by the store.
package struct RowStatePage: Sendable, Hashable {
    /// The round.
    package var round: UInt64
    /// The table.
    package var table: String
    /// Encoded row states: at most 256 KiB, or one larger row.
    package var payload: [UInt8]
    /// Keys of rows that the sender wants from the receiver.
    package var wanted: [SQLiteValue]
    /// Whether this is the last page of the answer to a page of hashes.
    package var isLast: Bool
    /// On the last page of an answer that does not cover its whole question: the last key that the answer covers.
    ///
    /// The client asks again from there. `nil`: the answer covers the question.
    package var covered: SQLiteValue?

    /// Makes a page.
    package init(
        round: UInt64,
        table: String,
        payload: [UInt8],
        wanted: [SQLiteValue],
        isLast: Bool,
        covered: SQLiteValue? = nil
    ) {
        self.round = round
        self.table = table
        self.payload = payload
        self.wanted = wanted
        self.isLast = isLast
        self.covered = covered
    }
}

/// A request for a manual sync.
package struct SyncRequest: Sendable, Hashable {
    /// The number that the answer repeats.
    package var id: UInt64
    /// The one table to compare; `nil`: all.
    package var table: String?
    /// Whether the sender only wants to know what the host knows of the members, and nothing is compared.
    ///
    /// Only for a host whose hello has ``Hello/reportsMembers``.
    package var isAboutMembers = false

    /// Makes a request.
    package init(id: UInt64, table: String?, isAboutMembers: Bool = false) {
        self.id = id
        self.table = table
        self.isAboutMembers = isAboutMembers
    }
}

/// How a comparison of two nodes ended.
package enum ReconciliationResult: UInt8, Sendable, Hashable, CaseIterable {
    /// Vectors, counts and digests were equal.
    case equal = 0
    /// Rows differed. They are equal now.
    case repaired = 1
    /// Rows still differ.
    case differs = 2
    /// There was no node to compare with, or the comparison was interrupted.
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
        /// The result of its comparison with the host.
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
    /// The worst of the nodes' results.
    ///
    /// `equal` and `repaired` both mean that all nodes are equal now.
    package var result: ReconciliationResult
    /// The number of rows that were repaired on any node.
    package var repairedRows: UInt64
    /// Every reachable node, the host included.
    package var nodes: [Node]
    /// In the answer to a request with ``SyncRequest/isAboutMembers``: what the host knows of the other members.
    package var members: [MemberReport]

    /// Makes a report.
    package init(
        id: UInt64,
        result: ReconciliationResult,
        repairedRows: UInt64,
        nodes: [Node],
        members: [MemberReport] = []
    ) {
        self.id = id
        self.result = result
        self.repairedRows = repairedRows
        self.nodes = nodes
        self.members = members
    }
}
