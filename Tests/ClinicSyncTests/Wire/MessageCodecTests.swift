import ClinicSyncModel
import ClinicSyncWire
import Testing

@Suite("Decoding messages of peers that need not be honest")
struct MessageCodecTests {
    @Test("random messages of all kinds survive the trip", arguments: 1...4)
    func roundTrip(seed: UInt64) throws {
        var messages = RandomMessages(seed: seed)
        for _ in 0..<2_500 {
            let message = messages.next()
            let term = messages.generator.next() & Bounds.termMax
            let decoded = try MessageCodec.decode(MessageCodec.encode(message, term: term))
            #expect(decoded.message == message)
            #expect(decoded.term == term)
        }
    }

    @Test(
        "a login keeps every key that a user can have",
        arguments: [
            SQLiteValue.string("u"), .string(""), .blob([]), .blob([0, 0xFF]), .text([0xFF, 0x41]), .text([0xC3]),
        ]
    )
    func userKeys(key: SQLiteValue) throws {
        let login = LoginRequest(
            sessionID: "s",
            userID: key,
            username: "ana",
            deviceID: "d",
            deviceName: "Desk",
            tokenHash: Array(0..<32),
            loginMilliseconds: 7,
            isForced: false
        )
        let sent = MessageCodec.encode(.loginRequest(id: 1, login), term: 1)
        #expect(try MessageCodec.decode(sent).message == .loginRequest(id: 1, login))
    }

    @Test("a hello keeps its epoch; that of an older node says nothing of epochs; another format is refused")
    func epochs() throws {
        let epoch = try Epoch.of(3, by: MessageSamples.node, batches: 4)
        var hello = MessageSamples.hello
        for (knows, epoch) in [(false, nil), (true, nil), (true, epoch)] as [(Bool, Epoch?)] {
            (hello.knowsEpochs, hello.epoch) = (knows, epoch)
            let frame = try MessageCodec.decode(MessageCodec.encode(.hello(hello), term: 1))
            guard case .hello(let decoded) = frame.message else {
                Issue.record("no hello")
                return
            }
            #expect(decoded == hello)
            #expect(decoded.epoch?.statement == epoch?.statement)
        }
        var bytes = MessageCodec.encode(.hello(hello), term: 1)
        let place = try #require(bytes.firstRange(of: Epoch.magic)).lowerBound
        bytes[place] ^= 1
        #expect(throws: WireDecodingError.malformed) { try MessageCodec.decode(bytes) }
    }

    @Test("100 000 mutated inputs never trap, and what is accepted encodes again", arguments: 1...4)
    func mutations(seed: UInt64) throws {
        var messages = RandomMessages(seed: seed &* 1_000)
        var accepted = 0
        for _ in 0..<25_000 {
            let bytes = MessageCodecTests.mutated(
                MessageCodec.encode(messages.next(), term: 3),
                &messages.generator
            )
            guard let (message, term) = MessageCodecTests.decoded(bytes) else { continue }
            accepted += 1
            let again = try MessageCodec.decode(MessageCodec.encode(message, term: term))
            #expect(again.message == message)
        }
        // Flipped bits of ids and payloads give other valid messages. If all or no messages were valid, the test
        // would prove nothing.
        #expect((1..<25_000).contains(accepted))
    }

    @Test("unknown fields are ignored at every level")
    func unknownFields() throws {
        // Frame field 99 (varint), and within the ping field 15 (bytes).
        let bytes: [UInt8] = [0x98, 0x06, 1, 0x08, 2, 0x22, 6, 0x08, 5, 0x7A, 2, 9, 9]
        #expect(try MessageCodec.decode(bytes).message == .ping(Ping(id: 5)))
    }

    @Test("a frame without a known message, or with two, is refused")
    func notOneMessage() {
        #expect(throws: WireDecodingError.notOneMessage) { try MessageCodec.decode([]) }
        #expect(throws: WireDecodingError.notOneMessage) { try MessageCodec.decode([0x08, 1]) }
        #expect(throws: WireDecodingError.notOneMessage) { try MessageCodec.decode([0x9A, 6, 0]) }
        #expect(throws: WireDecodingError.notOneMessage) { try MessageCodec.decode([0x22, 0, 0x22, 0]) }
    }

    @Test(
        "what is no protocol buffer is malformed",
        arguments: [[0xFF], [0x22, 5, 1], [0x23], [0x00], [0x20, 1], [0x22, 1, 0xFF], [0x12, 3, 0x12, 1, 0xFF]]
    )
    func malformed(bytes: [UInt8]) {
        #expect(throws: WireDecodingError.malformed) { try MessageCodec.decode(bytes) }
    }

