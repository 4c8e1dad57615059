import ClinicSyncModel
import ClinicSyncWire
import Testing

@Suite("The ranges of numbers in messages")
struct BoundsTests {
    /// A message with one number in it, the number's field, and the largest and the first refused value.
    struct Field: Sendable, CustomTestStringConvertible {
        let name: String
        let largest: UInt64
        let make: @Sendable (UInt64) -> Message

        var testDescription: String { self.name }
    }

    private static let origin = Origin(node: MessageSamples.node)

    private static func batch(_ number: UInt64) -> BatchID { BatchID(origin: self.origin, sequence: number) }

    private static func vector(_ number: UInt64) -> VersionVector {
        VersionVector([.init(origin: self.origin, sequence: number)])
    }

    private static func chunk(
        sequence: UInt64 = 1,
        index: UInt32 = 0,
        isLast: Bool = true,
        timestamp: UInt64? = nil,
        dependencies: VersionVector = VersionVector()
    ) -> Message {
        let header = BatchHeader(
            timestamp: HybridTimestamp(rawValue: timestamp ?? 1),
            dependencies: dependencies,
            schemaVersion: 1
        )
        return .chunk(
            BatchChunk(
                batch: BoundsTests.batch(sequence),
                index: index,
                header: index == 0 ? header : nil,
                isLast: isLast,
                checksum: 0,
                payload: []
            )
        )
    }

    private static func digests(_ change: (inout TableDigest) -> Void) -> Message {
        var table = TableDigest(name: "t", rows: 1, digest: .zero)
        change(&table)
        return .digests(DigestReport(round: .max, vector: VersionVector(), tables: [table]))
    }

    private static func hello(_ change: (inout Hello) -> Void) -> Message {
        var hello = Hello(
            protocolVersion: 1,
            clinicID: "c",
            nodeName: "n",
            softwareVersion: "1",
            schemaVersion: 1,
            addresses: [],
            hostReport: BoundsTests.report(term: 1),
            wallMilliseconds: 1,
            vector: VersionVector(),
            partials: [],
            creditBytes: 1
        )
        change(&hello)
        return .hello(hello)
    }

    private static func report(term: UInt64) -> HostReport {
        HostReport(
            role: .searching,
            term: term,
            reign: nil,
            addresses: [],
            candidacy: Candidacy(priority: 1, coverage: .max, uptimeBucket: 1, node: MessageSamples.node),
            successors: []
        )
    }

    static let fields: [Field] = [
        Field(name: "batch.sequence", largest: Bounds.sequenceMax) { BoundsTests.chunk(sequence: $0) },
        Field(name: "index", largest: UInt64(Bounds.chunkIndexMax)) { BoundsTests.chunk(index: UInt32($0)) },
        Field(name: "index", largest: UInt64(Bounds.chunkIndexMax) - 1) {
            BoundsTests.chunk(index: UInt32($0), isLast: false)
        },
        Field(name: "dependencies", largest: Bounds.sequenceMax) {
            BoundsTests.chunk(dependencies: BoundsTests.vector($0))
        },
        Field(name: "term", largest: Bounds.termMax) { .hostReport(BoundsTests.report(term: $0)) },
        Field(name: "wall_milliseconds", largest: UInt64(Bounds.millisecondsMax)) { number in
            BoundsTests.hello { $0.wallMilliseconds = Int64(bitPattern: number) }
        },
        Field(name: "wall_milliseconds", largest: UInt64(Bounds.millisecondsMax)) {
            .pong(Pong(id: .max, wallMilliseconds: Int64(bitPattern: $0)))
        },
        Field(name: "vector", largest: Bounds.sequenceMax) { number in
            BoundsTests.hello { $0.vector = BoundsTests.vector(number) }
        },
        Field(name: "partial.next_chunk", largest: UInt64(Bounds.chunkIndexMax)) { number in
            BoundsTests.hello { $0.partials = [PartialBatch(batch: BoundsTests.batch(1), nextChunk: UInt32(number))] }
        },
        Field(name: "batch.sequence", largest: Bounds.sequenceMax) { number in
            BoundsTests.hello { $0.partials = [PartialBatch(batch: BoundsTests.batch(number), nextChunk: 1)] }
        },
        Field(name: "applied", largest: Bounds.sequenceMax) {
            .acknowledge(Acknowledgement(applied: BoundsTests.vector($0).entries, creditBytes: .max))
        },
        Field(name: "rows", largest: Bounds.rowsMax) {
            .digests(
                DigestReport(
                    round: .max,
                    vector: VersionVector(),
                    tables: [TableDigest(name: "t", rows: $0, digest: .zero)]
                )
            )
        },
        Field(name: "hidden", largest: Bounds.rowsMax) { number in
            BoundsTests.digests { $0.hidden = StateSum(rows: number, digest: .zero) }
        },
        Field(name: "deleted", largest: Bounds.rowsMax) { number in
            BoundsTests.digests { $0.deleted = StateSum(rows: number, digest: .zero) }
        },
        Field(name: "repaired_rows", largest: Bounds.rowsMax) {
            .verifyReport(VerifyReport(id: .max, result: .equal, repairedRows: $0))
        },
        Field(name: "repaired_rows", largest: Bounds.rowsMax) {
            .syncReport(SyncReport(id: .max, result: .equal, repairedRows: $0, nodes: []))
        },
        Field(name: "login_milliseconds", largest: UInt64(Bounds.millisecondsMax)) {
            .loginRequest(
                id: .max,
                LoginRequest(
                    sessionID: "s",
                    userID: "u",
                    username: "u",
                    deviceID: "d",
                    deviceName: "d",
                    tokenHash: Array(repeating: 0, count: 32),
                    loginMilliseconds: Int64(bitPattern: $0),
                    isForced: false
                )
            )
        },
        Field(name: "batch.sequence", largest: Bounds.sequenceMax) {
            .loginReply(LoginReply(id: .max, outcome: .granted(isProvisional: true), batch: BoundsTests.batch($0)))
        },
    ]

