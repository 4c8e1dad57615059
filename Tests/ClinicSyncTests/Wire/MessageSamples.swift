import ClinicSyncModel

/// One message of every kind with its bytes.
///
/// The bytes must never change, because older nodes read them.
enum MessageSamples {
    static let node = NodeID(high: 0x0011_2233_4455_6677, low: 0x8899_AABB_CCDD_EEFF)
    static let other = NodeID(high: 0x0102_0304_0506_0708, low: 0x090A_0B0C_0D0E_0F10)
    static let batch = BatchID(origin: Origin(node: node), sequence: 300)
    static let vector = VersionVector([
        .init(origin: Origin(node: node), sequence: 300),
        .init(origin: Origin(node: other, incarnation: 2), sequence: 7),
    ])

    /// All samples, in the order of the numbers in `clinicsync.proto`.
    static let all: [Message] =
        [
            .hello(hello), .goodbye(.replaced), .ping(Ping(id: 5)),
            .pong(Pong(id: 5, wallMilliseconds: 1_795_000_000_123)), .chunk(firstChunk), .chunk(laterChunk),
            .acknowledge(Acknowledgement(applied: vector.entries.reversed(), creditBytes: 70_000)),
        ] + reconciliation + manual + [.revocation([7, 8])] + election + logins + [.memberProof([[9, 10], [11]])]
        + states + ranges

    static let ranges: [Message] = [
        .stateRanges(StateRangePage(round: 11, table: "bills", ranges: [1, 2, 3], isTooLong: true)),
        .stateWants(StateWants(round: 11, table: "bills", ids: [1, 0x0102_0304_0506_0708])),
        .digests(
            DigestReport(
                round: 12,
                vector: VersionVector(),
                sum: Digest(high: 9, low: 10),
                tables: [
                    TableDigest(
                        name: "bills",
                        rows: 2,
                        digest: Digest(high: 1, low: 2),
                        hidden: StateSum(rows: 3, digest: Digest(high: 3, low: 4)),
                        deleted: .zero
                    )
                ]
            )
        ),
        .rowHashes(RowHashPage(round: 12, table: "bills", after: nil, through: nil, rows: [], hasHidden: true)),
    ]

    static let election: [Message] = [
        .hostReport(hello.hostReport),
        .hostReport(
            HostReport(role: .searching, term: 9, reign: nil, addresses: [], candidacy: candidacy, successors: [])
        ),
        .handOver, .transferRequest(other),
    ]

    static let logins: [Message] = [
        .loginRequest(
            id: 3,
            LoginRequest(
                sessionID: "s1",
                userID: "u1",
                username: "ana",
                deviceID: node.description,
                deviceName: "Empfang",
                tokenHash: Array(0..<32),
                loginMilliseconds: 1_795_000_000_123,
                isForced: true
            )
        ),
        .loginRequest(
            id: 4,
            LoginRequest(
                sessionID: "s2",
                userID: .blob([0, 0xFF, 0xC3, 0x28]),
                username: "cleo",
                deviceID: node.description,
                deviceName: "Empfang",
                tokenHash: Array(0..<32),
                loginMilliseconds: 1_795_000_000_123,
                isForced: false
            )
        ),
        .loginReply(LoginReply(id: 3, outcome: .granted(isProvisional: true), batch: batch)),
        .loginReply(
            LoginReply(
                id: 4,
                outcome: .conflict([
                    SessionHolder(
                        sessionID: "s0",
                        deviceID: "d",
                        deviceName: "Labor",
                        loginTime: "2026-11-21T10:00:00.000Z",
                        lastActivity: "2026-11-21T10:05:00.000Z"
                    )
                ])
            )
        ),
        .loginReply(LoginReply(id: 5, outcome: .refused)), .loginReply(LoginReply(id: 6, outcome: .unavailable)),
    ]

    static let states: [Message] = [
        .state(.offer(StateOffer(rows: 1_000, bytes: 70_000))),
        .state(.request(StateRequest(id: 1, vector: VersionVector(), after: nil, creditBytes: 1 << 20))),
        .state(
            .request(
                StateRequest(
                    id: 2,
                    vector: vector,
                    after: StateCursor(table: "bills", key: .string("b1")),
                    creditBytes: 1 << 20
                )
            )
        ),
        .state(
            .page(
                StatePage(
                    id: 2,
                    vector: vector,
                    table: "bills",
                    through: .string("b2"),
                    checksum: 0x0123_4567_89AB_CDEF,
                    payload: [1, 2, 3],
                    rows: 1,
                    isLast: true
                )
            )
        ),
        .state(.end(StateEnd(id: 3, vector: vector, through: vector))),
    ]

