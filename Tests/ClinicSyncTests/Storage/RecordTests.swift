import ClinicSyncCore
import ClinicSyncModel
import GRDB
import Testing

@testable import ClinicSyncStorage

@Suite("The record format")
struct RecordTests {
    @Test("SipHash gives the values of the reference implementation")
    func sipHash() {
        // From the authors' test vectors: key 00…0f, message 00 01 02 … of the given length.
        let message = (0..<16).map { UInt8($0) }
        let (key0, key1): (UInt64, UInt64) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908)
        message.withUnsafeBytes { bytes in
            let empty = UnsafeRawBufferPointer(rebasing: bytes[..<0])
            let fifteen = UnsafeRawBufferPointer(rebasing: bytes[..<15])
            #expect(SipHash.hash64(empty, key0: key0, key1: key1) == 0x726f_db47_dd0e_0e31)
            #expect(SipHash.hash64(fifteen, key0: key0, key1: key1) == 0xa129_ca61_49be_45e5)
            #expect(SipHash.hash128(empty, key0: key0, key1: key1) == (0xe6a8_25ba_047f_81a3, 0x9302_55c7_1472_f66d))
        }
    }

    @Test("numbers and values come back as they were written")
    func values() throws {
        let values: [SQLiteValue] = [
            .null, .integer(0), .integer(-1), .integer(.min), .integer(.max), .double(0.1 + 0.2), .double(-0.0),
            .double(.infinity), .text([]), .string("é\u{0}🩺"), .text([0xff, 0xfe]), .blob([]), .blob([0, 1, 255]),
            .text([UInt8](repeating: 97, count: 1 << 20)),
        ]
        var writer = ByteWriter()
        for value in values { writer.value(value) }
        let numbers: [UInt64] = [0, 1, 127, 128, 1 << 32, .max]
        for number in numbers { writer.unsigned(number) }
        try writer.bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            for value in values {
                let read = try reader.value().value
                #expect(read == value)
            }
            for number in numbers {
                let read = try reader.unsigned()
                #expect(read == number)
            }
            #expect(reader.isAtEnd)
        }
    }

    @Test("1, 1.0 and '1' have different hashes")
    func storageClasses() {
        let hashes = Set(
            [SQLiteValue.integer(1), .double(1), .string("1"), .blob([49]), .null].map { value in
                ValueRef.with(value) { $0.hash }
            }
        )
        #expect(hashes.count == 5)
    }

    @Test("an author's number that no machine word holds is refused in a row's versions")
    func hugeAuthor() {
        var writer = ByteWriter()
        writer.signed(0)
        writer.unsigned(1 << 63)
        writer.unsigned(1)
        writer.unsigned(1)
        #expect(throws: MalformedRecord(reason: "an origin's number is too large")) {
            try writer.bytes.withUnsafeBytes { try RowMeta.readGroups($0, birth: 1) }
        }
    }

    @Test("numbers of batches beyond the range are refused", arguments: [1 << 53, 1 << 63, UInt64.max])
    func hugeSequence(number: UInt64) throws {
        let refusal = MalformedRecord(reason: "a batch's number is out of range")
        let huge = Version(timestamp: HybridTimestamp(rawValue: 1), origin: Origin(node: Self.node), sequence: number)
        let vector = VersionVector([.init(origin: huge.origin, sequence: number)])
        #expect(throws: refusal) { try VectorCoding.encode(vector).withUnsafeBytes { try VectorCoding.decode($0) } }
        let plan = try #require(try TestStore(1).writer.plans["clinic_services"])
        let small = Version(timestamp: huge.timestamp, origin: huge.origin, sequence: 1)
        let empty = [RowState.Register?](repeating: nil, count: plan.slotCount)
        let slot = plan.counterSlots.trailingZeroBitCount
        let part = RowState.CounterPart(slot: slot, origin: huge.origin, total: 1, sequence: number)
        for state in [
            RowState(key: .string("k"), birth: huge, registers: empty),
            RowState(key: .string("k"), birth: small, registers: empty, counters: [part]),
            RowState(
                key: .string("k"),
                birth: small,
                registers: empty,
                deletion: RowState.Deletion(seen: vector, version: small)
            ),
        ] {
            var writer = RowStateWriter(plan)
            writer.append(state)
            let payload = writer.payload()
            #expect(throws: refusal) {
                try payload.withUnsafeBytes { bytes in
                    var reader = try RowStateReader(bytes, plan: plan)
                    _ = try reader.next()
                }
            }
        }
    }

    @Test("a page of a state is read to its end and to its bounds, whether its rows are plain or not")
    func checkedPages() throws {
        let plan = try #require(try TestStore(1).writer.plans["patients"])
        let empty = [RowState.Register?](repeating: nil, count: plan.slotCount)
        func page(_ key: SQLiteValue, isPlain: Bool) -> [UInt8] {
            var writer = RowStateWriter(plan)
            if isPlain {
                ValueRef.with(key) {
                    writer.appendPlain(key: $0, birth: .genesis, slots: plan.valueSlots) { _ in .null }
                }
            } else {
                writer.append(RowState(key: key, birth: .genesis, registers: empty))
            }
            return writer.payload()
        }
        for isPlain in [true, false] {
            let right = page(.string("k"), isPlain: isPlain)
            try RowMerger.check(right, plan: plan, within: .all)
            for (payload, range) in [
                (page(.integer(7), isPlain: isPlain), KeyRange.all),
                (right, KeyRange(after: .string("k"), through: nil)),
                (Array(right.dropLast()), KeyRange.all),
                (right + [3], KeyRange.all),
            ] {
                #expect(throws: MalformedChunk.self) { try RowMerger.check(payload, plan: plan, within: range) }
            }
        }
    }

    /// A quarter of the largest number of authors in a page, in descending order.
    ///
    /// This is the worst case for a list that is kept ascending.
    @Test("a row that names very many authors in the worst order is read and merged in good time")
    func manyAuthors() throws {
        let plan = try #require(try TestStore(1).writer.plans["clinic_services"])
        let slot = plan.counterSlots.trailingZeroBitCount
        var writer = ByteWriter()
        writer.byte(RowStateWriter.format)
        writer.unsigned(16_384)
        for number in (0..<16_384).reversed() { writer.origin(Origin(node: NodeID(high: 7, low: UInt64(number)))) }
        writer.unsigned(UInt64(plan.slotCount))
        for name in plan.names { writer.string(name ?? "") }
        writer.value(SQLiteValue.string("k"))
        writer.raw([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])
        writer.unsigned(16_384)
        for author in 0..<UInt64(16_384) {
            writer.unsigned(UInt64(slot))
            writer.unsigned(author)
            writer.raw([2, 1])
        }
        writer.raw([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
        writer.unsigned(16_384)
        for author in 0..<UInt64(16_384) {
            writer.unsigned(author)
            writer.unsigned(author + 1)
        }
        let took = try ContinuousClock().measure {
            let state = try writer.bytes.withUnsafeBytes { bytes in
                var reader = try RowStateReader(bytes, plan: plan)
                return try #require(try reader.next())
            }
            #expect(state.counters.count == 16_384)
            #expect(state.deletion?.seen.entries.count == 16_384)
            var merged = state
            _ = merged.merge(state) { _, _ in true }
            #expect(merged == state)
        }
        // This takes about a second. It took minutes when each author was inserted at its place.
        #expect(took < .seconds(30))
    }

    private static let node = NodeID(high: 1, low: 2)

    @Test("damaged payloads are refused or read as something; they never trap", arguments: 0..<8)
    func fuzz(seed: UInt64) throws {
        var random = TestRandom(seed: seed)
        let store = try TestStore(1)
        try store.sql(
            """
            INSERT INTO patients(id, fullName, email) VALUES('p1', 'Ana', x'00ff'), ('p2', NULL, 17);
            UPDATE clinic_services SET selectionCount = 3, defaultPrice = 1.5
            """
        )
        let chunk = try #require(try store.collect().logged.first?.chunk)
        try store.sql("DELETE FROM patients WHERE id = 'p1'")
        try store.collect()
        let states = try #require(
            try store.reader.rowStates(
                round: 1,
                table: "patients",
                keys: [.string("p1"), .string("p2")]
            ).first
        )
        let plans = store.writer.plans
        let plan = try #require(plans["patients"])
        for _ in 0..<4_000 {
            self.mutate(chunk.payload, using: &random).withUnsafeBytes { bytes in
                _ = Result {
                    var reader = try ChangeChunkReader(bytes, base: .genesis, plans: plans)
                    while try reader.next() != nil {}
                }
            }
            self.mutate(states.payload, using: &random).withUnsafeBytes { bytes in
                _ = Result {
                    var reader = try RowStateReader(bytes, plan: plan)
                    while try reader.next() != nil {}
                }
            }
        }
    }

    private func mutate(_ bytes: [UInt8], using random: inout TestRandom) -> [UInt8] {
        var bytes = bytes
        for _ in 0...Int.random(in: 0..<4, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes[place] = UInt8.random(in: .min ... .max, using: &random)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes.insert(0xff, at: place)
            default: bytes.removeSubrange(place..<min(bytes.count, place + 3))
            }
            if bytes.isEmpty { return bytes }
        }
        return bytes
    }
}
