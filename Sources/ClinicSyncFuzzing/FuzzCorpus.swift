import ClinicSync
import ClinicSyncModel
import ClinicSyncStorage
import ClinicSyncWire
import Foundation
import GRDB
import NIOCore

/// Well-formed inputs of each target, as nodes of this version make them.
enum FuzzCorpus {
    /// A table whose rows have all that a state can have, a counter included.
    static let statesTable = "clinic_services"

    static let node = NodeID(high: 0x0011_2233_4455_6677, low: 0x8899_AABB_CCDD_EEFF)
    static let other = NodeID(high: 0x0102_0304_0506_0708, low: 0x090A_0B0C_0D0E_0F10)
    static let vector = VersionVector([
        .init(origin: Origin(node: node), sequence: 300),
        .init(origin: Origin(node: other, incarnation: 2), sequence: 7),
    ])

    static func entries(of target: FuzzTarget) throws -> [[UInt8]] {
        switch target {
        case .frame: return self.messages.map { MessageCodec.encode($0, term: 3) }
        case .enrollment: return self.enrollments.map { Array(EnrollmentCodec.encode($0).readableBytesView) }
        case .changeChunk: return try RecordCorpus.make().chunks
        case .rowStates: return try RecordCorpus.make().states
        case .storedState: return try RecordCorpus.make().storedStates
        case .vector: return try RecordCorpus.make().vectors
        case .header: return try RecordCorpus.make().headers
        case .registers: return try RecordCorpus.make().registers
        case .columns: return try RecordCorpus.make().columns
        case .value:
            return [[0], [1, 5], [2, 0, 0, 0, 0, 0, 0, 0xF8, 0x3F], [3, 2, 0x61, 0x62], [4, 3, 0, 1, 0xFF]]
        case .ranges: return RecordCheck.rangeSamples
        case .configuration: return self.configurations.map { Array($0.utf8) }
        case .identity: return self.identities
        case .invitations: return self.invitations
        case .authority: return [SignedSamples.authority]
        case .grant: return [SignedSamples.grant]
        case .revocation: return [SignedSamples.revocation, SignedSamples.revocationByGrantee]
        case .certificateRequest: return [SignedSamples.certificateRequest]
        case .apiAddress:
            return [#"{"host":"127.0.0.1","port":7451}"#, #"{"host":"::1","port":1}"#].map { Array($0.utf8) }
        case .joinCode: return try self.joinCodes().map { Array($0.utf8) }
        case .announcement: return self.announcements.map { Array($0.utf8) }
        case .nodeStatement: return [SignedSamples.nodeStatement]
        case .nameStatement: return [SignedSamples.nameStatement, SignedSamples.nameStatementByGrantee]
        case .address: return ["127.0.0.1:7450", "[fe80::1%eth0]:1", "front-desk.local:65535"].map { Array($0.utf8) }
        }
    }

    // MARK: - Messages

    static var messages: [Message] {
        let batch = BatchID(origin: Origin(node: self.node), sequence: 300)
        let header = BatchHeader(
            timestamp: HybridTimestamp(milliseconds: 1_795_000_000_000, counter: 1),
            dependencies: self.vector,
            schemaVersion: 4
        )
        return [
            .hello(self.hello(batch)), .goodbye(.replaced), .ping(Ping(id: 5)),
            .pong(Pong(id: 5, wallMilliseconds: 1_795_000_000_123)),
            .chunk(BatchChunk(batch: batch, index: 0, header: header, isLast: false, checksum: 7, payload: [1, 2, 3])),
            .chunk(BatchChunk(batch: batch, index: 1, header: nil, isLast: true, checksum: 1, payload: [])),
            .acknowledge(
                Acknowledgement(
                    applied: self.vector.entries.reversed(),
                    creditBytes: 70_000,
                    wanted: [LostChunk(batch: batch, index: 5)],
                    unproven: [self.node],
                    probe: ProbeAnswers(
                        prober: self.node,
                        number: 3,
                        answers: [.init(node: self.node, milliseconds: 1_795_000_000_123)],
                        connected: [self.node]
                    )
                )
            ),
            .revocation([7, 8]), .memberProof([[9, 10], [11]]), .hostReport(self.hostReport), .handOver,
            .transferRequest(self.node),
            .loginRequest(id: 3, self.login),
            .loginReply(LoginReply(id: 3, outcome: .granted(isProvisional: true))),
            .loginReply(LoginReply(id: 4, outcome: .conflict([self.holder, self.holder]))),
            .loginReply(LoginReply(id: 5, outcome: .refused)), .loginReply(LoginReply(id: 6, outcome: .unavailable)),
            .state(.offer(StateOffer(rows: 1_000, bytes: 70_000))),
            .state(
                .request(
                    StateRequest(
                        id: 7,
                        vector: self.vector,
                        after: StateCursor(table: "patients", key: .string("p1")),
                        creditBytes: 1 << 20
                    )
                )
            ),
            .state(
                .page(
                    StatePage(
                        id: 7,
                        vector: self.vector,
                        table: "patients",
                        through: .string("p2"),
                        checksum: 7,
                        payload: [1, 2, 3],
                        rows: 1,
                        isLast: true
                    )
                )
            ),
            .state(.end(StateEnd(id: 8, vector: self.vector, through: self.vector))),
        ] + self.comparisons
    }

    private static let login = LoginRequest(
        sessionID: "s1",
        userID: "u1",
        username: "ana",
        deviceID: FuzzCorpus.node.description,
        deviceName: "Empfang",
        tokenHash: Array(repeating: 0xAB, count: 32),
        loginMilliseconds: 1_795_000_000_000,
        isForced: true
    )

    private static let holder = SessionHolder(
        sessionID: "s0",
        deviceID: "d",
        deviceName: "Labor",
        loginTime: "2026-11-21T10:00:00.000Z",
        lastActivity: "2026-11-21T10:05:00.000Z"
    )

    private static var hostReport: HostReport {
        let candidacy = Candidacy(priority: 100, coverage: 70_000, uptimeBucket: 7, node: self.node)
        return HostReport(
            role: .host,
            term: 9,
            reign: Reign(term: 9, candidacy: candidacy),
            addresses: ["192.168.1.7:7450"],
            candidacy: candidacy,
            successors: [NodeAddresses(node: NodeID(high: 3, low: 4), addresses: ["192.168.1.8:7450"])]
        )
    }

    private static func hello(_ batch: BatchID) -> Hello {
        Hello(
            protocolVersion: 1,
            clinicID: "k7q",
            nodeName: "Front desk",
            softwareVersion: "1.2.3",
            schemaVersion: 4,
            addresses: ["192.168.1.7:7450", "[fe80::1]:7450"],
            hostReport: self.hostReport,
            wallMilliseconds: 1_795_000_000_123,
            vector: self.vector,
            partials: [PartialBatch(batch: batch, nextChunk: 3, content: .init(first: 7, timestamp: 8, newest: 9))],
            creditBytes: 8 << 20
        )
    }

    private static var comparisons: [Message] {
        var table = TableDigest(name: "bills", rows: 2, digest: Digest(high: 1, low: 2))
        let tables = [table]
        (table.hidden, table.deleted) = (StateSum(rows: 1, digest: Digest(high: 3, low: 4)), .zero)
        let sum = Digest(high: 5, low: 6)
        let rows = [
            RowHash(key: .string("b1"), hash: Digest(high: 3, low: 4)),
            RowHash(key: .integer(-1), hash: Digest(high: 5, low: 6)),
        ]
        let nodes = [SyncReport.Node(id: self.node, name: "Laboratory", result: .unreachable)]
        return [
            .digests(DigestReport(round: 11, vector: self.vector, tables: tables)),
            .digests(DigestReport(round: 11, vector: self.vector, sum: sum, tables: [table])),
            .rowHashes(RowHashPage(round: 11, table: "bills", after: .null, through: .double(1.5), rows: rows)),
            .stateRanges(StateRangePage(round: 11, table: "b", ranges: [0, 2, 1, 1, 2, 3, 4, 5, 6, 7, 8])),
            .stateWants(StateWants(round: 11, table: "b", ids: [1, 2])),
            .rowStates(RowStatePage(round: 11, table: "b", payload: [0xFF], wanted: [.blob([0, 1])], isLast: true)),
            .syncRequest(SyncRequest(id: 21, table: nil)), .verifyRequest(SyncRequest(id: 21, table: "")),
            .verifyReport(VerifyReport(id: 21, result: .repaired, repairedRows: 3)),
            .syncReport(SyncReport(id: 21, result: .differs, repairedRows: 3, nodes: nodes)),
        ]
    }

    static var enrollments: [EnrollmentMessage] {
        let join = JoinRequest(
            invitationID: Array(0..<8),
            proof: Array(0..<32),
            certificateRequest: [0x30, 0],
            nodeName: "Cash desk"
        )
        let membership = Membership(
            clinicID: "k7q",
            clinicName: "Clinic",
            certificates: [[0x30, 1], [0x30, 2]],
            authority: [0x30, 3],
            hostID: self.node,
            hostAddresses: ["[::1]:7443", "10.0.0.7:7443"],
            revocations: [[7], [8, 9]]
        )
        return [
            .challenge(EnrollmentChallenge(nonce: Array(0..<32))), .request(.join(join)),
            .request(.renew(certificateRequest: [0x30, 0])), .reply(.joined(membership)),
            .reply(.renewed(certificates: [[0x30, 1]])), .reply(.refused(.usedCode)),
        ]
    }

    // MARK: - Texts

    private static let configurations = [
        "{}",
        #"{"listen":"127.0.0.1:7450","api":"127.0.0.1:7451","peers":["127.0.0.1:1","127.0.0.1:2"],"priority":5}"#,
        #"{"log":{"level":"info","retention":"30d"},"reconcileEvery":"1m","discovery":"off","group":"clinic"}"#,
        #"{"log.level":"debug","peers":"127.0.0.1:3"}"#,
    ]

    private static var announcements: [String] {
        [
            "clinic=00ff\nnode=\(self.node)\nterm=18446744073709551615\nrole=host\nport=7450\nprotocol=1\nschema=4",
            "x\nNODE=\(self.other)\nClinic=\nterm=0\nrole=\nport=1\nprotocol=0\nschema=0\nnode=second\nlater=1",
        ]
    }

    private static var invitations: [[UInt8]] {
        let keys = #""id":"AAECAwQFBgc=","proofKey":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=""#
        return [
            "[]", #"[{\#(keys),"madeAt":1795000000000,"expiresAt":1795001800000,"usesLeft":1,"wrongProofs":0}]"#,
            #"[{\#(keys),"madeAt":1,"expiresAt":2,"usesLeft":0,"wrongProofs":9,"usedUpAt":2}]"#,
        ]
        .map { Array($0.utf8) }
    }

    private static var identities: [[UInt8]] {
        [
            """
            {"nodeID":"\(self.node)","nodeName":"Front","clinicID":"k7q","clinicName":"Clinic"}
            """,
            """
            {"nodeID":"\(self.node)","nodeName":"Lab","clinicID":"k7q","clinicName":"Clinic",
            "host":{"nodeID":"\(self.other)","address":"127.0.0.1:7450"}}
            """,
        ]
        .map { Array($0.utf8) }
    }

    private static func joinCodes() throws -> [String] {
        let addresses = ["127.0.0.1:7450", "[fe80::1]:7450", "front-desk.local:1"]
        return try (0...addresses.count).map { count in
            let known = try addresses.prefix(count).map { try NetworkAddress(parsing: $0) }
            let secret = (0..<JoinCode.secretBytes).map { UInt8($0 * 7 + count) }
            return JoinCode(pin: self.node, secret: secret, addresses: known).description
        }
    }
}

/// Records as a store makes them.
struct RecordCorpus {
    var chunks: [[UInt8]] = []
    var states: [[UInt8]] = []
    var storedStates: [[UInt8]] = []
    var vectors: [[UInt8]] = []
    var headers: [[UInt8]] = []
    var registers: [[UInt8]] = []
    var columns: [[UInt8]] = []

