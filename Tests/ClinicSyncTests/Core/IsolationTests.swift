import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("The end of an isolation")
struct IsolationTests {
    /// A host that has just accepted its first client; the store has not answered.
    private func host() -> (bench: Bench, request: StorageRequest?, effects: [Effect]) {
        var bench = Bench(.host)
        bench.start()
        bench.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2)))
        let effects = bench.node.handle(.received(.c(1), .hello(.of(.client(2)))), at: bench.now)
        let request = effects.compactMap { effect -> StorageRequest? in
            guard case .storage(let request) = effect, effect.isRestamp else { return nil }
            return request
        }
        return (bench, request.first, effects)
    }

    private let restamped = StorageReply.restamped(changes: 3, .of(vector: VersionVector()))
    private let locate = StorageRequest.locate(for: .c(1), vector: VersionVector(), takesState: true)

    @Test("nothing is read for a peer before the stamps of what nobody else has are corrected")
    func waits() {
        var (bench, request, effects) = self.host()
        #expect(request != nil)
        #expect(!effects.requests.contains(self.locate))
        #expect(bench.node.handle(.storageReplied(self.restamped), at: bench.now).requests == [self.locate])
        // The node serves a further peer at once.
        bench.give(.connectionOpened(.c(2), dialled: nil, peer: .n(3)))
        let second = bench.node.handle(.received(.c(2), .hello(.of(.client(3)))), at: bench.now)
        #expect(second.requests.contains(.locate(for: .c(2), vector: VersionVector(), takesState: true)))
        #expect(!second.contains { $0.isRestamp })
    }

    @Test("when the correction fails nothing is exchanged: the peer comes again, and it is tried again")
    func fails() throws {
        var (bench, request, _) = self.host()
        let failed = StorageReply.failed(try #require(request), .unavailable("disk full"))
        let effects = bench.node.handle(.storageReplied(failed), at: bench.now)
        #expect(effects.closes == [.storageFailed])
        #expect(!effects.requests.contains(self.locate))
        bench.advance(.milliseconds(500))
        bench.give(.connectionOpened(.c(2), dialled: nil, peer: .n(2)))
        let again = bench.node.handle(.received(.c(2), .hello(.of(.client(2)))), at: bench.now)
        #expect(again.contains { $0.isRestamp })
    }

    @Test("when the peer has gone meanwhile, the isolation goes on and ends with the next peer")
    func gone() {
        var (bench, _, _) = self.host()
        #expect(bench.node.handle(.connectionClosed(.c(1)), at: bench.now).requests.contains(.beginIsolation))
        let effects = bench.node.handle(.storageReplied(self.restamped), at: bench.now)
        #expect(effects.requests == [])
        bench.give(.connectionOpened(.c(2), dialled: nil, peer: .n(2)))
        let again = bench.node.handle(.received(.c(2), .hello(.of(.client(2)))), at: bench.now)
        #expect(again.contains { $0.isRestamp })
    }
}