    @Test("unknown numbers of enumerations are refused")
    func unknownValues() {
        #expect(throws: WireDecodingError.unknownValue(field: "reason")) {
            try MessageCodec.decode([0x1A, 2, 0x08, 99])
        }
        #expect(throws: WireDecodingError.unknownValue(field: "result")) {
            try MessageCodec.decode([0x6A, 2, 0x10, 99])
        }
    }

    @Test("ids, digests and columns of a wrong length are refused")
    func wrongLengths() {
        // A chunk whose batch has a node of one byte.
        #expect(throws: WireDecodingError.wrongLength(field: "batch.node")) {
            try MessageCodec.decode([0x32, 7, 0x0A, 3, 0x0A, 1, 7, 0x10, 1])
        }
        // Row hashes: one key, no hash.
        #expect(throws: WireDecodingError.wrongLength(field: "hashes")) {
            try MessageCodec.decode([0x4A, 4, 0x2A, 2, 0x10, 1])
        }
        // An acknowledgement with one sequence and no node.
        #expect(throws: WireDecodingError.wrongLength(field: "applied")) {
            try MessageCodec.decode([0x3A, 5, 0x0A, 3, 0x1A, 1, 1])
        }
    }

    @Test("missing parts are refused")
    func missingParts() {
        #expect(throws: WireDecodingError.missing(field: "entry")) { try MessageCodec.decode([0x8A, 1, 0]) }
        #expect(throws: WireDecodingError.missing(field: "vector")) { try MessageCodec.decode([0x42, 0]) }
        #expect(throws: WireDecodingError.missing(field: "header")) { try MessageCodec.decode([0x32, 0]) }
        #expect(throws: WireDecodingError.missing(field: "wanted")) { try MessageCodec.decode([0x52, 2, 0x22, 0]) }
    }

    @Test("a peer that does not say from which chunk it wants a batch wants the whole of it")
    func wantedChunks() throws {
        let batch = BatchID(origin: Origin(node: MessageSamples.node), sequence: 2)
        let wanted = [LostChunk(batch: batch), LostChunk(batch: batch, index: 300)]
        let message = Message.acknowledge(Acknowledgement(applied: [], creditBytes: 0, wanted: wanted))
        let bytes = MessageCodec.encode(message, term: 0)
        #expect(MessageCodecTests.decoded(bytes)?.message == message)
        // Two numbers that are no places of a batch: an older version does not send them.
        let places: [UInt8] = [0x2A, 3, 0, 0xAC, 2]
        #expect(Array(bytes.suffix(places.count)) == places)
        var old = Array(bytes.dropLast(places.count))
        old[1] -= UInt8(places.count)
        let whole = Acknowledgement(applied: [], creditBytes: 0, wanted: Array(repeating: wanted[0], count: 2))
        #expect(MessageCodecTests.decoded(old)?.message == .acknowledge(whole))
        #expect(throws: WireDecodingError.limitExceeded(field: "wanted_from")) {
            try MessageCodec.decode([0x3A, 3, 0x2A, 1, 1])
        }
    }

    @Test("a vector that does not ascend is refused")
    func unorderedVector() {
        // Two entries for one node: 32 equal bytes, sequences 1 and 1.
        let vector: [UInt8] = [0x0A, 32] + Array(repeating: 7, count: 32) + [0x1A, 2, 1, 1]
        let digests: [UInt8] = [0x12, UInt8(vector.count)] + vector
        #expect(throws: WireDecodingError.unexpected(field: "vector")) {
            try MessageCodec.decode([0x42, UInt8(digests.count)] + digests)
        }
    }

    static func decoded(_ bytes: [UInt8]) -> (message: Message, term: UInt64)? {
        do throws(WireDecodingError) { return try MessageCodec.decode(bytes) } catch { return nil }
    }

    /// Flips, cuts, repeats or inserts bytes.
    static func mutated(_ original: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0...4, using: &generator) {
            case 0: bytes[index] ^= 1 << UInt8.random(in: 0...7, using: &generator)
            case 1: bytes[index] = UInt8.random(in: 0...255, using: &generator)
            case 2: bytes.removeSubrange(index...)
            case 3: bytes.insert(contentsOf: bytes[index...], at: index)
            default: bytes.insert(0xFF, at: index)
            }
        }
        return bytes
    }
}
