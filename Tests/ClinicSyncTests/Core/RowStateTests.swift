import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("The laws of merging")
struct RowStateTests {
    @Test("merging is commutative, associative and idempotent", arguments: 0..<200)
    func laws(seed: UInt64) {
        var random = TestRandom(seed: seed)
        let (a, b, c) = (self.state(&random), self.state(&random), self.state(&random))
        #expect(self.join(a, b) == self.join(b, a))
        #expect(self.join(self.join(a, b), c) == self.join(a, self.join(b, c)))
        #expect(self.join(a, a) == a)
    }

    @Test("of two values whose stamps are equal the larger origin's wins on every node")
    func ties() {
        let (a, b) = (self.register("a", origin: 1), self.register("b", origin: 2))
        #expect(self.join(a, b).registers[1]?.value == .string("b"))
        #expect(self.join(b, a).registers[1]?.value == .string("b"))
    }

    @Test("of two totals of one origin's batch, which only damage makes, the larger one counts on every node")
    func damagedCounters() {
        let states = [5, 7].map { total in
            var state = self.register("a", origin: 1)
            state.counters = [
                RowState.CounterPart(slot: 2, origin: self.origin(1), total: Int64(total), sequence: 3),
                RowState.CounterPart(slot: 2, origin: self.origin(2), total: 1, sequence: 1),
            ]
            return state
        }
        #expect(self.join(states[0], states[1]).counterValue(slot: 2) == .integer(8))
        #expect(self.join(states[1], states[0]) == self.join(states[0], states[1]))
    }

    @Test("a value that its successor's author had seen is no loss, a concurrent one is, an equal one too")
    func losses() {
        let (a, b) = (self.register("a", origin: 1), self.register("b", origin: 2))
        var seen = a
        #expect(seen.merge(b) { _, _ in true }.isEmpty)
        var unseen = a
        #expect(unseen.merge(b) { _, _ in false }.map(\.loser.value) == [.string("a")])
        var equal = a
        #expect(equal.merge(self.register("a", origin: 2)) { _, _ in false }.map(\.winner.origin) == [self.origin(2)])
        #expect(equal.merge(self.register("a", origin: 2)) { _, _ in false }.isEmpty, "the same write twice")
    }

    @Test("a row lives on by what its deleter had not seen, unless deletions win")
    func life() {
        var row = self.register("a", origin: 1)
        let version = Version(timestamp: HybridTimestamp(milliseconds: 9), origin: self.origin(2), sequence: 1)
        row.deletion = RowState.Deletion(
            seen: VersionVector([.init(origin: self.origin(1), sequence: 1)]),
            version: version
        )
        #expect(!row.isVisible(.keep))
        row.registers[1]?.version = Version(timestamp: .genesis, origin: self.origin(1), sequence: 2)
        #expect(row.isVisible(.keep))
        #expect(!row.isVisible(.win))
        row.birth = Version(timestamp: .genesis, origin: self.origin(1), sequence: 3)
        #expect(row.isVisible(.win))
    }

    private func origin(_ number: UInt64) -> Origin { Origin(node: NodeID(high: 0, low: number)) }

    private func register(_ text: String, origin: UInt64) -> RowState {
        let version = Version(
            timestamp: HybridTimestamp(milliseconds: 5),
            origin: self.origin(origin),
            sequence: 1
        )
        let register = RowState.Register(value: .string(text), version: version)
        return RowState(key: .string("k"), birth: version, registers: [nil, register])
    }

    private func join(_ left: RowState, _ right: RowState) -> RowState {
        var result = left
        _ = result.merge(right) { _, _ in true }
        return result
    }

    /// A state over few versions.
    ///
    /// A version always carries the same value, as in a real store.
    private func state(_ random: inout TestRandom) -> RowState {
        func version() -> Version {
            let number = UInt64.random(in: 1...3, using: &random)
            let stamp = HybridTimestamp(milliseconds: Int64.random(in: 1...3, using: &random))
            return Version(timestamp: stamp, origin: self.origin(number), sequence: UInt64(stamp.milliseconds))
        }
        func register() -> RowState.Register? {
            guard Bool.random(using: &random) else { return nil }
            let version = version()
            return RowState.Register(value: .string("\(version)"), version: version)
        }
        var state = RowState(key: .string("k"), birth: version(), registers: [nil, register(), register()])
        for slot in 3...4 where Bool.random(using: &random) {
            let version = version()
            let total = Int64(version.sequence) * 10
            state.merge(
                RowState.CounterPart(slot: slot, origin: version.origin, total: total, sequence: version.sequence)
            )
        }
        if Bool.random(using: &random) {
            let entries = (1...3).map { number in
                VersionVector.Entry(origin: self.origin(number), sequence: UInt64.random(in: 0...3, using: &random))
            }
            state.deletion = RowState.Deletion(seen: VersionVector(entries), version: version())
        }
        return state
    }
}
