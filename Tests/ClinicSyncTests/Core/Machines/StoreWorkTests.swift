import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("The store's work, as its core machine sees it") struct StoreWorkCoreTests {
    private let collect = Effect.storage(.collect(clockOffsetMilliseconds: 5))
    private let sweep = StorageRequest.sweep(table: nil, .sync(id: 1))

    private func machine() -> StoreWorkStateMachine {
        StoreWorkStateMachine(retryDelay: .seconds(1), housekeepingInterval: .seconds(10))
    }

    @Test("a collection in slices keeps others out until its last slice; a commit meanwhile is collected next")
    func slices() {
        var machine = self.machine()
        #expect(machine.collect(offsetMilliseconds: 5) == [self.collect])
        #expect(machine.collect(offsetMilliseconds: 5) == [])
        #expect(machine.submit(self.sweep) == [])
        #expect(machine.collected(hasMore: true, offsetMilliseconds: 5) == [.effect(self.collect)])
        #expect(!machine.isOpen)
        #expect(machine.collected(hasMore: false, offsetMilliseconds: 5) == [.opened(collectAgain: true)])
        #expect(machine.release() == [.storage(self.sweep)])
        #expect(!machine.isOpen)
        #expect(machine.collect(offsetMilliseconds: 5) == [])
    }

    @Test("of the requests to discard batches only the newest waits")
    func discards() {
        var machine = self.machine()
        _ = machine.collect(offsetMilliseconds: 5)
        for node in 1...3 as ClosedRange<UInt64> {
            #expect(machine.submit(.discard(KnownMembers(past: [.n(node)]), waiting: [])) == [])
            #expect(machine.submit(.recordTerm(node)) == [])
        }
        _ = machine.collected(hasMore: false, offsetMilliseconds: 5)
        #expect(
            machine.release() == [
                .storage(.recordTerm(1)), .storage(.recordTerm(2)),
                .storage(.discard(KnownMembers(past: [.n(3)]), waiting: [])), .storage(.recordTerm(3)),
            ]
        )
    }

    @Test("a login that waits is not decided when its requester is gone, or when this node may decide no more")
    func withdrawn() {
        func decision(_ requester: Requester) -> StorageRequest {
            .decideLogin(
                LoginDecision(
                    requester: requester,
                    request: .of(2),
                    hearing: 3,
                    members: 3,
                    mayWait: false,
                    correctedMilliseconds: 9
                )
            )
        }
        let logins = [decision(.peer(.c(2), id: 1)), decision(.peer(.c(3), id: 1)), decision(.command(.r(7)))]
        var machine = self.machine()
        _ = machine.collect(offsetMilliseconds: 5)
        for login in logins { #expect(machine.submit(login) == []) }
        #expect(machine.submit(self.sweep) == [])
        machine.withdrawLogins(of: .c(2))
        var other = machine
        other.withdrawLogins()
        _ = machine.collected(hasMore: false, offsetMilliseconds: 5)
        #expect(machine.release() == [.storage(logins[1]), .storage(logins[2]), .storage(self.sweep)])
        _ = other.collected(hasMore: false, offsetMilliseconds: 5)
        #expect(other.release() == [.storage(self.sweep)])
    }

    @Test("a sweep counts as finished when its rows are collected")
    func sweeps() {
        var machine = self.machine()
        #expect(machine.submit(self.sweep) == [.storage(self.sweep)])
        let done = FinishedSweep(purpose: .sync(id: 1), escaped: 2, unsent: 0)
        #expect(machine.swept(done, hasMore: true, offsetMilliseconds: 5) == [.effect(self.collect)])
        #expect(
            machine.collected(hasMore: false, offsetMilliseconds: 5) == [.swept(done), .opened(collectAgain: false)]
        )
        _ = machine.collect(offsetMilliseconds: 5)
        #expect(machine.collected(hasMore: false, offsetMilliseconds: 5) == [.opened(collectAgain: false)])
    }

    @Test("one application at a time, none while a collection is in progress")
    func applies() {
        var machine = self.machine()
        #expect(machine.applyPending() == [])
        machine.start(schemaVersion: 3)
        #expect(machine.schemaVersion == 3)
        _ = machine.collect(offsetMilliseconds: 5)
        #expect(machine.applyPending() == [])
        _ = machine.collected(hasMore: false, offsetMilliseconds: 5)
        #expect(machine.applyPending() == [.storage(.applyStored)])
        machine.applyLater()
        #expect(machine.applyPending() == [])
        machine.applied()
        #expect(machine.applyPending() == [.storage(.applyStored)])
    }

    @Test("after a failed slice only a new attempt may follow")
    func failures() {
        var machine = self.machine()
        _ = machine.collect(offsetMilliseconds: 5)
        #expect(machine.exclusiveWorkFailed() == false)
        #expect(machine.isOpen)
        _ = machine.collect(offsetMilliseconds: 5)
        _ = machine.collected(hasMore: true, offsetMilliseconds: 5)
        #expect(machine.exclusiveWorkFailed() == nil)
        #expect(machine.collect(offsetMilliseconds: 5) == [])
        #expect(machine.retry(offsetMilliseconds: 5) == [self.collect])
        #expect(
            machine.retryLater(.unavailable("full")) == [
                .notify(.storageFailed(.unavailable("full"))), .setTimer(.retryStorage, after: .seconds(1)),
            ]
        )
    }

    @Test("housekeeping records what is new and prunes, one round at a time")
    func housekeeping() {
        var machine = self.machine()
        let progress = [MemberProgress(node: .n(2), vector: .v(1), seenMilliseconds: 4)]
        let presence = MemberPresence(isHost: true, members: [.n(1), .n(2)], linked: [.n(2)], clinicMilliseconds: 5)
        #expect(
            machine.keepHouse(progress: progress, presence: presence) == [
                .storage(.recordAcknowledged(progress)), .storage(.prune(presence)),
            ]
        )
        #expect(machine.isKeepingHouse)
        machine.housekeepingEnded()
        #expect(machine.keepHouse(progress: [], presence: presence) == [.storage(.prune(presence))])
        #expect(machine.housekeepingTimer == .setTimer(.housekeeping, after: .seconds(10)))
    }
}
