import ClinicSyncCore
import ClinicSyncModel
import Testing

@testable import ClinicSyncStorage

/// Ranges of states, without a store: two sets of items and the messages between them.
@Suite("Range-based set reconciliation")
struct RangeReconciliationTests {
    private typealias Item = RangeReconciliation.Item

    /// What a comparison of two sets finds.
    private struct Found {
        var have: Set<UInt64> = []
        var need: Set<UInt64> = []
        var bytes = 0
        var trips = 0
    }

    private func item(_ stamp: UInt64, _ name: UInt64) -> Item {
        let (low, high) = withUnsafeBytes(of: name.littleEndian) { SipHash.hash128($0) }
        return Item(stamp: stamp, hash: Digest(high: high, low: low))
    }

    /// Items as a clinic has them: a stamp of 48 bits of milliseconds every few minutes.
    private func items(_ names: Range<UInt64>) -> [Item] {
        names.map { self.item((1_800_000_000_000 + $0 * 61_803) << 16, $0) }
    }

    private func compare(_ ours: [Item], _ theirs: [Item], bytesMax: Int = 64 << 10) throws -> Found {
        let (client, host) = (
            RangeReconciliation(ours, bytesMax: bytesMax), RangeReconciliation(theirs, bytesMax: bytesMax)
        )
        var found = Found()
        var next: [UInt8]? = client.first()
        while let message = next {
            let answer = try #require(try message.withUnsafeBytes { try host.answer(to: $0) })
            found.bytes += message.count + answer.count
            found.trips += 1
            try #require(found.trips <= 16)
            let step = try answer.withUnsafeBytes { try client.compare(with: $0) }
            try #require(!step.isTooLong)
            found.have.formUnion(step.have)
            found.need.formUnion(step.need)
            next = step.next
        }
        return found
    }

    @Test(
        "equal sets cost one message, whatever their size, and an empty answer",
        arguments: [0, 1, 31, 32, 1_000, 20_000]
    )
    func equal(count: UInt64) throws {
        let items = self.items(0..<count)
        let found = try self.compare(items.shuffled(), items.shuffled())
        #expect(found.have.isEmpty && found.need.isEmpty)
        #expect(found.trips == 1)
        #expect(found.bytes <= 400)
    }

    @Test("every difference is found, wherever it is, for sets of every size")
    func differences() throws {
        var random = SplitMix64(seed: 20_261_128)
        for size: UInt64 in [0, 1, 5, 31, 32, 33, 200, 3_000] {
            for differing in [1, 2, 17, 150] {
                var (ours, theirs) = (self.items(0..<size), self.items(0..<size))
                for number in 0..<UInt64(differing) {
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0 where !ours.isEmpty: ours.remove(at: Int.random(in: ours.indices, using: &random))
                    case 1:
                        let stamp = UInt64.random(in: 0...UInt64.max, using: &random)
                        ours.append(self.item(stamp, 1_000_000 + number))
                    default:
                        // Items of one batch have one stamp.
                        theirs.append(self.item((1_800_000_000_000 + size / 2 * 61_803) << 16, 2_000_000 + number))
                    }
                }
                let have = Set(ours.map(\.id)).subtracting(theirs.map(\.id))
                let need = Set(theirs.map(\.id)).subtracting(ours.map(\.id))
                let found = try self.compare(ours.shuffled(using: &random), theirs.shuffled(using: &random))
                #expect(found.have == have, "\(size) items, \(differing) differences")
                #expect(found.need == need, "\(size) items, \(differing) differences")
            }
        }
    }

    @Test("few differences among 100 000 cost little: 10 scattered ones, and the 100 newest ones")
    func costs() throws {
        let all = self.items(0..<100_000)
        let scattered = all.enumerated().filter { $0.offset % 10_000 != 5_000 }.map(\.element)
        let found = try self.compare(scattered, all)
        #expect(found.need.count == 10 && found.have.isEmpty)
        #expect(found.bytes <= 16_000)
        let newest = try self.compare(Array(all.dropLast(100)), all)
        #expect(newest.need.count == 100)
        #expect(newest.bytes <= 6_000)
    }

    @Test("items of one stamp are split by their hashes")
    func oneStamp() throws {
        let all = (0..<5_000).map { self.item(7 << 16, $0) }
        let found = try self.compare(Array(all.dropFirst(3)), Array(all.dropLast(2)))
        #expect(found.need == Set(all.prefix(3).map(\.id)))
        #expect(found.have == Set(all.suffix(2).map(\.id)))
    }

    @Test("a bound is the shortest that divides two neighbours, and reads back as it was")
    func bounds() throws {
        var random = SplitMix64(seed: 7)
        for _ in 0..<2_000 {
            let stamp = UInt64.random(in: 0...UInt64.max >> UInt64.random(in: 0..<64, using: &random), using: &random)
            let other = Bool.random(using: &random) ? stamp : UInt64.random(in: 0...UInt64.max, using: &random)
            let pair = [self.item(stamp, random.next()), self.item(other, random.next())].sorted()
            let bound = RangeBound.between(pair[0], pair[1])
            guard case .before(let item) = bound else {
                Issue.record("there is no bound")
                continue
            }
            #expect(pair[0] < item && !(pair[1] < item))
            var writer = RangeWriter()
            writer.ids([], to: bound)
            let read = try writer.bytes.withUnsafeBytes { bytes -> RangeBound? in
                var reader = RangeReader(bytes)
                return try reader.next()?.bound
            }
            #expect(read == bound)
        }
    }

    @Test("a message that would be too long ends the comparison instead")
    func tooLong() throws {
        let (few, many) = (RangeReconciliation(self.items(0..<20), bytesMax: 1_000), self.items(0..<5_000))
        let first = few.first()
        let host = RangeReconciliation(many, bytesMax: 1_000)
        #expect(try first.withUnsafeBytes { try host.answer(to: $0) } == nil)
        let client = RangeReconciliation(many, bytesMax: 300)
        let other = RangeReconciliation(self.items(9_000..<14_000), bytesMax: 9_999)
        let answer = try #require(try client.first().withUnsafeBytes { try other.answer(to: $0) })
        #expect(try answer.withUnsafeBytes { try client.compare(with: $0) }.isTooLong)
    }

    @Test(
        "what is no message of ranges is refused",
        arguments: [
            [1], [0, 9], [0, 1, 1, 2, 3], [0, 2, 200], [0, 0, 0, 0], [65, 1, 0, 0], [64, 3, 0, 0], [1, 5, 17],
            [1, 5, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0], [1, 5, 1, 9, 0, 1, 0, 1, 8, 0],
        ] as [[UInt8]]
    )
    func malformed(bytes: [UInt8]) {
        let ranges = RangeReconciliation(self.items(0..<100), bytesMax: 64 << 10)
        #expect(throws: MalformedRecord.self) { try bytes.withUnsafeBytes { try ranges.answer(to: $0) } }
        #expect(throws: MalformedRecord.self) { try bytes.withUnsafeBytes { try ranges.compare(with: $0) } }
    }
}
