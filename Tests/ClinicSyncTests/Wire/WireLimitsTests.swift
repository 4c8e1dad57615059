import ClinicSyncModel
import ClinicSyncWire
import Testing

@Suite("Limits of messages")
struct WireLimitsTests {
    /// A limit: a message at the limit, a message beyond it, and the field that the error names.
    struct Case: Sendable, CustomTestStringConvertible {
        let field: String
        let make: @Sendable (Int) -> Message
        let max: Int
        var testDescription: String { self.field }
    }

    static let limits = WireLimits.standard

    static let cases: [Case] = [
        Case(field: "payload", make: { WireLimitsTests.chunk(bytes: $0) }, max: limits.chunkPayloadBytesMax),
        Case(
            field: "payload",
            make: { .rowStates(WireLimitsTests.states(bytes: $0, wanted: [])) },
            max: limits.rowStatesPayloadBytesMax
        ),
        Case(
            field: "wanted",
            make: { .rowStates(WireLimitsTests.states(bytes: 0, wanted: Array(repeating: .null, count: $0))) },
            max: limits.wantedKeysMax
        ),
        Case(
            field: "wanted",
            make: { .rowStates(WireLimitsTests.states(bytes: 0, wanted: [.blob(Array(repeating: 1, count: $0))])) },
            max: limits.keyBytesMax
        ),
        Case(
            field: "after",
            make: { count in
                let key = SQLiteValue.text(Array(repeating: 97, count: count))
                return .rowHashes(RowHashPage(round: 1, table: "t", after: key, through: nil, rows: []))
            },
            max: limits.keyBytesMax
        ),
        Case(
            field: "keys",
            make: { count in
                let rows = Array(repeating: RowHash(key: .integer(1), hash: .zero), count: count)
                return .rowHashes(RowHashPage(round: 1, table: "t", after: nil, through: nil, rows: rows))
            },
            max: limits.rowHashesMax
        ),
        Case(
            field: "ranges",
            make: {
                let ranges = [UInt8](repeating: 1, count: $0)
                return .stateRanges(StateRangePage(round: 1, table: "t", ranges: ranges))
            },
            max: limits.rangesBytesMax
        ),
        Case(
            field: "ids",
            make: { .stateWants(StateWants(round: 1, table: "t", ids: Array(repeating: 1, count: $0))) },
            max: limits.wantedKeysMax
        ),
        Case(
            field: "applied",
            make: { .acknowledge(Acknowledgement(applied: WireLimitsTests.entries($0), creditBytes: 0)) },
            max: limits.vectorEntriesMax
        ),
        Case(
            field: "tables",
            make: { count in
                let table = TableDigest(name: "t", rows: 1, digest: .zero)
                let tables = Array(repeating: table, count: count)
                return .digests(DigestReport(round: 1, vector: VersionVector(), tables: tables))
            },
            max: limits.tablesMax
        ),
        Case(
            field: "nodes",
            make: { count in
                let node = SyncReport.Node(id: MessageSamples.node, name: "n", result: .equal)
                let nodes = Array(repeating: node, count: count)
                return .syncReport(SyncReport(id: 1, result: .equal, repairedRows: 0, nodes: nodes))
            },
            max: limits.nodesMax
        ),
        Case(
            field: "members",
            make: { count in
                let members = Array(repeating: MemberReport(node: MessageSamples.node), count: count)
                return .syncReport(SyncReport(id: 1, result: .equal, repairedRows: 0, nodes: [], members: members))
            },
            max: limits.nodesMax
        ),
        Case(
            field: "partials",
            make: { count in
                var hello = MessageSamples.hello
                hello.partials = Array(repeating: hello.partials[0], count: count)
                return .hello(hello)
            },
            max: limits.partialsMax
        ),
        Case(
            field: "node_name",
            make: { count in
                var hello = MessageSamples.hello
                hello.nodeName = String(repeating: "a", count: count)
                return .hello(hello)
            },
            max: limits.nameBytesMax
        ),
        Case(
            field: "certificates",
            make: { .memberProof(Array(repeating: [1], count: $0)) },
            max: limits.certificatesMax
        ),
        Case(
            field: "certificates",
            make: { .memberProof([Array(repeating: 1, count: $0)]) },
            max: limits.certificateBytesMax
        ),
        Case(
            field: "unproven",
            make: { count in
                let nodes = Array(repeating: MessageSamples.node, count: count)
                return .acknowledge(Acknowledgement(applied: [], creditBytes: 0, unproven: nodes))
            },
            max: limits.unprovenNodesMax
        ),
        Case(
            field: "nodes",
            make: { count in
                let answer = ProbeAnswers.Answer(node: MessageSamples.node, milliseconds: 1)
                let answers = ProbeAnswers(
                    prober: MessageSamples.node,
                    number: 1,
                    answers: Array(repeating: answer, count: count)
                )
                return .acknowledge(Acknowledgement(applied: [], creditBytes: 0, probe: answers))
            },
            max: limits.nodesMax
        ),
        Case(
            field: "connected",
            make: { count in
                let answers = ProbeAnswers(
                    prober: MessageSamples.node,
                    number: 1,
                    answers: [],
                    connected: Array(repeating: MessageSamples.node, count: count)
                )
                return .acknowledge(Acknowledgement(applied: [], creditBytes: 0, probe: answers))
            },
            max: limits.nodesMax
        ),
        Case(
            field: "entry",
            make: { .revocation(Array(repeating: 1, count: $0)) },
            max: limits.revocationBytesMax
        ),
        Case(
            field: "payload",
            make: { count in
                .state(
                    .page(
                        StatePage(
                            id: 1,
                            vector: VersionVector(),
                            table: "bills",
                            through: nil,
                            checksum: 1,
                            payload: [UInt8](repeating: 1, count: count),
                            rows: 1,
                            isLast: true
                        )
                    )
                )
            },
            max: limits.rowStatesPayloadBytesMax
        ),
    ]

