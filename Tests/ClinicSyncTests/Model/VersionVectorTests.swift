import ClinicSyncModel
import Testing

@Suite("Version vectors") struct VersionVectorTests {
    private let a = Origin(node: .n(1))
    private let b = Origin(node: .n(2))

    private func vector(_ a: UInt64, _ b: UInt64) -> VersionVector {
        VersionVector([.init(origin: self.a, sequence: a), .init(origin: self.b, sequence: b)])
    }

    @Test("a vector that is limited before batches covers none of them, and all that came before")
    func limited() {
        let known = self.vector(5, 3)
        func limited(_ batches: (Origin, UInt64)...) -> VersionVector {
            known.limited(before: batches.map { BatchID(origin: $0.0, sequence: $0.1) })
        }
        #expect(limited() == known)
        #expect(limited((self.a, 4), (self.a, 2), (self.a, 5)) == self.vector(1, 3))
        #expect(limited((self.a, 1)) == self.vector(0, 3))
        #expect(limited((self.a, 1), (self.b, 1)).isEmpty)
        #expect(limited((self.a, 6), (Origin(node: .n(9)), 1)) == known)
    }
}