    /// Lets programs of two nodes write, so that every kind of change and state is there.
    static func make() throws -> RecordCorpus {
        var corpus = RecordCorpus()
        let stores = try [FuzzCorpus.node, FuzzCorpus.other].map { try Store($0) }
        try stores[0].write(
            "INSERT INTO patients(id, fullName, email) VALUES('p1', 'Ana', x'00ff'), ('p2', 'Bea', 1.5)"
        )
        try stores[0].write("UPDATE clinic_services SET selectionCount = selectionCount + 3, defaultPrice = 7")
        try stores[0].write("UPDATE patients SET fullName = NULL WHERE id = 'p1'; DELETE FROM patients WHERE id = 'p2'")
        try stores[1].write(
            "UPDATE clinic_services SET selectionCount = -9 WHERE rowid = 1; DELETE FROM clinic_services WHERE rowid = 2"
        )
        try stores[1].write("INSERT INTO clinicsync_node(id, certificate) VALUES('n', x'30')")
        let chunks = try stores.map { try $0.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk) }
        for (index, store) in stores.enumerated() {
            _ = try store.writer.store(chunks[1 - index], clockOffsetMilliseconds: 0)
        }
        // A row that was deleted and written again remembers its deletion.
        try stores[1].write("INSERT INTO clinic_services(id, serviceName) VALUES('again', 'Again')")
        try stores[1].write("DELETE FROM clinic_services WHERE id = 'again'")
        try stores[1].write("INSERT INTO clinic_services(id, serviceName) VALUES('again', 'Once more')")
        corpus.chunks = chunks.joined().map(\.payload)
        for store in stores {
            corpus.states += try store.states()
            corpus.storedStates += try store.blobs("SELECT state FROM clinicsync_tombstone")
            corpus.vectors += try store.blobs("SELECT seen FROM clinicsync_origin WHERE length(seen) > 0")
            corpus.headers += try store.blobs("SELECT header FROM clinicsync_log WHERE header IS NOT NULL")
            corpus.registers += try store.blobs("SELECT registers FROM clinicsync_row WHERE registers IS NOT NULL")
            corpus.columns += try store.blobs("SELECT columns FROM clinicsync_row LIMIT 5")
        }
        // An empty vector, and one whose entries do not ascend.
        corpus.vectors += [[], Array((corpus.vectors + corpus.vectors).joined())]
        return corpus
    }

