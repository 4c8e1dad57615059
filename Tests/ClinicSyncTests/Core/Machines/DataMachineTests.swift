import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("The clinic's data: how its machines share the store") struct DataMachineTests {
    private let failure = StorageFailure.unavailable("full")

    /// Node 1 with client 2, exchanging changes.
    private func exchanging() -> DataStateMachine {
        var machine = DataStateMachine(.host)
        let hello = Hello.of(.client(2))
        let introduction = PeerIntroduction(
            connection: .c(2),
            identity: PeerIdentity(.n(2), hello),
            hello: hello
        )
        #expect(machine.linked(introduction) == [])
        _ = machine.endIsolation(.host())
        _ = machine.restamped(peers: [.follower(2)])
        _ = machine.replied(.located(for: .c(2), position: 0), .host())
        return machine
    }

    @Test("what a collection found is applied first, told to programs second, and sent to peers last")
    func collected() {
        var machine = self.exchanging()
        #expect(machine.collect(.host()) == [.effect(.storage(.collect(clockOffsetMilliseconds: 0)))])
        var outcome = CollectOutcome.of([BatchChunk.of(1, 1).at(1)], vector: .v(1))
        outcome.events = [.of("patients")]
        #expect(
            machine.replied(.collected(outcome), .host()) == [
                .applied, .effect(.publish([.of("patients")])), .effect(.send([.c(2)], .chunk(.of(1, 1)))),
                .opened(collectAgain: false),
            ]
        )
        #expect(machine.vector == .v(1))
    }

    @Test("what peers sent meanwhile goes to the store when the collection is complete")
    func opened() {
        var machine = self.exchanging()
        _ = machine.collect(.host())
        #expect(machine.received(.of(2, 1), on: .c(2)) == [])
        #expect(machine.collect(.host()) == [])
        #expect(machine.submit(.sweep(table: nil, .sync(id: 1))) == [])
        _ = machine.replied(.collected(.of(vector: .v())), .host())
        #expect(
            machine.opened(collectAgain: false, .host()) == [.effect(.storage(.sweep(table: nil, .sync(id: 1))))]
        )
        let done = FinishedSweep(purpose: .sync(id: 1), escaped: 0, unsent: 0)
        #expect(
            machine.replied(.swept(.sync(id: 1), escaped: 0, .of(vector: .v())), .host()) == [
                .applied, .swept(done), .opened(collectAgain: false),
            ]
        )
        #expect(
            machine.opened(collectAgain: true, .host()) == [
                .effect(.storage(.store(from: .c(2), [.of(2, 1)]))),
                .effect(.storage(.collect(clockOffsetMilliseconds: 0))),
            ]
        )
    }

    @Test("a peer's changes: programs, operators, acknowledgement, and the rest of the application")
    func stored() {
        var machine = self.exchanging()
        _ = machine.received(.of(2, 1), on: .c(2))
        var outcome = StoreOutcome.of([BatchChunk.of(2, 1).at(1)], bytes: 100, vector: .v(0, 1), isApplyPending: true)
        outcome.conflicts = 3
        let entries = [VersionVector.Entry(origin: .o(2), sequence: 1)]
        #expect(
            machine.replied(.stored(from: .c(2), outcome), .host()) == [
                .applied, .effect(.notify(.conflictsRecorded(3))), .stamped(.genesis),
                .effect(.send([.c(2)], .acknowledge(Acknowledgement(applied: entries, creditBytes: 100)))),
                .effect(.storage(.applyStored)),
            ]
        )
    }

    @Test("a failed collection is tried again; a node that starts does not become ready by it")
    func failedCollection() {
        var machine = self.exchanging()
        let retry: [Directive] = [
            .effect(.notify(.storageFailed(self.failure))), .effect(.setTimer(.retryStorage, after: .seconds(1))),
        ]
        _ = machine.collect(.host())
        _ = machine.received(.of(2, 1), on: .c(2))
        #expect(
            machine.failed(.collect(clockOffsetMilliseconds: 0), self.failure, .host(), isRunning: true)
                == retry + [.effect(.storage(.store(from: .c(2), [.of(2, 1)])))]
        )
        _ = machine.collect(.host())
        #expect(
            machine.failed(.collect(clockOffsetMilliseconds: 0), self.failure, .host(), isRunning: false) == retry
        )
    }

    @Test("bytes that make no sense are the peer's fault; a full disk and a fork are not")
    func failedRequests() {
        var machine = self.exchanging()
        let causes: [(StorageFailure, CloseReason)] = [
            (.malformed("x"), .protocolViolation), (self.failure, .storageFailed),
            (.forked(BatchID(origin: .o(2), sequence: 1)), .storageFailed),
        ]
        for (failure, reason) in causes {
            #expect(
                machine.failed(.readLog(for: .c(2), after: 0, maxBytes: 1), failure, .host(), isRunning: true) == [
                    .effect(.notify(.storageFailed(failure))), .close(.c(2), reason),
                ]
            )
        }
    }

    @Test("the end of the last link isolates the node")
    func lost() {
        var machine = self.exchanging()
        #expect(machine.lost(.c(2), isLast: true, clients: [], at: .zero) == [.effect(.storage(.beginIsolation))])
        #expect(machine.isIsolated)
        #expect(machine.received(.of(2, 1), on: .c(2)) == [.close(.c(2), .protocolViolation)])
    }
}