    @Test("a message at a limit is accepted, one beyond it refused", arguments: cases)
    func limit(of test: Case) throws {
        let message = test.make(test.max)
        #expect(try MessageCodec.decode(MessageCodec.encode(message, term: 0)).message == message)
        let beyond = MessageCodec.encode(test.make(test.max + 1), term: 0)
        #expect(throws: WireDecodingError.limitExceeded(field: test.field)) { try MessageCodec.decode(beyond) }
    }

    @Test("a message that holds no rows is refused when it is large")
    func controlMessages() {
        let padding = [UInt8](repeating: 0, count: WireLimitsTests.limits.controlMessageBytesMax)
        // A ping with one unknown field of 1 MiB (tag 15, length 1 << 20).
        let body: [UInt8] = [0x7A, 0x80, 0x80, 0x40] + padding
        let bytes: [UInt8] = [0x22, 0x84, 0x80, 0x40] + body
        #expect(throws: WireDecodingError.limitExceeded(field: "frame")) { try MessageCodec.decode(bytes) }
    }

    @Test("a frame beyond the message limit is refused without a look at it")
    func frameSize() {
        let bytes = [UInt8](repeating: 0xFF, count: WireLimitsTests.limits.messageBytesMax + 1)
        #expect(throws: WireDecodingError.limitExceeded(field: "frame")) { try MessageCodec.decode(bytes) }
    }

    @Test("five million empty elements are refused before one of them is built")
    func emptyElements() {
        // Row states with elements of two bytes each: as objects they would take over a gigabyte.
        let count = 5_000_000
        var bytes: [UInt8] = [0x52]
        var length = count * 2
        while length > 0x7F {
            bytes.append(UInt8(length & 0x7F) | 0x80)
            length >>= 7
        }
        bytes.append(UInt8(length))
        for _ in 0..<count {
            bytes.append(0x22)
            bytes.append(0)
        }
        #expect(throws: WireDecodingError.limitExceeded(field: "wanted")) { try MessageCodec.decode(bytes) }
    }

    private static func chunk(bytes: Int) -> Message {
        let payload = [UInt8](repeating: 7, count: bytes)
        return .chunk(
            BatchChunk(
                batch: MessageSamples.batch,
                index: 1,
                header: nil,
                isLast: true,
                checksum: 0,
                payload: payload
            )
        )
    }

    private static func states(bytes: Int, wanted: [SQLiteValue]) -> RowStatePage {
        let payload = [UInt8](repeating: 7, count: bytes)
        return RowStatePage(round: 1, table: "t", payload: payload, wanted: wanted, isLast: true)
    }

    private static func entries(_ count: Int) -> [VersionVector.Entry] {
        (0..<count).map { .init(origin: Origin(node: NodeID(high: 1, low: UInt64($0))), sequence: 1) }
    }
}