    @Test("the largest number is read, and the next one is refused", arguments: BoundsTests.fields)
    func isRefused(field: Field) throws {
        let message = field.make(field.largest)
        #expect(try MessageCodec.decode(MessageCodec.encode(message, term: Bounds.termMax)).message == message)
        let beyond = MessageCodec.encode(field.make(field.largest + 1), term: 1)
        #expect(throws: WireDecodingError.outOfRange(field: field.name)) { try MessageCodec.decode(beyond) }
    }

    @Test("the author of seed rows is no author of batches")
    func genesis() {
        let origin = Origin(node: Origin.genesis.node, incarnation: 3)
        let batch = BatchID(origin: origin, sequence: 1)
        let chunk = BatchChunk(batch: batch, index: 1, header: nil, isLast: true, checksum: 0, payload: [])
        #expect(throws: WireDecodingError.outOfRange(field: "batch.node")) {
            try MessageCodec.decode(MessageCodec.encode(.chunk(chunk), term: 0))
        }
        let applied = Acknowledgement(applied: [.init(origin: origin, sequence: 1)], creditBytes: 1)
        #expect(throws: WireDecodingError.outOfRange(field: "applied")) {
            try MessageCodec.decode(MessageCodec.encode(.acknowledge(applied), term: 0))
        }
    }

    @Test("the extremes of 64 bits are refused, whatever their sign")
    func extremes() {
        for wall in [Int64.min, -1, .max] {
            #expect(throws: WireDecodingError.outOfRange(field: "wall_milliseconds")) {
                try MessageCodec.decode(MessageCodec.encode(.pong(Pong(id: 1, wallMilliseconds: wall)), term: 0))
            }
        }
        for term in [Bounds.termMax + 1, UInt64(Int64.max) - 1, .max] {
            #expect(throws: WireDecodingError.outOfRange(field: "term")) {
                try MessageCodec.decode(MessageCodec.encode(.ping(Ping(id: 1)), term: term))
            }
        }
    }

    @Test("a batch's stamp above the largest one counts as the largest, and one that cannot be stored is refused")
    func stamps() throws {
        let largest = BoundsTests.chunk(timestamp: HybridTimestamp.largest.rawValue)
        let bytes = MessageCodec.encode(largest, term: 0)
        #expect(try MessageCodec.decode(bytes).message == largest)
        let place = try #require(bytes.firstRange(of: BoundsTests.littleEndian(HybridTimestamp.largest.rawValue)))
        func replaced(by number: UInt64) -> [UInt8] {
            var bytes = bytes
            bytes.replaceSubrange(place, with: BoundsTests.littleEndian(number))
            return bytes
        }
        for number in [HybridTimestamp.largest.rawValue + 1, UInt64(Int64.max)] {
            #expect(try MessageCodec.decode(replaced(by: number)).message == largest)
        }
        for number in [1 << 63, UInt64.max] {
            let beyond = replaced(by: number)
            #expect(throws: WireDecodingError.outOfRange(field: "timestamp")) { try MessageCodec.decode(beyond) }
        }
    }

    private static func littleEndian(_ number: UInt64) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }
}