    /// A store in memory.
    private struct Store {
        let queue: DatabaseQueue
        let writer: ReplicaWriter
        let reader: ReplicaReader

        init(_ node: NodeID) throws {
            self.queue = try DatabaseQueue(configuration: StoreDatabase.configuration(isFile: false))
            self.writer = try ReplicaWriter(database: StoreDatabase(single: self.queue), origin: Origin(node: node)) {
                1_795_000_000_000
            }
            self.reader = try ReplicaReader(beside: self.writer)
            _ = try self.writer.collect(clockOffsetMilliseconds: 0)
        }

        func write(_ sql: String) throws {
            try self.queue.writeWithoutTransaction { try $0.execute(sql: sql) }
            // Marks carry SQLite's idea of now; corpora must be the same each day.
            try self.queue.writeWithoutTransaction {
                try $0.execute(sql: "UPDATE clinicsync_dirty SET writtenAt = 1795000000000")
            }
            _ = try self.writer.collect(clockOffsetMilliseconds: 0)
        }

        func states() throws -> [[UInt8]] {
            let table = FuzzCorpus.statesTable
            let keys = try self.reader.rowHashes(round: 1, table: table, after: nil).rows.map(\.key)
            // All in one page, then a few alone.
            let groups = [keys] + keys.prefix(3).map { [$0] } + [[.string("again")]]
            return try groups.flatMap { try self.reader.rowStates(round: 1, table: table, keys: $0) }
                .map(\.payload)
                .filter { !$0.isEmpty }
        }

        func blobs(_ sql: String) throws -> [[UInt8]] {
            try self.queue.read { try Data.fetchAll($0, sql: sql) }.map { Array($0) }
        }
    }
}