    static let candidacy = Candidacy(priority: 100, coverage: 70_000, uptimeBucket: 7, node: node)

    static let hello = Hello(
        protocolVersion: 1,
        clinicID: "k7q",
        nodeName: "Empfang",
        softwareVersion: "1.2.3",
        schemaVersion: 4,
        addresses: ["192.168.1.7:7450", "[fe80::1]:7450"],
        hostReport: HostReport(
            role: .host,
            term: 9,
            reign: Reign(term: 9, candidacy: candidacy),
            addresses: ["192.168.1.7:7450"],
            candidacy: candidacy,
            successors: [NodeAddresses(node: other, addresses: ["192.168.1.8:7450"])]
        ),
        wallMilliseconds: 1_795_000_000_123,
        vector: vector,
        partials: [PartialBatch(batch: batch, nextChunk: 3)],
        creditBytes: 8 << 20
    )

    static let firstChunk = BatchChunk(
        batch: batch,
        index: 0,
        header: BatchHeader(
            timestamp: HybridTimestamp(milliseconds: 1_795_000_000_000, counter: 1),
            dependencies: VersionVector([.init(origin: Origin(node: other), sequence: 6)]),
            schemaVersion: 4
        ),
        isLast: false,
        checksum: 0x0123_4567_89AB_CDEF,
        payload: [1, 2, 3]
    )

    static let laterChunk = BatchChunk(
        batch: batch,
        index: 1,
        header: nil,
        isLast: true,
        checksum: 1,
        payload: []
    )

    static let reconciliation: [Message] = [
        .digests(
            DigestReport(
                round: 11,
                vector: VersionVector(),
                tables: [TableDigest(name: "bills", rows: 2, digest: Digest(high: 1, low: 2))]
            )
        ),
        .rowHashes(
            RowHashPage(
                round: 11,
                table: "bills",
                after: .null,
                through: .double(1.5),
                rows: [
                    RowHash(key: .string("b1"), hash: Digest(high: 3, low: 4)),
                    RowHash(key: .integer(-1), hash: Digest(high: 5, low: 6)),
                ]
            )
        ),
        .rowStates(
            RowStatePage(
                round: 11,
                table: "bills",
                payload: [0xFF],
                wanted: [.blob([0, 1])],
                isLast: true
            )
        ),
    ]

    static let manual: [Message] = [
        .syncRequest(SyncRequest(id: 21, table: nil)),
        .verifyRequest(SyncRequest(id: 21, table: "")),
        .verifyReport(VerifyReport(id: 21, result: .repaired, repairedRows: 3)),
        .syncReport(
            SyncReport(
                id: 21,
                result: .differs,
                repairedRows: 3,
                nodes: [.init(id: node, name: "Labor", result: .unreachable)]
            )
        ),
    ]
}

extension MessageSamples {
    /// The name of the message's kind in the documents.
    static func name(_ message: Message) -> String {
        func name(_ value: Any) -> String { String("\(value)".prefix { $0 != "(" }) }
        guard case .state(let part) = message else { return name(message) }
        return "state" + name(part).prefix(1).uppercased() + name(part).dropFirst()
    }

    /// The number of the message's kind in `clinicsync.proto`.
    static func kind(_ message: Message) -> Int {
        switch message {
        case .hello: 2
        case .goodbye: 3
        case .ping: 4
        case .pong: 5
        case .chunk: 6
        case .acknowledge: 7
        case .digests: 8
        case .rowHashes: 9
        case .rowStates: 10
        case .syncRequest: 11
        case .verifyRequest: 12
        case .verifyReport: 13
        case .syncReport: 14
        case .revocation: 17
        case .hostReport: 18
        case .handOver: 19
        case .transferRequest: 20
        case .loginRequest: 21
        case .loginReply: 22
        case .memberProof: 23
        case .stateRanges: 30
        case .stateWants: 31
        case .state(.offer): 24
        case .state(.request): 25
        case .state(.page): 26
        case .state(.end): 27
        }
    }
}
